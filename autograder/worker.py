"""The trusted process of one submission: forks the student's kernel, then runs the notebook.

The order matters. The kernel is forked first, when this process knows of the submission no
more than the folder of its files; the job, which holds the hidden tests, is read after that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

from autograder import execute, frames, kernel, sandbox
from autograder.fork_server import command_line
from autograder.held_kernel import HeldKernel
from autograder.use import Disk, kill_descendants

START_UP_S = 90.0  # a loaded machine may take this long to start a kernel


def begin(grader: socket.socket, view: sandbox.View, level: sandbox.Level) -> Callable[[], object]:
    """Do one order of the grader and end; return only in the student's process: its kernel."""
    try:
        if sys.platform == "linux":
            sandbox.linux.die_with_parent(os.getppid(), signal.SIGKILL)
            sandbox.linux.adopt_orphans()
        os.setsid()
        order = frames.receive(grader)
        _log_to(order["log"])
        means = sandbox.NO_MEANS if order["unsafe_local"] else level.means
        box = sandbox.Box(**order["box"])
        run, held = _fork_kernel(grader, box, view, means)
        if run is not None:
            return run
        _work(grader, order, held, box, means)
    except BaseException as error:
        traceback.print_exception(error)
        sys.stderr.flush()
        kill_descendants()
        os._exit(1)
    kill_descendants()
    os._exit(0)


def _fork_kernel(
    grader: socket.socket, box: sandbox.Box, view: sandbox.View, means: sandbox.Means
) -> tuple[Callable[[], object] | None, Any]:
    """Fork the kernel: what runs it in the student's process, a HeldKernel in this one."""
    ready, say_ready = os.pipe()
    ours, theirs = socket.socketpair()
    runtime = f"{sandbox.home_inside(box, means)}/{sandbox.RUNTIME}"
    info = kernel.connection(runtime, secrets.token_hex(16))
    arguments = command_line(runtime)
    keeper = sandbox.start(box, view, means, [say_ready, theirs.fileno()], arguments)
    if keeper == 0:
        for gone in (grader, ours):
            gone.detach()  # closed by `start`; garbage would close what has their numbers by then
        return kernel.prepare(arguments, info, say_ready, theirs), None
    os.close(say_ready)
    theirs.close()
    info["ip"] = f"{sandbox.home_outside(box, means, keeper)}/{sandbox.RUNTIME}/kernel"
    return None, HeldKernel(keeper, info, ours, ready)


def _work(
    grader: socket.socket,
    order: dict[str, Any],
    held: HeldKernel,
    box: sandbox.Box,
    means: sandbox.Means,
) -> None:
    if order["kind"] == "kernel":
        held.wait_until_ready(START_UP_S)
        _lend(grader, held)
        return
    job = frames.receive(grader)
    disk = Disk(sandbox.home_outside(box, means, held.keeper), means.namespaces)
    asyncio.run(execute.run_job(job, held, disk, grader))


def _lend(grader: socket.socket, held: HeldKernel) -> None:
    """Let a kernel manager elsewhere use the kernel: say where it is, pass signals on."""
    frames.send(grader, {"pid": held.keeper, "connection": held.info})
    died = held.died_handle()
    while True:
        if died in select.select([grader.fileno(), died], [], [])[0]:
            with contextlib.suppress(OSError):
                frames.send(grader, {"exit": held.exit_status()})
            return
        try:
            held.signal(frames.receive(grader)["signal"])
        except (EOFError, OSError):
            held.kill()
            return


def _log_to(path: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
