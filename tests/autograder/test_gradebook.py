"""The grade book: all of a notebook's grades or none, nothing stale, no hand mark lost."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from sqlalchemy import event
from sqlalchemy.engine import Engine

from autograder import gradebook as gradebook_module
from autograder.course import Course
from autograder.errors import CourseError
from autograder.gradebook import open_gradebook, record, recorder
from autograder.result import CellResult, Result
from autograder.snapshot import snapshot
from autograder.template import Template, by_grade_id


def result_of(template: Template, share: float | None = 1.0, student: str = "ann") -> Result:
    """A result with this share of every cell's points; the written answer waits for a person."""
    cells = tuple(
        CellResult(
            name,
            None if name in template.hand_graded or share is None else share * points,
            points,
            "Passed." if share == 1 else "Wrong.",
        )
        for name, points in template.points.items()
    )
    return Result(student, "mini", "mini", cells)


def rows(course: Course, kind: str = "grade") -> dict[str, dict]:
    found = [row for row in snapshot(course) if row["row"] == kind]
    return {row.get("cell", row.get("student")): row for row in found}


def mark_by_hand(course: Course, cell: str, **columns: object) -> None:
    """What formgrader does when a person marks an answer."""
    with Gradebook(course.db_url, course.coursedir.course_id) as book:
        grade = book.find_grade(cell, "mini", "mini", "ann")
        for name, value in columns.items():
            setattr(grade, name, value)
        grade.needs_manual_grade = False
        book.find_comment("why", "mini", "mini", "ann").manual_comment = "Nicely said."
        book.db.commit()


@pytest.fixture
def penalized(released: Course) -> Course:
    """A course that takes a point for late work, in which ann was late."""
    config = released.root / "nbgrader_config.py"
    plugin = """
from nbgrader.plugins import LateSubmissionPlugin
class OnePoint(LateSubmissionPlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        if student_id == "bad":
            raise RuntimeError("boom")
        return float("nan") if student_id == "nan" else 100.0 if student_id == "max" else 1.0
c.AssignLatePenalties.plugin_class = OnePoint
"""
    config.write_text(config.read_text() + plugin)
    course = Course(released.root)
    with Gradebook(course.db_url, course.coursedir.course_id) as book:
        book.update_or_create_assignment("mini", duedate=datetime(2026, 1, 1))
    for student in ("ann", "bad", "nan", "max"):
        folder = course.submitted(student, "mini")
        folder.mkdir(parents=True)
        (folder / "timestamp.txt").write_text("2026-01-02 00:00:00 UTC")
    return course


# what stays and what goes


def test_a_worse_resubmission_replaces_every_score(released, template):
    record(released, result_of(template, 1.0), template.graded)
    record(released, result_of(template, 0.0), template.graded)
    scores = {name: row["auto_score"] for name, row in rows(released).items()}
    assert scores == {"test_square": 0, "test_cube": 0, "test_cube_sign": 0, "why": None}
    assert rows(released, "comment")["square"]["auto_comment"] == "Wrong."
    record(released, result_of(template, 1.0), template.graded)
    assert rows(released, "comment")["square"]["auto_comment"] is None


def test_what_a_person_gave_survives_grading_again(penalized, template):
    record(penalized, result_of(template), template.graded)
    mark_by_hand(penalized, "why", manual_score=2.5, extra_credit=0.5)
    mark_by_hand(penalized, "test_cube", manual_score=1.0)
    before = snapshot(penalized)
    record(penalized, result_of(template), template.graded)
    assert snapshot(penalized) == before
    assert rows(penalized)["why"]["score"] == 3.0
    assert rows(penalized, "notebook")["ann"]["late"] == 1.0
    assert rows(penalized, "comment")["why"]["manual_comment"] == "Nicely said."


def test_new_work_after_marking_by_hand_asks_for_a_person_again(released, template, solved):
    record(released, result_of(template), solved)
    mark_by_hand(released, "why", manual_score=2.5)
    assert not rows(released)["why"]["needs_manual_grade"]
    changed = deepcopy(solved)
    by_grade_id(changed)["why"].source = "Quite another answer."
    record(released, result_of(template), changed)
    assert rows(released)["why"]["needs_manual_grade"]
    assert rows(released)["why"]["score"] == 2.5


def test_needs_manual_grade_is_true_for_what_waits_and_only_for_that(released, template):
    record(released, result_of(template), template.graded)
    waiting = {name for name, row in rows(released).items() if row["needs_manual_grade"]}
    assert waiting == {"why"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [(float("nan"), 0), (float("inf"), 0), (-1.0, 0), (1000.0, 4), (4.0, 4), (0.0, 0)],
)
def test_an_impossible_score_is_cut_to_size_and_needs_a_look(released, template, given, kept):
    good = result_of(template)
    cells = (CellResult("test_square", given, 4.0, ""), *good.cells[1:])
    record(released, Result("ann", "mini", "mini", cells), template.graded)
    row = rows(released)["test_square"]
    assert row["auto_score"] == kept
    assert row["needs_manual_grade"] is (given != kept)


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_a_result_that_does_not_fit_the_grade_book_writes_nothing(released, template, change):
    record(released, result_of(template), template.graded)
    before = snapshot(released)
    cells = result_of(template, 0.0).cells
    other = (*cells, CellResult("bonus", 9.0, 9.0, "")) if change == "unknown" else cells[1:]
    with pytest.raises(ValueError, match=r"bonus|test_square"):
        record(released, Result("ann", "mini", "mini", other), template.graded)
    assert snapshot(released) == before


def test_a_notebook_that_joins_the_assignment_later_is_recorded(released, template):
    record(released, result_of(template), template.graded)
    with Gradebook(released.db_url, released.coursedir.course_id) as book:
        book.add_notebook("more", "mini")
        book.add_solution_cell("cube", "more", "mini")
        book.add_grade_cell("test_cube", "more", "mini", max_score=2, cell_type="code")
    cells = (CellResult("test_cube", 0.0, 2.0, "Wrong."),)
    graded = deepcopy(template.graded)
    graded.cells = [graded.cells[4], graded.cells[5]]
    record(released, Result("ann", "mini", "more", cells), graded)
    found = [row for row in snapshot(released) if row["row"] == "grade"]
    assert {
        (row["notebook"], row["auto_score"]) for row in found if row["cell"] == "test_cube"
    } == {
        ("mini", 2.0),
        ("more", 0.0),
    }


# late work


def test_the_penalty_is_part_of_the_same_transaction(penalized, template):
    for student in ("bad", "nan"):
        with pytest.raises(CourseError, match="late-penalty plugin"):
            record(penalized, result_of(template, student=student), template.graded)
        assert student not in rows(penalized, "notebook")
    record(penalized, result_of(template, student="max"), template.graded)
    assert rows(penalized, "notebook")["max"]["late"] == 7.0  # never more than the score


def test_an_extension_without_a_due_date_costs_nothing(released, template):
    record(released, result_of(template), template.graded)
    with Gradebook(released.db_url, released.coursedir.course_id) as book:
        book.find_submission("mini", "ann").extension = timedelta(days=1)
        book.db.commit()
    (released.submitted("ann", "mini")).mkdir(parents=True)
    (released.submitted("ann", "mini") / "timestamp.txt").write_text("2026-01-02 00:00:00 UTC")
    record(released, result_of(template), template.graded)
    assert rows(released, "notebook")["ann"]["late"] is None


@pytest.mark.parametrize("kind", ["link", "folder", "huge", "binary", "nonsense"])
def test_an_odd_timestamp_file_costs_nothing(released, template, tmp_path, kind):
    folder = released.submitted("ann", "mini")
    folder.mkdir(parents=True)
    stamp = folder / "timestamp.txt"
    if kind == "link":
        (tmp_path / "secret").write_text("2020-01-01 00:00:00 UTC")
        stamp.symlink_to(tmp_path / "secret")
    elif kind == "folder":
        stamp.mkdir()
    else:
        texts = {"huge": b"2" * 5000, "binary": b"\xff\xfe", "nonsense": b"9" * 400}
        stamp.write_bytes(texts[kind])
    record(released, result_of(template), template.graded)
    assert rows(released, "submission")["ann"]["timestamp"] == "None"


# all or nothing


class _Failure(Exception):
    pass


@pytest.fixture
def failing() -> Iterator[list[int]]:
    """Make the n-th statement sent to a database fail: set the list to [n]; [] is never."""
    countdown: list[int] = []

    def before(conn, cursor, statement, parameters, context, executemany):
        if countdown:
            countdown[0] -= 1
            if countdown[0] < 0:
                raise _Failure(statement)

    event.listen(Engine, "before_cursor_execute", before)
    yield countdown
    event.remove(Engine, "before_cursor_execute", before)


@pytest.mark.parametrize("first", [True, False], ids=["first", "again"])
def test_a_failure_at_any_statement_leaves_all_or_nothing(penalized, template, failing, first):
    with recorder(penalized) as write:  # statements are cached: nothing else is sent
        if not first:
            write(result_of(template, 1.0), template.graded)
        before = snapshot(penalized)
        notebook = penalized.autograded("ann", "mini") / "mini.ipynb"
        old = notebook.read_bytes() if notebook.exists() else None
        statements = 0
        while True:
            failing[:] = [statements]
            try:
                write(result_of(template, 0.5), template.graded)
            except _Failure:
                failing.clear()
                assert snapshot(penalized) == before
                assert (notebook.read_bytes() if notebook.exists() else None) == old
                statements += 1
                continue
            break
        failing.clear()
    assert statements > 10
    assert rows(penalized)["test_square"]["auto_score"] == 2.0
    assert rows(penalized, "notebook")["ann"]["late"] == 1.0


def _die_at(root: Path, result: Result, executed: NotebookNode, statement: int) -> None:
    def before(conn, cursor, text, parameters, context, executemany):
        nonlocal statement
        statement -= 1
        if statement < 0:
            os._exit(9)

    event.listen(Engine, "before_cursor_execute", before)
    record(Course(root), result, executed)
    os._exit(0)


def test_a_killed_writer_leaves_all_or_nothing(penalized, template):
    record(penalized, result_of(template, 1.0), template.graded)
    before = snapshot(penalized)
    fork = multiprocessing.get_context("fork")
    for statement in (12, 25, 30, 33):
        arguments = (penalized.root, result_of(template, 0.5), template.graded, statement)
        child = fork.Process(target=_die_at, args=arguments)
        child.start()
        child.join()
        if child.exitcode == 9:
            assert snapshot(penalized) == before
    record(penalized, result_of(template, 0.5), template.graded)
    assert rows(penalized)["test_square"]["auto_score"] == 2.0


def test_killed_after_the_grades_and_started_again_ends_the_same(released, template, monkeypatch):
    record(released, result_of(template, 1.0), template.graded)
    with monkeypatch.context() as patch:
        patch.setattr(gradebook_module, "write_text", lambda *_: (_ for _ in ()).throw(_Failure()))
        with pytest.raises(_Failure):
            record(released, result_of(template, 0.0), template.graded)
    record(released, result_of(template, 0.0), template.graded)
    after = snapshot(released)
    text = (released.autograded("ann", "mini") / "mini.ipynb").read_text()
    record(released, result_of(template, 0.0), template.graded)
    assert snapshot(released) == after
    assert (released.autograded("ann", "mini") / "mini.ipynb").read_text() == text


# beside other programs


def test_another_reader_and_writer_are_waited_for(released, template, monkeypatch):
    file = released.gradebook_file
    other = sqlite3.connect(file, isolation_level=None, timeout=0)
    other.execute("BEGIN IMMEDIATE")  # formgrader is saving a mark
    monkeypatch.setattr(gradebook_module, "WAIT_S", 0)
    with pytest.raises(CourseError, match="locked"):
        record(released, result_of(template), template.graded)
    other.execute("COMMIT")
    with recorder(released) as write:
        write(result_of(template), template.graded)
        # Between two notebooks nothing is held: the other program can write at once.
        other.execute("UPDATE grade SET manual_score = 1.5")
        write(result_of(template, 0.0), template.graded)
    assert rows(released)["test_cube"]["manual_score"] == 1.5
    assert rows(released)["test_cube"]["auto_score"] == 0.0
    other.close()


def test_the_waiting_time_reaches_the_database(released):
    with open_gradebook(released) as book:
        milliseconds = book.db.connection().exec_driver_sql("PRAGMA busy_timeout").scalar()
    assert milliseconds == gradebook_module.WAIT_S * 1000


def test_equal_grade_books_have_equal_snapshots(released, template):
    record(released, result_of(template), template.graded)
    one = snapshot(released)
    with Gradebook(released.db_url, released.coursedir.course_id) as book:
        book.remove_student("ann")
    assert snapshot(released) != one
    record(released, result_of(template), template.graded)
    assert snapshot(released) == one  # though all its random ids are new
