"""What the grader tells a worker: first where to fork, then, kept from the kernel, what to do."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbgrader import utils

from autograder.execute import SETUP, STUDENT, TEST, Limits
from autograder.template import Template


def order(kind: str, home: Path, limits: Limits) -> dict[str, Any]:
    """What a worker may know before it forks the kernel: nothing of the submission."""
    box = {
        "folder": str(home),
        "memory_bytes": limits.memory_bytes,
        "disk_bytes": limits.disk_bytes,
        "processes": limits.processes,
    }
    common = {"box": box, "log": str(home / "log")}
    return {"kind": kind, "unsafe_local": limits.unsafe_local, **common}


def job(
    notebook: NotebookNode, limits: Limits, template: Template | None, trusted: Path
) -> dict[str, Any]:
    made: dict[str, Any] = {"notebook": notebook, "limits": asdict(limits), "steps": None}
    made["kinds"] = [STUDENT for _ in notebook.cells]
    if template is not None:
        made["kinds"] = _kinds(notebook, template)
        made["steps"] = template.steps
        made["trusted_folder"] = str(trusted)
    return made


def _kinds(notebook: NotebookNode, template: Template) -> list[str]:
    """Where each cell runs: the instructor's tests and other cells, and the student's."""
    own = {
        (cell.get("id"), cell.source)
        for cell in template.graded.cells
        if not utils.is_solution(cell)
    }

    def kind(cell: NotebookNode) -> str:
        if (cell.get("id"), cell.source) not in own:
            return STUDENT
        return TEST if utils.is_grade(cell) else SETUP

    return [kind(cell) for cell in notebook.cells]


def lay_out(folder: Path, supplies: Iterable[Path], files: Mapping[str, Path]) -> None:
    for name, path in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target, follow_symlinks=False)
    for path in supplies:
        if path.is_dir():
            shutil.copytree(path, folder / path.name, dirs_exist_ok=True)
        else:
            shutil.copy(path, folder / path.name)


def data_only(files: Mapping[str, Path]) -> dict[str, Path]:
    """Without anything that Python would import."""
    code = (".py", ".pyc", ".pyi", ".so", ".pyd", ".pth", ".zip")
    return {name: path for name, path in files.items() if not name.lower().endswith(code)}
