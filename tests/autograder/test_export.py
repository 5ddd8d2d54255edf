"""What leaves for a spreadsheet or an LMS says what the grade book says, and nothing else."""

from __future__ import annotations

import csv
import io
import json
from copy import deepcopy

import pytest
from nbgrader.api import Gradebook

from autograder import grade as grade_module
from autograder.course import Course
from autograder.errors import CourseError
from autograder.export import PRESETS, export, neutral
from autograder.grade import grade_class
from autograder.sandboxed import Run


@pytest.fixture
def book(released, template, solved, limits, monkeypatch) -> Course:
    """Ann has 7 points, Zoë handed in nothing, Bob's grading failed."""
    monkeypatch.setattr(grade_module.sandboxed, "require", lambda limits: None)

    def run(notebook, *_, **__):
        broken = any("broken" in cell.source for cell in notebook.cells)
        return Run(deepcopy(notebook), problem="no disk" if broken else "")

    monkeypatch.setattr(grade_module.sandboxed, "run", run)
    broken = template.filled_in({"square": "# broken"})
    for student, notebook in {"ann": solved, "bob": broken}.items():
        folder = released.submitted(student, "mini")
        folder.mkdir(parents=True)
        (folder / "mini.ipynb").write_text(json.dumps(notebook))
    with Gradebook(released.db_url, released.coursedir.course_id) as gradebook:
        gradebook.update_or_create_student(
            "ann", first_name='Ann, "A"', last_name="O'Neil", email="ann@x.edu", lms_user_id="71"
        )
        gradebook.update_or_create_student("bob", first_name="Bob", last_name="=cmd()")
        gradebook.update_or_create_student("zoe", first_name="Zoë", last_name="Żak\nżak")
    list(grade_class(released, "mini", ["ann", "bob"], limits, jobs=1))
    return released


def read(path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


def test_the_generic_file_tells_missing_from_not_graded(book, tmp_path):
    export(book, tmp_path / "g.csv", "mini")
    header, *rows = read(tmp_path / "g.csv")
    found = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert [found[s]["status"] for s in ("ann", "bob", "zoe")] == [
        "graded",
        "not graded",
        "missing",
    ]
    assert [found[s]["score"] for s in ("ann", "bob", "zoe")] == ["7.0", "", "0.0"]
    assert found["zoe"]["last_name"] == "Żak\nżak"
    assert found["bob"]["last_name"] == "'=cmd()"


def test_a_byte_order_mark_only_where_excel_needs_it(book, tmp_path):
    export(book, tmp_path / "g.csv", "mini")
    assert (tmp_path / "g.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    with Gradebook(book.db_url, book.coursedir.course_id) as gradebook:
        gradebook.update_or_create_student("zoe", first_name="Zoe", last_name="Zak")
    export(book, tmp_path / "g.csv", "mini")
    assert (tmp_path / "g.csv").read_bytes().startswith(b"student_id,")


def test_canvas_without_a_roster(book, tmp_path):
    assert export(book, tmp_path / "c.csv", "mini", "canvas") == 4
    header, points, *rows = read(tmp_path / "c.csv")
    assert header == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "mini"]
    assert points == ["    Points Possible", "", "", "", "", "10.0"]
    found = {row[3]: row for row in rows}
    assert found["ann"] == ['O\'Neil, Ann, "A"', "71", "", "ann", "", "7.0"]
    assert [found[s][5] for s in ("bob", "zoe")] == ["", ""]  # Canvas leaves blank cells alone
    assert found["bob"][0] == "'=cmd(), Bob"


def test_canvas_takes_people_and_columns_from_its_own_export(book, tmp_path):
    roster = tmp_path / "canvas.csv"
    roster.write_text(
        "Student,ID,SIS User ID,SIS Login ID,Section,Quiz (7),Mini (4711)\n"
        "    Points Possible,,,,,5,10\n"
        '"Neil, Ann",901,S1,ANN@x.edu,Monday,1,\n',
        encoding="utf-8-sig",
    )
    export(book, tmp_path / "c.csv", "mini", "canvas", roster)
    header, _, *rows = read(tmp_path / "c.csv")
    assert header[-1] == "Mini (4711)"
    assert next(r for r in rows if r[1]) == [
        "Neil, Ann",
        "901",
        "S1",
        "ANN@x.edu",
        "Monday",
        "7.0",
    ]


def test_moodle_without_a_roster(book, tmp_path):
    export(book, tmp_path / "m.csv", "mini", "moodle")
    header, *rows = read(tmp_path / "m.csv")
    assert header == [
        "First name",
        "Last name",
        "ID number",
        "Email address",
        "Assignment: mini (Real)",
    ]
    assert ['Ann, "A"', "O'Neil", "ann", "ann@x.edu", "7.0"] in rows


def test_a_moodle_worksheet_comes_back_with_grades_and_nothing_else_changed(book, tmp_path):
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(
        "Identifier,Full name,ID number,Email address,Status,Grade,Maximum Grade\n"
        "Participant 12,Ann O'Neil,,ann@x.edu,Submitted,,10.00\n"
        "Participant 13,Somebody Else,,else@x.edu,Submitted,3.5,10.00\n"
    )
    export(book, tmp_path / "m.csv", "mini", "moodle", sheet)
    header, ann, other = read(tmp_path / "m.csv")
    assert ann[header.index("Grade")] == "7.0"
    assert other == ["Participant 13", "Somebody Else", "", "else@x.edu", "Submitted", "3.5",
                     "10.00"]  # fmt: skip


def test_gradescope_gets_one_file_per_graded_student(book, tmp_path):
    assert export(book, tmp_path / "gs", "mini", "gradescope") == 1
    results = json.loads((tmp_path / "gs" / "mini" / "ann" / "results.json").read_text())
    assert (results["score"], results["max_score"], results["visibility"]) == (7, 10, "visible")
    tests = {test["name"]: test for test in results["tests"]}
    assert tests["test_square"]["status"] == "passed"
    assert (tests["test_square"]["score"], tests["test_square"]["max_score"]) == (4, 4)
    assert "score" not in tests["why"]  # a person marks it
    assert all(test["output_format"] == "text" for test in results["tests"])


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe", b'ID\n"unclosed'])
def test_a_file_that_is_no_roster_is_named(book, tmp_path, content):
    (tmp_path / "r.csv").write_bytes(content)
    with pytest.raises(CourseError, match=r"r\.csv"):
        export(book, tmp_path / "c.csv", "mini", "canvas", tmp_path / "r.csv")


def test_an_unknown_preset_lists_those_there_are(book, tmp_path):
    with pytest.raises(CourseError, match=", ".join(PRESETS)):
        export(book, tmp_path / "c.csv", "mini", "blackboard")


@pytest.mark.parametrize("text", ["=1", "  =1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "＝1"])
def test_formulas_are_neutralized(text):
    assert str(neutral(text)).startswith("'")


@pytest.mark.parametrize("value", [-1.5, -3, 0.0, "a=b", "O'Neil", "", True])
def test_numbers_and_plain_text_stay_what_they_are(value):
    assert neutral(value) == value
