"""Which of a student's files go along to the run: a trained model or data, never a module
that could take the place of one that is installed."""

from __future__ import annotations

import filecmp
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.machinery import all_suffixes
from pathlib import Path

from autograder.intake.folder import shown

MAX_FILES = 200
MAX_TOTAL_BYTES = 200 * 2**20

_STARTUP = {"sitecustomize", "usercustomize"}  # Python runs these by itself
_CODE = (*all_suffixes(), ".pyd", ".pyo", ".pth", ".egg-link")


def carried(
    files: Iterable[Path], home: Path, supplies: Sequence[Path] = ()
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Files at and below `home` that the run may see, and sentences about those left out."""
    own = {supply.name: supply for supply in supplies}
    chosen: list[Path] = []
    notes: list[str] = []
    total = 0
    for path in files:
        name = shown(path)
        if not path.is_relative_to(home):
            notes.append(f"The file {name} does not lie beside the notebook; it was left out.")
            continue
        parts = path.relative_to(home).parts
        if any(part.startswith(".") for part in parts):
            notes.append(f"The hidden file {name} was left out.")
        elif takes_the_place_of_a_module(parts):
            module = shown(parts[0].partition(".")[0])
            notes.append(f"The file {name} was left out: it would take the place of {module}.")
        elif parts[0] in own:
            if not _is_the_same(path, own[parts[0]].joinpath(*parts[1:])):
                notes.append(f"The file {name} is the instructor's; your version was left out.")
        elif (size := _size(path)) is None or not _is_text(name, path):
            notes.append(f"The file {name} cannot be read; it was left out.")
        elif len(chosen) == MAX_FILES or total + size > MAX_TOTAL_BYTES:
            limit = f"{MAX_FILES} files or {MAX_TOTAL_BYTES // 2**20} MB"
            notes.append(f"The file {name} was left out: more than {limit} are too much.")
        else:
            total += size
            chosen.append(path)
    return tuple(chosen), _shortened(notes)


def takes_the_place_of_a_module(parts: tuple[str, ...]) -> bool:
    """Whether importing from the file's folder could find it instead of an installed module."""
    if not parts[-1].endswith(_CODE):
        return False
    module = parts[0].partition(".")[0]
    return parts[-1].endswith(".pth") or module in _STARTUP or _is_importable(module)


@cache
def _is_importable(module: str) -> bool:
    if module in sys.stdlib_module_names or module in sys.builtin_module_names:
        return True
    try:
        return module.isidentifier() and importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return True  # some module of that name is there, even if a broken one


def _is_the_same(path: Path, supply: Path) -> bool:
    try:
        return filecmp.cmp(path, supply, shallow=False)
    except OSError:
        return False


def _is_text(name: str, path: Path) -> bool:
    """Whether the file's name can be written down at all (no stray bytes in it)."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return bool(name)


def _size(path: Path) -> int | None:
    try:
        return path.lstat().st_size
    except OSError:
        return None


def _shortened(notes: list[str], most: int = 20) -> tuple[str, ...]:
    if len(notes) <= most:
        return tuple(notes)
    return (*notes[:most], f"{len(notes) - most} more files were left out.")
