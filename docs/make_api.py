"""Write docs/API.md from the docstrings: `python docs/make_api.py`.

One line per public name of course_lib, grouped by module. What is public is what `__all__` lists;
a module without one publishes the functions and classes that it defines without an underscore.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import course_lib

PAGE = Path(__file__).with_name("API.md")
HEAD = """\
# course_lib: all public names

Written by `python docs/make_api.py` from the docstrings; do not edit. `help(name)` says more:
shapes, units, errors, sources.
"""


def public_modules() -> tuple[str, ...]:
    """Return the names of course_lib's public modules, in order.

    A package's own modules are its internals, but for `widgets`, where each is an explorer.
    """
    found = [module.name for module in pkgutil.iter_modules(course_lib.__path__, "course_lib.")]
    widgets = importlib.import_module("course_lib.widgets")
    found += [
        module.name for module in pkgutil.iter_modules(widgets.__path__, widgets.__name__ + ".")
    ]
    return tuple(sorted(name for name in found if not name.rpartition(".")[2].startswith("_")))


def public_names(module: ModuleType) -> tuple[str, ...]:
    """Return the names that `module` publishes, in the order of its source or of `__all__`."""
    if hasattr(module, "__all__"):
        return tuple(module.__all__)
    return tuple(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    )


def first_line(value: object) -> str:
    """Return the first line of an object's own docstring, "" if it has none.

    Python gives a dataclass without one its list of fields; that is none.
    """
    text = inspect.cleandoc(getattr(value, "__doc__", None) or "")
    generated = inspect.isclass(value) and text.startswith(f"{value.__name__}(")
    return "" if generated else text.partition("\n")[0]


def has_docstring_of_its_own(value: object) -> bool:
    """Tell functions and classes from constants and type aliases, which cannot be documented."""
    return inspect.isfunction(value) or inspect.isclass(value)


def page() -> str:
    """Return the whole of API.md."""
    sections = [HEAD]
    for name in public_modules():
        module = importlib.import_module(name)
        entries = [_entry(key, getattr(module, key)) for key in public_names(module)]
        sections.append("\n".join([f"## {name}", "", first_line(module), "", *entries]).rstrip())
    return "\n\n".join(section.rstrip() for section in sections) + "\n"


def _entry(name: str, value: object) -> str:
    if not has_docstring_of_its_own(value):
        return f"- `{name}`: {_constant(value)}"
    call = _parameters(value) if inspect.isfunction(value) else ""
    return f"- `{name}{call}`: {first_line(value)}"


def _parameters(function: Callable[..., object]) -> str:
    """The names of a function's parameters, as a call shows them."""
    parameters = inspect.signature(function).parameters.values()
    stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}
    return f"({', '.join(stars.get(p.kind.name, '') + p.name for p in parameters)})"


def _constant(value: object) -> str:
    if isinstance(value, Mapping):
        return f"a mapping with the keys {', '.join(map(str, value))}."
    if isinstance(value, tuple):
        return f"one of {', '.join(map(str, value))}."
    return f"`{str(value).replace('typing.', '')}`."


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Wrote {PAGE.name}.")
