"""Run one notebook in a forked kernel, within limits, and keep what ran before any failure.

This is the trusted side of one submission (see `worker`). Every cell is reported as soon as it
is done. What stops a cell becomes an error output whose name is one of STOPPED.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode

from autograder import frames
from autograder.held_kernel import Executor, HeldKernel, connect, executor
from autograder.outputs import add_error, has_error, verdict_outputs
from autograder.use import Disk, forks_too_much, kill_descendants, tree, uses_more

TIMED_OUT = "TimedOut"
KERNEL_EXITED = "KernelExited"
MEMORY_LIMIT = "MemoryLimit"
DISK_LIMIT = "DiskLimit"
PROCESS_LIMIT = "ProcessLimit"
NOT_RUN = "NotRun"
STOPPED = (TIMED_OUT, KERNEL_EXITED, MEMORY_LIMIT, DISK_LIMIT, PROCESS_LIMIT, NOT_RUN)

_TOO_MUCH = {MEMORY_LIMIT: "memory", DISK_LIMIT: "disk", PROCESS_LIMIT: "processes"}

STUDENT, SETUP, TEST = "student", "setup", "test"  # where a code cell runs, see Runner

INTERRUPT_GRACE_S = 12.0
INTERRUPTS = 4  # in this time
LATE_OUTPUT_S = 1  # how long the output of an interrupted cell may take, in a flood say
LAST_OUTPUT_S = 0.2  # how long what a dead kernel still said may take to arrive
WATCH_EVERY_S = 0.2
START_UP_S = 60.0
_NO_SPACE = ("[Errno 28]", "[Errno 27]", "No space left on device")
_NO_MEMORY = ("MemoryError", "can't allocate memory", "[Errno 12]")


@dataclass(frozen=True)
class Limits:
    """What one notebook may use."""

    cell_s: float = 30.0
    notebook_s: float = 300.0
    memory_bytes: int = 4 * 2**30
    output_bytes: int = 200_000  # per cell
    outputs: int = 200  # messages per cell
    disk_bytes: int = 512 * 2**20  # beyond the files that it starts with
    processes: int = 256  # threads included
    unsafe_local: bool = False  # without a sandbox; recorded with the grade


class Runner:
    """Executes the code cells of one notebook in order, in place.

    Cells of kind STUDENT run in the kernel. Cells of kind TEST run in this process, on
    `trusted`, with the kernel serving the student's names; cells of kind SETUP, the
    instructor's own, run in the kernel and where a test needs their names here as well.
    """

    def __init__(
        self,
        notebook: NotebookNode,
        kinds: list[str],
        kernel: HeldKernel,
        limits: Limits,
        disk: Disk,
        trusted: Any = None,
    ) -> None:
        self.notebook, self.kinds, self.kernel = notebook, kinds, kernel
        self.limits, self.disk, self.trusted = limits, disk, trusted
        self.stopped: tuple[str, str] | None = None  # why, and the sentence for later cells
        self.deadline = 0.0
        self._died = asyncio.Event()

    async def run(self, after_cell: Callable[[int], None]) -> None:
        """Execute all cells; call `after_cell` with the index of each that is done."""
        await asyncio.to_thread(self.kernel.wait_until_ready, START_UP_S)
        client = await connect(self.kernel, START_UP_S)
        execute = executor(self.notebook, client, self.limits.output_bytes, self.limits.outputs)
        self.deadline = time.monotonic() + self.limits.notebook_s
        watches = [asyncio.create_task(self._watch_use()), asyncio.create_task(self._watch_life())]
        try:
            for index, cell in enumerate(self.notebook.cells):
                if cell.cell_type == "code":
                    await self._run_cell(execute, cell, index)
                    after_cell(index)
        finally:
            for watch in watches:
                watch.cancel()
            self._kill()

    async def _run_cell(self, execute: Executor, cell: NotebookNode, index: int) -> None:
        if not cell.source.strip():
            return
        if self.stopped:
            add_error(cell, NOT_RUN, self.stopped[1])
            return
        start = time.monotonic()
        limit = min(self.limits.cell_s, self.deadline - start)
        patience = execute.iopub_timeout
        timed_out = await self._within(
            self._work_of(execute, cell, index),
            limit,
            lambda: execute.set_trait("iopub_timeout", LATE_OUTPUT_S),
        )
        execute.iopub_timeout = patience
        cell.metadata.autograder = {"seconds": round(time.monotonic() - start, 3)}
        self._explain(cell, index, timed_out, whole=limit < self.limits.cell_s)

    def _work_of(
        self, execute: Executor, cell: NotebookNode, index: int
    ) -> Coroutine[Any, Any, Any]:
        if self.kinds[index] == TEST:
            return self._test(cell)
        if self.kinds[index] == SETUP and self.trusted.needs(cell):
            return self._set_up(execute, cell, index)
        return execute.async_execute_cell(cell, index)

    async def _set_up(self, execute: Executor, cell: NotebookNode, index: int) -> None:
        await execute.async_execute_cell(cell, index)
        await asyncio.to_thread(self.trusted.run_setup, cell)

    async def _test(self, cell: NotebookNode) -> None:
        verdict = await asyncio.to_thread(self.trusted.run_test, cell)
        cell.execution_count = None
        cell.outputs = verdict_outputs(verdict)

    async def _within(
        self, work: Coroutine[Any, Any, Any], limit: float, hurry: Callable[[], None]
    ) -> bool:
        """Let `work` run until it is done, the kernel is gone or the time is; whether it is."""
        task = asyncio.ensure_future(work)
        died = asyncio.ensure_future(self._died.wait())
        first = asyncio.FIRST_COMPLETED
        await asyncio.wait({task, died}, timeout=max(limit, 0.0), return_when=first)
        timed_out = not task.done() and not died.done()
        if timed_out:
            hurry()
            for _ in range(INTERRUPTS):  # one may fall where Python drops it, in a callback say
                self.kernel.signal(signal.SIGINT)
                pause = INTERRUPT_GRACE_S / INTERRUPTS
                done, _ = await asyncio.wait({task, died}, timeout=pause, return_when=first)
                if done:
                    break
            if not task.done():
                self._kill()
        if not task.done():
            if self.trusted is not None:
                self.trusted.stop()
            await asyncio.wait({task}, timeout=INTERRUPT_GRACE_S if timed_out else LAST_OUTPUT_S)
        died.cancel()
        task.cancel()
        with contextlib.suppress(DeadKernelError, asyncio.CancelledError):
            await task
        return timed_out

    def _explain(self, cell: NotebookNode, index: int, timed_out: bool, whole: bool) -> None:
        """Say in the cell's outputs, and remember for later cells, what stopped it."""
        alive = self.kernel.alive()
        name = _cell_name(cell, index)
        if timed_out:
            allowed = self.limits.notebook_s if whole else self.limits.cell_s
            what = "the whole notebook" if whole else "one cell"
            add_error(cell, TIMED_OUT, f"Timed out: {what} may take {allowed:g} seconds.")
            if whole or not alive:
                self._stop(TIMED_OUT, f"{name} timed out")
        elif not alive and self.stopped:
            why, sentence = self.stopped
            add_error(cell, why, sentence)
            self._stop(why, f"{name} used too much: {_TOO_MUCH.get(why, why)}")
        elif not alive:
            add_error(cell, KERNEL_EXITED, "The kernel exited while this cell ran.")
            self._stop(KERNEL_EXITED, f"the kernel exited in {name}")
        elif has_error(cell, _NO_SPACE) or (has_error(cell, ("",)) and self.disk.is_full()):
            add_error(cell, DISK_LIMIT, self._disk_sentence())
        elif has_error(cell, _NO_MEMORY):
            add_error(cell, MEMORY_LIMIT, self._memory_sentence())

    def _memory_sentence(self) -> str:
        return f"Memory limit: a notebook may use {self.limits.memory_bytes // 2**20} MB."

    def _disk_sentence(self) -> str:
        return f"Disk limit: a notebook may write {self.limits.disk_bytes // 2**20} MB."

    async def _watch_life(self) -> None:
        if self.kernel.died_handle() >= 0:
            loop = asyncio.get_running_loop()
            loop.add_reader(self.kernel.died_handle(), self._died.set)
            await self._died.wait()
            loop.remove_reader(self.kernel.died_handle())
        while self.kernel.alive():
            await asyncio.sleep(WATCH_EVERY_S)
        self._died.set()

    async def _watch_use(self) -> None:
        own = psutil.Process().memory_info().rss
        while True:
            grown = psutil.Process().memory_info().rss - own
            processes = tree(self.kernel.keeper, self.limits.processes)
            if forks_too_much(processes, self.limits.processes):
                says = f"Process limit: a notebook may run {self.limits.processes} processes."
                self._exceeded(PROCESS_LIMIT, says)
                return
            if uses_more(processes, self.limits.memory_bytes - max(grown, 0)):
                self._exceeded(MEMORY_LIMIT, self._memory_sentence())
                return
            if self.disk.used() > self.limits.disk_bytes:
                self._exceeded(DISK_LIMIT, self._disk_sentence())
                return
            await asyncio.sleep(WATCH_EVERY_S)

    def _exceeded(self, why: str, sentence: str) -> None:
        self.stopped = (why, sentence)
        self._kill()

    def _kill(self) -> None:
        self.kernel.kill()
        kill_descendants(but_not=self.kernel.keeper)

    def _stop(self, why: str, what: str) -> None:
        self.stopped = (why, f"Not run, because {what}.")


async def run_job(
    job: dict[str, Any], kernel: HeldKernel, disk: Disk, grader: socket.socket
) -> None:
    """Run the notebook of a job (see `sandboxed`); send every finished cell to the grader."""
    notebook = nbformat.from_dict(job["notebook"])
    trusted = None
    if job["steps"] is not None:
        from autograder.judging.trusted_side import TrustedSide

        os.environ["NBGRADER_EXECUTION"] = "autograde"  # as in nbgrader, for tests that ask
        folder = Path(job["trusted_folder"])
        sys.path.append(str(folder))
        trusted = TrustedSide(job["steps"], kernel.channel, folder)
    limits = Limits(**job["limits"])
    runner = Runner(notebook, job["kinds"], kernel, limits, disk, trusted)

    def report(index: int) -> None:
        frames.send(grader, {"cell": index, "content": notebook.cells[index]})

    run = asyncio.ensure_future(runner.run(report))
    gone = asyncio.ensure_future(_end_of(grader))
    await asyncio.wait({run, gone}, return_when=asyncio.FIRST_COMPLETED)
    if not run.done():
        raise EOFError("The grader is gone.")
    gone.cancel()
    run.result()
    frames.send(grader, {"done": True})


async def _end_of(grader: socket.socket) -> None:
    """Return when the other side, which has nothing more to say, closes the connection."""
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(grader.fileno(), closed.set)
    try:
        await closed.wait()
    finally:
        loop.remove_reader(grader.fileno())


def _cell_name(cell: NotebookNode, index: int) -> str:
    name = cell.metadata.get("nbgrader", {}).get("grade_id")
    return f"cell {name}" if name else f"cell {index + 1}"
