"""The grader's end of a forked kernel: is it alive, interrupt it, run a cell."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import select
import signal
import socket
from typing import Any, cast

import nbformat
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.connect import KernelConnectionInfo
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal
from nbformat import NotebookNode
from traitlets import Type

LOOK_AFTER_S = 0.5  # how often to see whether a kernel that says nothing is alive


class HeldKernel:
    """A kernel whose keeper this process forked.

    `info` is Jupyter's connection info; `channel` leads to the student's side of the tests.
    """

    def __init__(
        self, keeper: int, info: dict[str, Any], channel: socket.socket, ready: int
    ) -> None:
        self.keeper, self.info, self.channel = keeper, info, channel
        self._ready = ready
        self._died = os.pidfd_open(keeper) if hasattr(os, "pidfd_open") else -1
        self._status: int | None = None

    def wait_until_ready(self, timeout_s: float) -> None:
        """Return when the kernel has bound its sockets; RuntimeError where it could not."""
        readable, _, _ = select.select([self._ready], [], [], timeout_s)
        said = os.read(self._ready, 4096).decode("utf-8", "replace") if readable else ""
        os.close(self._ready)
        if said != "ready":
            raise RuntimeError(f"The kernel did not start: {said or 'it says nothing.'}")

    def died_handle(self) -> int:
        """A file descriptor that is readable once the kernel is gone (Linux)."""
        return self._died

    def exit_status(self) -> int | None:
        """The kernel's exit status, or None while it runs."""
        if self._status is None:
            try:
                ended, status = os.waitpid(self.keeper, os.WNOHANG)
            except ChildProcessError:
                ended, status = self.keeper, 1 << 8
            if ended:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def alive(self) -> bool:
        """Whether the kernel still runs."""
        return self.exit_status() is None

    def signal(self, signum: int) -> None:
        """Interrupt (SIGINT) or end (any other) the kernel."""
        with contextlib.suppress(ProcessLookupError):
            if self.alive():
                os.kill(self.keeper, signum)

    def kill(self) -> None:
        """End the kernel and, where it has a pid namespace, all that it started."""
        self.signal(signal.SIGKILL)


class _Channel(AsyncZMQSocketChannel):
    """Passes over what is no message of a kernel: student code can write to these sockets too."""

    async def _recv(self, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        while True:
            parts = await self.socket.recv_multipart(**kwargs)
            with contextlib.suppress(Exception):  # of many kinds, by what is wrong with it
                _, signed = self.session.feed_identities(parts)
                message = self.session.deserialize(signed)
                if _is_sound(message):
                    return message


def _is_sound(message: dict[str, Any]) -> bool:
    """Whether a message has the parts that nbclient relies on."""
    content, parent = message["content"], message["parent_header"]
    if not (isinstance(content, dict) and isinstance(parent, dict)):
        return False
    needed = {"status": "execution_state", "execute_reply": "status"}.get(message["msg_type"])
    count = content.get("execution_count")
    return (needed is None or isinstance(content.get(needed), str)) and (
        count is None or (type(count) is int and 0 <= count < 2**31)
    )


class Client(AsyncKernelClient):
    """A kernel client that knows from the process, not from heartbeats, whether it is alive."""

    shell_channel_class = Type(_Channel)
    iopub_channel_class = Type(_Channel)
    held: HeldKernel

    async def is_alive(self) -> bool:
        """Whether the kernel still runs."""
        return self.held.alive()


async def connect(held: HeldKernel, timeout_s: float) -> Client:
    """Connect to a kernel that is ready, and wait until its output arrives here.

    TimeoutError if it does not answer, RuntimeError if it ends before it does.
    """
    client = Client()
    client.held = held
    client.load_connection_info(cast(KernelConnectionInfo, held.info))
    client.allow_stdin = False
    client.start_channels(stdin=False, hb=False, control=False)
    try:
        async with asyncio.timeout(timeout_s):
            await _ask(client)
            # Kernels since ipykernel 7 welcome a subscriber; older ones need to be asked until
            # the subscription, which nothing acknowledges, is there.
            while not await client.iopub_channel.msg_ready():
                await _ask(client)
                await asyncio.sleep(0.005)
    except BaseException:
        client.stop_channels()  # or zmq waits at exit until the kernel takes the question
        raise
    return client


async def _ask(client: Client) -> None:
    """Ask the kernel about itself and wait for the answer, as long as it lives."""
    client.kernel_info()
    while client.held.alive():
        with contextlib.suppress(queue.Empty):
            await client.shell_channel.get_msg(timeout=LOOK_AFTER_S)
            return
    raise RuntimeError(f"The kernel ended before it answered, status {client.held.exit_status()}.")


class Executor(NotebookClient):
    """nbclient on a kernel that runs already, with a cap on what a cell may print."""

    output_bytes = 200_000
    outputs = 200
    _index = -1
    _bytes = 0
    _messages = 0

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        """As nbclient does, but what student code forged and nbclient cannot read is nothing."""
        try:
            return self._process_capped(msg, cell, cell_index)
        except CellControlSignal:  # the cell is done
            raise
        except Exception:
            return None

    def _process_capped(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        if msg["msg_type"] in ("status", "execute_input"):
            return super().process_message(msg, cell, cell_index)
        if cell_index != self._index:
            self._index, self._bytes, self._messages = cell_index, 0, 0
        if msg["msg_type"] == "error":
            return super().process_message(_shortened(msg), cell, cell_index)
        if self._bytes >= self.output_bytes or self._messages >= self.outputs:
            return None
        room = self.output_bytes - self._bytes
        size = len(json.dumps(msg["content"], default=str))
        self._bytes += size
        self._messages += 1
        output = None
        if size <= room:
            output = super().process_message(msg, cell, cell_index)
        elif msg["msg_type"] == "stream":
            text = msg["content"]["text"][:room]
            cell.outputs.append(nbformat.v4.new_output("stream", name="stdout", text=text))
        if self._bytes >= self.output_bytes or self._messages >= self.outputs:
            note = "\n[The rest of this cell's output was cut off.]\n"
            cell.outputs.append(nbformat.v4.new_output("stream", name="stdout", text=note))
        return output


def executor(notebook: NotebookNode, client: Client, output_bytes: int, outputs: int) -> Executor:
    """An executor for the cells of `notebook` on a connected kernel."""
    made = Executor(
        notebook,
        timeout=None,
        allow_errors=True,
        raise_on_iopub_timeout=False,
        store_widget_state=False,
        record_timing=False,
    )
    made.kc = client
    made.output_bytes, made.outputs = output_bytes, outputs
    return made


def _shortened(msg: dict[str, Any], most: int = 4000) -> dict[str, Any]:
    content = dict(msg["content"])
    content["ename"] = str(content.get("ename", ""))[:200]
    content["evalue"] = str(content.get("evalue", ""))[:most]
    content["traceback"] = [str(line)[:most] for line in content.get("traceback", [])[-30:]]
    return {**msg, "content": content}
