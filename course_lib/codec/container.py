"""The envelope of a compressed model: a safetensors file that carries a version and a CRC-32.

The metadata of the safetensors header says "<version> <crc>". The checksum covers the whole file,
header included, with zeros where it is itself written; CRC-32 finds every burst of up to 32 bits.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor

_VERSION = "1"
_KEY = "course_lib.codec"
_UNKNOWN = "0" * 8
_STAMP = re.compile(rb'"course_lib\.codec":"(\d{1,9}) ([0-9a-f]{8})"')


class CorruptFileError(ValueError):
    """The file is damaged, truncated, forged, too large, or not one that `save` wrote."""


def to_container(entries: Mapping[str, Tensor]) -> bytes:
    """Return the bytes of a safetensors file with the entries, version and checksum."""
    data = safetensors.torch.save(dict(entries), metadata={_KEY: f"{_VERSION} {_UNKNOWN}"})
    return _with_checksum(data, _checksum(data))


def from_container(data: bytes) -> dict[str, Tensor]:
    """Return the entries; CorruptFileError unless version and checksum are right."""
    match = _find_stamp(data)
    version, checksum = match[1].decode(), match[2].decode()
    if version != _VERSION:
        raise CorruptFileError(f"The file has version {version}; this library reads {_VERSION}.")
    if checksum != _checksum(data):
        raise CorruptFileError("The file is damaged: its checksum does not match its bytes.")
    return safetensors.torch.load(data)


def read_file(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """Return the bytes of a regular file; CorruptFileError if it is none or has more."""
    path = Path(path)
    if path.exists() and not path.is_file():
        raise CorruptFileError(f"{path} is not a regular file.")
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise CorruptFileError(f"{path} has more than the {max_bytes} bytes allowed.")
    return data


def _find_stamp(data: bytes) -> re.Match[bytes]:
    """Find version and checksum in the header; names cannot fake it, JSON escapes their quotes."""
    end = 8 + min(int.from_bytes(data[:8], "little"), len(data))
    match = _STAMP.search(data, 8, end)
    if match is None:
        raise CorruptFileError("The file is damaged or was not written by course_lib.codec.save.")
    return match


def _checksum(data: bytes) -> str:
    return f"{zlib.crc32(_with_checksum(data, _UNKNOWN)):08x}"


def _with_checksum(data: bytes, checksum: str) -> bytes:
    start, stop = _find_stamp(data).span(2)
    return data[:start] + checksum.encode() + data[stop:]
