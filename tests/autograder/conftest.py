"""A tiny course, so that the grader's own tests do not wait for torch."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from autograder.course import Course
from autograder.execute import Limits
from autograder.release import release
from autograder.template import Template

ROOT = Path(__file__).resolve().parents[2]

SQUARE = """def square(x):
    ### BEGIN SOLUTION
    secret_product = x * x
    return secret_product
    ### END SOLUTION"""
TEST_SQUARE = """assert square(3) == 9, f"square(3) should be 9, got {square(3)}"
### BEGIN HIDDEN TESTS
assert square(-2) == 4, "square: negative numbers"
### END HIDDEN TESTS"""
CUBE = """def cube(x):
    ### BEGIN SOLUTION
    secret_cube = x**3
    return secret_cube
    ### END SOLUTION"""


def _cell(kind: str, name: str, source: str, **flags: object) -> NotebookNode:
    cell = (nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell)(
        source, id=f"cell-{name}"
    )
    if flags:
        defaults = {"grade": False, "solution": False, "locked": False, "task": False}
        cell.metadata.nbgrader = {
            "schema_version": 3,
            "grade_id": name,
            "cell_type": kind,
            **defaults,
            **flags,
        }
    return cell


def mini_notebook() -> NotebookNode:
    """Two answers with tests, a written answer, a locked helper and plain text."""
    test = {"grade": True, "locked": True}
    notebook = nbformat.v4.new_notebook(
        cells=[
            _cell("markdown", "intro", "# Squares"),
            _cell("code", "helper", "import math", locked=True),
            _cell("code", "square", SQUARE, solution=True),
            _cell("code", "test_square", TEST_SQUARE, points=4, **test),
            _cell("code", "cube", CUBE, solution=True),
            _cell("code", "test_cube", "assert cube(2) == 8, 'cube(2) is 8'", points=2, **test),
            _cell("code", "test_cube_sign", "assert cube(-2) == -8, 'sign'", points=1, **test),
            _cell("markdown", "why", "Because.", grade=True, solution=True, points=3),
        ]
    )
    notebook.metadata.kernelspec = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    return notebook


def _make_course(root: Path) -> None:
    (root / "nbgrader_config.py").write_text((ROOT / "nbgrader_config.py").read_text())
    folder = root / "assignments" / "mini"
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(mini_notebook(), folder / "mini.ipynb")


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A course directory with the assignment `mini`."""
    _make_course(tmp_path)
    return Course(tmp_path)


@pytest.fixture(scope="session")
def released_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A released course to copy: nbgrader needs seconds to make a new grade book."""
    root = tmp_path_factory.mktemp("released")
    _make_course(root)
    release(Course(root), "mini")
    return root


@pytest.fixture
def released(released_once: Path, tmp_path: Path) -> Course:
    """A course whose assignment `mini` is released."""
    shutil.copytree(released_once, tmp_path, dirs_exist_ok=True)
    return Course(tmp_path)


@pytest.fixture
def template(course: Course) -> Template:
    return Template.load(course, "mini", "mini")


@pytest.fixture
def limits() -> Limits:
    """Generous, so that a slow machine cannot change an outcome."""
    return Limits(cell_s=60.0, notebook_s=120.0)


@pytest.fixture
def solved(template: Template) -> NotebookNode:
    """A complete answer, as a student would hand it in."""
    return template.filled_in(
        {
            "square": "def square(x):\n    return x * x",
            "cube": "def cube(x):\n    return x**3",
            "why": "It grows.",
        }
    )
