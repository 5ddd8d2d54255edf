"""Look through what was handed in without following a link or opening a device."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TIMESTAMP = "timestamp.txt"  # nbgrader's name for the time of receipt
COLLECT_NOTES = ".collected.txt"  # what collecting had to say to the student, a sentence a line
MAX_ENTRIES = 5000
MAX_DEPTH = 10

# What file managers, editors and the collecting of submissions leave behind: not worth a word.
CLUTTER = {
    ".ds_store", ".git", ".ipynb_checkpoints", ".venv", "__macosx", "__pycache__",
    "desktop.ini", "thumbs.db", TIMESTAMP, COLLECT_NOTES,
}  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """The regular files of a submission, sorted, and a sentence for everything refused."""

    notebooks: tuple[Path, ...] = ()
    files: tuple[Path, ...] = ()
    refused: tuple[str, ...] = ()


def look_through(folder: Path) -> Listing:
    """List the regular files below `folder`; links, devices and the like are refused."""
    if folder.is_symlink():
        return Listing(refused=(f"{shown(folder)} is a symbolic link; links are not followed.",))
    found: list[Path] = []
    refused: list[str] = []
    seen = 0
    waiting = [folder] if folder.is_dir() else []
    while waiting:
        here = waiting.pop()
        for entry in _entries(here):
            seen += 1
            if seen > MAX_ENTRIES:
                refused.append(f"There are more than {MAX_ENTRIES} files; the rest is left out.")
                waiting.clear()
                break
            path = here / entry.name
            if entry.name.lower() in CLUTTER:
                continue
            kind = _kind(entry)
            if kind == "folder" and len(path.relative_to(folder).parts) < MAX_DEPTH:
                waiting.append(path)
            elif kind == "file":
                found.append(path)
            elif kind == "folder":
                refused.append(f"The folder {shown(path)} lies too deep and is left out.")
            else:
                refused.append(f"{shown(path)} is {kind}")
    found.sort()
    notebooks = tuple(path for path in found if ".ipynb" in path.name.lower())
    files = tuple(path for path in found if ".ipynb" not in path.name.lower())
    return Listing(notebooks, files, tuple(refused))


def notes_of_collecting(folder: Path, most: int = 50) -> tuple[str, ...]:
    """The sentences that collecting left for the student."""
    path = folder / COLLECT_NOTES
    try:
        if path.is_symlink() or path.stat().st_size > 100_000:
            return ()
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return ()
    return tuple(shown(line, 300) for line in lines[:most] if line.strip())


def shown(path: Path | str, most: int = 80) -> str:
    """A file's name as it may stand in a sentence: printable and short."""
    name = path if isinstance(path, str) else path.name
    text = "".join(char if char.isprintable() else "?" for char in name)
    return text if len(text) <= most else f"{text[:most]}..."


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            some = [entry for entry, _ in zip(entries, range(MAX_ENTRIES + 1), strict=False)]
    except OSError:
        return []
    return sorted(some, key=lambda entry: entry.name)


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_symlink():
            return "a symbolic link; links are not followed."
        if entry.is_dir(follow_symlinks=False):
            return "folder"
        if entry.is_file(follow_symlinks=False):
            return "file"
    except OSError:
        return "a file that cannot be examined; it is left out."
    return "not a regular file (a pipe, socket or device); it is left out."
