"""`autograder demo` as an instructor sees it: a whole class, its grade book, feedback and CSV."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder.corpus_files import CORPUS
from autograder.course import Course
from autograder.template import Template

ROOT = Path(__file__).resolve().parent.parent
ASSIGNMENT = "a1_cost_of_inference"
AUTOMATIC = 90.0


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """The demo, run from outside the course's root, as a real command."""
    folder = tmp_path_factory.mktemp("instructor") / "demo"
    command = [sys.executable, "-m", "autograder.cli", "demo", "--folder", str(folder)]
    run = subprocess.run(command, cwd=ROOT / "notebooks", capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    for path in ("grades.csv", "gradebook.db", "feedback"):
        assert path in run.stdout
    return Course(folder)


def veteran(course: Course) -> str:
    """A student with a right answer to everything."""
    (student,) = [s for s in course.submitters(ASSIGNMENT) if s.partition("_")[2] == "solution"]
    return student


def graded_by_hand(course: Course) -> float | None:
    """The mark that a person gave the veteran."""
    with Gradebook(course.db_url) as book:
        notebook = book.find_submission_notebook(ASSIGNMENT, ASSIGNMENT, veteran(course))
        marks = [grade.manual_score for grade in notebook.grades if grade.manual_score is not None]
    (mark,) = marks
    return mark


@pytest.fixture(scope="module")
def rows(demo: Course) -> dict[str, dict[str, str]]:
    """The CSV, by what the student did."""
    with (demo.root / "grades.csv").open(newline="") as file:
        return {row["student_id"].partition("_")[2]: row for row in csv.DictReader(file)}


def test_the_class_is_large_enough_and_everybody_has_a_grade(rows):
    assert len(rows) >= 15
    assert {row["status"] for row in rows.values()} == {"graded"}
    assert {row["max_score"] for row in rows.values()} == {"100.0"}


@pytest.mark.parametrize("who", ["solution", "deleted_a_test", "copied_a_cell", "renamed_file"])
def test_right_answers_get_all_automatic_points_whatever_the_accident(rows, who):
    assert float(rows[who]["score"]) == AUTOMATIC


@pytest.mark.parametrize("path", sorted(CORPUS.glob(f"{ASSIGNMENT}/correct_*.py")), ids=str)
def test_every_correct_variant_in_the_class_gets_full_points(rows, path):
    row = rows.get(path.stem.removeprefix("correct_")[:24].rstrip("_"))
    assert row is None or float(row["score"]) == AUTOMATIC


@pytest.mark.parametrize("who", ["untouched", "no_notebook", "broken_json"])
def test_nothing_handed_in_gets_nothing(rows, who):
    assert float(rows[who]["score"]) == 0


@pytest.mark.parametrize("who", ["syntax_error", "endless_loop", "kills_its_kernel"])
def test_one_bad_cell_costs_only_its_own_points(demo, rows, who):
    template = Template.load(demo, ASSIGNMENT, ASSIGNMENT)
    answers = [answer for answer in template.answers if template.tests[answer]]
    answer = answers[-1] if who == "kills_its_kernel" else answers[0]
    lost = sum(template.points[test] for test in template.tests[answer])
    assert float(rows[who]["score"]) == AUTOMATIC - lost


def test_no_grade_is_missing_in_the_grade_book(demo):
    with Gradebook(demo.db_url, demo.coursedir.course_id) as book:
        for submission in book.assignment_submissions(ASSIGNMENT):
            for notebook in submission.notebooks:
                by_hand = [g.name for g in notebook.grades if g.auto_score is None]
                assert by_hand in ([], ["why_macs_do_not_predict_latency"])
                assert all(g.needs_manual_grade for g in notebook.grades if g.name in by_hand)


def test_feedback_pages_name_the_mistake_and_hide_the_hidden_tests(demo):
    template = Template.load(demo, ASSIGNMENT, ASSIGNMENT)
    hidden = _hidden_lines(template)
    assert hidden
    pages = sorted((demo.root / "feedback").rglob("*.html"))
    assert len(pages) >= 15
    for page in pages:
        text = page.read_text()
        assert not [line for line in hidden if line in text], page
    doubled = next(page for page in pages if "doubled" in str(page)).read_text()
    assert "FLOPs" in doubled


def _hidden_lines(template: Template) -> set[str]:
    """Lines of hidden tests without characters that HTML highlighting would split."""
    lines = set()
    for name, cell in template.cells.items():
        shown = set(template.released_cells[name].source.splitlines())
        lines |= {line.strip() for line in cell.source.splitlines() if line not in shown}
    return {line for line in lines if line.startswith("def hidden")} | {"HIDDEN TESTS"}


def test_what_was_executed_can_be_opened_by_nbgrader(demo):
    for path in (demo.root / "autograded").rglob("*.ipynb"):
        nbformat.validate(nbformat.read(path, 4))


@pytest.mark.browser
def test_the_formgrader_opens_the_class(demo: Course, lab_in: Any, page: Any) -> None:
    lab = lab_in(demo.root, "lab")
    page.goto(lab)  # signs in
    page.goto(f"{lab.partition('lab?')[0]}formgrader/gradebook/{ASSIGNMENT}/{ASSIGNMENT}")
    submissions = page.locator("a:visible", has_text="Submission #")
    submissions.first.wait_for()
    assert submissions.count() >= 15
    submissions.first.click()
    page.get_by_text("conv2d_cost").first.wait_for()
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    page.screenshot(path=build / "formgrader.png")


@pytest.mark.browser
def test_a_mark_given_by_hand_in_the_formgrader_reaches_the_grade_book(
    demo: Course, lab_in: Any, page: Any
) -> None:
    with Gradebook(demo.db_url) as book:
        submission = book.find_submission_notebook(ASSIGNMENT, ASSIGNMENT, veteran(demo))
        (waiting,) = [grade for grade in submission.grades if grade.needs_manual_grade]
        number, name = submission.id, waiting.name
    lab = lab_in(demo.root, "lab")
    page.goto(lab)
    page.goto(f"{lab.partition('lab?')[0]}formgrader/submissions/{number}/")
    score = page.locator(f"input#{name}")
    score.fill("7")
    with page.expect_response(lambda reply: reply.request.method == "PUT"):
        score.press("Tab")
    assert graded_by_hand(demo) == 7.0


def test_plain_nbgrader_goes_on_from_there(demo: Course) -> None:
    with Gradebook(demo.db_url) as book:
        submission = book.find_submission_notebook(ASSIGNMENT, ASSIGNMENT, veteran(demo))
        (by_hand,) = [grade for grade in submission.grades if grade.auto_score is None]
        by_hand.manual_score, by_hand.needs_manual_grade = 6.0, False
        book.db.commit()
        before = {grade.name: grade.auto_score for grade in submission.grades if grade.max_score}
    command = [sys.executable, "-m", "nbgrader", "autograde", ASSIGNMENT, "--force"]
    command += ["--student", veteran(demo), "--ExecutePreprocessor.timeout=600"]
    run = subprocess.run(command, cwd=demo.root, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    with Gradebook(demo.db_url) as book:
        submission = book.find_submission_notebook(ASSIGNMENT, ASSIGNMENT, veteran(demo))
        after = {grade.name: grade.auto_score for grade in submission.grades if grade.max_score}
        assert after == before
        assert submission.score == AUTOMATIC + 6.0
