"""Messages between the grader, the fork server and its workers: JSON with its length before."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("!Q")


def send(to: socket.socket, message: Any) -> None:
    """Send one message; OSError where nobody is there to read it."""
    text = json.dumps(message).encode()
    to.sendall(_LENGTH.pack(len(text)) + text)


def receive(source: socket.socket) -> Any:
    """Wait for one message, and read nothing behind it; EOFError where none will come."""
    (length,) = _LENGTH.unpack(_exactly(source, _LENGTH.size))
    return json.loads(_exactly(source, length))


def _exactly(source: socket.socket, count: int) -> bytes:
    parts = []
    while count:
        part = source.recv(min(count, 2**20))
        if not part:
            raise EOFError("The other side closed the connection.")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
