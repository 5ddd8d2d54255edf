"""The course that hostile students attack, and what one of their submissions is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.template import Template

ROOT = Path(__file__).resolve().parents[2]
PAPER = "paper"
POINTS = {
    "test_square": 4.0,
    "test_cube": 2.0,
    "test_cube_sign": 1.0,
    "test_half": 2.0,
    "test_twice": 2.0,
    "test_share": 2.0,
}
FULL = sum(POINTS.values())

SQUARE = "def square(x):\n    return x * x"
CUBE = "def cube(x):\n    return x**3"
HALF = "def half(x):\n    return x / 2"
TWICE = "def twice(f, x):\n    return f(f(x))"
SHARE = "def share():\n    return 2.0"
RIGHT = {"square": SQUARE, "cube": CUBE, "half": HALF, "twice": TWICE, "share": SHARE}

TEST_SQUARE = """assert square(3) == 9, f"square(3) should be 9, got {square(3)}"
### BEGIN HIDDEN TESTS
marvellous_secret = 918271816
assert square(-2) == 4, "square: negative numbers"
assert square(30303) + 7 == marvellous_secret, "square: large numbers"
### END HIDDEN TESTS"""
TEST_HALF = """import torch
from course_lib import checks
assert torch.allclose(half(torch.ones(3)), torch.full((3,), 0.5)), "half of one is 0.5"
### BEGIN HIDDEN TESTS
x = torch.randn(4, generator=torch.Generator().manual_seed(5))
checks.close(half(x).tolist(), (x / 2).tolist(), "half", hidden=True)
### END HIDDEN TESTS"""
TEST_TWICE = "assert twice(lambda x: x + 3, 1) == 7, 'twice: f of f of x'"
# A careless test: what the student returns is the score. The grader must limit it.
TEST_SHARE = "share()"


def paper() -> NotebookNode:
    """The instructor's notebook: functions of numbers, tensors and functions, a score, a text."""
    test = {"grade": True, "locked": True}
    cells = [
        _cell("markdown", "intro", "# A paper"),
        _cell("code", "helper", "import math", locked=True),
        _cell("code", "square", _with_solution(SQUARE), solution=True),
        _cell("code", "test_square", TEST_SQUARE, points=4, **test),
        _cell("code", "cube", _with_solution(CUBE), solution=True),
        _cell("code", "test_cube", "assert cube(2) == 8, 'cube(2) is 8'", points=2, **test),
        _cell("code", "test_cube_sign", "assert cube(-2) == -8, 'sign'", points=1, **test),
        _cell("code", "half", _with_solution(HALF), solution=True),
        _cell("code", "test_half", TEST_HALF, points=2, **test),
        _cell("code", "twice", _with_solution(TWICE), solution=True),
        _cell("code", "test_twice", TEST_TWICE, points=2, **test),
        _cell("code", "share", _with_solution(SHARE), solution=True),
        _cell("code", "test_share", TEST_SHARE, points=2, **test),
        _cell("markdown", "why", "Because.", grade=True, solution=True, points=3),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    names = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata.kernelspec = names
    return notebook


@dataclass(frozen=True)
class Case:
    """One hostile submission and what it must get.

    answers: in place of right ones. @COURSE@, @ROOT@ and @MARK@ become paths and a mark that is
    the case's own.
    lost: tests that give nothing; all others must give full points, but for `scores`.
    says: patterns, each found in what the student is told.
    edit: changes the notebook before it is handed in; folder: adds to what is handed in.
    either: tests that the student himself left to chance.
    brief: runs until its time is up, so that it should be short.
    """

    name: str
    answers: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    edit: Callable[[NotebookNode], Any] | None = None
    folder: Callable[[Path], Any] | None = None
    events: tuple[str, ...] = ()
    look: bool = False
    untouched: bool = False
    brief: bool = False
    either: tuple[str, ...] = ()
    handed_in_as: str = f"{PAPER}.ipynb"

    @property
    def student(self) -> str:
        return f"h_{self.name}"

    @property
    def mark(self) -> str:
        """Stands on the command line of every process that this case starts."""
        return f"mark-of-{self.name}"

    def expected(self) -> dict[str, float]:
        """Points of every automatic test."""
        given = {name: 0.0 if name in self.lost else points for name, points in POINTS.items()}
        return {**given, **self.scores}

    def hand_in(self, folder: Path, template: Template, course: Path) -> None:
        """Write the submission into `folder`."""
        words = {"@COURSE@": str(course), "@ROOT@": str(ROOT), "@MARK@": self.mark}

        def filled(text: str) -> str:
            for word, value in words.items():
                text = text.replace(word, value)
            return text

        why = self.answers.get("why", "It grows.")
        answers = {**RIGHT, "why": why, **self.answers}
        known = {name: filled(text) for name, text in answers.items() if name in template.answers}
        notebook = template.filled_in({} if self.untouched else known)
        if self.edit is not None:
            self.edit(notebook)
        folder.mkdir(parents=True)
        if self.handed_in_as:
            nbformat.write(notebook, folder / self.handed_in_as)
        if self.folder is not None:
            self.folder(folder)


def _with_solution(source: str) -> str:
    first, _, rest = source.partition("\n")
    return f"{first}\n    ### BEGIN SOLUTION\n{rest}\n    ### END SOLUTION"


def _cell(kind: str, name: str, source: str, **flags: object) -> NotebookNode:
    make = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
    cell = make(source, id=f"cell-{name}")
    if flags:
        defaults = {"grade": False, "solution": False, "locked": False, "task": False}
        about = {"schema_version": 3, "grade_id": name, "cell_type": kind}
        cell.metadata.nbgrader = {**about, **defaults, **flags}
    return cell
