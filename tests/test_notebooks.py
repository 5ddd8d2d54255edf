"""Every notebook keeps the course's style, and every lesson runs from top to bottom.

A run leaves a ledger of seconds per cell in build/notebook_times/. The clock is reported there and
as a warning where a lesson exceeds its budget; it never fails a test.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ASSIGNMENTS = sorted((ROOT / "assignments").glob("*/*.ipynb"))
LEDGERS = ROOT / "build" / "notebook_times"
BUDGET_S = 180
HANGS_AFTER_S = 600  # for one cell, on a machine that may be busy with other things
MAX_COLUMNS = 79
MAX_LINES = 19
MAX_LINES_OF_AN_ANSWER = 24  # two small functions and their docstrings
MAX_LINES_OF_A_TEST = 29  # that students see
MAX_LINES_OF_HIDDEN_TESTS = 49
WIDGET = "application/vnd.jupyter.widget-view+json"


def name_of(path: Path) -> str:
    return path.stem


# Style: what a reader of the committed file sees


def style_problems(notebook: NotebookNode) -> list[str]:
    """Say what is wrong with a committed notebook; nothing if it keeps the style."""
    problems = [f"two cells have the id {cell_id}" for cell_id in repeated_ids(notebook)]
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        problems.append("the kernelspec is not python3")
    if set(notebook.metadata.get("language_info", {})) - {"name"}:
        problems.append("language_info holds more than a name, which changes with every machine")
    for cell in notebook.cells:
        found = code_problems(cell) if cell.cell_type == "code" else image_problems(cell.source)
        if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f-]+)?", cell.id):
            found.append("its id is random; a stable one says what the cell does")
        if "TODO" in cell.source:
            found.append("it holds a TODO")
        if not cell.source.strip():
            found.append("it is empty")
        problems += [f"cell {cell.id}: {problem}" for problem in found]
    return problems


def repeated_ids(notebook: NotebookNode) -> list[str]:
    ids = [cell.id for cell in notebook.cells]
    return sorted({cell_id for cell_id in ids if ids.count(cell_id) > 1})


def code_problems(cell: NotebookNode) -> list[str]:
    lines = cell.source.splitlines()
    kind = cell.metadata.get("nbgrader", {})
    limit = MAX_LINES_OF_AN_ANSWER if kind.get("solution") else MAX_LINES
    limits = {
        "it": MAX_LINES_OF_A_TEST if kind.get("grade") else limit,
        "its hidden part": MAX_LINES_OF_HIDDEN_TESTS,
    }
    problems = [
        f"line {number} has {len(line)} columns, {MAX_COLUMNS} are allowed"
        for number, line in enumerate(lines, 1)
        if len(line) > MAX_COLUMNS
    ]
    for part, count in parts_of(cell.source).items():
        if count > limits[part]:
            problems.append(f"{part} has {count} lines, {limits[part]} are allowed")
    if cell.outputs:
        problems.append("its outputs are stored")
    if cell.execution_count is not None:
        problems.append("its execution count is stored")
    return problems


def parts_of(source: str) -> dict[str, int]:
    """The lines that a student reads, and those of the hidden tests, which only authors read."""
    hidden = re.compile(r"### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS\n?", re.S)
    solution = re.compile(r"### BEGIN SOLUTION\n.*?### END SOLUTION", re.S)
    seen = solution.sub("# YOUR CODE HERE\n    raise NotImplementedError()", source)
    sizes = {"it": len(hidden.sub("", seen).splitlines())}
    for text in hidden.findall(source):
        sizes["its hidden part"] = len(text.splitlines())
    return sizes


def image_problems(text: str) -> list[str]:
    """Say which images in Markdown or HTML have no alternative text."""
    found = [
        f"image {url} has no alternative text" for url in re.findall(r"!\[\s*\]\(([^)]*)", text)
    ]
    for tag in re.findall(r"<img\b[^>]*>", text):
        if not re.search(r"""\balt=("[^"]*\S[^"]*"|'[^']*\S[^']*')""", tag):
            found.append(f"image {tag[:40]} has no alternative text")
    return found


@pytest.mark.parametrize("path", LESSONS + ASSIGNMENTS, ids=name_of)
def test_notebook_keeps_the_style(path: Path) -> None:
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5), "older formats have no cell ids"
    nbformat.validate(notebook)
    assert style_problems(notebook) == []


@pytest.mark.parametrize("path", LESSONS, ids=name_of)
def test_lesson_states_its_time_budget_before_the_first_code(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    first_code = next(i for i, cell in enumerate(cells) if cell.cell_type == "code")
    introduction = " ".join(cell.source for cell in cells[:first_code])
    stated = re.search(
        r"[Aa]bout\s+(one|two|three|\d+)\s+minutes?\s+on\s+(2|two)\s+cores", introduction
    )
    assert stated, "say 'about N minutes on 2 cores' at the top"


def notebook_of(*cells: NotebookNode) -> NotebookNode:
    kernel = {"name": "python3", "display_name": "Python 3"}
    return new_notebook(cells=list(cells), metadata={"kernelspec": kernel})


def test_a_good_notebook_has_no_style_problem() -> None:
    picture = new_markdown_cell("# Title\n![a cat](cat.png) <img src='x' alt='a dog'>", id="title")
    assert style_problems(notebook_of(picture, new_code_cell("x = 1\n" * 19, id="assign"))) == []


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        (new_code_cell("x = 1\n" * 20, id="long"), "has 20 lines, 19 are allowed"),
        (new_code_cell("x = '" + "-" * 75 + "'", id="wide"), "has 81 columns"),
        (new_code_cell("1", id="run", execution_count=3), "execution count is stored"),
        (new_code_cell("1", id="out", outputs=[new_output("stream", text="1")]), "outputs are"),
        (new_code_cell("1", id="0a1b2c3d"), "id is random"),
        (new_code_cell("pass  # TODO", id="later"), "holds a TODO"),
        (new_code_cell(" \n", id="blank"), "is empty"),
        (new_markdown_cell("![](cat.png)", id="cat"), "cat.png has no alternative text"),
        (new_markdown_cell('<img src="cat.png" alt=" ">', id="cat"), "has no alternative text"),
    ],
)
def test_each_style_problem_is_found(cell: NotebookNode, problem: str) -> None:
    problems = style_problems(notebook_of(cell))
    assert len(problems) == 1
    assert problem in problems[0]


def test_a_test_cell_may_be_longer_but_not_endless() -> None:
    def problems(seen: int, hidden: int = 3) -> list[str]:
        text = "### BEGIN HIDDEN TESTS\n" + "assert y\n" * (hidden - 2) + "### END HIDDEN TESTS\n"
        source = "assert x\n" * seen + text
        cell = new_code_cell(source, id="check", metadata={"nbgrader": {"grade": True}})
        return style_problems(notebook_of(cell))

    assert problems(29) == problems(5, hidden=49) == []
    assert problems(30) == ["cell check: it has 30 lines, 29 are allowed"]
    assert problems(5, 50) == ["cell check: its hidden part has 50 lines, 49 are allowed"]


def test_a_solution_counts_as_the_stub_that_a_student_gets() -> None:
    body = "    ### BEGIN SOLUTION\n" + "    pass\n" * 60 + "    ### END SOLUTION\n"
    cell = new_code_cell(
        "def f():\n" + body, id="answer", metadata={"nbgrader": {"solution": True}}
    )
    assert style_problems(notebook_of(cell)) == []


def test_repeated_ids_and_a_foreign_kernel_are_found() -> None:
    notebook = notebook_of(new_code_cell("1", id="one"), new_code_cell("2", id="two"))
    notebook.cells[1].id = "one"
    notebook.metadata["kernelspec"]["name"] = "my-env"
    notebook.metadata["language_info"] = {"name": "python", "version": "3.11.7"}
    assert len(style_problems(notebook)) == 3


# Execution: what a reader of the finished page sees


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Decoded data sets of this session only: what lies in a user's cache decides nothing."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.notebook
@pytest.mark.parametrize("path", LESSONS, ids=name_of)
def test_lesson_runs_from_top_to_bottom_without_network(
    path: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURSE_CACHE_DIR", str(cache))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # other tests run beside this one
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: nothing answers
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=HANGS_AFTER_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()  # raises where a cell fails
    write_ledger(path.stem, notebook)
    assert page_problems(notebook) == []


def write_ledger(name: str, notebook: NotebookNode) -> None:
    """Store the seconds that each cell took; warn if the lesson exceeds its budget."""
    from course_lib.measure import hardware

    cells = [
        {"id": cell.id, "seconds": round(seconds_of(cell), 2)}
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    total = round(sum(cell["seconds"] for cell in cells), 2)
    ledger = {"notebook": name, "total_s": total, "budget_s": BUDGET_S, "cells": cells}
    ledger["hardware"] = hardware()
    LEDGERS.mkdir(parents=True, exist_ok=True)
    (LEDGERS / f"{name}.json").write_text(json.dumps(ledger, indent=1) + "\n")
    if total > BUDGET_S:
        warnings.warn(f"{name} took {total} s, its budget is {BUDGET_S} s", stacklevel=2)


def seconds_of(cell: NotebookNode) -> float:
    times = cell.metadata["execution"]
    start, end = times["iopub.execute_input"], times["shell.execute_reply"]
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def page_problems(notebook: NotebookNode) -> list[str]:
    """Say what is wrong with an executed notebook: errors, mute pictures, a missing twin."""
    problems = []
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    modules = widget_modules(code)
    for cell, following in zip(code, [*code[1:], None], strict=True):
        for output in cell.outputs:
            complaint = output.get("evalue", output.get("text"))
            if output.output_type == "error" or output.get("name") == "stderr":
                problems.append(f"cell {cell.id} complains: {complaint}")
            if any(kind.startswith("image/") for kind in output.get("data", {})):
                problems.append(f"cell {cell.id} shows a picture without alternative text")
            problems += image_problems(output.get("data", {}).get("text/html", ""))
        if has_explorer(cell, notebook) and not is_twin(following, called_modules(cell, modules)):
            problems.append(f"cell {cell.id} shows a widget; no static twin follows it")
    return problems


def has_explorer(cell: NotebookNode, notebook: NotebookNode) -> bool:
    """Whether the cell shows a widget that is not just a progress bar."""
    stored = notebook.metadata.get("widgets", {})
    models = stored.get("application/vnd.jupyter.widget-state+json", {}).get("state", {})

    def is_progress_bar(model_id: str) -> bool:
        children = models.get(model_id, {}).get("state", {}).get("children", [])
        names = [models[child.removeprefix("IPY_MODEL_")]["model_name"] for child in children]
        return "FloatProgressModel" in names

    shown = (output.get("data", {}).get(WIDGET) for output in cell.outputs)
    return any(view and not is_progress_bar(view["model_id"]) for view in shown)


def is_twin(cell: NotebookNode | None, modules: dict[str, str]) -> bool:
    """Whether the cell calls one of those widget modules and shows a picture and a table."""
    if cell is None or not called_modules(cell, modules):
        return False
    outputs = [output.get("data", {}) for output in cell.outputs]
    page = " ".join(data.get("text/html", "") for data in outputs)
    return "<img" in page and "<table" in page and not any(WIDGET in data for data in outputs)


def widget_modules(code: list[NotebookNode]) -> dict[str, str]:
    """Map each name that the notebook imports from course_lib.widgets to the widget's module."""
    modules = {}
    for node in (node for cell in code for node in ast.walk(ast.parse(cell.source))):
        if isinstance(node, ast.ImportFrom):
            parent, _, module = f"{node.module}.".partition("course_lib.widgets.")
            for alias in node.names if not parent else ():
                modules[alias.asname or alias.name] = module.rstrip(".") or alias.name
    return modules


def called_modules(cell: NotebookNode, modules: dict[str, str]) -> dict[str, str]:
    """Return the part of `modules` whose names belong to the widgets that the cell calls."""
    calls = (node.func for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call))
    names = {n.id for call in calls for n in ast.walk(call) if isinstance(n, ast.Name)}
    called = {modules[name] for name in names if name in modules}
    return {name: module for name, module in modules.items() if module in called}


def html(text: str) -> NotebookNode:
    return new_output("display_data", data={"text/html": text})


def executed(*cells: tuple[str, list[Any]]) -> NotebookNode:
    return notebook_of(
        *(new_code_cell(source, id=f"c{i}", outputs=out) for i, (source, out) in enumerate(cells))
    )


IMPORT = "from course_lib.widgets import dial", []
WIDGET_CELL = "dial.explorer()", [new_output("display_data", data={WIDGET: {"model_id": "1"}})]
TWIN = "show(dial.figure(bits=8))", [html("<img alt='bins'>"), html("<table></table>")]


@pytest.mark.parametrize("names", ["dial", "dial as d", "other, dial"])
def test_a_widget_followed_by_its_picture_and_table_is_fine(names: str) -> None:
    used = names.rpartition(" ")[2]
    cells = [(source.replace("dial", used), outputs) for source, outputs in (WIDGET_CELL, TWIN)]
    imports = f"from course_lib.widgets import {names}", []
    assert page_problems(executed(imports, *cells)) == []


def test_the_twin_may_be_another_function_of_the_widgets_module() -> None:
    imports = "from course_lib.widgets.dial import dial, dial_figure", []
    widget, twin = ("dial()", WIDGET_CELL[1]), ("show(dial_figure(bits=8))", TWIN[1])
    assert page_problems(executed(imports, widget, twin)) == []


def test_a_progress_bar_needs_no_twin() -> None:
    notebook = executed(("fit()", WIDGET_CELL[1]))
    state = {
        "1": {"model_name": "HBoxModel", "state": {"children": ["IPY_MODEL_2"]}},
        "2": {"model_name": "FloatProgressModel", "state": {}},
    }
    assert len(page_problems(notebook)) == 1
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": state}}
    assert page_problems(notebook) == []


@pytest.mark.parametrize(
    "following",
    [
        [],
        [("1 + 1", [])],
        [("dial.figure(bits=8)", [html("<img alt='bins'>")])],
        [("dial.table(bits=8)", [html("<table></table>")])],
        [("other(bits=8)", TWIN[1])],
        [("dial.explorer()", [*TWIN[1], *WIDGET_CELL[1]]), TWIN],
    ],
)
def test_a_widget_without_its_static_twin_is_found(following: list[tuple[str, list[Any]]]) -> None:
    problems = page_problems(executed(IMPORT, WIDGET_CELL, *following))
    assert problems == ["cell c1 shows a widget; no static twin follows it"]


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (new_output("error", ename="ValueError", evalue="bad"), "complains: bad"),
        (new_output("stream", name="stderr", text="a warning"), "complains: a warning"),
        (new_output("display_data", data={"image/png": "AAAA"}), "without alternative text"),
        (html("<img src='x'>"), "no alternative text"),
    ],
)
def test_each_problem_of_a_finished_page_is_found(output: NotebookNode, problem: str) -> None:
    problems = page_problems(executed(("1", [output])))
    assert len(problems) == 1
    assert problem in problems[0]
