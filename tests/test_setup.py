"""The three descriptions of the environment agree, and the repository keeps its promises."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = dict(
    re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
)
CONDA = dict(re.findall(r"^  - ([\w-]+)=([\d.]+)$", (ROOT / "environment.yml").read_text(), re.M))
CONDA_NAMES = {
    "torch": "pytorch-cpu",
    "matplotlib": "matplotlib-base",
    "PyYAML": "pyyaml",
    "Jinja2": "jinja2",
    "MarkupSafe": "markupsafe",
    "SQLAlchemy": "sqlalchemy",
}
STUDENT_EXTRAS = ("parquet", "search", "deploy")


def names(requirements: list[str]) -> list[str]:
    return [name for name in requirements if "[" not in name]


RUN_TIME = names(PROJECT["dependencies"])
EXTRAS = PROJECT["optional-dependencies"]


@pytest.mark.parametrize("name", RUN_TIME + [n for e in EXTRAS.values() for n in names(e)])
def test_every_dependency_is_pinned_once_and_only_in_constraints(name):
    assert re.fullmatch(r"[\w.-]+", name), "versions belong into constraints.txt"
    assert name in CONSTRAINTS


@pytest.mark.parametrize("name", RUN_TIME + [n for e in STUDENT_EXTRAS for n in EXTRAS[e]])
def test_conda_installs_the_same_version(name):
    assert CONDA[CONDA_NAMES.get(name, name)] == CONSTRAINTS[name]


def test_conda_installs_nothing_else():
    wanted = {*RUN_TIME, *(n for e in STUDENT_EXTRAS for n in EXTRAS[e])}
    assert set(CONDA) - {"python"} == {CONDA_NAMES.get(name, name) for name in wanted}


def test_the_makefile_installs_the_pinned_torch():
    version = re.search(r"^TORCH_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.M)
    assert version is not None
    assert version.group(1) == CONSTRAINTS["torch"]


@pytest.mark.parametrize("name", RUN_TIME)
def test_the_installed_version_is_the_pinned_one(name):
    assert metadata.version(name).partition("+")[0] == CONSTRAINTS[name]


def test_every_dependency_has_a_reason():
    text = (ROOT / "pyproject.toml").read_text()
    for name in RUN_TIME:
        assert re.search(rf'^  "{re.escape(name)}", +# \w', text, re.M), f"{name}: say why"


def _tracked() -> list[Path]:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_is_too_large_but_mnist():
    large = [p for p in _tracked() if p.stat().st_size > 2 * 2**20 and "mnist" not in p.parts]
    assert large == []
    mnist = ROOT / "course_lib" / "assets" / "mnist"
    assert sum(path.stat().st_size for path in mnist.iterdir()) <= 12 * 10**6


def test_no_module_is_longer_than_300_lines():
    answers = {"tests", "corpus"}  # a corpus file holds the answers to a whole assignment
    modules = [p for p in _tracked() if p.suffix == ".py" and not answers & set(p.parts)]
    assert [p.name for p in modules if len(p.read_text().splitlines()) > 300] == []


def test_importing_course_lib_pulls_in_no_drawing_or_vision():
    heavy = ("torchvision", "matplotlib", "ipywidgets", "sklearn", "scipy")
    code = f"import sys, course_lib; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
