"""The grade book as files: CSV for a spreadsheet, and what Canvas, Moodle and Gradescope read.

Text that a spreadsheet would run as a formula is neutralized in all of them. A byte-order mark
stands first only where a name is not ASCII: without it Excel garbles such names, and where it
is not needed, other programs are better off without.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nbgrader.api import MissingEntry

from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import write_bytes
from autograder.gradebook import open_gradebook

Rows = Sequence[dict[str, Any]]

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
PRESETS = ("generic", "canvas", "moodle", "gradescope")


def export(
    course: Course,
    path: Path,
    assignment: str | None = None,
    preset: str = "generic",
    roster: Path | None = None,
) -> int:
    """Write the grades of one assignment, or of all, to `path`; return the number of rows.

    `roster` is a gradebook or grading worksheet that the LMS exported: its rows say who is who
    there, and come back with the grades filled in. Gradescope gets a folder instead, with one
    `results.json` per student.
    """
    from autograder import lms

    if preset not in PRESETS:
        raise CourseError(f"No preset is called {preset!r}. There are: {', '.join(PRESETS)}.")
    if roster is not None and preset not in ("canvas", "moodle"):
        raise CourseError(f"The preset {preset} needs no --roster; leave it out.")
    rows = grade_rows(course, assignment)
    if preset == "gradescope":
        return lms.write_gradescope(course, path, rows)
    if preset == "generic":
        header: Sequence[str] = COLUMNS
        table = [[row[name] for name in COLUMNS] for row in rows]
    else:
        make: Callable[..., tuple[Sequence[str], list[list[Any]]]]
        make = lms.canvas if preset == "canvas" else lms.moodle
        header, table = make(rows, lms.read_roster(roster) if roster else None)
    write_csv(path, header, table)
    return len(table)


def write_csv(path: Path, header: Sequence[str], table: Sequence[Sequence[Any]]) -> None:
    """Write a table that every reader of RFC 4180 understands and no spreadsheet executes."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    for line in (header, *table):
        writer.writerow([neutral(value) for value in line])
    content = text.getvalue()
    encoding = "utf-8" if content.isascii() else "utf-8-sig"
    write_bytes(path, content.encode(encoding, "replace"))


def neutral(value: object) -> object:
    """Text that a spreadsheet would take for a formula gets a leading apostrophe."""
    if not isinstance(value, str):  # a number, negative ones too
        return value
    if value.lstrip(" ")[:1] in ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b"):
        return f"'{value}"
    return value.replace("\x00", "")


def grade_rows(course: Course, assignment: str | None = None) -> list[dict[str, Any]]:
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
                handed_in = course.submitted(student.id, each.name).is_dir()
                rows.append(_row(student, each, submission, handed_in))
    return rows


def _row(student: Any, assignment: Any, submission: Any, handed_in: bool) -> dict[str, Any]:
    person = {name: getattr(student, name) or "" for name in ("last_name", "first_name", "email")}
    row: dict[str, Any] = {
        "student_id": student.id,
        "lms_user_id": student.lms_user_id or "",
        **person,
        "assignment": assignment.name,
        "submitted_at": "",
        "score": 0.0,
        "max_score": round(assignment.max_score, 6),
        "late_penalty": 0.0,
        "needs_manual_grade": False,
        "status": "missing",
    }
    if submission is None and handed_in:  # the grader failed, or has not been run
        return row | {"score": "", "status": "not graded"}
    if submission is not None:
        penalty = sum(notebook.late_submission_penalty or 0.0 for notebook in submission.notebooks)
        stamp = submission.timestamp
        row |= {
            "submitted_at": f"{stamp:%Y-%m-%d %H:%M:%S}" if stamp else "",
            "score": round(max(submission.score - penalty, 0.0), 6),
            "late_penalty": round(penalty, 6),
            "needs_manual_grade": submission.needs_manual_grade,
            "status": "graded",
        }
    return row
