"""Odd, old, damaged and hostile hand-ins: always the template's notebook, never a crash."""

from __future__ import annotations

import base64
import json
import os
import socket
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbformat import NotebookNode

from autograder import intake as intake_module
from autograder.intake import MAX_CELLS, Intake, datafiles, is_extra, repair, take_in
from autograder.intake import folder as folders
from autograder.template import Template, by_grade_id

ANSWERS = {"square": "x * x", "cube": "x**3", "why": "It grows."}


@pytest.fixture
def box(tmp_path: Path) -> Path:
    folder = tmp_path / "submitted" / "ann" / "mini"
    folder.mkdir(parents=True)
    return folder


def hand_in(folder: Path, notebook: object, name: str = "mini.ipynb") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook))
    return path


def sources(intake: Intake) -> dict[str, str]:
    assert intake.notebook is not None
    return {name: cell.source for name, cell in by_grade_id(intake.notebook).items()}


def extras(intake: Intake) -> list[str]:
    assert intake.notebook is not None
    return [cell.source for cell in intake.notebook.cells if is_extra(cell)]


def check_structure(intake: Intake, template: Template) -> None:
    """Every cell of the template once, in order, as the instructor flagged and locked it."""
    notebook = intake.notebook
    assert notebook is not None
    own = [cell for cell in notebook.cells if not is_extra(cell)]
    assert [cell.id for cell in own] == [cell.id for cell in template.graded.cells]
    for cell, mine in zip(own, template.graded.cells, strict=True):
        assert cell.metadata == mine.metadata
        assert cell.cell_type == mine.cell_type
        if not mine.metadata.get("nbgrader", {}).get("solution"):
            assert cell.source == mine.source
    for cell in notebook.cells:
        if is_extra(cell):
            assert cell.metadata == {}
            assert cell.cell_type in ("code", "markdown")
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    nbformat.validate(notebook)
    assert all("\n" not in note for note in intake.notes)


def without(notebook: NotebookNode, *, names: bool, ids: bool) -> NotebookNode:
    for cell in notebook.cells:
        if names:
            cell.metadata = NotebookNode()
        if ids:
            del cell["id"]
    return notebook


# finding the answers again


def test_answers_without_names_and_ids_are_found_by_their_place(solved, template):
    intake = repair(without(solved, names=True, ids=True), template)
    check_structure(intake, template)
    for name, answer in ANSWERS.items():
        assert answer in sources(intake)[name]
    assert any("square" in note and "in its place" in note for note in intake.notes)


def test_a_retyped_answer_in_a_new_cell_is_found_by_its_place(solved, template):
    at = solved.cells.index(by_grade_id(solved)["cube"])
    solved.cells[at : at + 1] = [
        nbformat.v4.new_code_cell("import math  # scratch"),
        nbformat.v4.new_code_cell("def cube(x):\n    return x * x * x"),
    ]
    intake = repair(solved, template)
    assert sources(intake)["cube"].endswith("x * x * x")
    assert extras(intake) == ["import math  # scratch"]


def test_a_split_answer_keeps_both_halves_in_order(solved, template):
    at = solved.cells.index(by_grade_id(solved)["square"])
    first = deepcopy(solved.cells[at])
    first.source, first.id = "def helper(x):\n    return x", "other"
    solved.cells.insert(at, first)
    solved.cells[at + 1].source = "def square(x):\n    return helper(x) * x"
    intake = repair(solved, template)
    order = [cell.source for cell in intake.notebook.cells]
    assert order.index(first.source) < order.index(sources(intake)["square"])
    assert sources(intake)["square"].endswith("helper(x) * x")


def test_an_extra_cell_that_needs_the_imports_stays_below_them(course, solved, template):
    path = course.source("mini") / "mini.ipynb"
    source = nbformat.read(path, 4)
    source.cells.insert(1, nbformat.v4.new_code_cell("import cmath", id="plain"))
    nbformat.write(source, path)
    template = Template.load(course, "mini", "mini")
    notebook = template.filled_in({})
    notebook.cells.insert(2, nbformat.v4.new_code_cell("root = cmath.sqrt(-1)"))
    order = [cell.source for cell in repair(notebook, template).notebook.cells]
    assert order.index("import cmath") < order.index("root = cmath.sqrt(-1)")


def test_a_changed_plain_cell_runs_after_the_original(course):
    path = course.source("mini") / "mini.ipynb"
    source = nbformat.read(path, 4)
    source.cells.insert(1, nbformat.v4.new_code_cell("size = 3", id="plain"))
    nbformat.write(source, path)
    template = Template.load(course, "mini", "mini")
    notebook = template.filled_in({})
    notebook.cells[1].source = "size = 4"
    intake = repair(notebook, template)
    check_structure(intake, template)
    assert [cell.source for cell in intake.notebook.cells[1:3]] == ["size = 3", "size = 4"]


def test_moved_cells_are_put_back_in_order(solved, template):
    solved.cells.reverse()
    intake = repair(solved, template)
    check_structure(intake, template)
    assert sources(intake)["square"].endswith("x * x")
    assert any("moved" in note for note in intake.notes)


def test_repairing_twice_gives_the_same_notebook(solved, template):
    solved.cells.insert(2, nbformat.v4.new_code_cell("mine = 1"))
    assert repair(solved, template).notebook == repair(deepcopy(solved), template).notebook


@pytest.mark.parametrize("flag", [{"grade": True}, {"solution": False}, {"locked": True}])
def test_a_reflagged_answer_is_told_and_set_back(solved, template, flag):
    by_grade_id(solved)["square"].metadata.nbgrader.update(flag)
    intake = repair(solved, template)
    check_structure(intake, template)
    assert sources(intake)["square"].endswith("x * x")
    assert any("settings" in note and "square" in note for note in intake.notes)


def test_no_metadata_of_the_student_survives(solved, template, box):
    for cell in solved.cells:
        cell.metadata.update(tags=["skip-execution"], deletable=True, jupyter={"x": 1})
    extra = nbformat.v4.new_code_cell("1", metadata={"tags": ["raises-exception"]})
    extra.metadata.nbgrader = {"grade_id": "square2", "grade": True, "points": 9}
    solved.cells.append(extra)
    solved.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {}}
    hand_in(box, solved)
    intake = take_in(box, template)
    check_structure(intake, template)
    assert intake.notebook.metadata == template.graded.metadata


def test_a_cell_id_that_poses_as_an_extra_one_stays_unique(solved, template):
    for number in (1, 1, 2):
        cell = nbformat.v4.new_code_cell(f"n = {number}", id=f"extra-{number}")
        solved.cells.append(cell)
    check_structure(repair(solved, template), template)


def test_only_pictures_stay_of_attachments(solved, template, box):
    picture = base64.b64encode(b"\x89PNG").decode()
    cell = by_grade_id(solved)["why"]
    cell.attachments = {
        "a.png": {"image/png": picture, "text/html": "<script>", 'image/png" onerror="x': picture},
        "b.svg": {"image/svg+xml": "<svg onload='x'/>"},
        "c.png": {"image/png": "not base 64 <script>"},
        "d\n.png": {"image/png": picture},
        "e": [1],
    }
    hand_in(box, solved)
    answer = by_grade_id(take_in(box, template).notebook)["why"]
    assert answer.attachments == {"a.png": {"image/png": picture}}


# formats


@pytest.mark.parametrize(
    "version", ["99", "-1", "4.7", '"4"', "null", pytest.param("1" + "0" * 5000, id="huge")]
)
def test_an_absurd_format_is_read_all_the_same(box, solved, template, version):
    content = json.loads(json.dumps(solved)) | {"nbformat": "HERE", "nbformat_minor": "HERE"}
    text = json.dumps(content)
    (box / "mini.ipynb").write_text(text.replace('"HERE"', version))
    intake = take_in(box, template)
    check_structure(intake, template)
    assert sources(intake)["square"].endswith("x * x")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_old_formats_are_read(box, solved, template, version):
    cells = [
        {
            "cell_type": cell.cell_type,
            ("input" if cell.cell_type == "code" else "source"): cell.source.splitlines(True),
            "metadata": cell.metadata,
        }
        for cell in solved.cells
    ]
    cells.insert(0, {"cell_type": "heading", "level": 2, "source": "A heading"})
    content = {"nbformat": version}
    content |= {"cells": cells} if version == 1 else {"worksheets": [{"cells": cells}, 3, {}]}
    hand_in(box, content)
    intake = take_in(box, template)
    check_structure(intake, template)
    assert sources(intake)["cube"].endswith("x**3")
    assert "## A heading" in extras(intake)
    assert any(f"format {version}" in note for note in intake.notes)


def test_another_language_is_told_and_overwritten(box, solved, template):
    solved.metadata.kernelspec = {"name": "ir", "language": "R", "display_name": "R"}
    hand_in(box, solved)
    intake = take_in(box, template)
    assert intake.notebook.metadata.kernelspec.name == "python3"
    assert any("language R" in note for note in intake.notes)


def test_another_environment_of_python_is_no_news(box, solved, template):
    solved.metadata.kernelspec = {"name": "conda-env-x", "language": "python"}
    hand_in(box, solved)
    assert take_in(box, template).notes == ()


def test_of_a_key_written_twice_the_last_counts_as_in_jupyter(box, solved, template):
    text = json.dumps(solved)
    (box / "mini.ipynb").write_text('{"cells": [], ' + text[1:])
    assert sources(take_in(box, template))["square"].endswith("x * x")


@pytest.mark.parametrize("depth", [300, 900, 5000])
def test_deep_metadata_is_no_danger(box, solved, template, depth):
    text = json.dumps(solved).replace(
        '"schema_version": 3', '"deep": ' + "[" * depth + "]" * depth
    )
    (box / "mini.ipynb").write_text(text)
    intake = take_in(box, template)
    if intake.notebook is None:
        assert "JSON" in intake.notes[0]
    else:
        check_structure(intake, template)


def test_too_many_cells_are_refused(box, template):
    hand_in(box, {"cells": [{}] * (MAX_CELLS + 1)})
    intake = take_in(box, template)
    assert intake.notebook is None
    assert str(MAX_CELLS) in intake.notes[0]


def test_a_notebook_without_a_known_cell_needs_a_look(box, template):
    hand_in(box, {"cells": [{"cell_type": "code", "source": "print(1)"}]})
    intake = take_in(box, template)
    check_structure(intake, template)
    assert intake.needs_a_look
    assert "None of the cells" in intake.notes[0]


# which notebook


def test_of_several_the_one_with_most_known_cells_is_graded(box, solved, template):
    hand_in(box, solved, "final.ipynb")
    few = deepcopy(solved)
    few.cells = few.cells[:3]
    hand_in(box, few, "a copy.ipynb")
    hand_in(box, {"cells": []}, "notes.ipynb")
    intake = take_in(box, template)
    assert sources(intake)["cube"].endswith("x**3")
    assert any("final.ipynb is graded" in note and "a copy" in note for note in intake.notes)


def test_a_copy_is_graded_where_the_rightly_named_one_is_damaged(box, solved, template):
    (box / "mini.ipynb").write_text("{")
    hand_in(box, solved, "mini (1).ipynb")
    intake = take_in(box, template)
    assert sources(intake)["square"].endswith("x * x")
    assert any("mini.ipynb could not be read" in note for note in intake.notes)


def test_another_notebook_of_the_assignment_is_not_taken_for_this_one(course, box, solved):
    path = course.source("mini") / "mini.ipynb"
    (path.parent / "mini_part2.ipynb").write_bytes(path.read_bytes())
    template = Template.load(course, "mini", "mini")
    assert template.siblings == ("mini_part2",)
    hand_in(box, solved, "mini_part2 (1).ipynb")
    intake = take_in(box, template)
    assert intake.notebook is None
    assert intake.notes == ("No notebook called mini.ipynb was handed in.",)


def test_links_pipes_and_sockets_are_refused_and_the_rest_graded(box, solved, template):
    hand_in(box, solved)
    os.mkfifo(box / "pipe.ipynb")
    (box / "loop").symlink_to(box)
    (box / "gradebook.db").symlink_to("/etc/passwd")
    place = os.getcwd()
    os.chdir(box)  # a socket's path may only be short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
    finally:
        os.chdir(place)
    intake = take_in(box, template)
    assert sources(intake)["square"].endswith("x * x")
    assert intake.needs_a_look
    assert intake.files == ()
    for name in ("pipe.ipynb", "loop", "gradebook.db", "socket"):
        assert any(note.startswith(name) for note in intake.notes)


def test_a_linked_folder_is_refused(tmp_path, box, solved, template):
    hand_in(box, solved)
    (tmp_path / "link").symlink_to(box)
    assert "symbolic link" in take_in(tmp_path / "link", template).notes[0]


def test_too_many_files_end_the_search(box, solved, template, monkeypatch):
    monkeypatch.setattr(folders, "MAX_ENTRIES", 10)
    for number in range(30):
        (box / f"file-{number}").write_text("")
    hand_in(box, solved, "aa/mini.ipynb")
    assert any("more than 10 files" in note for note in take_in(box, template).notes)


# data files


def test_files_beside_the_notebook_go_along(box, solved, template):
    hand_in(box, solved)
    for name in ("net.safetensors", "data/rows.csv", "my_helper.py"):
        (box / name).parent.mkdir(exist_ok=True)
        (box / name).write_text("content")
    intake = take_in(box, template)
    assert intake.folder == box
    names = [path.relative_to(box).as_posix() for path in intake.files]
    assert names == ["data/rows.csv", "my_helper.py", "net.safetensors"]
    assert intake.notes == ()


@pytest.mark.parametrize(
    "name",
    ["torch.py", "random.py", "sitecustomize.py", "usercustomize.py", "numpy/__init__.py",
     "torch/nn/functional.py", "json.pyc", "evil.pth", "IPython.py", "course_lib/__init__.py",
     "_socket.cpython-311-x86_64-linux-gnu.so", "antigravity.so"],
)  # fmt: skip
def test_a_file_that_would_take_the_place_of_a_module_stays_behind(box, solved, template, name):
    hand_in(box, solved)
    hand_in(box, "raise SystemExit", name)
    intake = take_in(box, template)
    assert intake.files == ()
    assert any("take the place of" in note for note in intake.notes)
    assert sources(intake)["square"].endswith("x * x")


def test_hidden_files_and_clutter_stay_behind(box, solved, template):
    hand_in(box, solved)
    for name in (".bashrc", ".DS_Store", "__MACOSX/._mini.ipynb", ".ipython/profile/x.py"):
        hand_in(box, "", name)
    intake = take_in(box, template)
    assert intake.files == ()
    assert [note for note in intake.notes if "hidden" in note] == list(intake.notes)


def test_the_instructors_file_wins(tmp_path, box, solved, template):
    hand_in(box, solved)
    for name, mine, theirs in (("a.csv", "1", "1"), ("b.csv", "1", "2")):
        (tmp_path / name).write_text(mine)
        (box / name).write_text(theirs)
    supplies = [tmp_path / "a.csv", tmp_path / "b.csv"]
    intake = take_in(box, template, supplies)
    assert intake.files == ()
    assert [note for note in intake.notes if "instructor" in note] == [
        "The file b.csv is the instructor's; your version was left out."
    ]


def test_too_large_files_stay_behind(box, solved, template, monkeypatch):
    monkeypatch.setattr(datafiles, "MAX_TOTAL_BYTES", 10)
    hand_in(box, solved)
    (box / "big.pt").write_bytes(b"0" * 11)
    (box / "small.pt").write_bytes(b"0" * 10)
    intake = take_in(box, template)
    assert [path.name for path in intake.files] == ["small.pt"]
    assert any("big.pt" in note and "too much" in note for note in intake.notes)


# anything at all

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
WORDS = st.sampled_from(
    ["cells", "cell_type", "code", "markdown", "raw", "heading", "source", "input", "metadata",
     "nbgrader", "grade_id", "square", "test_square", "why", "points", "id", "cell-square",
     "attachments", "image/png", "worksheets", "nbformat", "extra-1", "x\ud800", ""]
)  # fmt: skip
CELLS = st.dictionaries(
    WORDS, JSON | WORDS | st.dictionaries(WORDS, JSON | WORDS, max_size=4), max_size=6
)
CALM = settings(
    max_examples=50,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def taken(folder: Path, content: bytes, template: Template) -> Intake:
    (folder / "mini.ipynb").write_bytes(content)
    intake = take_in(folder, template)
    if intake.notebook is None:
        assert intake.needs_a_look
        assert intake.notes
    else:
        check_structure(intake, template)
    return intake


@CALM
@given(content=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_file_crashes(box, template, content):
    taken(box, content, template)


@CALM
@given(cells=st.lists(CELLS | JSON, max_size=6), old=st.booleans())
def test_no_cells_crash(box, template, cells, old):
    content = {"worksheets": [{"cells": cells}]} if old else {"cells": cells, "nbformat": 4}
    taken(box, json.dumps(content).encode(), template)


def places(value: object, path: tuple = ()) -> list[tuple]:
    """The path of every value inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[arg-type]
    found = [(*path, key) for key, _ in inner]
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):  # type: ignore
        if isinstance(each, (dict, list)):
            found += places(each, (*path, key))
    return found


@CALM
@given(data=st.data())
def test_no_mutation_of_a_good_notebook_crashes_or_moves_a_point(box, template, data):
    content = json.loads(json.dumps(template.filled_in({"square": "square = abs"})))
    for _ in range(data.draw(st.integers(1, 5))):
        path = data.draw(st.sampled_from(places(content)))
        parent = content
        for key in path[:-1]:
            parent = parent[key]
        change = data.draw(st.sampled_from(["delete", "replace", "copy", "swap"]))
        if change == "delete":
            del parent[path[-1]]
        elif change == "replace":
            parent[path[-1]] = data.draw(JSON | WORDS)
        elif isinstance(parent, list) and change == "copy":
            parent.insert(0, deepcopy(parent[path[-1]]))
        elif isinstance(parent, list):
            parent.reverse()
        if not isinstance(content, dict) or not places(content):
            break
    taken(box, json.dumps(content).encode(), template)


@CALM
@given(data=st.data())
def test_no_damaged_byte_crashes(box, template, data):
    content = bytearray(json.dumps(template.filled_in({})).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    taken(box, bytes(content), template)


def test_the_public_names_are_all_there():
    assert all(hasattr(intake_module, name) for name in intake_module.__all__)
