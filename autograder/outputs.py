"""Outputs that the grader writes into a cell, in the form that nbgrader reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import nbformat
from nbformat import NotebookNode


def verdict_outputs(verdict: Any) -> list[NotebookNode]:
    """A verdict of the trusted side as cell outputs, as nbgrader's determine_grade reads them."""
    outputs = []
    if verdict.text:
        outputs.append(nbformat.v4.new_output("stream", name="stdout", text=verdict.text))
    if verdict.error_name is not None:
        message = verdict.error_message or ""
        outputs.append(
            nbformat.v4.new_output(
                "error", ename=verdict.error_name, evalue=message, traceback=[message]
            )
        )
    elif verdict.score is not None:
        data = {"text/plain": repr(verdict.score)}
        outputs.append(nbformat.v4.new_output("execute_result", data=data))
    return outputs


def add_error(cell: NotebookNode, name: str, sentence: str) -> None:
    """Say in an error output, the only one, why the cell stopped or did not run."""
    error = nbformat.v4.new_output("error", ename=name, evalue=sentence, traceback=[sentence])
    outputs = cell.get("outputs", [])
    cell.outputs = [out for out in outputs if out.output_type != "error"] + [error]


def has_error(cell: NotebookNode, signs: Iterable[str]) -> bool:
    """Whether an error output of the cell contains one of these."""
    errors = [out for out in cell.get("outputs", []) if out.output_type == "error"]
    return any(sign in f"{out.ename}: {out.evalue}" for out in errors for sign in signs)
