"""The idx format of the MNIST files: a magic number, the dimensions, then the bytes.

As LeCun, Cortes and Burges describe it beside the MNIST database: two zero bytes, a type code (8
is unsigned byte), the number of dimensions, each dimension as a big-endian 32-bit integer, then
the elements row by row.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

_UNSIGNED_BYTE = 8


def read(path: Path, ndim: int) -> Tensor:
    """Return the uint8 tensor of `ndim` dimensions in the idx file `path` (`.gz` or plain).

    Raises ValueError naming the file where it is damaged or is no such idx file.
    """
    return parse(contents(path), ndim, str(path))


def contents(path: Path) -> bytes:
    """Return the bytes of `path`, unpacked if its name ends in `.gz`."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {error}. Copy or download it again.") from error


def parse(raw: bytes, ndim: int, name: str) -> Tensor:
    """Return the uint8 tensor of `ndim` dimensions that `raw` spells; `name` is for errors."""
    start = 4 + 4 * ndim
    if len(raw) < start:
        raise ValueError(f"{name} is too short for an idx file: it holds {len(raw)} bytes.")
    if raw[:4] != bytes([0, 0, _UNSIGNED_BYTE, ndim]):
        raise ValueError(
            f"{name} is no idx file of {ndim}-dimensional bytes: it starts with "
            f"{raw[:4].hex()}, not 0000{_UNSIGNED_BYTE:02x}{ndim:02x}."
        )
    shape = struct.unpack(f">{ndim}I", raw[4:start])
    if len(raw) - start != math.prod(shape):
        raise ValueError(
            f"{name} is damaged: its header announces {math.prod(shape)} elements of shape "
            f"{shape}, but {len(raw) - start} bytes follow. Copy or download it again."
        )
    if 0 in shape:  # frombuffer refuses to read nothing
        return torch.empty(shape, dtype=torch.uint8)
    return torch.frombuffer(bytearray(raw[start:]), dtype=torch.uint8).reshape(shape)
