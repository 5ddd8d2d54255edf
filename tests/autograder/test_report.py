"""The report's numbers are right, also for tiny classes, and its page is inert."""

from __future__ import annotations

import re
from copy import deepcopy

import nbformat
import numpy as np
import pytest

from autograder.course import Course
from autograder.errors import CourseError
from autograder.gradebook import record
from autograder.inert import active_parts
from autograder.leaderboard import columns, entry_of, pseudonym, ranked
from autograder.report import analyse, render, write_report
from autograder.report.analysis import corrected_item_total
from autograder.result import CellResult, Event, Result
from autograder.template import Template, by_grade_id

# one row per student: square (4), cube (2), sign (1), written (3)
MARKS = [(4, 2, 1, 3), (4, 2, 0, 2), (4, 0, 1, 1), (0, 2, 0, 1), (0, 0, 0, 0), (4, 0, 1, 3)]
NAMES = ("test_square", "test_cube", "test_cube_sign", "why")


def put(course: Course, template: Template, student: str, marks, board: str = "") -> None:
    notebook = deepcopy(template.graded)
    cells = by_grade_id(notebook)
    for name in NAMES[:3]:
        cells[name].metadata.autograder = {"seconds": 0.5, "peak_bytes": 300 * 2**20}
    cells["test_cube"].outputs = [nbformat.v4.new_output("stream", text=board)] if board else []
    outcome = tuple(
        CellResult(name, float(got), template.points[name],
                   "Passed." if got == template.points[name] else f"{name} should be 9, got {got}")
        for name, got in zip(NAMES, marks, strict=True)
    )  # fmt: skip
    events = (Event("TimedOut", "cube"),) if marks[1] == 0 else ()
    record(course, Result(student, "mini", "mini", outcome, events=events), notebook)


@pytest.fixture
def marked(released, template) -> Course:
    for number, marks in enumerate(MARKS):
        put(released, template, f"s{number}", marks)
    return released


def test_statistics_agree_with_numpy(marked):
    analysis = analyse(marked, "mini")
    scores = np.array(MARKS, dtype=float)
    assert sorted(analysis.scores) == sorted(scores.sum(axis=1))
    items = {item.cell: item for item in analysis.items}
    for column, name in enumerate(NAMES):
        rest = np.delete(scores, column, axis=1).sum(axis=1)
        expected = np.corrcoef(scores[:, column], rest)[0, 1]
        assert items[name].difficulty == pytest.approx(
            scores[:, column].mean() / items[name].max_score
        )
        assert items[name].discrimination == pytest.approx(expected)


def test_failures_are_counted_by_kind_whatever_the_numbers(marked):
    analysis = analyse(marked, "mini")
    failures = {item.cell: item.failures for item in analysis.items}
    assert failures["test_cube"] == (("test_cube should be 9, got 0", 3),)
    assert [count for _, count in failures["why"]] == [4]
    assert analysis.events == (("TimedOut", "cube", 3),)
    assert {cost.cell: cost.max_bytes for cost in analysis.costs}["test_cube"] == 300 * 2**20


@pytest.mark.parametrize("scores", [[], [1.0], [1.0, 0.0, 1.0], [2.0] * 9])
def test_a_tiny_or_constant_class_has_no_discrimination(scores):
    assert corrected_item_total(scores, [score + 1 for score in scores]) is None


def test_one_student_is_enough_for_a_page(released, template):
    put(released, template, "solo", MARKS[0])
    page = render(analyse(released, "mini"))
    assert "nan" not in page.lower().replace("name", "")
    assert "1 graded" in page


def test_without_grades_the_remedy_is_named(released):
    with pytest.raises(CourseError, match="autograder grade mini"):
        analyse(released, "mini")


def test_the_page_is_inert_whole_and_names_nobody(marked, template, tmp_path):
    evil = '<script>steal()</script>"><img src=x onerror=steal()>'
    put(
        marked,
        template,
        "secret_student",
        (0, 0, 0, 0),
        f'leaderboard: {{"score": 1, "{evil}": 2}}',
    )
    write_report(analyse(marked, "mini"), tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert set(active_parts(page)) <= {"<svg>"}  # its own pictures
    assert "secret_student" not in page
    assert not re.search(r"(?i)\b(src|href)\s*=\s*.https?:", page)
    assert page.count("<rect") == 10
    assert all(name in page for name in NAMES)


def test_the_leaderboard_ranks_pseudonyms_by_score(released, template):
    lines = {
        "ann": '{"name": "tiny", "size_bytes": 2048, "accuracy": 0.91, "score": 0.7}',
        "bob": '{"name": "big", "size_bytes": 9000, "accuracy": 0.97, "score": 0.9}',
        "cid": '{"name": "none", "size_bytes": 1, "accuracy": 0.1}',
    }
    for student, line in lines.items():
        put(released, template, student, MARKS[0], f"hello\nleaderboard: {line}\n")
    analysis = analyse(released, "mini")
    assert analysis.columns == ("name", "size_bytes", "accuracy", "score")
    assert [values[0] for _, values in analysis.board] == ["big", "tiny", "none"]
    assert analysis.board[0][0] == pseudonym(released, "bob")
    assert "bob" not in render(analysis)


@pytest.mark.parametrize(
    "line",
    ["leaderboard:", "leaderboard: [1]", 'x leaderboard: {"score": 1}', "leaderboard: {",
     'leaderboard: {"score": NaN}', 'leaderboard: {"score": {}}', "leaderboard: " + "[" * 10**5],
    ids=["empty", "list", "not_first", "half", "nan", "nested", "deep"],
)  # fmt: skip
def test_what_is_no_entry_is_none(template, line):
    notebook = deepcopy(template.graded)
    by_grade_id(notebook)["test_cube"].outputs = [nbformat.v4.new_output("stream", text=line)]
    assert entry_of(notebook) is None


def test_a_student_cannot_print_an_entry(template):
    notebook = deepcopy(template.graded)
    by_grade_id(notebook)["cube"].outputs = [
        nbformat.v4.new_output("stream", text='leaderboard: {"score": 9}')
    ]
    assert entry_of(notebook) is None


def test_ranking_and_columns_take_any_entries():
    entries = {"a": {"score": "text"}, "b": {"score": 1.0}, "c": {"x": 2.0}, "d": {"score": 3.0}}
    assert [name for name, _ in ranked(entries)] == ["d", "b", "a", "c"]
    assert columns(entries) == ["x", "score"]


def test_pseudonyms_stay_and_differ_between_courses(course, tmp_path_factory):
    other = Course(tmp_path_factory.mktemp("other"))
    assert pseudonym(course, "ann") == pseudonym(course, "ann")
    many = {pseudonym(course, f"s{number}") for number in range(50)}
    assert len(many) >= 49
    assert [pseudonym(course, f"s{n}") for n in range(5)] != [
        pseudonym(other, f"s{n}") for n in range(5)
    ]
