"""Whatever is handed in becomes a notebook with the instructor's cells and a sentence."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from autograder.intake import MAX_NOTEBOOK_BYTES, Intake, repair, take_in
from autograder.template import Template, by_grade_id


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """Where one student's files lie."""
    folder = tmp_path / "submitted" / "ann" / "mini"
    folder.mkdir(parents=True)
    return folder


def hand_in(folder: Path, notebook: NotebookNode, name: str = "mini.ipynb") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(notebook))
    return path


def graded_sources(intake: Intake) -> dict[str, str]:
    assert intake.notebook is not None
    return {name: cell.source for name, cell in by_grade_id(intake.notebook).items()}


def test_a_good_notebook_keeps_its_answers_and_gets_the_hidden_tests(solved, template):
    sources = graded_sources(repair(solved, template))
    assert sources["square"] == "def square(x):\n    return x * x"
    assert "negative numbers" in sources["test_square"]
    assert repair(solved, template).notes == ()


def test_the_submission_itself_is_not_changed(solved, template):
    before = deepcopy(solved)
    repair(solved, template)
    assert solved == before


def test_a_deleted_test_is_put_back_in_its_place(solved, template):
    solved.cells = [
        c for c in solved.cells if c.metadata.get("nbgrader", {}).get("grade_id") != "test_square"
    ]
    intake = repair(solved, template)
    names = list(graded_sources(intake))
    assert names == list(template.cells)
    assert any("test_square" in note and "put back" in note for note in intake.notes)


@pytest.mark.parametrize(
    "change",
    [
        {"points": 1000},
        {"grade": False},
        {"solution": True},
        {"locked": False},
        {"schema_version": 99},
        {"task": True},
        {"points": "many"},
        {"grade": None},
    ],
)
def test_edited_metadata_never_changes_points_or_flags(solved, template, change):
    by_grade_id(solved)["test_square"].metadata.nbgrader.update(change)
    repaired = by_grade_id(repair(solved, template).notebook)
    wanted = template.cells["test_square"].metadata.nbgrader
    assert repaired["test_square"].metadata.nbgrader == wanted


@pytest.mark.parametrize(
    "metadata", [{}, {"nbgrader": None}, {"nbgrader": []}, {"nbgrader": {"grade_id": 7}}]
)
def test_answers_without_metadata_are_found_by_their_cell_ids(solved, template, metadata):
    for cell in solved.cells:
        cell.metadata = nbformat.from_dict(metadata)
    assert graded_sources(repair(solved, template))["cube"] == "def cube(x):\n    return x**3"


def test_an_edited_locked_cell_is_restored_and_noted(solved, template):
    by_grade_id(solved)["test_square"].source = "pass"
    intake = repair(solved, template)
    assert "square(-2)" in graded_sources(intake)["test_square"]
    assert any("test_square" in note and "restored" in note for note in intake.notes)


def test_a_copied_answer_counts_once_as_its_tests_saw_it(solved, template):
    copy = deepcopy(by_grade_id(solved)["square"])
    copy.source = "def square(x):\n    return 'a later experiment'"
    solved.cells.append(copy)
    intake = repair(solved, template)
    assert graded_sources(intake)["square"].endswith("x * x")
    assert sum("square" in note for note in intake.notes) == 1


def test_of_two_copies_before_the_test_the_last_counts(solved, template):
    original = by_grade_id(solved)["square"]
    copy = deepcopy(original)
    copy.source = "def square(x):\n    return x**2"
    solved.cells.insert(solved.cells.index(original) + 1, copy)
    assert graded_sources(repair(solved, template))["square"].endswith("x**2")


def test_an_unanswered_copy_never_hides_an_answer(solved, template):
    stub = deepcopy(template.released_cells["square"])
    for position in (0, len(solved.cells)):
        notebook = deepcopy(solved)
        notebook.cells.insert(position, deepcopy(stub))
        assert graded_sources(repair(notebook, template))["square"].endswith("x * x")


def test_extra_cells_stay_after_the_cell_they_followed(solved, template):
    index = solved.cells.index(by_grade_id(solved)["square"])
    solved.cells.insert(index + 1, nbformat.v4.new_code_cell("helper_of_mine = 1"))
    sources = [cell.source for cell in repair(solved, template).notebook.cells]
    assert (
        sources.index("helper_of_mine = 1")
        == sources.index("def square(x):\n    return x * x") + 1
    )


def test_foreign_ids_do_not_reach_the_grade_book(solved, template):
    extra = nbformat.v4.new_code_cell("1 + 1")
    extra.metadata.nbgrader = {"grade_id": "bonus", "grade": True, "points": 50}
    solved.cells.append(extra)
    assert "bonus" not in graded_sources(repair(solved, template))


def test_another_kernel_is_replaced(solved, template):
    solved.metadata.kernelspec = {"name": "bash", "display_name": "Bash", "language": "bash"}
    assert repair(solved, template).notebook.metadata.kernelspec.name == "python3"


def test_a_retyped_answer_is_set_back(solved, template):
    cell = by_grade_id(solved)["square"]
    cell.cell_type = "markdown"
    intake = repair(solved, template)
    assert by_grade_id(intake.notebook)["square"].cell_type == "code"


@pytest.mark.parametrize("name", ["mini (1).ipynb", "final_FINAL.ipynb", "sub/mini.ipynb"])
def test_a_renamed_notebook_is_known_by_its_cells(box, solved, template, name):
    (box / "sub").mkdir()
    hand_in(box, solved, name)
    intake = take_in(box, template)
    assert graded_sources(intake)["square"].endswith("x * x")


def test_the_rightly_named_notebook_wins_over_others(box, solved, template):
    hand_in(box, solved, "old copy.ipynb")
    by_grade_id(solved)["square"].source = "square = abs"
    hand_in(box, solved)
    assert graded_sources(take_in(box, template))["square"] == "square = abs"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b'"text"', "no list of cells"),
        (b"[1, 2]", "no list of cells"),
        (b'{"cells": 3}', "no list of cells"),
        (b'{"cells": "abc"}', "no list of cells"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"[" * 200_000, "JSON"),
    ],
)
def test_a_broken_file_is_named_with_its_fault(box, template, content, says):
    (box / "mini.ipynb").write_bytes(content)
    intake = take_in(box, template)
    assert intake.notebook is None
    assert intake.needs_a_look
    assert "mini.ipynb" in intake.notes[0]
    assert says in intake.notes[0]


@pytest.mark.parametrize(
    "cells",
    [[None, 3, "x", []], [{}], [{"cell_type": ["code"], "source": 3, "metadata": 5}]],
)
def test_malformed_cells_are_passed_over(box, solved, template, cells):
    content = json.loads(json.dumps(solved))
    content["cells"] = cells + content["cells"]
    (box / "mini.ipynb").write_text(json.dumps(content))
    assert graded_sources(take_in(box, template))["square"].endswith("x * x")


def test_unpaired_surrogates_survive(box, solved, template):
    text = json.dumps(solved).replace("It grows.", "\\ud800 grows")
    (box / "mini.ipynb").write_text(text)
    assert "grows" in graded_sources(take_in(box, template))["why"]


def test_a_missing_notebook_says_so(box, template):
    (box / "notes.txt").write_text("hello")
    intake = take_in(box, template)
    assert intake.notebook is None
    assert "mini.ipynb" in intake.notes[0]


def test_a_link_is_refused(box, solved, template):
    target = hand_in(box.parent / "elsewhere", solved)
    (box / "mini.ipynb").symlink_to(target)
    intake = take_in(box, template)
    assert intake.notebook is None
    assert "symbolic link" in intake.notes[0]


def test_a_huge_file_is_refused(box, template):
    with (box / "mini.ipynb").open("wb") as file:
        file.truncate(MAX_NOTEBOOK_BYTES + 1)
    assert "larger than" in take_in(box, template).notes[0]


def test_an_old_notebook_format_is_read(box, solved, template):
    old = nbformat.convert(solved, 3)
    (box / "mini.ipynb").write_text(json.dumps(old))
    intake = take_in(box, template)
    assert graded_sources(intake)["square"].endswith("x * x")


def test_the_template_is_never_modified(solved, template: Template):
    before = deepcopy(template.graded)
    by_grade_id(solved)["test_square"].source = "pass"
    intake = repair(solved, template)
    by_grade_id(intake.notebook)["square"].source = "changed"
    assert template.graded == before
