"""What a notebook of an assignment must look like: cells, points, tests, with and without
the hidden parts. Derived from the source notebook by nbgrader's own preprocessors, so it is
exactly what `nbgrader generate_assignment` would write."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbformat import NotebookNode
from nbgrader import preprocessors as steps
from nbgrader import utils
from nbgrader.nbgraderformat import MetadataValidator
from traitlets.config import Config

from autograder.course import Course
from autograder.errors import CourseError

if TYPE_CHECKING:
    from autograder.judging.plan import Step


@dataclass(frozen=True)
class Template:
    """One notebook of an assignment in its three forms; never modified after it is made."""

    assignment: str
    notebook: str
    source: NotebookNode  # the instructor's: solutions and hidden tests
    graded: NotebookNode  # what is executed: no solutions, hidden tests
    released: NotebookNode  # what students get: neither
    siblings: tuple[str, ...] = ()  # the other notebooks of the assignment

    @classmethod
    def load(cls, course: Course, assignment: str, notebook: str) -> Template:
        """Read the source notebook and derive the other two forms."""
        path = course.source(assignment) / f"{notebook}.ipynb"
        return cls.from_file(path, assignment, course.config, course.root)

    @classmethod
    def from_file(
        cls, path: Path, assignment: str, config: Config, root: Path | None = None
    ) -> Template:
        """As `load`, for a source notebook anywhere; nbgrader's autotests.yml is in `root`."""
        try:
            source = _with_ids(nbformat.read(path, as_version=4))
            MetadataValidator().validate_nb(source)
            graded = _apply(source, _located(config, path.parent, root), _BEFORE_RELEASE, path)
            released = _apply(graded, config, _AT_RELEASE, path)
        except Exception as error:
            raise CourseError(f"The source notebook {path} cannot be used: {error}") from error
        siblings = tuple(sorted(p.stem for p in path.parent.glob("*.ipynb") if p != path))
        return cls(assignment, path.stem, source, graded, released, siblings)

    @cached_property
    def cells(self) -> dict[str, NotebookNode]:
        """The cells nbgrader knows, of the graded form, by grade id."""
        return by_grade_id(self.graded)

    @cached_property
    def released_cells(self) -> dict[str, NotebookNode]:
        """The same cells in the released form."""
        return by_grade_id(self.released)

    @cached_property
    def steps(self) -> list[Step]:
        """What the trusted side needs to know of the code cells."""
        from autograder.judging.plan import plan  # IPython: not for programs that run nothing

        return plan(self.graded, self.source)

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
        """Grade ids of the answers, tasks and texts that a person marks."""
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
    return cell.cell_type == "code" and not utils.is_solution(cell) and not utils.is_task(cell)


# What `nbgrader generate_assignment` does, up to what it keeps in the grade book and from there
# to what it releases (nbgrader.converters.GenerateAssignment.preprocessors).
_BEFORE_RELEASE = (
    "IncludeHeaderFooter",
    "InstantiateTests",
    "LockCells",
    "ClearSolutions",
    "ClearOutput",
    "ComputeChecksums",
)
_AT_RELEASE = ("ClearHiddenTests", "ClearMarkScheme", "ComputeChecksums")


def _apply(
    notebook: NotebookNode, config: Config, names: tuple[str, ...], path: Path
) -> NotebookNode:
    notebook = deepcopy(notebook)
    resources = {"metadata": {"path": str(path.parent)}}
    for name in names:
        notebook, _ = getattr(steps, name)(config=config).preprocess(notebook, resources)
    return _with_ids(notebook)


def _with_ids(notebook: NotebookNode) -> NotebookNode:
    """The notebook in format 4.5, in which every cell has an id, the same one each time."""
    notebook.nbformat, notebook.nbformat_minor = 4, max(5, notebook.nbformat_minor)
    taken: set[str] = set()
    for place, cell in enumerate(notebook.cells):
        if not cell.get("id") or cell.id in taken:
            cell.id = f"autograder-{place}"
        taken.add(cell.id)
    return notebook


def _located(config: Config, folder: Path, root: Path | None) -> Config:
    """The configuration with the path of autotests.yml, which nbgrader seeks where it runs."""
    located = Config(deepcopy(config))
    name = located.InstantiateTests.get("autotest_filename", "autotests.yml")
    if root is not None and not (folder / name).is_file():
        located.InstantiateTests.autotest_filename = str(root / name)
    return located
