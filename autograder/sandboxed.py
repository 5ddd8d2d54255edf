"""Start `autograder.execute` on one notebook in a process of its own and wait for it.

Nothing that the notebook does, and no failure of the process that runs it, reaches the caller
as an exception: a cell that did not run says so in its outputs.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
import psutil
from nbformat import NotebookNode

from autograder.execute import NOT_RUN, Limits, add_error

START_UP_S = 90.0  # a loaded machine may take this long to start Python and a kernel

_running: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class Run:
    """An executed copy of a notebook, and what went wrong with the grader itself, if anything."""

    notebook: NotebookNode
    problem: str = ""


def run(notebook: NotebookNode, supplies: Iterable[Path], limits: Limits) -> Run:
    """Execute a copy of `notebook`; `supplies` are files that its folder must hold."""
    with tempfile.TemporaryDirectory(prefix="grading-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        cwd = home / "work"
        cwd.mkdir()
        for path in supplies:
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, cwd / path.name)
        job = {
            "notebook": str(home / "in.ipynb"),
            "out": str(home / "out.ipynb"),
            "cwd": str(cwd),
            "limits": asdict(limits),
        }
        (home / "in.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
        (home / "job.json").write_text(json.dumps(job))
        problem = _run_process(home, limits.notebook_s + START_UP_S)
        return Run(_collect(notebook, home / "out.ipynb", problem), problem)


def _run_process(home: Path, timeout_s: float) -> str:
    """Run the worker; a sentence where it failed, else an empty string."""
    environment = {**os.environ, "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "autograder.execute", str(home / "job.json")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=home,
            env=environment,
            start_new_session=True,
        )
        _running.add(process)
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return f"the notebook was not done after {timeout_s:g} seconds."
        finally:
            _end(process)
            _running.discard(process)
    if status == 0:
        return ""
    lines = (home / "log").read_text(errors="replace").strip().splitlines()
    return f"running it failed: {lines[-1][:300] if lines else f'exit status {status}'}"


def stop_all() -> None:
    """End every worker that is running; for Ctrl-C."""
    for process in list(_running):
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the worker clean up after itself, then make sure that nothing of it is left."""
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
    for child in family:
        with contextlib.suppress(psutil.Error):
            child.kill()
    process.wait()


def _collect(notebook: NotebookNode, out: Path, problem: str) -> NotebookNode:
    """The executed notebook as far as it got; code cells that never ran say so."""
    try:
        executed = nbformat.read(out, as_version=4)
    except Exception:
        executed = deepcopy(notebook)
    for cell in executed.cells:
        ran = cell.get("execution_count") or cell.get("outputs") or "autograder" in cell.metadata
        if cell.cell_type == "code" and cell.source.strip() and not ran:
            add_error(cell, NOT_RUN, f"Not run: {problem or 'the notebook stopped before it.'}")
    return executed
