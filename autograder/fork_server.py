"""The fork server of this process: begun early, for its imports take seconds, and ended with it.

Light to import, so that a command can begin the server before its own imports; both then take
their time together.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from uuid import uuid4

from autograder import frames
from autograder.sandbox import HOME, RUNTIME, Level

START_UP_S = 120.0  # a loaded machine may take this long to import torch or to start a kernel
_SKIP_SLOW_IMPORTS = "from autograder import quick_start; quick_start.skip_slow_imports()"


class ForkServer:
    """The process of `zygote`, and the connection over which it is asked for workers.

    `level` is what its sandbox is worth, known once it is ready.
    """

    level: Level | None = None

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nb-", ignore_cleanup_errors=True)
        ours, theirs = socket.socketpair()
        self.log = Path(self._folder.name) / "log"
        main = f"from autograder.zygote import main; main({theirs.fileno()})()"
        command = [sys.executable, "-P", "-c", f"{_SKIP_SLOW_IMPORTS}; {main}"]
        shown = command_line(f"{HOME}/{RUNTIME}")  # takes its place in /proc, so needs the room
        command[-1] += " " * (len("\0".join(shown)) - len("\0".join(command)))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder.name,
                env=_environment(),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        theirs.close()
        self._control = ours
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when it is ready; RuntimeError where it does not get there."""
        try:
            self._control.settimeout(START_UP_S)
            self.level = Level.from_json(frames.receive(self._control))
            self._control.settimeout(None)
        except (EOFError, OSError) as error:
            self.end()
            raise RuntimeError(f"the fork server did not start: {tail(self.log)}") from error

    def worker(self) -> socket.socket:
        """Fork a worker and return the connection to it."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            socket.send_fds(self._control, [b"w"], [theirs.fileno()])
        return ours

    def end(self) -> None:
        """End the server and with it its workers."""
        self._control.close()
        if self.level is not None:  # before that it has no workers and does not listen
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(2)
        self.process.kill()
        self.process.wait()
        self._folder.cleanup()


_server: ForkServer | None = None
_starting = threading.Lock()


def begin() -> None:
    """Start the server unless it runs, and do not wait for it; `ready` says what is wrong."""
    with _starting, contextlib.suppress(OSError):
        _begun()


def ready() -> ForkServer:
    """The server, started if need be, once it can fork; RuntimeError where it does not start."""
    with _starting:
        server = _begun()
        if server.level is None:
            server.wait()
        return server


def _begun() -> ForkServer:
    global _server
    if _server is None or _server.process.poll() is not None:
        _server = ForkServer()
    return _server


@atexit.register
def _end() -> None:
    global _server
    if _server is not None:
        _server.end()
        _server = None


def command_line(runtime: str) -> list[str]:
    """The command line of a kernel that Jupyter starts, with a new connection file's name."""
    return [sys.executable, "-m", "ipykernel_launcher", "-f", f"{runtime}/kernel-{uuid4()}.json"]


def tail(log: Path) -> str:
    """The last line of a log, shortened."""
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""
    return ""


def _environment() -> dict[str, str]:
    """What the fork server, and so in /proc any kernel, may see of this process's variables."""
    cache = os.environ.get("COURSE_CACHE_DIR") or str(Path.home() / ".cache" / "course_lib")
    passed = ("HOME", "PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "MPLCONFIGDIR", "TMPDIR")
    return {
        **{name: os.environ[name] for name in passed if name in os.environ},
        "AUTOGRADER_DATA": cache,
        "LANG": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "OPENBLAS_NUM_THREADS": "1",  # its threads would start with the import
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # or the debugger, unused here, warns
    }
