"""A Jupyter kernel provisioner whose kernels are forked and sandboxed, not started.

With it any user of jupyter_client, nbgrader's own executor among them, runs on the fork server
of this process: choose "course-fork" as the kernel provisioner, in a kernelspec's metadata or
with KernelProvisionerFactory.default_provisioner_name (environment variable
JUPYTER_DEFAULT_PROVISIONER_NAME). Plain nbgrader then grades as ever, test cells in the
student's kernel: fast and confined, but for its own judge use `autograder grade`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerBase

from autograder import frames, sandboxed
from autograder.execute import Limits

POLL_S = 0.02


class ForkProvisioner(KernelProvisionerBase):
    """Forks its kernel in a sandbox whose home starts as a copy of the working folder."""

    connection: socket.socket | None = None
    folder: tempfile.TemporaryDirectory[str] | None = None
    pid: int | None = None
    status: int | None = None

    @property
    def has_process(self) -> bool:
        """Whether there is a kernel."""
        return self.connection is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Nothing has to be prepared: the command of the kernelspec is not used."""
        return await super().pre_launch(cmd=[], **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel; return where it listens."""
        self.folder = tempfile.TemporaryDirectory(prefix="nb-", ignore_cleanup_errors=True)
        home = Path(self.folder.name)
        home.chmod(0o711)
        work = Path(kwargs.get("cwd") or os.getcwd())
        await asyncio.to_thread(_copy_files, work, home / "work")
        self.status = None
        self.connection, said = await asyncio.to_thread(sandboxed.borrow_kernel, home, Limits())
        self.pid = said["pid"]
        key = said["connection"]["key"].encode()
        self.connection_info = {**said["connection"], "key": key}
        return self.connection_info

    async def poll(self) -> int | None:
        """None while the kernel runs, else its exit status."""
        if self.connection is None:
            return self.status if self.status is not None else 0
        self.connection.setblocking(False)
        try:
            if not self.connection.recv(1, socket.MSG_PEEK):
                raise EOFError
        except BlockingIOError:
            return None
        except (EOFError, OSError):
            return self._ended(1)
        self.connection.setblocking(True)
        return self._ended(int(frames.receive(self.connection)["exit"]))

    async def wait(self) -> int | None:
        """Wait for the kernel to end; its exit status."""
        while await self.poll() is None:
            await asyncio.sleep(POLL_S)
        return self.status

    async def send_signal(self, signum: int) -> None:
        """Send the kernel a signal: SIGINT interrupts it, others end it."""
        if self.connection is not None:
            self.connection.setblocking(True)
            with contextlib.suppress(OSError):
                frames.send(self.connection, {"signal": int(signum)})

    async def kill(self, restart: bool = False) -> None:
        """End the kernel and all that it started."""
        if self.connection is not None:
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_WR)

    async def terminate(self, restart: bool = False) -> None:
        """As `kill`: a kernel has nothing to save."""
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:
        """Remove the kernel's files."""
        if self.folder is not None:
            await asyncio.to_thread(self.folder.cleanup)
            self.folder = None

    def _ended(self, status: int) -> int:
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        self.status = status
        return status


def _copy_files(source: Path, target: Path) -> None:
    """Copy the regular files and folders of a working folder, without links and hidden ones."""

    def ignored(folder: str, names: list[str]) -> list[str]:
        return [
            name for name in names if name.startswith(".") or os.path.islink(f"{folder}/{name}")
        ]

    shutil.copytree(source, target, ignore=ignored)
