"""What `nodes` makes is what nbformat makes."""

from __future__ import annotations

from copy import deepcopy

import nbformat
import pytest
from nbformat import NotebookNode

from autograder.nodes import copy_of, new_cell, written

MAKERS = {
    "code": nbformat.v4.new_code_cell,
    "markdown": nbformat.v4.new_markdown_cell,
    "raw": nbformat.v4.new_raw_cell,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_cell_is_the_one_that_nbformat_makes(kind):
    expected = MAKERS[kind]("x = 1\n")
    made = new_cell(kind, "x = 1\n")
    made.id = expected.id
    assert made == expected
    assert type(made.metadata) is NotebookNode
    nbformat.validate(nbformat.v4.new_notebook(cells=[made]))


def test_a_copy_is_equal_and_shares_nothing(template):
    original = template.source
    copy, expected = copy_of(original), deepcopy(original)
    assert copy == expected
    assert type(copy.cells[0]) is NotebookNode
    copy.cells[0].metadata.anything = {"here": [1]}
    copy.cells[1].source = "changed"
    copy.cells.append("more")
    assert original == expected


def test_what_is_written_reads_as_what_nbformat_writes(template):
    notebook = copy_of(template.source)
    notebook.cells[0].source = 'Zeilen\n\n"ä" \u2028 \\ end'
    stream = nbformat.v4.new_output("stream", text="a\nb\n")
    picture = nbformat.v4.new_output("display_data", {"text/plain": "a\nb", "image/png": "AA=="})
    code = next(cell for cell in notebook.cells if cell.cell_type == "code")
    code.outputs = [stream, picture]
    expected = nbformat.reads(nbformat.writes(notebook), as_version=4)
    assert nbformat.reads(written(notebook), as_version=4) == expected == notebook
