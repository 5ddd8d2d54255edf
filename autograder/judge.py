"""From an executed notebook to points and a sentence for every graded cell."""

from __future__ import annotations

import contextlib
import math
import re

from nbformat import NotebookNode

from autograder.execute import STOPPED
from autograder.intake import Intake, is_unanswered
from autograder.result import CellResult, Result
from autograder.template import Template, by_grade_id

NO_ANSWER = "No answer."
GRADER_ERROR = "GraderError"  # a test asked for what the judge cannot do
STUDENT_ERROR = "StudentError"  # its message says what was raised
_OWN_WORDS = (*STOPPED, GRADER_ERROR, STUDENT_ERROR)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def judge(student: str, executed: NotebookNode, intake: Intake, template: Template) -> Result:
    """Score an executed notebook; warnings and prints cost nothing."""
    cells = by_grade_id(executed)
    results = tuple(
        _judge_cell(cells[name], template, cells, points)
        for name, points in template.points.items()
    )
    stopped = [note for cell in cells.values() if (note := _stopped_answer(cell, template))]
    doubts = [note for name in template.points if (note := _doubt(cells[name], template))]
    return Result(
        student=student,
        assignment=template.assignment,
        notebook=template.notebook,
        cells=results,
        notes=intake.notes + tuple(stopped) + tuple(doubts),
        needs_a_look=intake.needs_a_look or bool(doubts),
        seconds=sum(_seconds(cell) for cell in executed.cells),
    )


def nothing_to_judge(student: str, intake: Intake, template: Template) -> Result:
    """Zero for every cell of a notebook that is missing or cannot be read, and why."""
    why = intake.notes[0] if intake.notes else "No notebook was handed in."
    cells = tuple(CellResult(name, 0.0, points, why) for name, points in template.points.items())
    return Result(
        student, template.assignment, template.notebook, cells, intake.notes, needs_a_look=True
    )


def _judge_cell(
    cell: NotebookNode, template: Template, cells: dict[str, NotebookNode], points: float
) -> CellResult:
    name = cell.metadata.nbgrader.grade_id
    if name in template.hand_graded:
        if is_unanswered(cell, template):
            return CellResult(name, 0.0, points, NO_ANSWER)
        return CellResult(name, None, points, "Waits to be marked by a person.")
    answer = next((answer for answer, tests in template.tests.items() if name in tests), None)
    error = next((out for out in cell.outputs if out.output_type == "error"), None)
    seconds = _seconds(cell)
    if error is not None:
        reason = _sentence(error)
        if answer and is_unanswered(cells[answer], template):
            reason = NO_ANSWER
        elif answer and error.ename == "NameError":
            reason = f"{_why_undefined(cells[answer])} ({reason})"
        return CellResult(name, 0.0, points, reason, seconds)
    score = _partial_score(cell, points)
    return CellResult(name, score, points, "Passed." if score == points else "Partly.", seconds)


def _partial_score(cell: NotebookNode, points: float) -> float:
    """Full points, or the number that the test cell ends with, as nbgrader reads it."""
    score = _last_number(cell)
    if score is None:
        return points
    return min(max(score, 0.0), points) if math.isfinite(score) else 0.0


def _last_number(cell: NotebookNode) -> float | None:
    for output in cell.get("outputs", []):
        if output.output_type != "execute_result":
            continue
        with contextlib.suppress(TypeError, ValueError):
            return float(output.data.get("text/plain", ""))
    return None


def _doubt(cell: NotebookNode, template: Template) -> str:
    """A note about a test that ended as no test should; a person ought to look at it."""
    name = cell.metadata.nbgrader.grade_id
    if name in template.hand_graded:
        return ""
    if any(out.output_type == "error" and out.ename == GRADER_ERROR for out in cell.outputs):
        return f"The test {name} could not be judged, which is not the student's fault."
    score, points = _last_number(cell), template.points[name]
    if score is None or 0 <= score <= points:
        return ""
    return f"The test {name} ended with {score:g} of {points:g} points, which was corrected."


def _sentence(error: NotebookNode) -> str:
    """What a student reads about an error: its message, and its name unless it is an assert."""
    message = _ANSI.sub("", str(error.evalue)).strip()
    if error.ename in _OWN_WORDS or (error.ename == "AssertionError" and message):
        return message
    return f"{error.ename}: {message}" if message else str(error.ename)


def _why_undefined(answer: NotebookNode) -> str:
    error = next((out for out in answer.outputs if out.output_type == "error"), None)
    if error is None:
        return "Does the answer cell define that name?"
    return f"The answer cell above stopped: {_sentence(error)}"


def _stopped_answer(cell: NotebookNode, template: Template) -> str:
    """A note for an answer cell that was stopped from outside."""
    name = cell.metadata.nbgrader.grade_id
    for output in cell.get("outputs", []) if name in template.answers else []:
        if output.output_type == "error" and output.ename in STOPPED:
            return f"In the answer cell {name}: {output.evalue}"
    return ""


def _seconds(cell: NotebookNode) -> float:
    return float(cell.metadata.get("autograder", {}).get("seconds", 0.0))
