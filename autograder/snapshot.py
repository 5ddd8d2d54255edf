"""What a grade book says, in a form in which equal contents are equal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nbgrader.api import SubmittedAssignment

from autograder.course import Course
from autograder.gradebook import open_gradebook

_PERSON = ("first_name", "last_name", "email", "lms_user_id")
_GRADE = (
    "auto_score",
    "manual_score",
    "extra_credit",
    "needs_manual_grade",
    "score",
    "max_score",
)
_COMMENT = ("auto_comment", "manual_comment")
_ORDER = ("row", "assignment", "student", "notebook", "cell")


def snapshot(course: Course) -> list[dict[str, Any]]:
    """All that the grade book says, without its random ids: equal lists are equal grade books."""
    rows: list[dict[str, Any]] = []
    with open_gradebook(course) as gradebook:
        for student in gradebook.students:
            person = {name: getattr(student, name) for name in _PERSON}
            rows.append({"row": "student", "student": student.id, **person})
        for assignment in gradebook.assignments:
            about = {"assignment": assignment.name, "duedate": str(assignment.duedate)}
            rows.append({"row": "assignment", **about, "max_score": assignment.max_score})
            for submission in assignment.submissions:
                rows += _submission_rows(submission)
    return sorted(rows, key=lambda row: [str(row.get(key)) for key in _ORDER])


def _submission_rows(submission: SubmittedAssignment) -> Iterator[dict[str, Any]]:
    where = {"assignment": submission.name, "student": submission.student.id}
    times = {"timestamp": str(submission.timestamp), "extension": str(submission.extension)}
    yield {"row": "submission", **where, **times, "score": submission.score}
    for notebook in submission.notebooks:
        here = {**where, "notebook": notebook.name}
        penalty = notebook.late_submission_penalty
        yield {"row": "notebook", **here, "late": penalty, "flagged": notebook.flagged}
        for grade in notebook.grades:
            columns = {name: getattr(grade, name) for name in _GRADE}
            yield {"row": "grade", **here, "cell": grade.name, **columns}
        for comment in notebook.comments:
            columns = {name: getattr(comment, name) for name in _COMMENT}
            yield {"row": "comment", **here, "cell": comment.name, **columns}
