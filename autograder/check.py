"""Grade one notebook file for oneself: no course set-up, no grade book, nothing written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from autograder import sandboxed
from autograder.course import Course
from autograder.engine.contents import MAX_FILE_BYTES, Contents
from autograder.engine.terms import Terms
from autograder.errors import CourseError
from autograder.execute import Limits
from autograder.grade import grade_contents, supply_contents
from autograder.intake import read_notebook
from autograder.result import Result
from autograder.template import Template, grade_id


def check(course: Course, path: Path, limits: Limits) -> Result:
    """Grade the notebook at `path` against the assignment its cells belong to."""
    if not path.is_file():
        raise CourseError(f"There is no file {path}. Name a notebook, such as a1.ipynb.")
    try:
        notebook = read_notebook(path)
    except ValueError as error:
        raise CourseError(f"{path.name} cannot be checked: {error}") from None
    template = _matching_template(course, {grade_id(cell) for cell in notebook.cells}, path)
    sandboxed.require(limits)
    handed_in = ((f"{template.notebook}.ipynb", path.read_bytes()), *_files_beside(path, template))
    supplies = supply_contents(course, template.assignment)
    return grade_contents("you", Contents(handed_in), Terms(template, supplies, limits)).result


def _files_beside(path: Path, template: Template) -> Iterator[tuple[str, bytes]]:
    """The files next to the notebook that the assignment mentions, such as a trained model."""
    text = "\n".join(cell.source for cell in template.graded.cells)
    for file in sorted(path.parent.iterdir()):
        small = file.is_file() and file.stat().st_size <= MAX_FILE_BYTES
        if small and file.suffix not in ("", ".ipynb", ".py") and file.name in text:
            yield file.name, file.read_bytes()


def _matching_template(course: Course, names: set[str | None], path: Path) -> Template:
    """The template that shares the most cells with the notebook."""
    templates = [
        Template.load(course, assignment, name)
        for assignment in course.assignments()
        for name in course.notebooks(assignment)
    ]
    best = max(templates, key=lambda each: len(names & set(each.cells)), default=None)
    if best is None or not names & set(best.cells):
        have = ", ".join(course.assignments()) or "none"
        raise CourseError(
            f"{path.name} has no cell of any assignment of this course ({have}). "
            "Start from the released notebook and keep its cells."
        )
    return best
