"""From whatever a student handed in to a notebook that is safe to execute.

The instructor's notebook decides which cells there are, their order, their points and every
locked line; the student's file contributes answers and extra cells, nothing else. Each repair
leaves a sentence that the student can read.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader import utils

from autograder.template import Template, grade_id

MAX_NOTEBOOK_BYTES = 20 * 2**20

_MAKERS = {
    "code": nbformat.v4.new_code_cell,
    "markdown": nbformat.v4.new_markdown_cell,
    "raw": nbformat.v4.new_raw_cell,
}


@dataclass(frozen=True)
class Intake:
    """The notebook to execute, or None where nothing can be graded, and what was noticed."""

    notebook: NotebookNode | None
    notes: tuple[str, ...] = ()
    needs_a_look: bool = False


def take_in(folder: Path, template: Template) -> Intake:
    """Find the student's version of the template's notebook in `folder` and repair it."""
    wanted = f"{template.notebook}.ipynb"
    candidates, refused = _candidates(folder, wanted)
    problems = list(refused)
    best: tuple[int, Path, NotebookNode] | None = None
    for path in candidates:
        try:
            notebook = read_notebook(path)
        except ValueError as error:
            problems.append(f"{path.name} could not be read: {error}")
            continue
        known = len(set(map(grade_id, notebook.cells)) & set(template.cells))
        if path.name == wanted and known:
            best = (known, path, notebook)
            break
        if known and (best is None or known > best[0]):
            best = (known, path, notebook)
    if best is None:
        problems = problems or [f"No notebook called {wanted} was handed in."]
        return Intake(None, tuple(problems), needs_a_look=True)
    _, path, notebook = best
    notes = tuple(problems)
    if path.name != wanted:
        notes += (f"The notebook was handed in as {path.name}; its cells show it is {wanted}.",)
    repaired = repair(notebook, template)
    return Intake(repaired.notebook, notes + repaired.notes, bool(refused))


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook file leniently: ValueError only where there is nothing to grade."""
    if path.stat().st_size > MAX_NOTEBOOK_BYTES:
        limit = MAX_NOTEBOOK_BYTES // 2**20
        raise ValueError(f"it is larger than {limit} MB; clear its outputs and hand it in again.")
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8 text, so it is not a notebook.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not valid JSON, so it is not a whole notebook.") from error
    if isinstance(content, dict) and isinstance(content.get("worksheets"), list):
        try:
            content = nbformat.convert(nbformat.from_dict(content), 4)
        except Exception as error:
            raise ValueError(f"it is an old notebook that cannot be upgraded: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
        raise ValueError("it is JSON, but it has no list of cells.")
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [cell for cell in map(_clean_cell, content["cells"]) if cell is not None]
    return notebook


def repair(submitted: NotebookNode, template: Template) -> Intake:
    """Return the template with the student's answers and extra cells in it."""
    notes: list[str] = []
    found, extras = _sort_cells(submitted, template, notes)
    notebook = deepcopy(template.graded)
    cells: list[NotebookNode] = list(extras.get("", []))
    for cell in notebook.cells:
        name = grade_id(cell)
        if name is None:
            cells.append(cell)
            continue
        given = found.get(name)
        if utils.is_solution(cell):
            _take_answer(cell, name, given, notes)
        elif given is None:
            notes.append(f"The locked cell {name} was missing; it was put back.")
        elif _differs(given, template.released_cells[name]):
            notes.append(f"The locked cell {name} had been changed; it was restored.")
        cells.append(cell)
        cells.extend(extras.get(name, []))
    notebook.cells = cells
    return Intake(notebook, tuple(notes))


def is_unanswered(cell: NotebookNode, template: Template) -> bool:
    """Whether an answer cell still holds what was released."""
    name = grade_id(cell)
    return name in template.released_cells and not _differs(
        cell, template.released_cells[name], source_only=True
    )


def _candidates(folder: Path, wanted: str) -> tuple[list[Path], list[str]]:
    """Notebook files under `folder`, the rightly named one first, and refusals."""
    refused, files = [], []
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if ".ipynb_checkpoints" in path.parts:
            continue
        if path.is_symlink():
            refused.append(f"{path.name} is a symbolic link; links are not followed.")
        elif path.suffix == ".ipynb" and path.is_file():
            files.append(path)
    return sorted(files, key=lambda path: (path.name != wanted, len(path.parts))), refused


def _sort_cells(
    submitted: NotebookNode, template: Template, notes: list[str]
) -> tuple[dict[str, NotebookNode], dict[str, list[NotebookNode]]]:
    """Split the student's cells into nbgrader's, by id, and extras, by the id they follow."""
    given_text = {cell.source.strip() for cell in template.released.cells if not grade_id(cell)}
    ids = {cell.id: name for name, cell in template.cells.items() if "id" in cell}
    found: dict[str, NotebookNode] = {}
    extras: dict[str, list[NotebookNode]] = {}
    anchor = ""
    for cell in submitted.cells:
        name = grade_id(cell)
        if name not in template.cells:
            name = ids.get(cell.get("id", ""))
        if name is None:
            if cell.cell_type != "raw" and cell.source.strip() not in given_text:
                extras.setdefault(anchor, []).append(_plain(cell))
            continue
        cell = _named(cell, name)
        if name not in found or _replaces(cell, found, template, notes):
            found[name] = cell
            anchor = name
    return found, extras


def _replaces(
    copy: NotebookNode, found: dict[str, NotebookNode], template: Template, notes: list[str]
) -> bool:
    """Whether a second cell with the same id is the one that the student's tests saw."""
    name = copy.metadata.nbgrader.grade_id
    if name not in template.answers:
        return False
    notes.append(f"The answer cell {name} was there more than once; it is graded once.")
    tested = any(test in found for test in template.tests[name])
    return is_unanswered(found[name], template) or not (tested or is_unanswered(copy, template))


def _take_answer(
    cell: NotebookNode, name: str, given: NotebookNode | None, notes: list[str]
) -> None:
    if given is None:
        notes.append(f"The answer cell {name} was missing; it counts as not answered.")
        return
    if given.cell_type != cell.cell_type:
        notes.append(f"The answer cell {name} had another cell type; it was set back.")
    cell.source = given.source
    if cell.cell_type == "markdown" and isinstance(given.get("attachments"), dict):
        cell.attachments = given.attachments


def _differs(given: NotebookNode, original: NotebookNode, source_only: bool = False) -> bool:
    if given.source.strip() != original.source.strip():
        return True
    if source_only:
        return False
    flags = ("grade", "solution", "locked", "points")
    mine, theirs = original.metadata.nbgrader, given.metadata.get("nbgrader", {})
    return any(flag in mine and mine[flag] != theirs.get(flag) for flag in flags)


def _named(cell: NotebookNode, name: str) -> NotebookNode:
    info = cell.metadata.get("nbgrader")
    cell.metadata.nbgrader = NotebookNode(info if isinstance(info, dict) else {})
    cell.metadata.nbgrader.grade_id = name
    return cell


def _plain(cell: NotebookNode) -> NotebookNode:
    """A cell of the student's own, without anything nbgrader could take for a grade."""
    return _MAKERS[cell.cell_type](cell.source)


def _clean_cell(cell: Any) -> NotebookNode | None:
    """A well-formed cell with the same type, source, id and metadata; None for a non-cell."""
    if not isinstance(cell, dict):
        return None
    source = cell.get("source", "")
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    if not isinstance(source, str):
        source = ""
    kind = cell.get("cell_type")
    make = _MAKERS[kind if isinstance(kind, str) and kind in _MAKERS else "raw"]
    clean = make(source.encode("utf-8", "replace").decode())
    metadata = cell.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("nbgrader"), dict):
        clean.metadata.nbgrader = nbformat.from_dict(metadata["nbgrader"])
    if isinstance(cell.get("id"), str):
        clean.id = cell["id"]
    if isinstance(cell.get("attachments"), dict) and clean.cell_type == "markdown":
        clean.attachments = nbformat.from_dict(cell["attachments"])
    return clean
