"""Tensors kept in one safetensors file that proves itself each time it is read.

The checksum covers every byte that is used: names, shapes, facts and contents. A file that is
half-written, damaged or made by another version is reported and counts as absent. Files are
replaced whole, so two processes may write at once.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import safe_open
from torch import Tensor

from course_lib.files import write_whole

_FORMAT = 2  # raise it when the layout of the file or the splits change
_reported: set[Path] = set()


@dataclass(frozen=True)
class Stored:
    """Named tensors and the facts (plain JSON values) that belong to them."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def folder() -> Path:
    """Return the cache folder: $COURSE_CACHE_DIR, or `course_lib` in the user's cache folder."""
    if chosen := os.environ.get("COURSE_CACHE_DIR"):
        return Path(chosen).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "course_lib"
    try:
        return Path.home() / ".cache" / "course_lib"
    except RuntimeError:  # a user without a home, as inside some containers
        return Path(tempfile.gettempdir()) / "course_lib"


def read(path: Path, source: str | None = None) -> Stored | None:
    """Return what `path` holds, memory-mapped, or None where it is absent or unusable.

    The mapping is private: writing to a tensor changes this process's copy, never the file. With
    `source`, the file must have been made from the source files of that fingerprint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            stored_text, checksum = (file.metadata()[key] for key in ("facts", "crc32"))
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        facts = json.loads(stored_text)
        if facts["format"] != _FORMAT:
            problem = f"is in format {facts['format']}, not {_FORMAT}"
        elif checksum != _checksum(stored_text, tensors):
            problem = "does not match its checksum"
        elif source is not None and facts["source"] != source:
            problem = "was made from source files that have changed since"
        else:
            return Stored(tensors, facts)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # whatever damage does to the file, it must not stop the student
        problem = f"cannot be read ({error})"
    warnings.warn(
        f"The cache file {path} {problem}; it will be rebuilt.", RuntimeWarning, stacklevel=3
    )
    return None


def write(path: Path, stored: Stored) -> bool:
    """Write `stored` to `path` in one step; where that fails, warn once and return False."""
    text = json.dumps({**stored.facts, "format": _FORMAT})
    metadata = {"facts": text, "crc32": _checksum(text, stored.tensors)}
    try:
        write_whole(path, safetensors.torch.save(stored.tensors, metadata))
        return True
    except OSError as error:
        if path not in _reported:
            _reported.add(path)
            warnings.warn(
                f"The cache file {path} cannot be written ({error.strerror}), so the data are "
                "decoded again at every load. Set COURSE_CACHE_DIR to a folder with free space.",
                RuntimeWarning,
                stacklevel=3,
            )
        return False


def _checksum(facts: str, tensors: dict[str, Tensor]) -> str:
    crc = zlib.crc32(facts.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        crc = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), crc)
        crc = zlib.crc32(tensor.numpy().data, crc)
    return f"{crc:08x}"
