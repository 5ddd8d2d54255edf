"""What the grade book already holds, so that an unchanged class is not written again.

After each write the ledger notes a digest of the result and of the student's rows in the grade
book. As long as both are what they were, and the executed notebook still lies beside them,
writing again would change nothing. A mark given by hand, a moved due date, a grade book
restored from yesterday: any of them changes the rows, and the result is written again.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from nbgrader import api
from sqlalchemy import create_engine, select

from autograder.course import Course
from autograder.engine.cache import FOLDER
from autograder.engine.contents import TIMESTAMP
from autograder.files import write_text
from autograder.result import Result


class Ledger:
    """Notes on one assignment's rows, below `.autograder/recorded`."""

    def __init__(self, course: Course, assignment: str) -> None:
        self.course, self.assignment = course, assignment
        self.folder = course.root / FOLDER / "recorded" / assignment
        self.engine = create_engine(course.db_url)
        self.rows = self._read_rows()

    def holds(self, result: Result) -> bool:
        """Whether the grade book and the executed notebook already say exactly this."""
        try:
            noted = self._note(result.student, result.notebook).read_text()
        except OSError:
            return False
        return noted == self._state(result, self.rows)

    def note(self, result: Result) -> None:
        """Remember that this result was just written."""
        rows = self._read_rows(result.student)
        write_text(self._note(result.student, result.notebook), self._state(result, rows))

    def close(self) -> None:
        """Let go of the grade book."""
        self.engine.dispose()

    def _note(self, student: str, notebook: str) -> Path:
        return self.folder / student / notebook

    def _state(self, result: Result, rows: dict[tuple[str, str], list[str]]) -> str:
        student, notebook = result.student, result.notebook
        executed = self.course.autograded(student, self.assignment) / f"{notebook}.ipynb"
        received = self.course.submitted(student, self.assignment) / TIMESTAMP
        parts = [
            result.to_json(),
            *sorted(rows.get((student, notebook), [])),
            _digest_of(executed),
            _digest_of(received),
            repr(self.course.config.get("AssignLatePenalties")),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _read_rows(self, student: str | None = None) -> dict[tuple[str, str], list[str]]:
        """Every value in the grade book that a record writes or depends on, as text."""
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        with self.engine.connect() as connection:
            for query in _queries(self.assignment, student):
                for who, notebook, *values in connection.execute(query):
                    found[who, notebook].append(json.dumps(values, default=str))
        return found


def submitted(assignment: str, *columns: Any) -> Any:
    """A query for columns of an assignment's submitted notebooks, one row for each."""
    original = api.Notebook.__table__
    return (
        select(api.SubmittedAssignment.student_id, original.c.name, *columns)
        .select_from(api.SubmittedNotebook)
        .join(
            api.SubmittedAssignment,
            api.SubmittedNotebook.assignment_id == api.SubmittedAssignment.id,
        )
        .join(api.Assignment, api.SubmittedAssignment.assignment_id == api.Assignment.id)
        .join(original, api.SubmittedNotebook.notebook_id == original.c.id)
        .where(api.Assignment.name == assignment)
    )


def per_cell(assignment: str, table: Any, *columns: Any) -> Any:
    """As `submitted`, one row for each cell in a table of grades or comments."""
    cell = api.BaseCell.__table__
    return (
        submitted(assignment, cell.c.name, *columns)
        .join(table, table.c.notebook_id == api.SubmittedNotebook.id)
        .join(cell, table.c.cell_id == cell.c.id)
    )


def _queries(assignment: str, student: str | None) -> list[Any]:
    """What a record writes or depends on: submissions, grades and comments."""
    grade, comment = api.Grade.__table__, api.Comment.__table__
    queries = [
        submitted(
            assignment,
            api.SubmittedAssignment.timestamp,
            api.SubmittedAssignment.extension,
            api.Assignment.duedate,
            api.SubmittedNotebook.late_submission_penalty,
        ),
        per_cell(
            assignment,
            grade,
            grade.c.auto_score,
            grade.c.manual_score,
            grade.c.extra_credit,
            grade.c.needs_manual_grade,
        ),
        per_cell(assignment, comment, comment.c.auto_comment),
    ]
    if student is not None:
        queries = [query.where(api.SubmittedAssignment.student_id == student) for query in queries]
    return queries


def _digest_of(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "absent"
