"""Notebook cells made, copied and written as plain data, without a schema check for each.

nbformat checks every cell that it makes against a JSON schema, and copies a notebook through
`copy.deepcopy`, also to write it; for the hundred cells of a submission that adds up. What is
made here is valid by construction (see tests/autograder/test_nodes.py).
"""

from __future__ import annotations

import json
from typing import Any

from nbformat import NotebookNode


def new_cell(kind: str, source: str) -> NotebookNode:
    """A cell of kind "code", "markdown" or "raw" without an id."""
    cell = NotebookNode(cell_type=kind, metadata=NotebookNode(), source=source)
    if kind == "code":
        cell.update(execution_count=None, outputs=[])
    return cell


def copy_of(node: Any) -> Any:
    """A deep copy of a notebook or of a part of one, which holds nothing but JSON's types."""
    if isinstance(node, dict):
        made = NotebookNode() if isinstance(node, NotebookNode) else {}
        for name, value in node.items():
            dict.__setitem__(made, name, copy_of(value))
        return made
    if isinstance(node, list):
        return [copy_of(value) for value in node]
    return node


def written(notebook: NotebookNode) -> str:
    """A notebook as the text of a file: JSON on one line, its texts in one piece each."""
    return json.dumps(notebook, ensure_ascii=False)
