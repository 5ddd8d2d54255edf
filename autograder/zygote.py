"""The fork server: imports once what every notebook needs, then forks a worker per submission.

`python -c "from autograder.zygote import main; main(FD)()"`, started by `fork_server`. FD is a
unix socket: the server sends what the sandbox of this machine is worth (`sandbox.Level`), then
gets, for every submission, one byte and with it the worker's own connection to the grader.
It ends when that socket closes, that is, however the grader ends; its workers die with it.

It has one thread, no zmq context, has run no torch operation and never reads a submission, a
test or a solution: all that is in its memory is in the memory of every student's process too.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
from collections.abc import Callable

from autograder import frames, quick_start, sandbox, worker

_REAP_EVERY_S = 1.0


def main(control: int) -> Callable[[], object]:
    """Serve forks until the grader is gone; in a student's process, return its kernel.

    Returning, and not calling it here, leaves no frame of the grader on a student's stack.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the grader, which ends us
    grader = socket.socket(fileno=control)
    _import_everything()
    quick_start.forget()
    view = sandbox.this_installation(os.environ.pop("AUTOGRADER_DATA", ""))
    level = sandbox.find_level(view)
    gc.collect()
    gc.freeze()  # pages that no collection touches stay shared after a fork
    frames.send(grader, level.to_json())
    while True:
        connection = _next_request(grader)
        if connection is None:
            os._exit(0)
        if os.fork() == 0:
            grader.close()
            return worker.begin(connection, view, level)
        connection.close()


def _next_request(grader: socket.socket) -> socket.socket | None:
    """Wait for the next worker's connection, meanwhile reaping workers; None at the end."""
    while True:
        if not select.select([grader], [], [], _REAP_EVERY_S)[0]:
            _reap()
            continue
        _reap()
        try:
            message, handles, _, _ = socket.recv_fds(grader, 1, 1)
        except OSError:
            return None
        if not message:
            return None
        if handles:
            return socket.socket(fileno=handles[0])


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


# What a kernel would import when it starts and runs its first cell; ipykernel.debugger is the
# slowest. Not the plotting backend, which looks for a running kernel when imported.
_FOR_KERNELS = (
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "debugpy.server.api",
    "encodings.idna",
    "faulthandler",
    "ipykernel.debugger",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "matplotlib.font_manager",
    "matplotlib.pyplot",
    "numpy.testing",
    "torch._dynamo",  # the first optimizer and the first meta tensor import it, a second long
    "torch.nn.functional",
    "tornado.locks",
    "tornado.platform.asyncio",
    "tornado.queues",
    "course_lib",
)
_FOR_WORKERS = ("autograder.judging.student_side", "autograder.judging.trusted_side", "nbclient")


def _import_everything() -> None:
    for name in (*_FOR_KERNELS, *_FOR_WORKERS):
        importlib.import_module(name)
    threads = len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 1
    if threads != 1:
        raise RuntimeError(f"The fork server has {threads} threads after its imports, not one.")
