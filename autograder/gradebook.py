"""The one place that writes nbgrader's grade book: each submission in a single transaction.

Scores given by hand, comments by hand and extra credit are never touched.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.preprocessors import AssignLatePenalties
from sqlalchemy.exc import SAWarning, SQLAlchemyError

from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import write_text
from autograder.result import Result
from autograder.template import Template


@contextmanager
def open_gradebook(course: Course) -> Iterator[Gradebook]:
    """nbgrader's grade book of this course; trouble with the file becomes a sentence."""
    try:
        with Gradebook(course.db_url, course.coursedir.course_id) as gradebook:
            yield gradebook
    except SQLAlchemyError as error:
        what = str(error.__cause__ or error).splitlines()[0]
        raise CourseError(
            f"The grade book {course.db_url} could not be used: {what}. What was written "
            "before is safe; close other programs that hold it and run the command again."
        ) from error


def check_gradebook(course: Course, assignment: str, templates: list[Template]) -> None:
    """CourseError unless the grade book knows this assignment as its source is now."""
    unreleased = CourseError(
        f"{assignment} has not been released: run `autograder release {assignment}`."
    )
    if course.gradebook_file is not None and not course.gradebook_file.exists():
        raise unreleased
    with open_gradebook(course) as gradebook:
        for template in templates:
            try:
                known = gradebook.find_notebook(template.notebook, assignment)
            except MissingEntry:
                raise unreleased from None
            tasks = [cell for cell in known.task_cells if cell.max_score]
            points = {cell.name: cell.max_score for cell in (*known.grade_cells, *tasks)}
            if points != template.points:
                changed = set(points.items()) ^ set(template.points.items())
                names = ", ".join(sorted({name for name, _ in changed}))
                raise CourseError(
                    f"The source of {assignment} changed after its release (cells: {names}). "
                    f"Run `autograder release {assignment}` again."
                )


def record(course: Course, result: Result, executed: NotebookNode) -> None:
    """Write a result into the grade book and the executed notebook beside it."""
    submitted = course.submitted(result.student, result.assignment)
    folder = course.autograded(result.student, result.assignment)
    write_text(folder / f"{result.notebook}.ipynb", nbformat.writes(_annotated(executed, result)))
    stamp = submitted / "timestamp.txt"
    if stamp.is_file() and not stamp.is_symlink():
        shutil.copy(stamp, folder / "timestamp.txt")
    with open_gradebook(course) as gradebook, _one_transaction(gradebook):
        gradebook.update_or_create_student(result.student)
        timestamp = _timestamp(course, submitted)
        gradebook.update_or_create_submission(
            result.assignment, result.student, **({"timestamp": timestamp} if timestamp else {})
        )
        where = (result.notebook, result.assignment, result.student)
        for cell in result.cells:
            grade = gradebook.find_grade(cell.cell, *where)
            grade.auto_score = cell.score
            grade.needs_manual_grade = cell.score is None or grade.manual_score is not None
        for grade in gradebook.find_submission_notebook(*where).grades:
            if grade.max_score == 0:  # a mark scheme, say: nbgrader would wait for a person
                grade.auto_score, grade.needs_manual_grade = 0.0, False
        for name, text in _comments(executed, result).items():
            gradebook.find_comment(name, *where).auto_comment = text
    _assign_late_penalty(course, result, executed)


def _annotated(executed: NotebookNode, result: Result) -> NotebookNode:
    """The executed notebook with the result in its metadata, for the feedback page."""
    notebook = deepcopy(executed)
    notebook.metadata.autograder = {"result": result.to_json()}
    return notebook


def _comments(executed: NotebookNode, result: Result) -> dict[str, str | None]:
    """For each answer cell, what its tests had to say; None where all is well."""
    reasons: dict[str, str | None] = {}
    scores = {cell.cell: cell for cell in result.cells}
    answer = None
    for cell in executed.cells:
        info: dict[str, Any] = cell.metadata.get("nbgrader", {})
        name = info.get("grade_id")
        if name is None:
            continue
        if info.get("solution"):
            answer = name
            marked = name in scores and scores[name].score is not None
            reasons[answer] = scores[name].reason if marked else None
        elif name in scores and answer and not scores[name].full:
            said = reasons[answer]
            reason = scores[name].reason
            if said is None:
                reasons[answer] = reason
            elif reason not in said.split("\n\n"):
                reasons[answer] = f"{said}\n\n{reason}"
    return reasons


@contextmanager
def _one_transaction(gradebook: Gradebook) -> Iterator[None]:
    """nbgrader commits after every little step; here all of them count or none does."""
    session = gradebook.db
    commit, session.commit = session.commit, session.flush
    try:
        with warnings.catch_warnings():  # nbgrader builds objects outside its session
            warnings.simplefilter("ignore", SAWarning)
            yield
        commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.commit = commit


def _timestamp(course: Course, submitted: Path) -> datetime | None:
    """When the submission was received, as nbgrader's collect wrote it; None if unreadable."""
    try:
        return course.coursedir.get_existing_timestamp(str(submitted))
    except (Exception, SystemExit):  # nbgrader exits on a malformed time
        return None


def _assign_late_penalty(course: Course, result: Result, executed: NotebookNode) -> None:
    """Let the late-penalty plugin that the course configured do its work."""
    resources = {
        "nbgrader": {
            "notebook": result.notebook,
            "assignment": result.assignment,
            "student": result.student,
            "db_url": course.db_url,
        }
    }
    AssignLatePenalties(config=course.config).preprocess(executed, resources)
