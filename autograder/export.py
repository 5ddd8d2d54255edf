"""The grade book as CSV: one row per student and assignment, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from nbgrader.api import MissingEntry

from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import write_text
from autograder.gradebook import open_gradebook

COLUMNS = (
    "student_id",
    "last_name",
    "first_name",
    "email",
    "assignment",
    "submitted_at",
    "score",
    "max_score",
    "late_penalty",
    "needs_manual_grade",
    "status",
)


def export(course: Course, path: Path, assignment: str | None = None) -> int:
    """Write the grades of one assignment, or of all, to `path`; return the number of rows."""
    rows = grade_rows(course, assignment)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: neutral(value) for name, value in row.items()})
    write_text(path, text.getvalue())
    return len(rows)


def grade_rows(course: Course, assignment: str | None = None) -> list[dict[str, object]]:
    """One row per student and assignment, students without a submission included."""
    if course.gradebook_file is not None and not course.gradebook_file.exists():
        raise CourseError(
            "There is no grade book yet: run `autograder release` and `grade` first."
        )
    with open_gradebook(course) as gradebook:
        assignments = [each for each in gradebook.assignments if assignment in (None, each.name)]
        rows = []
        for each in assignments:
            for student in gradebook.students:
                try:
                    submission = gradebook.find_submission(each.name, student.id)
                except MissingEntry:
                    submission = None
                rows.append(_row(student, each, submission))
    return rows


def neutral(value: object) -> object:
    """Text that a spreadsheet would take for a formula gets a leading apostrophe."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r", "\n"):
        return f"'{value}"
    return value


def _row(student: object, assignment: object, submission: object) -> dict[str, object]:
    person = {name: getattr(student, name) or "" for name in ("last_name", "first_name", "email")}
    row: dict[str, object] = {
        "student_id": student.id,  # type: ignore[attr-defined]
        **person,
        "assignment": assignment.name,  # type: ignore[attr-defined]
        "submitted_at": "",
        "score": 0.0,
        "max_score": round(assignment.max_score, 6),  # type: ignore[attr-defined]
        "late_penalty": 0.0,
        "needs_manual_grade": False,
        "status": "missing",
    }
    if submission is not None:
        notebooks = submission.notebooks  # type: ignore[attr-defined]
        penalty = sum(notebook.late_submission_penalty or 0.0 for notebook in notebooks)
        stamp = submission.timestamp  # type: ignore[attr-defined]
        row |= {
            "submitted_at": f"{stamp:%Y-%m-%d %H:%M:%S}" if stamp else "",
            "score": round(max(submission.score - penalty, 0.0), 6),  # type: ignore[attr-defined]
            "late_penalty": round(penalty, 6),
            "needs_manual_grade": submission.needs_manual_grade,  # type: ignore[attr-defined]
            "status": "graded",
        }
    return row
