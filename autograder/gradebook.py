"""The one place that writes nbgrader's grade book: each notebook in a single transaction.

Scores given by hand, comments by hand and extra credit are never touched. Beside formgrader,
which may have the same file open: a transaction lasts milliseconds and waits for its turn.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbgrader.api import (
    BaseCell,
    Comment,
    Grade,
    Gradebook,
    MissingEntry,
    SubmittedAssignment,
    SubmittedNotebook,
)
from nbgrader.preprocessors import AssignLatePenalties
from nbgrader.utils import parse_utc
from sqlalchemy.exc import SAWarning, SQLAlchemyError
from sqlalchemy.orm import undefer

from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import write_text
from autograder.formgrader import safe_to_open
from autograder.nodes import written
from autograder.result import Result
from autograder.template import Template

WAIT_S = 60  # for another program that is writing the grade book just now


@contextmanager
def open_gradebook(course: Course) -> Iterator[Gradebook]:
    """nbgrader's grade book of this course; trouble with the file becomes a sentence."""
    # Not SQLite's write-ahead log: it fails on network file systems, where courses often lie,
    # and a copy of the one file would no longer be a copy of the grades.
    waiting = f"?timeout={WAIT_S}" if course.gradebook_file is not None else ""
    try:
        with Gradebook(course.db_url + waiting, course.coursedir.course_id) as gradebook:
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
    with recorder(course) as write:
        write(result, executed)


@contextmanager
def recorder(course: Course) -> Iterator[Callable[[Result, NotebookNode], None]]:
    """As `record`, for many results with the grade book opened once."""
    with open_gradebook(course) as gradebook:
        yield lambda result, executed: _record(course, gradebook, result, executed)


def _record(course: Course, gradebook: Gradebook, result: Result, executed: NotebookNode) -> None:
    """The grades in one transaction, then the notebook: killed between, it is recorded again."""
    folder = course.autograded(result.student, result.assignment)
    path = folder / f"{result.notebook}.ipynb"
    annotated = _annotated(executed, result)
    same_work = _sources(path) == [str(cell.source) for cell in annotated.cells]
    text = written(annotated)
    stamp = _read_stamp(course.submitted(result.student, result.assignment))
    with _one_transaction(gradebook):
        gradebook.update_or_create_student(result.student)
        timestamp = _timestamp(stamp)
        submission = gradebook.update_or_create_submission(
            result.assignment, result.student, **({"timestamp": timestamp} if timestamp else {})
        )
        notebook = _submitted_notebook(gradebook, submission, result)
        _write_scores(gradebook, notebook, result, same_work)
        comments = _named(gradebook, Comment, notebook)
        for name, said in _comments(executed, result).items():
            comments[name].auto_comment = said
        gradebook.db.flush()
        gradebook.db.expire(notebook)  # its score is a sum that the database makes
        notebook.late_submission_penalty = _late_penalty(course, result, submission, notebook)
    gradebook.db.remove()  # forget what was read: a person may change it before the next one
    write_text(path, text)
    if stamp:
        write_text(folder / "timestamp.txt", stamp)


def _submitted_notebook(
    gradebook: Gradebook, submission: SubmittedAssignment, result: Result
) -> SubmittedNotebook:
    """The notebook's rows; made here if it joined the assignment after the first submission."""
    for known in submission.notebooks:
        if known.name == result.notebook:
            return known
    source = gradebook.find_notebook(result.notebook, result.assignment)
    notebook = SubmittedNotebook(notebook=source, assignment=submission)
    for cell in (*source.grade_cells, *source.task_cells):
        Grade(cell_id=cell.id, notebook=notebook)
    for cell in (*source.solution_cells, *source.task_cells):
        Comment(cell_id=cell.id, notebook=notebook)
    gradebook.db.add(notebook)
    gradebook.db.flush()
    return notebook


def _write_scores(
    gradebook: Gradebook, notebook: SubmittedNotebook, result: Result, same_work: bool
) -> None:
    grades = _named(gradebook, Grade, notebook)
    scores = {cell.cell: cell for cell in result.cells}
    worth = {name for name, grade in grades.items() if grade.max_score}
    if unknown := sorted((scores.keys() - grades.keys()) | (worth - scores.keys())):
        raise ValueError(
            f"The result of {result.student} and the grade book disagree on the cells of "
            f"{result.notebook}: {', '.join(unknown)}. Nothing was written."
        )
    for name, grade in grades.items():
        if name not in scores:  # a mark scheme, say: nbgrader would wait for a person
            grade.auto_score, grade.needs_manual_grade = 0.0, False
            continue
        given = scores[name].score
        fair = None if given is None else _within(given, grade.max_score)
        odd, grade.auto_score = fair != given, fair
        if grade.manual_score is None:
            grade.needs_manual_grade = odd or given is None
        elif not same_work:  # marked by hand, and then handed in anew
            grade.needs_manual_grade = True


def _named(gradebook: Gradebook, kind: Any, notebook: SubmittedNotebook) -> dict[str, Any]:
    """The grades or comments of a notebook by the names of their cells, in one query."""
    rows = gradebook.db.query(kind, BaseCell.name).join(BaseCell, kind.cell_id == BaseCell.id)
    if kind is Grade:
        rows = rows.options(undefer(Grade.max_score))  # or it is one query for each grade
    return {name: row for row, name in rows.filter(kind.notebook_id == notebook.id)}


def _within(score: float, most: float) -> float:
    """A possible score; SQLite would keep NaN as no score at all."""
    return min(max(score, 0.0), most) if math.isfinite(score) else 0.0


def _late_penalty(
    course: Course, result: Result, submission: SubmittedAssignment, notebook: SubmittedNotebook
) -> float | None:
    """What the late-penalty plugin that the course configured takes off; as nbgrader limits it."""
    if submission.assignment.duedate is None or not submission.total_seconds_late:
        return None
    late, score = submission.total_seconds_late, notebook.score
    step = AssignLatePenalties(config=course.config)
    try:
        step.init_plugin()
        penalty = step.plugin_inst.late_submission_penalty(result.student, score, late)
        if penalty is None:
            return None
        if math.isnan(penalty):
            raise ValueError("it gave NaN")
    except Exception as error:
        raise CourseError(
            f"The course's late-penalty plugin failed on {result.student}, "
            f"{result.notebook}: {error}. Nothing was written for this notebook."
        ) from error
    return float(min(max(penalty, 0.0), score))


def _annotated(executed: NotebookNode, result: Result) -> NotebookNode:
    """The executed notebook for formgrader, with the result in its metadata for feedback."""
    notebook = safe_to_open(executed)
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
            if not getattr(session.connection().connection, "in_transaction", True):
                session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            yield
        commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.commit = commit


def _sources(path: Path) -> list[str] | None:
    """The text of every cell of an autograded notebook, or None if there is none."""
    try:
        cells = json.loads(path.read_bytes())["cells"]
        return ["".join(cell["source"]) for cell in cells]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read_stamp(submitted: Path) -> str:
    """What timestamp.txt says, which collecting wrote; nothing if it is no ordinary text."""
    path = submitted / "timestamp.txt"
    try:
        ordinary = path.is_file() and not path.is_symlink() and path.stat().st_size < 1000
        return path.read_text("utf-8").strip() if ordinary else ""
    except (OSError, ValueError):
        return ""


def _timestamp(stamp: str) -> datetime | None:
    """When the submission was received; None if the text is not a time."""
    try:
        return parse_utc(stamp) if stamp else None
    except Exception:  # dateutil has many
        return None
