"""The grader's end of a kernel: one that says nothing is waited for only while it lives."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from autograder import kernel
from autograder.held_kernel import Client, HeldKernel, connect

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kernels are forked")


def held(folder: Path, code: str) -> HeldKernel:
    """A process that never answers, in place of a kernel."""
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    ready, say = os.pipe()
    os.close(say)
    return HeldKernel(process.pid, kernel.connection(str(folder), "key"), socket.socket(), ready)


@pytest.mark.parametrize(
    ("end", "status"), [("os._exit(3)", 3), ("os.kill(os.getpid(), signal.SIGABRT)", -6)]
)
def test_a_kernel_that_ends_is_not_waited_for(tmp_path: Path, end: str, status: int):
    dead = held(tmp_path, f"import os, signal, time; time.sleep(0.2); {end}")
    with pytest.raises(RuntimeError, match=f"ended before it answered, status {status}"):
        asyncio.run(connect(dead, timeout_s=20.0))


def test_a_kernel_that_only_says_nothing_has_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stopped, stop = [], Client.stop_channels
    monkeypatch.setattr(Client, "stop_channels", lambda self: stopped.append(stop(self)))
    mute = held(tmp_path, "import time; time.sleep(600)")
    with pytest.raises(TimeoutError):
        asyncio.run(connect(mute, timeout_s=1.5))
    assert mute.alive()
    assert stopped, "zmq would wait for this kernel when the process ends"
    mute.kill()
