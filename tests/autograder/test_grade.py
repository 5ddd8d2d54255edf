"""A class into nbgrader's grade book, and out again as feedback and CSV."""

from __future__ import annotations

import csv
import json
from copy import deepcopy
from datetime import datetime

import nbformat
import pytest
from nbgrader.api import Gradebook, MissingEntry

from autograder import grade as grade_module
from autograder import sandboxed
from autograder.course import Course
from autograder.engine.pool import in_parallel
from autograder.errors import CourseError, NoSandboxError
from autograder.execute import Limits
from autograder.export import COLUMNS, export, grade_rows, neutral
from autograder.feedback import write_feedback
from autograder.grade import grade_class
from autograder.gradebook import record
from autograder.release import find_leaks, release
from autograder.result import CellResult, Result
from autograder.sandboxed import Run
from autograder.template import Template, by_grade_id


@pytest.fixture
def no_kernel(monkeypatch):
    """Execute nothing: what was taken in counts as having run without an error."""
    monkeypatch.setattr(grade_module.sandboxed, "run", lambda nb, *_, **__: Run(deepcopy(nb)))


def hand_in(course: Course, student: str, notebook, name: str = "mini.ipynb") -> None:
    folder = course.submitted(student, "mini")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(notebook))


def graded(course: Course, limits, *students: str) -> dict[str, Result]:
    return {r.student: r for r in grade_class(course, "mini", students, limits, jobs=2)}


def in_the_book(course: Course, student: str) -> dict[str, float | None]:
    with Gradebook(course.db_url, course.coursedir.course_id) as book:
        notebook = book.find_submission_notebook("mini", "mini", student)
        return {grade.name: grade.score for grade in notebook.grades}


# release


def test_the_release_gives_nothing_away_and_is_what_the_template_says(released, template):
    folder = released.released("mini")
    notebook = nbformat.read(folder / "mini.ipynb", 4)
    assert [cell.source for cell in notebook.cells] == [c.source for c in template.released.cells]
    text = (folder / "mini.ipynb").read_text()
    assert "secret" not in text
    assert "negative numbers" not in text


@pytest.mark.parametrize("where", ["output", "metadata", "file", "attachment"])
def test_a_leak_anywhere_is_found(released, template, where):
    folder = released.released("mini")
    notebook = nbformat.read(folder / "mini.ipynb", 4)
    leak = "    secret_product = x * x\n"
    if where == "output":
        cell = next(c for c in notebook.cells if c.cell_type == "code")
        cell.outputs.append(nbformat.v4.new_output("stream", text=leak))
    elif where == "metadata":
        notebook.metadata.draft = {"old": [leak]}
    elif where == "attachment":
        notebook.cells[0].attachments = {"a.txt": {"text/plain": leak}}
    else:
        (folder / "helper.py").write_text(leak)
    nbformat.write(notebook, folder / "mini.ipynb")
    assert any("secret_product" in sentence for sentence in find_leaks(folder, template))


def test_releasing_again_is_harmless(released):
    release(released, "mini")


def test_a_source_nbgrader_rejects_is_an_error_in_words(course):
    path = course.source("mini") / "mini.ipynb"
    notebook = nbformat.read(path, 4)
    notebook.cells.append(deepcopy(notebook.cells[3]))
    notebook.cells[-1].id = "other"
    nbformat.write(notebook, path)
    with pytest.raises(CourseError, match="test_square"):
        release(course, "mini")


# grade


def test_grading_before_the_release_says_what_to_do(course, solved, limits):
    hand_in(course, "ann", solved)
    with pytest.raises(CourseError, match="autograder release mini"):
        graded(course, limits, "ann")


def test_a_source_changed_after_its_release_is_refused(released, solved, limits):
    path = released.source("mini") / "mini.ipynb"
    notebook = nbformat.read(path, 4)
    by_grade_id(notebook)["test_square"].metadata.nbgrader.points = 5
    nbformat.write(notebook, path)
    hand_in(released, "ann", solved)
    with pytest.raises(CourseError, match="test_square"):
        graded(released, limits, "ann")


def test_a_real_class_with_real_kernels(released, template, solved, limits):
    hand_in(released, "ann", solved)
    hand_in(released, "bob", template.released)
    wrong = template.filled_in({"square": "def square(x):\n    return abs(x) ** 3", "cube": "1 +"})
    hand_in(released, "cid", wrong)
    released.submitted("dan", "mini").mkdir(parents=True)
    results = graded(released, limits, "ann", "bob", "cid", "dan")
    assert {student: result.score for student, result in results.items()} == {
        "ann": 7, "bob": 0, "cid": 0, "dan": 0,
    }  # fmt: skip
    assert in_the_book(released, "ann") == {
        "test_square": 4, "test_cube": 2, "test_cube_sign": 1, "why": 0,
    }  # fmt: skip
    assert results["bob"].cell("test_square").reason == "No answer."
    assert "got 27" in results["cid"].cell("test_square").reason
    assert "SyntaxError" in results["cid"].cell("test_cube").reason
    assert results["dan"].needs_a_look
    assert None not in in_the_book(released, "dan").values()

    write_feedback(released, "mini", "cid")
    page = (released.feedback("cid", "mini") / "mini.html").read_text()
    assert "got 27" in page
    assert "negative numbers" not in page
    assert "secret" not in page


@pytest.mark.usefixtures("no_kernel")
def test_a_resubmission_never_keeps_a_stale_score(released, solved, limits):
    hand_in(released, "ann", solved)
    assert graded(released, limits, "ann")["ann"].score == 7
    hand_in(released, "ann", {"broken": True})
    assert graded(released, limits, "ann")["ann"].score == 0
    assert set(in_the_book(released, "ann").values()) == {0}


@pytest.mark.usefixtures("no_kernel")
def test_marks_by_hand_survive_grading_again(released, solved, limits):
    hand_in(released, "ann", solved)
    graded(released, limits, "ann")
    with Gradebook(released.db_url, released.coursedir.course_id) as book:
        grade = book.find_grade("why", "mini", "mini", "ann")
        grade.manual_score, grade.needs_manual_grade = 2.5, False
        book.find_comment("why", "mini", "mini", "ann").manual_comment = "Nicely said."
        book.db.commit()
    graded(released, limits, "ann")
    assert in_the_book(released, "ann")["why"] == 2.5
    with Gradebook(released.db_url, released.coursedir.course_id) as book:
        assert book.find_comment("why", "mini", "mini", "ann").comment == "Nicely said."


@pytest.mark.usefixtures("no_kernel")
def test_a_failing_grader_is_no_zero_and_the_others_go_on(released, solved, limits, monkeypatch):
    hand_in(released, "ann", solved)
    hand_in(released, "bob", solved)
    assert graded(released, limits, "ann")["ann"].score == 7
    by_grade_id(solved)["square"].source += "  # again"
    hand_in(released, "ann", solved)
    attempts = []

    def run(notebook, *_, **__):
        if "# again" in by_grade_id(notebook)["square"].source:
            attempts.append(1)
            return Run(deepcopy(notebook), problem="the machine died")
        return Run(deepcopy(notebook))

    monkeypatch.setattr(grade_module.sandboxed, "run", run)
    results = graded(released, limits, "ann", "bob")
    assert results["bob"].score == 7
    assert results["ann"].needs_a_look
    assert "the machine died" in results["ann"].notes[0]
    assert len(attempts) == grade_module.ATTEMPTS
    assert in_the_book(released, "ann")["test_square"] == 4


@pytest.mark.usefixtures("no_kernel")
def test_a_grader_that_fails_once_is_tried_again(released, solved, limits, monkeypatch):
    hand_in(released, "ann", solved)
    fates = [RuntimeError("boom"), Run(solved, problem="out of disk"), None]

    def run(notebook, *_, **__):
        fate = fates.pop(0)
        if isinstance(fate, Exception):
            raise fate
        return fate or Run(deepcopy(notebook))

    monkeypatch.setattr(grade_module.sandboxed, "run", run)
    assert graded(released, limits, "ann")["ann"].score == 7


def test_a_failed_write_leaves_the_old_grades(released, template):
    good = Result("ann", "mini", "mini", _cells(template, 1.0))
    record(released, good, template.graded)
    bad_cells = (*_cells(template, 0.0)[:2], CellResult("no_such_cell", 1.0, 1.0, ""))
    with pytest.raises(Exception, match="no_such_cell"):
        record(released, Result("ann", "mini", "mini", bad_cells), template.graded)
    assert set(in_the_book(released, "ann").values()) == {1.0}


def _cells(template: Template, score: float) -> tuple[CellResult, ...]:
    return tuple(CellResult(name, score, points, "") for name, points in template.points.items())


def test_an_interrupt_ends_the_pool():
    def work(item: int) -> int:
        if item == 0:
            raise KeyboardInterrupt
        return item

    with pytest.raises(KeyboardInterrupt):
        list(in_parallel(work, list(range(50)), jobs=1))


# export


@pytest.mark.usefixtures("no_kernel")
def test_export_lists_everybody_and_reads_back(released, solved, limits, tmp_path):
    hand_in(released, "ann", solved)
    (released.submitted("ann", "mini") / "timestamp.txt").write_text("2026-11-20 08:30:00 UTC")
    graded(released, limits, "ann")
    with Gradebook(released.db_url, released.coursedir.course_id) as book:
        book.update_or_create_student(
            "zoe", first_name='Z, "the"\nfirst', last_name="=1+1", email="@z"
        )
    assert export(released, tmp_path / "g.csv", "mini") == 2
    with (tmp_path / "g.csv").open(newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert tuple(rows["ann"]) == COLUMNS
    assert (rows["ann"]["score"], rows["ann"]["needs_manual_grade"]) == ("7.0", "True")
    assert rows["ann"]["submitted_at"] == "2026-11-20 08:30:00"
    assert (rows["zoe"]["status"], rows["zoe"]["score"]) == ("missing", "0.0")
    assert rows["zoe"]["first_name"] == 'Z, "the"\nfirst'
    assert rows["zoe"]["last_name"] == "'=1+1"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1"])
def test_formulas_are_neutralized(text):
    assert neutral(text) == "'" + text


@pytest.mark.parametrize("value", ["ann", "", "a=b", -1.5, True])
def test_everything_else_is_left_alone(value):
    assert neutral(value) == value


@pytest.mark.usefixtures("no_kernel")
@pytest.mark.parametrize("stamp", ["tomorrow, maybe", "", "\x00"])
def test_a_bad_timestamp_costs_nothing(released, solved, limits, stamp):
    hand_in(released, "ann", solved)
    (released.submitted("ann", "mini") / "timestamp.txt").write_text(stamp)
    assert graded(released, limits, "ann")["ann"].score == 7
    assert grade_rows(released)[0]["submitted_at"] == ""


@pytest.mark.usefixtures("no_kernel")
def test_late_penalties_of_the_course_apply(course, solved, limits):
    config = course.root / "nbgrader_config.py"
    plugin = """
from nbgrader.plugins import LateSubmissionPlugin
class OnePoint(LateSubmissionPlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        return 1.0
c.AssignLatePenalties.plugin_class = OnePoint
"""
    config.write_text(config.read_text() + plugin)
    course = Course(course.root)
    release(course, "mini")
    with Gradebook(course.db_url, course.coursedir.course_id) as book:
        book.update_or_create_assignment("mini", duedate=datetime(2026, 1, 1))
    hand_in(course, "ann", solved)
    (course.submitted("ann", "mini") / "timestamp.txt").write_text("2026-01-02 00:00:00 UTC")
    graded(course, limits, "ann")
    row = grade_rows(course, "mini")[0]
    assert (row["score"], row["late_penalty"]) == (6.0, 1.0)


# feedback


@pytest.mark.usefixtures("no_kernel")
def test_nothing_in_a_feedback_page_can_run(released, template, limits):
    script = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    evil = template.filled_in(
        {"square": f"'''{script}'''", "why": f"{script} [x](javascript:alert(3))"}
    )
    hand_in(released, "eve", evil)
    graded(released, limits, "eve")
    page = write_feedback(released, "mini", "eve")[0].read_text()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert 'href="javascript:' not in page.lower()
    assert "Content-Security-Policy" in page


def test_feedback_before_grading_says_what_to_do(released):
    with pytest.raises(CourseError, match="autograder grade mini"):
        write_feedback(released, "mini", "nobody")


def test_a_mark_scheme_is_hidden_and_waits_for_nobody(course, solved, limits, monkeypatch):
    path = course.source("mini") / "mini.ipynb"
    notebook = nbformat.read(path, 4)
    scheme = nbformat.v4.new_markdown_cell(
        "Marks\n=== BEGIN MARK SCHEME ===\nthe rubric\n=== END MARK SCHEME ===", id="scheme"
    )
    scheme.metadata.nbgrader = {
        "schema_version": 3, "grade_id": "scheme", "cell_type": "markdown", "points": 0,
        "grade": False, "solution": False, "locked": True, "task": True,
    }  # fmt: skip
    notebook.cells.append(scheme)
    nbformat.write(notebook, path)
    release(course, "mini")
    assert "rubric" not in (course.released("mini") / "mini.ipynb").read_text()
    monkeypatch.setattr(grade_module.sandboxed, "run", lambda nb, *_, **__: Run(deepcopy(nb)))
    by_grade_id(solved)["why"].source = "*Write your answer here.*"
    hand_in(course, "ann", solved)
    graded(course, limits, "ann")
    assert grade_rows(course)[0]["needs_manual_grade"] is False
    assert "rubric" in (course.autograded("ann", "mini") / "mini.ipynb").read_text()
    assert "rubric" not in write_feedback(course, "mini", "ann")[0].read_text()


def test_a_failed_first_write_leaves_no_half_submission(released, template):
    cells = (CellResult("no_such_cell", 1.0, 1.0, ""),)
    with pytest.raises(Exception, match="no_such_cell"):
        record(released, Result("ann", "mini", "mini", cells), template.graded)
    assert grade_rows(released) == []


def test_a_release_that_gives_an_answer_away_is_refused(course):
    (course.source("mini") / "helper.py").write_text("    secret_product = x * x\n")
    with pytest.raises(CourseError, match="secret_product"):
        release(course, "mini")


def test_without_a_sandbox_nothing_is_graded_but_what_is_known_is_told(
    released, solved, limits, monkeypatch
):
    for student in ("ann", "bob"):
        hand_in(released, student, solved)
    with monkeypatch.context() as patch:
        patch.setattr(sandboxed, "run", lambda nb, *_, **__: Run(deepcopy(nb)))
        known = graded(released, limits, "ann")

    def refuse(_: Limits) -> None:
        raise NoSandboxError("No sandbox holds on this machine.")

    monkeypatch.setattr(sandboxed, "require", refuse)
    assert graded(released, limits, "ann") == known
    with pytest.raises(NoSandboxError):
        graded(released, limits, "ann", "bob")
    with pytest.raises(MissingEntry):
        in_the_book(released, "bob")
