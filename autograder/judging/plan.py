"""What the trusted side needs to know of an assignment's code cells, worked out once a class.

Plain data: a plan travels to the worker of every submission with the rest of its job.
"""

from __future__ import annotations

from typing import TypedDict

from nbformat import NotebookNode

from autograder.judging.names import (
    Answers,
    answer_names,
    bound,
    needed,
    plain_python,
    visible_imports,
)


class Step(TypedDict):
    """One code cell of the graded notebook.

    answers: what an answer cell binds, by the instructor's answer, else empty.
    here: whether a plain cell must run on the trusted side: it is given, or a test needs it.
    """

    key: str
    source: str
    binds: list[str]
    imports: list[str]
    answers: dict[str, list[str]]
    here: bool


def plan(graded: NotebookNode, source: NotebookNode | None = None) -> list[Step]:
    """The steps of an assignment, hidden tests included.

    source: the instructor's notebook, whose answers say what answer cells bind; without it the
        stubs in `graded` do.
    """
    answers = answer_names(graded if source is None else source)
    cells = [cell for cell in graded.cells if cell.cell_type == "code"]
    return [
        Step(
            key=key(cell),
            source=(plain := plain_python(cell.source)),
            binds=sorted(bound(plain)),
            imports=visible_imports(plain),
            answers=answers.get(key(cell), {}),
            here=here,
        )
        for cell, here in zip(cells, _needed_here(cells), strict=True)
    ]


def key(cell: NotebookNode) -> str:
    """By what a cell of the executed notebook is found in the plan."""
    info = cell.metadata.get("nbgrader", {})
    return info.get("grade_id") or cell.get("id") or cell.source


def answers_of(steps: list[Step]) -> Answers:
    """The answers of all answer cells."""
    return {step["key"]: step["answers"] for step in steps if step["answers"]}


def _needed_here(cells: list[NotebookNode]) -> list[bool]:
    """Which plain cells must run on the trusted side, found backwards from the tests."""
    names: set[str] = set()
    wanted: list[bool] = []
    for cell in reversed(cells):
        info = cell.metadata.get("nbgrader", {})
        plain = plain_python(cell.source)
        binds = bound(plain)
        given = info.get("grade") or info.get("locked")
        used = not info.get("solution") and bool(given or binds & names)
        if used:
            names |= needed(plain) - binds
        wanted.append(used and not info.get("grade"))
    return wanted[::-1]
