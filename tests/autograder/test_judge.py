"""From outputs to points and sentences."""

from __future__ import annotations

import nbformat
import pytest

from autograder.execute import add_error
from autograder.intake import Intake, repair
from autograder.judge import NO_ANSWER, judge
from autograder.result import CellResult
from autograder.template import Template, by_grade_id


def judged(notebook, template: Template, change=lambda cells: None):
    intake = repair(notebook, template)
    change(by_grade_id(intake.notebook))
    return judge("ann", intake.notebook, intake, template)


def error(name: str, value: str):
    return nbformat.v4.new_output("error", ename=name, evalue=value, traceback=[])


def result_of(value: str):
    return nbformat.v4.new_output("execute_result", data={"text/plain": value})


def test_no_error_is_full_points_and_the_written_answer_waits(solved, template):
    result = judged(solved, template)
    assert (result.score, result.automatic_max, result.by_hand, result.max_score) == (7, 7, 3, 10)


def test_stderr_costs_nothing(solved, template):
    warning = nbformat.v4.new_output("stream", name="stderr", text="UserWarning: beware")
    result = judged(solved, template, lambda cells: cells["test_square"].outputs.append(warning))
    assert result.cell("test_square").full


def test_a_failed_assert_is_said_in_its_own_words(solved, template):
    fail = error("AssertionError", "bias counted twice")
    result = judged(solved, template, lambda cells: cells["test_cube"].outputs.append(fail))
    assert result.cell("test_cube").score == 0
    assert result.cell("test_cube").reason == "bias counted twice"
    assert result.cell("test_cube_sign").full


def test_an_untouched_answer_is_no_answer_whatever_the_error(template):
    fail = error("NotImplementedError", "no answer yet")
    result = judged(
        template.filled_in({}), template, lambda cells: cells["test_cube"].outputs.append(fail)
    )
    assert result.cell("test_cube").reason == NO_ANSWER
    assert result.cell("why") == CellResult("why", 0.0, 3.0, NO_ANSWER)


def test_an_undefined_name_is_traced_to_the_answer_that_stopped(solved, template):
    def change(cells):
        cells["cube"].outputs.append(error("SyntaxError", "invalid syntax"))
        cells["test_cube"].outputs.append(error("NameError", "name 'cube' is not defined"))

    assert "invalid syntax" in judged(solved, template, change).cell("test_cube").reason


@pytest.mark.parametrize(
    ("shown", "score"),
    [
        ("1.5", 1.5),
        ("2", 2),
        ("1000", 2),
        ("-3", 0),
        ("nan", 0),
        ("inf", 0),
        ("None", 2),
        ("'x'", 2),
    ],
)
def test_a_partial_score_is_clamped(solved, template, shown, score):
    result = judged(
        solved, template, lambda cells: cells["test_cube"].outputs.append(result_of(shown))
    )
    assert result.cell("test_cube").score == score


def test_a_stopped_answer_cell_leaves_a_note(solved, template):
    result = judged(
        solved, template, lambda cells: add_error(cells["cube"], "TimedOut", "Timed out: slow.")
    )
    assert result.notes == ("In the answer cell cube: Timed out: slow.",)


def test_intake_notes_are_kept(solved, template):
    intake = Intake(repair(solved, template).notebook, ("renamed",), needs_a_look=True)
    result = judge("ann", intake.notebook, intake, template)
    assert result.notes == ("renamed",)
    assert result.needs_a_look


@pytest.mark.parametrize(
    ("shown", "doubted"),
    [
        ("nan", True),
        ("inf", True),
        ("-inf", True),
        ("-1", True),
        ("3", True),
        ("2", False),
        ("0", False),
    ],
)
def test_a_score_that_no_test_should_give_is_flagged(solved, template, shown, doubted):
    result = judged(
        solved, template, lambda cells: cells["test_cube"].outputs.append(result_of(shown))
    )
    assert result.needs_a_look == doubted
    assert any("test_cube" in note for note in result.notes) == doubted


def test_a_test_that_the_judge_cannot_run_is_flagged(solved, template):
    fail = error("GraderError", "A test passes on what cannot leave the grader: a lock.")
    result = judged(solved, template, lambda cells: cells["test_cube"].outputs.append(fail))
    assert result.needs_a_look
    assert result.cell("test_cube").reason == fail.evalue
    assert result.cell("test_cube").score == 0


def test_a_students_own_exception_is_said_once(solved, template):
    fail = error("StudentError", "MyError: boom")
    result = judged(solved, template, lambda cells: cells["test_cube"].outputs.append(fail))
    assert result.cell("test_cube").reason == "MyError: boom"
    assert not result.needs_a_look
