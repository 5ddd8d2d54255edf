"""Run one notebook in a fresh kernel, within limits, and keep what ran before any failure.

This runs as a process of its own (`python -m autograder.execute JOB`, started by `sandboxed`),
which adopts every process that the notebook starts, even daemons, and takes them along when it
ends. What stops a cell becomes an error output whose name is one of STOPPED.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode

from autograder.files import write_text

TIMED_OUT = "TimedOut"
KERNEL_EXITED = "KernelExited"
MEMORY_LIMIT = "MemoryLimit"
NOT_RUN = "NotRun"
STOPPED = (TIMED_OUT, KERNEL_EXITED, MEMORY_LIMIT, NOT_RUN)

INTERRUPT_GRACE_S = 3.0
WATCH_EVERY_S = 0.2


@dataclass(frozen=True)
class Limits:
    """What one notebook may use."""

    cell_s: float = 30.0
    notebook_s: float = 300.0
    memory_bytes: int = 4 * 2**30
    output_bytes: int = 200_000  # per cell
    outputs: int = 200  # messages per cell


class Runner:
    """Executes the code cells of one notebook in order, in place."""

    def __init__(self, notebook: NotebookNode, cwd: Path, limits: Limits) -> None:
        self.notebook, self.cwd, self.limits = notebook, cwd, limits
        self.stopped: tuple[str, str] | None = None  # why, and the sentence for later cells
        self.deadline = 0.0

    async def run(self, after_cell: Any = lambda: None) -> None:
        """Execute all cells; call `after_cell` whenever one is done."""
        client = _client(self.notebook, self.cwd, self.limits)
        async with client.async_setup_kernel(cwd=str(self.cwd), env=_environment(self.cwd)):
            kernel = _kernel_process(client)
            self.deadline = time.monotonic() + self.limits.notebook_s
            watch = asyncio.create_task(self._watch_memory(kernel))
            try:
                for index, cell in enumerate(self.notebook.cells):
                    if cell.cell_type == "code":
                        await self._run_cell(client, kernel, cell, index)
                        after_cell()
            finally:
                watch.cancel()
                kill_descendants()

    async def _run_cell(
        self, client: NotebookClient, kernel: psutil.Process, cell: NotebookNode, index: int
    ) -> None:
        if self.stopped:
            add_error(cell, NOT_RUN, self.stopped[1])
            return
        start = time.monotonic()
        limit = min(self.limits.cell_s, self.deadline - start)
        task = asyncio.ensure_future(client.async_execute_cell(cell, index))
        done, _ = await asyncio.wait({task}, timeout=max(limit, 0.0))
        timed_out = not done
        if timed_out:
            await self._interrupt(client, kernel, task)
        with contextlib.suppress(DeadKernelError, asyncio.CancelledError):
            await task
        cell.metadata.autograder = {"seconds": round(time.monotonic() - start, 3)}
        alive = kernel.is_running() and kernel.status() != psutil.STATUS_ZOMBIE
        name = _cell_name(cell, index)
        if timed_out:
            whole = limit < self.limits.cell_s
            allowed = self.limits.notebook_s if whole else self.limits.cell_s
            what = "the whole notebook" if whole else "one cell"
            add_error(cell, TIMED_OUT, f"Timed out: {what} may take {allowed:g} seconds.")
            if whole or not alive:
                self._stop(TIMED_OUT, f"{name} timed out")
        elif not alive and self.stopped:
            add_error(cell, *self.stopped)
            self._stop(self.stopped[0], f"{name} used too much memory")
        elif not alive:
            add_error(cell, KERNEL_EXITED, "The kernel exited while this cell ran.")
            self._stop(KERNEL_EXITED, f"the kernel exited in {name}")

    async def _interrupt(
        self, client: NotebookClient, kernel: psutil.Process, task: asyncio.Future[Any]
    ) -> None:
        """Interrupt the running cell; kill the kernel where that does not help."""
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            kernel.send_signal(signal.SIGINT)
        done, _ = await asyncio.wait({task}, timeout=INTERRUPT_GRACE_S)
        if not done:
            kill_descendants()

    async def _watch_memory(self, kernel: psutil.Process) -> None:
        while True:
            if _memory_of_tree(kernel) > self.limits.memory_bytes:
                megabytes = self.limits.memory_bytes // 2**20
                self.stopped = (MEMORY_LIMIT, f"Memory limit: a notebook may use {megabytes} MB.")
                kill_descendants()
                return
            await asyncio.sleep(WATCH_EVERY_S)

    def _stop(self, why: str, what: str) -> None:
        self.stopped = (why, f"Not run, because {what}.")


def _kernel_process(client: NotebookClient) -> psutil.Process:
    """The kernel, to watch and to signal from outside."""
    provisioner = getattr(client.km, "provisioner", None)
    return psutil.Process(getattr(provisioner, "pid", None))


def add_error(cell: NotebookNode, name: str, sentence: str) -> None:
    """Say in an error output, the only one, why the cell stopped or did not run."""
    error = nbformat.v4.new_output("error", ename=name, evalue=sentence, traceback=[sentence])
    cell.outputs = [out for out in cell.outputs if out.output_type != "error"] + [error]


def kill_descendants() -> None:
    """Kill every process below this one, again until none is left."""
    for _ in range(20):
        children = psutil.Process().children(recursive=True)
        if not children:
            return
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(children, timeout=0.5)


class _Client(NotebookClient):
    """nbclient, with a cap on what a cell may print."""

    limits = Limits()
    _index = -1
    _bytes = 0
    _messages = 0

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        if msg["msg_type"] in ("status", "execute_input"):
            return super().process_message(msg, cell, cell_index)
        if cell_index != self._index:
            self._index, self._bytes, self._messages = cell_index, 0, 0
        if msg["msg_type"] == "error":
            return super().process_message(_shortened(msg), cell, cell_index)
        full = self._bytes >= self.limits.output_bytes or self._messages >= self.limits.outputs
        if full:
            return None
        room = self.limits.output_bytes - self._bytes
        size = len(json.dumps(msg["content"], default=str))
        self._bytes += size
        self._messages += 1
        output = None
        if size <= room:
            output = super().process_message(msg, cell, cell_index)
        elif msg["msg_type"] == "stream":
            text = msg["content"]["text"][:room]
            cell.outputs.append(nbformat.v4.new_output("stream", name="stdout", text=text))
        if self._bytes >= self.limits.output_bytes or self._messages >= self.limits.outputs:
            note = "\n[The rest of this cell's output was cut off.]\n"
            cell.outputs.append(nbformat.v4.new_output("stream", name="stdout", text=note))
        return output


def _shortened(msg: dict[str, Any], most: int = 4000) -> dict[str, Any]:
    content = dict(msg["content"])
    content["ename"] = str(content.get("ename", ""))[:200]
    content["evalue"] = str(content.get("evalue", ""))[:most]
    content["traceback"] = [str(line)[:most] for line in content.get("traceback", [])[-30:]]
    return {**msg, "content": content}


def _client(notebook: NotebookNode, cwd: Path, limits: Limits) -> _Client:
    manager = AsyncKernelManager(
        kernel_name="python3",
        connection_file=str(cwd.parent / "kernel.json"),
        transport="ipc" if os.name == "posix" else "tcp",  # no port to fight over
    )
    client = _Client(
        notebook,
        km=manager,
        timeout=None,
        allow_errors=True,
        raise_on_iopub_timeout=False,
        shutdown_kernel="immediate",
        store_widget_state=False,
    )
    client.owns_km = True
    client.limits = limits
    return client


def _environment(cwd: Path) -> dict[str, str]:
    """The environment of the kernel: the student's own home is the scratch folder."""
    cache = os.environ.get("COURSE_CACHE_DIR") or str(Path.home() / ".cache" / "course_lib")
    return {
        **os.environ,
        "HOME": str(cwd),
        "COURSE_CACHE_DIR": cache,
        "IPYTHONDIR": str(cwd / ".ipython"),
        "MPLCONFIGDIR": os.environ.get("MPLCONFIGDIR", str(Path.home() / ".cache/matplotlib")),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _memory_of_tree(kernel: psutil.Process) -> int:
    total = 0
    with contextlib.suppress(psutil.Error):
        for process in (kernel, *kernel.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total


def _cell_name(cell: NotebookNode, index: int) -> str:
    name = cell.metadata.get("nbgrader", {}).get("grade_id")
    return f"cell {name}" if name else f"cell {index + 1}"


def _own_all_descendants() -> None:
    """Linux: adopt daemons of the notebook, and end when the grader that started us ends."""
    if sys.platform == "linux":
        set_child_subreaper, set_death_signal = 36, 1  # linux/prctl.h
        prctl = ctypes.CDLL(None).prctl
        prctl(set_child_subreaper, 1, 0, 0, 0)
        prctl(set_death_signal, signal.SIGTERM, 0, 0, 0)


def main(job_path: str) -> None:
    """Run the job described by a JSON file; see `sandboxed.run`."""
    _own_all_descendants()
    job = json.loads(Path(job_path).read_text())
    notebook = nbformat.read(job["notebook"], as_version=4)
    out = Path(job["out"])
    runner = Runner(notebook, Path(job["cwd"]), Limits(**job["limits"]))
    try:
        asyncio.run(runner.run(lambda: write_text(out, nbformat.writes(notebook))))
    finally:
        kill_descendants()


if __name__ == "__main__":
    main(sys.argv[1])
