"""The command as its user meets it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from autograder import check as check_module
from autograder.cli import app
from autograder.course import Course
from autograder.result import Graded, Result

COMMANDS = [
    *("release", "collect", "grade", "feedback", "export", "report"),
    *("check", "verify", "doctor", "demo"),
]
runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def run(*words: str):
    return runner.invoke(app, list(words))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_shows_an_example(command):
    outcome = run(command, "--help")
    assert outcome.exit_code == 0
    assert f"Example: autograder {command}" in outcome.output


@pytest.mark.parametrize("command", ["release", "grade", "feedback", "verify"])
def test_an_unknown_assignment_lists_those_there_are(course: Course, command):
    outcome = run(command, "a9", "--course", str(course.root))
    assert outcome.exit_code == 2
    assert "mini" in outcome.output


def test_outside_a_course_the_remedy_is_named(tmp_path):
    outcome = run("doctor", "--course", str(tmp_path))
    assert outcome.exit_code == 2
    assert "--course DIR" in outcome.output


def test_any_folder_of_the_course_will_do(course: Course, monkeypatch):
    monkeypatch.chdir(course.source("mini"))
    assert run("release", "mini").exit_code == 0


def test_grading_nothing_is_a_usage_error(course: Course):
    run("release", "mini", "--course", str(course.root))
    assert run("grade", "mini", "--course", str(course.root)).exit_code == 2
    outcome = run("grade", "mini", "nobody", "--course", str(course.root))
    assert outcome.exit_code == 2
    assert "nobody" in outcome.output


def test_a_class_from_release_to_csv(course: Course, solved, tmp_path):
    where = ("--course", str(course.root))
    assert run("release", "mini", *where).exit_code == 0
    folder = course.submitted("ann", "mini")
    folder.mkdir(parents=True)
    (folder / "mini.ipynb").write_text(json.dumps(solved))
    outcome = run("grade", "mini", *where, "--json")
    assert outcome.exit_code == 0, outcome.output
    results = json.loads(outcome.stdout)
    assert [(r["student"], sum(c["score"] or 0 for c in r["cells"])) for r in results] == [
        ("ann", 7)
    ]
    assert run("feedback", "mini", *where).exit_code == 0
    assert run("export", "--to", str(tmp_path / "out" / "g.csv"), *where).exit_code == 0
    assert "ann" in (tmp_path / "out" / "g.csv").read_text()
    course.submitted("bob", "mini").mkdir(parents=True)
    assert run("grade", "mini", "bob", *where).exit_code == 1


def test_check_tells_a_student_where_points_are_lost(course: Course, template, tmp_path):
    mine = tmp_path / "my copy.ipynb"
    mine.write_text(json.dumps(template.filled_in({"square": "square = abs"})))
    outcome = run("check", str(mine), "--course", str(course.root))
    assert outcome.exit_code == 1
    assert "square(3) should be 9, got 3" in outcome.output
    assert not (course.root / "gradebook.db").exists()


@pytest.mark.parametrize("content", ["", "{}", '{"cells": []}'])
def test_check_of_something_else_is_an_error_in_words(course: Course, tmp_path, content):
    (tmp_path / "x.ipynb").write_text(content)
    outcome = run("check", str(tmp_path / "x.ipynb"), "--course", str(course.root))
    assert outcome.exit_code == 2
    assert "x.ipynb" in outcome.output


def test_a_folder_that_is_not_a_demo_is_not_deleted(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    outcome = run("demo", "--folder", str(tmp_path))
    assert outcome.exit_code == 2
    assert (tmp_path / "thesis.txt").exists()


def test_check_takes_the_files_along_that_the_assignment_mentions(
    course: Course, template, tmp_path, monkeypatch
):
    seen = {}

    def grade_contents(student, contents, terms):
        seen.update(contents.files)
        return Graded(Result(student, "mini", "mini", ()), template.graded)

    monkeypatch.setattr(check_module, "grade_contents", grade_contents)
    path = course.source("mini") / "mini.ipynb"
    path.write_text(path.read_text().replace("# Squares", "# Squares: hand in net.safetensors"))
    (tmp_path / "mine.ipynb").write_text(json.dumps(template.released))
    (tmp_path / "net.safetensors").write_bytes(b"weights")
    (tmp_path / "thesis.pdf").write_bytes(b"private")
    run("check", str(tmp_path / "mine.ipynb"), "--course", str(course.root))
    assert sorted(seen) == ["mini.ipynb", "net.safetensors"]


@pytest.mark.parametrize("command", ["verify", "doctor"])
def test_json_is_all_that_a_program_reads(released: Course, command):
    outcome = run(command, "--course", str(released.root), "--json")
    assert isinstance(json.loads(outcome.stdout), list)


@pytest.mark.parametrize("command", ["grade", "check", "verify", "demo"])
def test_running_without_a_sandbox_has_to_be_asked_for(command):
    assert "--unsafe-local" in run(command, "--help").output
