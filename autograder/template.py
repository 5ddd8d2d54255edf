"""What a notebook of an assignment must look like: cells, points, tests, with and without
the hidden parts. Derived from the source notebook by nbgrader's own preprocessors, so it is
exactly what `nbgrader generate_assignment` would write."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader import preprocessors as steps
from nbgrader import utils
from nbgrader.nbgraderformat import MetadataValidator
from traitlets.config import Config

from autograder.course import Course
from autograder.errors import CourseError


@dataclass(frozen=True)
class Template:
    """One notebook of an assignment in its three forms; never modified after it is made."""

    assignment: str
    notebook: str
    source: NotebookNode  # the instructor's: solutions and hidden tests
    graded: NotebookNode  # what is executed: no solutions, hidden tests
    released: NotebookNode  # what students get: neither

    @classmethod
    def load(cls, course: Course, assignment: str, notebook: str) -> Template:
        """Read the source notebook and derive the other two forms."""
        path = course.source(assignment) / f"{notebook}.ipynb"
        return cls.from_file(path, assignment, course.config)

    @classmethod
    def from_file(cls, path: Path, assignment: str, config: Config) -> Template:
        """As `load`, for a source notebook anywhere."""
        try:
            source = nbformat.read(path, as_version=4)
            MetadataValidator().validate_nb(source)
            graded = _apply(
                source, config, "LockCells", "ClearSolutions", "ClearOutput", "ComputeChecksums"
            )
            released = _apply(
                graded, config, "ClearHiddenTests", "ClearMarkScheme", "ComputeChecksums"
            )
        except Exception as error:
            raise CourseError(f"The source notebook {path} cannot be used: {error}") from error
        return cls(assignment, path.stem, source, graded, released)

    @cached_property
    def cells(self) -> dict[str, NotebookNode]:
        """The cells nbgrader knows, of the graded form, by grade id."""
        return by_grade_id(self.graded)

    @cached_property
    def released_cells(self) -> dict[str, NotebookNode]:
        """The same cells in the released form."""
        return by_grade_id(self.released)

    @cached_property
    def points(self) -> dict[str, float]:
        """Points of every graded cell, in the order of the notebook."""
        return {
            name: float(cell.metadata.nbgrader.points)
            for name, cell in self.cells.items()
            if utils.is_grade(cell) or (utils.is_task(cell) and cell.metadata.nbgrader.points)
        }

    @cached_property
    def answers(self) -> list[str]:
        """Grade ids of the cells that students fill in."""
        return [name for name, cell in self.cells.items() if utils.is_solution(cell)]

    @cached_property
    def hand_graded(self) -> list[str]:
        """Grade ids of the answers and tasks that a person marks."""
        return [name for name in self.points if not _has_tests(self.cells[name])]

    @cached_property
    def tests(self) -> dict[str, list[str]]:
        """For each answer, the automatic tests between it and the next answer."""
        tests: dict[str, list[str]] = {}
        for name, cell in self.cells.items():
            if utils.is_solution(cell):
                tests[name] = []
            elif utils.is_grade(cell) and tests:
                tests[next(reversed(tests))].append(name)
        return tests

    def filled_in(self, answers: Mapping[str, str]) -> NotebookNode:
        """Return the released notebook with these answers in place of the stubs."""
        unknown = set(answers) - set(self.answers)
        if unknown:
            raise CourseError(
                f"{self.notebook} has no answer cell called {', '.join(sorted(unknown))}. "
                f"It has: {', '.join(self.answers)}."
            )
        filled = deepcopy(self.released)
        for name, cell in by_grade_id(filled).items():
            if name in answers:
                cell.source = answers[name]
        return filled

    def solutions(self) -> dict[str, str]:
        """The instructor's answer to every answer cell."""
        source = by_grade_id(self.source)
        return {name: source[name].source for name in self.answers}


def by_grade_id(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """The cells that carry nbgrader metadata, by grade id, in order."""
    cells = {}
    for cell in notebook.cells:
        name = grade_id(cell)
        if name:
            cells[name] = cell
    return cells


def grade_id(cell: NotebookNode) -> str | None:
    """The cell's nbgrader id, or None; safe for metadata of any shape."""
    info = cell.metadata.get("nbgrader")
    name = info.get("grade_id") if isinstance(info, dict) else None
    return name if isinstance(name, str) and name else None


def _has_tests(cell: NotebookNode) -> bool:
    return not utils.is_solution(cell) and not utils.is_task(cell)


def _apply(notebook: NotebookNode, config: Config, *names: str) -> NotebookNode:
    notebook = deepcopy(notebook)
    for name in names:
        notebook, _ = getattr(steps, name)(config=config).preprocess(notebook, {})
    return notebook
