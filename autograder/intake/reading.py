"""Make plain, well-formed cells of a notebook file, however old, odd or hostile it is.

Nothing of the file's structure is trusted: only the type, the source, the id, nbgrader's flat
metadata and pictures of a cell are copied, into cells made afresh.
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.nodes import new_cell

MAX_NOTEBOOK_BYTES = 20 * 2**20
MAX_CELLS = 2000

_KINDS = ("code", "markdown", "raw")
# Types of cells in formats 1 to 3 (nbformat.v1 .. v3.nbbase) and what became of them.
_OLD_KINDS = {"text": "markdown", "html": "markdown", "heading": "markdown"}
_SOURCES = ("source", "input", "text", "code", "html")
_SCALARS = (str, int, float, bool)
_FLAGS = ("grade_id", "grade", "solution", "locked", "points", "task", "schema_version")
_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # as nbformat 4.5 wants it
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_MAX_PICTURES = 50
_OPEN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook file leniently: ValueError only where there is nothing to grade."""
    content = _parsed(_content(path))
    if not isinstance(content, dict):
        raise ValueError("it is JSON, but it has no list of cells.")
    cells = _cells(content)
    if len(cells) > MAX_CELLS:
        raise ValueError(f"it has {len(cells)} cells; {MAX_CELLS} are allowed.")
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [cell for cell in map(clean_cell, cells) if cell is not None]
    notebook.metadata.update(_metadata(content))
    return notebook


def clean_cell(cell: Any) -> NotebookNode | None:
    """A well-formed cell with the same type, source, id and flags; None for a non-cell."""
    if not isinstance(cell, dict):
        return None
    given = cell.get("cell_type")
    kind = given if isinstance(given, str) else "raw"
    kind = _OLD_KINDS.get(kind, kind)
    clean = new_cell(kind if kind in _KINDS else "raw", _source(cell))
    metadata = cell.get("metadata")
    info = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    if isinstance(info, dict):
        flat = {name: info[name] for name in _FLAGS if isinstance(info.get(name), _SCALARS)}
        clean.metadata.nbgrader = NotebookNode(flat)
    identity = cell.get("id")
    if isinstance(identity, str) and _CELL_ID.fullmatch(identity):
        clean.id = identity
    if clean.cell_type == "markdown" and (pictures := _pictures(cell.get("attachments"))):
        clean.attachments = pictures
    return clean


def _content(path: Path) -> bytes:
    """The file's bytes; a link, a device or more than allowed is refused, not read."""
    try:
        handle = os.open(path, _OPEN)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ValueError("it is not a regular file.")
            content = file.read(MAX_NOTEBOOK_BYTES + 1)
    except OSError as error:
        raise ValueError(f"it cannot be opened ({error.strerror}).") from error
    if len(content) > MAX_NOTEBOOK_BYTES:
        limit = MAX_NOTEBOOK_BYTES // 2**20
        raise ValueError(f"it is larger than {limit} MB; clear its outputs and hand it in again.")
    return content


def _parsed(content: bytes) -> Any:
    if not content.strip(b"\0 \t\r\n"):
        raise ValueError("it is empty (not even valid JSON), so it is not a notebook.")
    try:
        # A number of many digits is no reason to refuse a notebook: none is needed.
        return json.loads(content.decode("utf-8-sig"), parse_int=float)
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8 text, so it is not a notebook.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not valid JSON, so it is not a whole notebook.") from error


def _cells(content: dict[str, Any]) -> list[Any]:
    """The cells of format 4, or of all worksheets of format 2 and 3."""
    cells = content.get("cells")
    if isinstance(cells, list):
        return cells
    sheets = content.get("worksheets")
    lists = [
        sheet["cells"]
        for sheet in (sheets if isinstance(sheets, list) else [])
        if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list)
    ]
    if not lists:
        raise ValueError("it is JSON, but it has no list of cells.")
    return [cell for cells in lists for cell in cells]


def _metadata(content: dict[str, Any]) -> dict[str, Any]:
    """What the repair has something to say about: the format and the language."""
    kept: dict[str, Any] = {}
    if isinstance(version := content.get("nbformat"), float) and version != 4:
        kept["orig_nbformat"] = f"{version:g}"
    metadata = content.get("metadata")
    for name in ("kernelspec", "language_info"):
        part = metadata.get(name) if isinstance(metadata, dict) else None
        if isinstance(part, dict):
            texts = {key: part[key] for key in ("name", "language") if key in part}
            kept[name] = NotebookNode(
                {key: text[:80] for key, text in texts.items() if isinstance(text, str)}
            )
    return kept


def _source(cell: dict[str, Any]) -> str:
    given = next((cell[name] for name in _SOURCES if name in cell), "")
    if isinstance(given, list):
        given = "".join(part for part in given if isinstance(part, str))
    if not isinstance(given, str):
        return ""
    text = given.encode("utf-8", "replace").decode().replace("\r\n", "\n")
    if cell.get("cell_type") == "heading":
        level = cell.get("level")
        deep = int(level) if isinstance(level, float) and 1 <= level <= 6 else 1
        return f"{'#' * deep} {text}"
    return text


def _pictures(attachments: Any) -> NotebookNode | None:
    """The pictures among a cell's attachments; another type could carry a script."""
    kept = NotebookNode()
    for name, bundle in attachments.items() if isinstance(attachments, dict) else ():
        if not (name and len(name) <= 200 and name.isprintable() and isinstance(bundle, dict)):
            continue
        data = {kind: _base64(bundle.get(kind)) for kind in _PICTURES}
        pictures = {kind: text for kind, text in data.items() if text}
        if pictures and len(kept) < _MAX_PICTURES:
            kept[name] = NotebookNode(pictures)
    return kept or None


def _base64(data: Any) -> str:
    """The data without blanks if it is base64, else nothing."""
    text = "".join(data.split()) if isinstance(data, str) else ""
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return ""
    return text
