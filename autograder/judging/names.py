"""Which names a cell binds and which it needs, read from its source without running it.

A name in a test cell means what the last cell before it that binds it says: an answer cell binds
it to something in the student's kernel, a set-up or test cell to something trusted. Which names
answer cells bind is taken from the instructor's notebook, never from the student's.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterator
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

_HIDDEN = re.compile(r"^### BEGIN HIDDEN TESTS$.*?^### END HIDDEN TESTS$", re.M | re.S)
Answers = dict[str, dict[str, list[str]]]  # grade id -> {"names": [...], "imports": [...]}


def answer_names(notebook: NotebookNode) -> Answers:
    """Return, for each answer cell of the instructor's notebook, names and imports; plain data."""
    found: Answers = {}
    for cell in notebook.cells:
        info = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and info.get("solution"):
            source = plain_python(cell.source)
            imported = [ast.unparse(node) for node in _imports(source)]
            names = sorted(bound(source) - imported_names(source))
            found[info["grade_id"]] = {"names": names, "imports": imported}
    return found


def plain_python(source: str) -> str:
    """Return the source with magics and shell lines made into calls, as IPython does it."""
    try:
        ast.parse(source)
    except SyntaxError:
        return TransformerManager().transform_cell(source)
    return source


def bound(source: str) -> set[str]:
    """Return the names that a cell binds at its top level; empty if it can't be parsed."""
    table = _table(source)
    if table is None:
        return set()
    names = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    for inner in _descendants(table):
        names |= {
            s.get_name() for s in inner.get_symbols() if s.is_declared_global() and s.is_assigned()
        }
    return names


def needed(source: str) -> set[str]:
    """Return the names that a cell, or a function in it, may look up in the notebook."""
    table = _table(source)
    if table is None:
        return set()
    names = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    for inner in _descendants(table):
        names |= {s.get_name() for s in inner.get_symbols() if s.is_global() and s.is_referenced()}
    return names


def imported_names(source: str) -> set[str]:
    """Return the names that import statements at the top level of a cell bind."""
    return {
        (alias.asname or alias.name).partition(".")[0]
        for node in _imports(source)
        for alias in node.names
    }


def visible_imports(source: str) -> list[str]:
    """Return the import statements of a test cell that students see too."""
    return [ast.unparse(node) for node in _imports(_HIDDEN.sub("", source))]


def _imports(source: str) -> list[ast.Import | ast.ImportFrom]:
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return []
    nodes = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    return [node for node in nodes if node.names[0].name != "*"]


def _table(source: str) -> Any:
    try:
        return symtable.symtable(source, "cell", "exec")
    except (SyntaxError, ValueError):
        return None


def _descendants(table: Any) -> Iterator[Any]:
    for inner in table.get_children():
        yield inner
        yield from _descendants(inner)
