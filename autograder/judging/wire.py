"""Frames on a socket: a JSON header and raw buffers, each with its length before it.

    magic (4 bytes) | header length (4) | body length (8) | header | body

The body is the buffers one after the other; the header says where each begins. Lengths are
checked before memory is set aside, so a claim of 50 GB costs nothing. Neither side may hang on
garbage: what does not begin with the magic number closes the channel for good.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

from autograder.judging.errors import ChannelClosed, CodecError

MAX_HEADER = 16 * 2**20  # bytes
MAX_BODY = 512 * 2**20  # bytes of tensors in one message
ALIGNMENT = 64

_MAGIC = b"edl1"
_PREFIX = struct.Struct(">4sIQ")


class Wire:
    """Sends and receives frames; after a fault every further use raises ChannelClosed."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._early = b""  # received, but not yet asked for
        self.fault = ""

    def send(self, header: dict[str, Any], buffers: Sequence[bytes | memoryview] = ()) -> None:
        """Write one frame; CodecError if it is too large, before anything was written."""
        self._check()
        sizes = [len(buffer) for buffer in buffers]
        text = json.dumps({**header, "sizes": sizes}, separators=(",", ":"), allow_nan=False)
        data = text.encode("ascii")
        body = sum(_padded(size) for size in sizes)
        if len(data) > MAX_HEADER or body > MAX_BODY:
            raise CodecError(f"there are more than {MAX_BODY >> 20} MB in it, or too many parts.")
        parts: list[bytes | memoryview] = [_PREFIX.pack(_MAGIC, len(data), body), data]
        for buffer, size in zip(buffers, sizes, strict=True):
            parts += [buffer, bytes(_padded(size) - size)]
        if body < 2**20:  # one system call, and the peer wakes up once
            parts = [b"".join(parts)]
        try:
            for part in parts:
                self._channel.sendall(part)
        except OSError as error:
            raise self._failed("The kernel exited while this cell ran.") from error

    def receive(self) -> tuple[dict[str, Any], list[memoryview]]:
        """Return the next frame's header and buffers; ChannelClosed if there is none."""
        self._check()
        magic, header_size, body_size = _PREFIX.unpack(self._exactly(_PREFIX.size))
        if magic != _MAGIC or header_size > MAX_HEADER or body_size > MAX_BODY:
            raise self._garbage()
        text, body = self._exactly(header_size), self._exactly(body_size)
        try:
            header = json.loads(bytes(text), parse_constant=_no_constant)
            return header, _split(header, memoryview(body))
        except (ValueError, TypeError, AttributeError, RecursionError, CodecError) as error:
            raise self._garbage() from error

    @property
    def has_more(self) -> bool:
        """Whether the beginning of a next frame has been received with an earlier one."""
        return bool(self._early)

    def close(self, why: str = "The kernel exited while this cell ran.") -> None:
        """Refuse all further use, and let a peer that waits know."""
        self.fault = self.fault or why
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(self._early[:size])
        self._early = self._early[size:]
        while len(data) < size:
            missing = size - len(data)
            try:  # grown as it comes: a claimed length sets nothing aside
                part = self._channel.recv(min(max(missing, 2**16), 4 * 2**20))
            except OSError as error:
                raise self._failed("The kernel exited while this cell ran.") from error
            if not part:
                raise self._failed("The kernel exited while this cell ran.")
            data += part[:missing]
            self._early = part[missing:]
        return data

    def _check(self) -> None:
        if self.fault:
            raise ChannelClosed(self.fault)

    def _garbage(self) -> ChannelClosed:
        return self._failed("The submission wrote into the channel that the grader uses.")

    def _failed(self, why: str) -> ChannelClosed:
        self.close(why)
        return ChannelClosed(self.fault)

    def broken(self) -> ChannelClosed:
        """Give the peer up after a frame that no honest peer sends; return what to raise."""
        return self._garbage()


def _split(header: dict[str, Any], body: memoryview) -> list[memoryview]:
    buffers, start = [], 0
    for size in header["sizes"]:
        if type(size) is not int or not 0 <= size <= len(body) - start:
            raise CodecError("a buffer lies outside the frame.")
        buffers.append(body[start : start + size])
        start += _padded(size)
    if start != len(body):
        raise CodecError("the frame does not end where its buffers do.")
    return buffers


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON.")


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
