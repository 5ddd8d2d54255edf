"""Run notebooks through the fork server, which this starts on first use, and wait for them.

Nothing that a notebook does, and no failure of the process that runs it, reaches the caller as
an exception: a cell that did not run says so in its outputs. Only a machine on which no sandbox
holds is refused, with a CourseError.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder import fork_server, frames
from autograder.errors import NoSandboxError
from autograder.execute import NOT_RUN, Limits
from autograder.fork_server import START_UP_S, tail
from autograder.job import data_only, job, lay_out, order
from autograder.nodes import copy_of
from autograder.outputs import add_error
from autograder.sandbox import Level
from autograder.template import Template

UNSAFE = "Run without a sandbox (--unsafe-local): it could read and change what the grader can."


@dataclass(frozen=True)
class Run:
    """An executed copy of a notebook, and what went wrong with the grader itself, if anything.

    `isolation` is empty, or the sentence to record with the grade where there was no sandbox.
    """

    notebook: NotebookNode
    problem: str = ""
    isolation: str = ""


_running: set[socket.socket] = set()


def start() -> Level:
    """Start the fork server unless it runs; what its sandbox is worth. Takes seconds once.

    RuntimeError where it cannot be started.
    """
    level = fork_server.ready().level
    assert level is not None
    return level


def require(limits: Limits) -> None:
    """NoSandboxError with a remedy where submissions would run without a sandbox unasked."""
    level = start()
    if level.problem and not limits.unsafe_local:
        raise NoSandboxError(level.problem)


def run(
    notebook: NotebookNode,
    supplies: Iterable[Path],
    limits: Limits,
    *,
    template: Template | None = None,
    files: Mapping[str, Path] | None = None,
) -> Run:
    """Execute a copy of `notebook` and return it.

    Its folder holds `files` (relative name: file), which the student handed in, and `supplies`,
    the instructor's files, which win where names collide. With a `template` the test cells run
    on the trusted side; without, every cell runs in the kernel. NoSandboxError as in `require`.
    """
    try:
        require(limits)
    except RuntimeError as error:
        return Run(_unrun(notebook, str(error)), f"running it failed: {error}")
    with tempfile.TemporaryDirectory(prefix="nb-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        for name in ("work", "trusted", "root"):
            (home / name).mkdir()
        supplies = list(supplies)
        lay_out(home / "work", supplies, files or {})
        lay_out(home / "trusted", supplies, data_only(files or {}))
        home.chmod(0o711)  # a throw-away user must reach its home where that stays in here
        told = job(notebook, limits, template, home / "trusted")
        executed, problem = _converse(home, told, notebook, limits)
    return Run(executed, problem, UNSAFE if limits.unsafe_local else "")


def borrow_kernel(folder: Path, limits: Limits) -> tuple[socket.socket, dict[str, Any]]:
    """Fork a kernel that someone else will use: the connection to its worker, and where it is.

    `folder` is an empty folder that must stay as long as the kernel; its subfolder `work`, if
    there is one, holds the files that the kernel's home starts with. RuntimeError where the
    kernel does not start, NoSandboxError as in `require`.
    """
    require(limits)
    for name in ("work", "root"):
        (folder / name).mkdir(exist_ok=True)
    connection = fork_server.ready().worker()
    try:
        frames.send(connection, order("kernel", folder, limits))
        return connection, frames.receive(connection)
    except (EOFError, OSError) as error:
        connection.close()
        raise RuntimeError(f"no kernel could be forked: {tail(folder / 'log')}") from error


def stop_all() -> None:
    """End every worker that is running; for Ctrl-C."""
    for connection in list(_running):
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _converse(
    home: Path, told: dict[str, Any], notebook: NotebookNode, limits: Limits
) -> tuple[NotebookNode, str]:
    """Give a worker the job and collect the cells that it reports; a sentence where it failed."""
    executed = copy_of(notebook)
    problem = ""
    try:
        with fork_server.ready().worker() as connection:
            _running.add(connection)
            try:
                connection.settimeout(limits.notebook_s + START_UP_S)
                frames.send(connection, order("notebook", home, limits))
                frames.send(connection, told)
                while "cell" in (said := frames.receive(connection)):
                    executed.cells[said["cell"]] = nbformat.from_dict(said["content"])
            finally:
                _running.discard(connection)
    except TimeoutError:
        problem = f"the notebook was not done after {limits.notebook_s + START_UP_S:g} seconds."
    except (EOFError, OSError, RuntimeError) as error:
        problem = f"running it failed: {tail(home / 'log') or error}"
    return (_unrun(executed, problem) if problem else executed), problem


def _unrun(notebook: NotebookNode, problem: str) -> NotebookNode:
    """The executed notebook as far as it got; code cells that never ran say so."""
    executed = copy_of(notebook)
    for cell in executed.cells:
        ran = cell.get("execution_count") or cell.get("outputs") or "autograder" in cell.metadata
        if cell.cell_type == "code" and cell.source.strip() and not ran:
            add_error(cell, NOT_RUN, f"Not run: {problem}")
    return executed
