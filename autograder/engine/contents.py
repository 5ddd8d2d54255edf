"""A folder as a value: the bytes of its files, which a task can carry to another machine."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

MAX_FILE_BYTES = 100 * 2**20
MAX_BYTES = 256 * 2**20
MAX_FILES = 2000

IGNORED_FOLDERS = (".ipynb_checkpoints", "__pycache__")
TIMESTAMP = "timestamp.txt"  # decides about lateness, not about points


@dataclass(frozen=True)
class Contents:
    """Files by relative path, names of symbolic links, and sentences on what was left out."""

    files: tuple[tuple[str, bytes], ...] = ()
    links: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path, ignore: Iterable[str] = (TIMESTAMP,)) -> Contents:
        """Read a folder within limits on size and number; links are never followed."""
        files: list[tuple[str, bytes]] = []
        links: list[str] = []
        left_out: list[str] = []
        ignored = set(ignore)
        total = 0
        for path in _walk(folder):
            name = path.relative_to(folder).as_posix()
            if name in ignored:
                continue
            try:
                info = path.lstat()
                if stat.S_ISLNK(info.st_mode):
                    links.append(name)
                    continue
                why = _refusal(info, total, len(files))
                content = b"" if why else path.read_bytes()
            except OSError as error:
                why, content = f"it could not be read ({error.strerror})", b""
            if why:
                left_out.append(f"{_printable(name)} was left out: {why}.")
                continue
            total += len(content)
            files.append((name, content))
        return cls(tuple(files), tuple(links), tuple(left_out[:20]))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and bytes: equal exactly when the contents are."""
        whole = hashlib.sha256()
        for name, content in self.files:
            whole.update(hashlib.sha256(_encoded(name)).digest())
            whole.update(hashlib.sha256(content).digest())
        for text in (*self.links, "", *self.left_out):
            whole.update(hashlib.sha256(_encoded(text)).digest())
        return whole.hexdigest()

    def write(self, folder: Path) -> Path:
        """Lay the files out in `folder`; links become links to nowhere. Return the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files:
            path = folder / _inside(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for name in self.links:
            path = folder / _inside(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to("a-link-that-was-not-followed")
        return folder


def _walk(folder: Path) -> Iterator[Path]:
    """Everything below `folder` that is not a real folder, in a fixed order."""
    for where, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(where) / name).is_symlink()]
        folders[:] = sorted(set(folders) - set(links) - set(IGNORED_FOLDERS))
        for name in sorted(files + links):
            yield Path(where) / name


def _refusal(info: os.stat_result, total: int, count: int) -> str:
    if not stat.S_ISREG(info.st_mode):
        return "it is not a regular file"
    if info.st_size > MAX_FILE_BYTES:
        return f"it is larger than {MAX_FILE_BYTES // 2**20} MB"
    if total + info.st_size > MAX_BYTES:
        return f"all files together are larger than {MAX_BYTES // 2**20} MB"
    if count >= MAX_FILES:
        return f"there are more than {MAX_FILES} files"
    return ""


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"The path {name!r} leads out of its folder.")
    return path


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode()
