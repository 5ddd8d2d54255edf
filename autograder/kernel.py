"""Become a notebook kernel in a forked process that has imported everything already.

This runs on the student's side: what is in the memory of this process, a student can read.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq
from ipykernel import kernelapp
from ipykernel.iostream import IOPubThread
from tornado.ioloop import IOLoop
from zmq.eventloop.zmqstream import ZMQStream

MOST_OUTPUTS = 500  # messages of one cell; how many of them are kept is up to Limits.outputs
_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")


def connection(runtime: str, key: str) -> dict[str, Any]:
    """Jupyter's connection info for unix sockets in the folder `runtime`."""
    ports = {name: number for number, name in enumerate(_PORTS, 1)}
    common = {"transport": "ipc", "signature_scheme": "hmac-sha256", "key": key}
    return {**common, **ports, "ip": f"{runtime}/kernel", "kernel_name": "python3"}


def prepare(
    arguments: list[str], info: dict[str, Any], ready: int, channel: socket.socket | None
) -> Callable[[], object]:
    """Bind the sockets of `info`, say so on `ready`, and return what runs the kernel.

    `arguments` is a `command_line`; `info` is written to its connection file, as Jupyter does.
    `channel` leads to the grader's side of the tests. Says what went wrong on `ready` and ends
    if it fails.
    """
    try:
        file = Path(arguments[-1])
        file.write_text(json.dumps(info))
        file.chmod(0o600)
        listen = _listener(channel) if channel is not None else None
        _look_like_a_fresh_process(arguments)
        app = _kernel(str(file))
        if listen is not None:
            listen(app.kernel.shell)
        os.write(ready, b"ready")
        os.close(ready)
        start: Callable[[], object] = app.start
        return start
    except BaseException as error:
        os.write(ready, f"{type(error).__name__}: {error}"[:2000].encode())
        os._exit(1)


def environment(home: str) -> dict[str, str]:
    """The environment variables of a student's own kernel, and no others."""
    programs = os.path.dirname(sys.executable)
    system = "/usr/local/bin:/usr/bin:/bin"
    variables = {
        "HOME": home,
        "LANG": "C.UTF-8",
        "LOGNAME": "student",
        "PATH": f"{programs}:{system}",
        "SHELL": "/bin/bash",
        "USER": "student",
    }
    if not os.access("/tmp", os.W_OK):
        variables["TMPDIR"] = home
    for name in ("OMP_NUM_THREADS",):
        if name in os.environ:
            variables[name] = os.environ[name]
    return variables


def _look_like_a_fresh_process(arguments: list[str]) -> None:
    """Forget the fork server: its environment, arguments, modules and random numbers."""
    import matplotlib
    import numpy as np

    variables = environment(os.getcwd())
    os.environ.clear()
    os.environ.update(variables)
    sys.argv[:] = ["ipykernel_launcher.py", *arguments[3:]]
    sys.orig_argv[:] = arguments
    # Last, so that nothing a student hands in or writes can take the place of a library.
    sys.path[:] = [path for path in sys.path if path] + [os.getcwd()]
    tempfile.tempdir = None
    random.seed()
    np.random.seed()  # noqa: NPY002
    for folder in (matplotlib.get_configdir, matplotlib.get_cachedir):
        getattr(folder, "cache_clear", lambda: None)()
    for name in [name for name in sys.modules if name.partition(".")[0] == "autograder"]:
        del sys.modules[name]


class _OutputThread(IOPubThread):
    """ipykernel's, which takes the output of forked processes over a unix socket, not TCP.

    Of each cell's outputs it sends the first MOST_OUTPUTS: a flood would be minutes ahead of
    the reader, who could not tell whether the cell has ended.
    """

    _sent = 0

    def send_multipart(self, parts: list[bytes], *args: Any, **options: Any) -> None:
        """Send a message, as its base class does, unless the cell said too much already."""
        kind = bytes(parts[0]).rpartition(b".")[2]
        if kind == b"execute_input":
            self._sent = 0
        if kind in (b"execute_input", b"status", b"error"):
            super().send_multipart(parts, *args, **options)
        elif self._sent < MOST_OUTPUTS:
            self._sent += 1
            super().send_multipart(parts, *args, **options)

    def _setup_pipe_in(self) -> None:
        self._pipe_uuid = os.urandom(16)
        self._pipe_address = f"ipc://{os.path.dirname(sys.argv[2])}/forked"
        pipe = self.socket.context.socket(zmq.PULL)
        pipe.linger = 0
        pipe.bind(self._pipe_address)
        self._pipe_in = ZMQStream(pipe, self.io_loop)
        self._pipe_in.on_recv(self._handle_pipe_msg)

    def _setup_pipe_out(self) -> tuple[zmq.Context[Any], zmq.Socket[Any]]:
        context = zmq.Context()  # a new one, because a context does not survive a fork
        pipe = context.socket(zmq.PUSH)
        pipe.linger = 3000
        pipe.connect(self._pipe_address)
        return context, pipe


def _kernel(file: str) -> Any:
    vars(kernelapp)["IOPubThread"] = _OutputThread
    os.environ["COLUMNS"] = "80"  # or argparse asks a terminal that is not there, 0.1 s long
    app = kernelapp.IPKernelApp.instance()
    app.initialize(["-f", file, "--HistoryManager.enabled=False", "--quiet"])
    del os.environ["COLUMNS"]
    return app


def _listener(channel: socket.socket) -> Callable[[Any], None]:
    """What has the kernel's main thread, between two cells, answer tests of a shell's names.

    Not as a request of Jupyter's protocol, which sends four messages for each test.
    """
    from autograder.judging.student_side import serve

    def listen(shell: Any) -> None:
        def answer(*_: Any) -> None:
            if not serve(channel, shell.user_ns):
                loop.remove_handler(channel)

        loop = IOLoop.current()
        loop.add_handler(channel, answer, IOLoop.READ)

    return listen
