"""A submission's two processes without Jupyter: a forked child runs cells and answers requests."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.judging.plan import Step, plan
from autograder.judging.student_side import serve
from autograder.judging.trusted_side import TrustedSide, Verdict


class Submission:
    """Runs the student's cells in a forked child; `trusted` judges them from this process."""

    def __init__(self, notebook: NotebookNode, folder: Path, steps: list[Step] | None = None):
        self.control, self._child_control = socket.socketpair()
        self.channel, self._child_channel = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self.control.close()
            self.channel.close()
            _child(self._child_control, self._child_channel)
        self._child_control.close()
        self._child_channel.close()
        self.trusted = TrustedSide(steps or plan(notebook), self.channel, folder)

    def run(self, source: str) -> str:
        """Run a cell in the kernel; return the name of the error, or nothing."""
        return self._ask({"run": source})

    def test(self, cell: NotebookNode) -> Verdict:
        """Run a test cell on the trusted side while the kernel answers."""
        return self.trusted.run_test(cell)

    def setup(self, cell: NotebookNode) -> None:
        """Run an instructor's plain cell on both sides."""
        self.run(cell.source)
        if self.trusted.needs(cell):
            self.trusted.run_setup(cell)

    def _ask(self, message: dict[str, Any]) -> str:
        self._send(message)
        return self._receive()

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self.control.sendall(json.dumps(message).encode() + b"\n")

    def _receive(self) -> str:
        data = b""
        while not data.endswith(b"\n"):
            part = self.control.recv(65536)
            if not part:
                return "KernelExited"
            data += part
        return json.loads(data)

    def close(self) -> None:
        """End the child."""
        self.channel.close()
        self.control.close()
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def __enter__(self) -> Submission:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _child(control: socket.socket, channel: socket.socket) -> None:
    """Be the kernel: run the cells of the control socket, between them `serve`; never return."""
    namespace: dict[str, Any] = {"__name__": "__main__", "channel": channel}
    sys.modules["__main__"].__dict__.pop("__file__", None)
    file = control.makefile("rwb")
    try:
        while True:
            ready, _, _ = select.select([control, channel], [], [])
            if channel in ready:
                serve(channel, namespace)
                continue
            message = json.loads(file.readline())
            answer = ""
            try:
                exec(compile(message["run"], "<cell>", "exec"), namespace)
            except BaseException as error:
                answer = f"{type(error).__name__}: {error}"
                if os.environ.get("SHOW_CHILD"):
                    traceback.print_exc()
            file.write(json.dumps(answer).encode() + b"\n")
            file.flush()
    finally:
        os._exit(0)


def play(
    graded: NotebookNode, answers: dict[str, str], folder: Path, steps: list[Step] | None = None
) -> dict[str, Verdict]:
    """Run a graded notebook with these answers; return the verdict of every test cell.

    Plain cells that no test needs, such as pictures, are left out.
    """
    verdicts = {}
    with Submission(graded, folder, steps) as submission:
        for cell in graded.cells:
            info = cell.metadata.get("nbgrader", {})
            if cell.cell_type != "code":
                continue
            if info.get("solution"):
                submission.run(answers.get(info["grade_id"], cell.source))
            elif info.get("grade"):
                verdicts[info["grade_id"]] = submission.test(cell)
            elif submission.trusted.needs(cell):
                submission.setup(cell)
    return verdicts


def notebook(*cells: tuple[str, str, str]) -> NotebookNode:
    """Return a graded notebook of (kind, name, source): kind is setup, answer, test or plain."""
    flags = {
        "setup": {"locked": True, "grade": False, "solution": False},
        "answer": {"locked": False, "grade": False, "solution": True},
        "test": {"locked": True, "grade": True, "solution": False, "points": 1},
    }
    made = []
    for kind, name, source in cells:
        cell = nbformat.v4.new_code_cell(source, id=name)
        if kind in flags:
            cell.metadata.nbgrader = {"grade_id": name, **flags[kind]}
        made.append(cell)
    return nbformat.v4.new_notebook(cells=made)
