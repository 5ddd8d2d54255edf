"""docs/API.md lists every public name of course_lib with a line that its docstring holds up."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "docs" / "make_api.py"
_spec = importlib.util.spec_from_file_location("make_api", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
make_api = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_api)

MODULES = make_api.public_modules()
NAMES = [
    (module, name)
    for module in MODULES
    for name in make_api.public_names(importlib.import_module(module))
]
DOCUMENTED = [
    pair
    for pair in NAMES
    if make_api.has_docstring_of_its_own(getattr(importlib.import_module(pair[0]), pair[1], None))
]


def section(module: str) -> str:
    text = make_api.PAGE.read_text(encoding="utf-8") + "\n## "
    found = re.search(rf"^## {re.escape(module)}\n(.*?)(?=^## )", text, re.M | re.S)
    assert found, f"docs/API.md has no section {module}"
    return found.group(1)


def test_the_page_is_what_the_docstrings_say_now():
    written = make_api.PAGE.read_text(encoding="utf-8")
    assert written == make_api.page(), "run `python docs/make_api.py`"


def test_every_public_file_of_the_library_is_a_module_of_the_page():
    library = SCRIPT.parent.parent / "course_lib"
    files = {p.stem for p in library.glob("*.py")} | {
        p.parent.name for p in library.glob("*/__init__.py")
    }
    public = {f"course_lib.{name}" for name in files if not name.startswith("_")}
    assert public == {module for module in MODULES if module.count(".") == 1}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_in_one_sentence_what_it_is_about(module):
    assert make_api.first_line(importlib.import_module(module)).endswith(".")


@pytest.mark.parametrize("module", MODULES)
def test_the_page_lists_what_a_module_publishes_and_nothing_else(module):
    listed = re.findall(r"^- `(\w+)", section(module), re.M)
    assert listed == list(make_api.public_names(importlib.import_module(module)))


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_a_published_name_exists_and_is_published_once(module, name):
    loaded = importlib.import_module(module)
    assert hasattr(loaded, name)
    assert make_api.public_names(loaded).count(name) == 1
    assert not name.startswith("_")


@pytest.mark.parametrize(("module", "name"), DOCUMENTED)
def test_a_docstring_begins_with_a_sentence(module, name):
    line = make_api.first_line(getattr(importlib.import_module(module), name))
    assert line, f"{module}.{name} has no docstring"
    # It may begin with a formula or a name, so its first letter says nothing.
    assert line.endswith("."), f"not one sentence on one line: {line!r}"
    assert len(line.split()) >= 3, f"says too little: {line!r}"


@pytest.mark.parametrize(
    "module", [m for m in MODULES if importlib.util.find_spec(m).submodule_search_locations]
)
def test_a_package_publishes_all_that_it_imports_under_a_public_name(module):
    """Its __init__ imports names only to publish them; one not in __all__ was forgotten."""
    loaded = importlib.import_module(module)
    imported = {
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_")
        and make_api.has_docstring_of_its_own(value)
        and inspect.getmodule(value) is not None
        and inspect.getmodule(value).__name__.startswith(module + ".")
    }
    assert imported <= set(make_api.public_names(loaded))
