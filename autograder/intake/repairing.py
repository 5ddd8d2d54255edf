"""Fit a student's cells into the instructor's notebook.

Every cell of the template is there once, in its place, with its own metadata; answers take the
student's text; what else the student wrote stays as plain cells after the cell it followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader import utils

from autograder.nodes import copy_of
from autograder.template import Template, grade_id

EXTRA = "extra-"  # how the ids of a student's own cells begin
_FLAGS = ("grade", "solution", "locked", "points", "task")
_WORD = re.compile(r"[A-Za-z_]\w+")


@dataclass(frozen=True)
class Intake:
    """The notebook to execute, or None where nothing can be graded, and what was noticed.

    `files` are the student's data files, all below `folder`, where the notebook lay.
    """

    notebook: NotebookNode | None
    notes: tuple[str, ...] = ()
    needs_a_look: bool = False
    files: tuple[Path, ...] = ()
    folder: Path | None = None


@dataclass
class _Match:
    """Which cell of the student's stands for which of the template, both by position."""

    chosen: dict[int, int] = field(default_factory=dict)  # template -> student
    extras: dict[int, list[int]] = field(default_factory=dict)  # template cell before -> student
    copied: list[int] = field(default_factory=list)  # answers that were there more than once
    unnamed: list[int] = field(default_factory=list)  # recognized, but not by the grade id
    guessed: list[int] = field(default_factory=list)  # recognized by their place alone


def repair(submitted: NotebookNode, template: Template) -> Intake:
    """Return the template with the student's answers and extra cells in it."""
    match = _match(submitted, template)
    notebook = copy_of(template.graded)
    taken = {cell.id for cell in notebook.cells}
    numbers = (name for i in range(1, 10**9) if (name := f"{EXTRA}{i}") not in taken)
    cells = [_plain(submitted.cells[at], numbers) for at in match.extras.get(-1, [])]
    for place, cell in enumerate(notebook.cells):
        if place in match.chosen and utils.is_solution(cell):
            _answer(cell, submitted.cells[match.chosen[place]])
        cells.append(cell)
        cells += [_plain(submitted.cells[at], numbers) for at in match.extras.get(place, [])]
    notebook.cells = cells
    if not match.chosen:
        name = f"{template.notebook}.ipynb"
        note = f"None of the cells of {name} is in this notebook; nothing counts as answered."
        return Intake(notebook, (note,), needs_a_look=True)
    return Intake(notebook, tuple(_notes(submitted, template, match)))


def known_cells(submitted: NotebookNode, template: Template) -> int:
    """How many of the template's named cells the notebook has, by their names, ids or text."""
    names = {grade_id(cell) for cell in submitted.cells}
    ids = {cell.get("id") for cell in submitted.cells}
    texts = {cell.source.strip() for cell in submitted.cells}
    return sum(
        name in names
        or cell.id in ids
        or (not utils.is_solution(cell) and cell.source.strip() in texts)
        for name, cell in template.released_cells.items()
    )


def is_unanswered(cell: NotebookNode, template: Template) -> bool:
    """Whether an answer cell still holds what was released."""
    name = grade_id(cell)
    return name in template.answers and _same_text(cell, template.released_cells[name])


def is_extra(cell: NotebookNode) -> bool:
    """Whether a cell of a repaired notebook is the student's own, beyond the assignment's."""
    return str(cell.get("id", "")).startswith(EXTRA)


def _match(submitted: NotebookNode, template: Template) -> _Match:
    released = template.released.cells
    match = _Match()
    given: dict[int, int] = {}  # student -> template, copies included
    recognized = _recognize(submitted, template, match)
    for at, place in enumerate(recognized):
        if place is None:
            continue
        given[at] = place
        before = match.chosen.get(place)
        if before is None or _replaces(at, before, place, submitted, template, match):
            match.chosen[place] = at
        if before is not None and utils.is_solution(released[place]):
            match.copied.append(place)
    free = [at for at, place in enumerate(recognized) if place is None]
    for place in _guess(free, submitted, template, match):
        given[match.chosen[place]] = place
    anchor = -1
    for at, cell in enumerate(submitted.cells):
        place = given.get(at)
        if place is not None and match.chosen[place] == at:
            anchor = place
        if _stays(cell, place, at, released, match):
            match.extras.setdefault(anchor, []).append(at)
    return match


def _recognize(submitted: NotebookNode, template: Template, match: _Match) -> list[int | None]:
    """For each of the student's cells, the template's cell that it is, by name, id or text."""
    cells = template.graded.cells
    names = {name: i for i, cell in enumerate(cells) if (name := grade_id(cell))}
    ids = {cell.id: i for i, cell in enumerate(cells)}
    texts: dict[str, list[int]] = {}
    for i, cell in enumerate(template.released.cells):
        texts.setdefault(cell.source.strip(), []).append(i)
    found: list[int | None] = []
    for cell in submitted.cells:
        name, text = grade_id(cell), cell.source.strip()
        place = names.get(name) if name else None
        if place is None:
            place = ids.get(cell.get("id", ""))
            if place is None and text:
                free = [i for i in texts.get(text, []) if i not in found]
                place = free[0] if free else None
            if place is not None and grade_id(cells[place]):
                match.unnamed.append(place)
        found.append(place)
    return found


def _replaces(
    at: int, before: int, place: int, submitted: NotebookNode, template: Template, match: _Match
) -> bool:
    """Whether a second cell with the same name is the one that the student's tests saw."""
    cell = template.graded.cells[place]
    if not utils.is_solution(cell):
        return False
    released = template.released.cells[place]
    if _same_text(submitted.cells[before], released):
        return True
    tests = template.tests[grade_id(cell) or ""]
    places = {grade_id(cell): i for i, cell in enumerate(template.graded.cells)}
    tested = any(places[test] in match.chosen for test in tests)
    return not (tested or _same_text(submitted.cells[at], released))


def _guess(
    free: list[int], submitted: NotebookNode, template: Template, match: _Match
) -> list[int]:
    """Find answers that lost name and id: cells between the right neighbours, most alike first."""
    places = [i for i, cell in enumerate(template.graded.cells) if utils.is_solution(cell)]
    missing = [place for place in places if place not in match.chosen]
    words = {at: _words(submitted.cells[at].source) for at in free}
    placed = bool(match.chosen)  # else there is nothing to hold on to but the text
    for place in missing:
        after = max((i for i in match.chosen if i < place), default=None)
        until = min((i for i in match.chosen if i > place), default=None)
        low = -1 if after is None else match.chosen[after]
        high = len(submitted.cells) if until is None else match.chosen[until]
        wanted = _own_words(template, place)
        kind = template.graded.cells[place].cell_type
        between = [
            (len(wanted & words[at]), submitted.cells[at].cell_type == kind, -at)
            for at in free
            if low < at < high and submitted.cells[at].source.strip()
        ]
        if between and (placed or max(between)[0]):
            match.chosen[place] = -max(between)[2]
            free = [at for at in free if at != match.chosen[place]]
            match.guessed.append(place)
    return match.guessed


def _own_words(template: Template, place: int) -> set[str]:
    """The words of an answer's stub that no other stub of the notebook has."""
    words = _words(template.released.cells[place].source)
    for other, cell in enumerate(template.released.cells):
        if other != place and utils.is_solution(cell):
            words -= _words(cell.source)
    return words


def _words(text: str, most: int = 4000) -> set[str]:
    return set(_WORD.findall(text[:most]))


def _stays(
    cell: NotebookNode, place: int | None, at: int, released: list[NotebookNode], match: _Match
) -> bool:
    """Whether the student's cell is kept as an extra one."""
    if cell.cell_type == "raw" or not cell.source.strip():
        return False
    if place is None:
        return True
    if _same_text(cell, released[place]):
        return False
    if utils.is_solution(released[place]):
        return match.chosen[place] != at  # the other half of a split answer, say
    return not released[place].metadata.get("nbgrader")  # a plain cell is the student's to edit


def _answer(cell: NotebookNode, given: NotebookNode) -> None:
    cell.source = given.source
    if cell.cell_type == "markdown" and given.cell_type == "markdown" and "attachments" in given:
        cell.attachments = copy_of(given.attachments)


def _plain(cell: NotebookNode, numbers: Iterator[str]) -> NotebookNode:
    """A cell of the student's own, without anything nbgrader or Jupyter could take for a sign."""
    if cell.cell_type == "code":
        return nbformat.v4.new_code_cell(cell.source, id=next(numbers))
    plain = nbformat.v4.new_markdown_cell(cell.source, id=next(numbers))
    if "attachments" in cell:
        plain.attachments = copy_of(cell.attachments)
    return plain


def _notes(submitted: NotebookNode, template: Template, match: _Match) -> Iterator[str]:
    """A sentence for every repair, in the order of the notebook."""
    yield from _notes_on_the_file(submitted)
    for place, cell in enumerate(template.graded.cells):
        name, at = grade_id(cell), match.chosen.get(place)
        if name is None:
            continue
        given = None if at is None else submitted.cells[at]
        if utils.is_solution(cell):
            yield from _notes_on_answer(name, cell, given, place, match)
        elif given is None:
            yield f"The locked cell {name} was missing; it was put back."
        elif not _same_text(given, template.released.cells[place]) or _reflagged(given, cell):
            yield f"The locked cell {name} had been changed; it was restored."
        elif given.cell_type != cell.cell_type:
            yield f"The locked cell {name} had another cell type; it was restored."
    if lost := len(set(match.unnamed)):
        yield f"{lost} cells had lost their names; they were known by their ids or text."
    order = [match.chosen[place] for place in sorted(match.chosen)]
    if order != sorted(order):
        yield "Cells had been moved; they were put back in their order."


def _notes_on_the_file(submitted: NotebookNode) -> Iterator[str]:
    if version := submitted.metadata.get("orig_nbformat"):
        yield f"The notebook says it has format {version}; it was read as format 4."
    spec, info = (submitted.metadata.get(key) or {} for key in ("kernelspec", "language_info"))
    language = spec.get("language") or info.get("name") or spec.get("name") or "python"
    if "python" not in str(language).lower():
        yield f"The notebook asked for the language {str(language)[:40]}; it is run as Python."


def _notes_on_answer(
    name: str, cell: NotebookNode, given: NotebookNode | None, place: int, match: _Match
) -> Iterator[str]:
    if given is None:
        yield f"The answer cell {name} was missing; it counts as not answered."
        return
    if place in match.guessed:
        yield f"The answer cell {name} was missing; the cell in its place was taken for it."
    if place in match.copied:
        yield f"The answer cell {name} was there more than once; it is graded once."
    if given.cell_type != cell.cell_type:
        yield f"The answer cell {name} had another cell type; it was set back."
    elif place not in (*match.guessed, *match.unnamed) and _reflagged(given, cell):
        yield f"The settings of the answer cell {name} had been changed; they were set back."


def _same_text(given: NotebookNode, original: NotebookNode) -> bool:
    return str(given.source).strip() == str(original.source).strip()


def _reflagged(given: NotebookNode, original: NotebookNode) -> bool:
    info = given.metadata.get("nbgrader")
    theirs = info if isinstance(info, dict) else {}
    mine = original.metadata.nbgrader
    named = "grade_id" in theirs  # a cell without its name is spoken of elsewhere
    return named and any(flag in mine and mine[flag] != theirs.get(flag) for flag in _FLAGS)
