"""From whatever a student handed in to a notebook that is safe to execute.

The instructor's notebook decides which cells there are, their order, their points and every
locked line; the student's file contributes answers, extra cells and data files, nothing else.
Each repair leaves a sentence that the student can read. `folder` finds the files, `reading`
makes cells of one of them, `repairing` fits those into the instructor's notebook.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from nbformat import NotebookNode

from autograder.intake.datafiles import carried
from autograder.intake.folder import Listing, look_through, notes_of_collecting, shown
from autograder.intake.reading import MAX_CELLS, MAX_NOTEBOOK_BYTES, read_notebook
from autograder.intake.repairing import (
    Intake,
    is_extra,
    is_unanswered,
    known_cells,
    repair,
)
from autograder.template import Template

__all__ = [
    "MAX_CELLS",
    "MAX_NOTEBOOK_BYTES",
    "Intake",
    "is_extra",
    "is_unanswered",
    "read_notebook",
    "repair",
    "take_in",
]

MAX_CANDIDATES = 20


@dataclass(frozen=True)
class _Candidate:
    path: Path
    notebook: NotebookNode
    known: int  # how many of the assignment's cells it has


def take_in(folder: Path, template: Template, supplies: Iterable[Path] = ()) -> Intake:
    """Find the student's version of the template's notebook in `folder` and repair it.

    `supplies` are the instructor's files of the assignment: they win over a student's file of
    the same name. Never raises for what is in the folder.
    """
    listing = look_through(folder)
    chosen, notes = _choose(listing, template)
    collected = notes_of_collecting(folder)
    if chosen is None:
        return Intake(None, (*notes, *collected), needs_a_look=True)
    repaired = repair(chosen.notebook, template)
    home = chosen.path.parent
    files, left_out = carried(listing.files, home, tuple(supplies))
    return replace(
        repaired,
        notes=(*collected, *listing.refused, *notes, *repaired.notes, *left_out),
        needs_a_look=bool(listing.refused) or 2 * chosen.known < len(template.cells),
        files=files,
        folder=home,
    )


def _choose(listing: Listing, template: Template) -> tuple[_Candidate | None, list[str]]:
    """The notebook to grade and sentences about the choice, or None and why there is none."""
    wanted = f"{template.notebook}.ipynb"
    own = [path for path in listing.notebooks if not _is_another(path, template)]
    own.sort(key=lambda path: (path.name != wanted, len(path.parts), str(path)))
    unread: dict[Path, str] = {}
    readable: list[_Candidate] = []
    for path in own[:MAX_CANDIDATES]:
        try:
            notebook = read_notebook(path)
        except ValueError as error:
            unread[path] = f"{shown(path)} could not be read: {error}"
            continue
        known = known_cells(notebook, template)
        if known or path.name == wanted:
            readable.append(_Candidate(path, notebook, known))
        if known and path.name == wanted:
            break
    if not readable:
        nothing = [f"No notebook called {wanted} was handed in."]
        return None, [*unread.values(), *listing.refused] or nothing
    best = max(readable, key=lambda each: (each.path.name == wanted and each.known, each.known))
    notes = list(unread.values())
    if best.path.name != wanted:
        told = "its cells show it is" if best.known else "it was taken for"
        notes.append(f"The notebook was handed in as {shown(best.path)}; {told} {wanted}.")
    others = [shown(path) for path in own if path != best.path and path not in unread]
    if others:
        notes.append(f"Of several notebooks {shown(best.path)} is graded, not {_some(others)}.")
    return best, notes


def _is_another(path: Path, template: Template) -> bool:
    """Whether the file's name says that it is another notebook of the same assignment."""
    stem = path.name.split(".ipynb")[0]
    fitting = [name for name in (template.notebook, *template.siblings) if stem.startswith(name)]
    return bool(fitting) and max(fitting, key=len) != template.notebook


def _some(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
