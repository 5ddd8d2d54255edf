"""Look into a zip file, a tar file or a folder without trusting anything it says.

Entries are listed by safe path and can be read; whatever is a link or a device, is encrypted,
leads elsewhere or would unpack to a multiple of its size is refused with a sentence.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

from autograder.collect.names import Refused, printable, safe_parts

MAX_RATIO = 200  # notebooks shrink to a tenth; a bomb to a thousandth
SMALL_BYTES = 10 * 2**20  # whose ratio does not matter
BLOCK = 2**20
CLUTTER = {"__macosx", ".ds_store", "thumbs.db", "desktop.ini", ".ipynb_checkpoints", ".git"}
_DAMAGE = (tarfile.TarError, OSError, EOFError, ValueError, lzma.LZMAError, zlib.error)
ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True)
class Entry:
    """One file of an archive.

    `received` is when the archive says that it was written; `refused` is why it must not be
    unpacked, and `parts` are then only good for telling whose it is.
    """

    parts: tuple[str, ...]
    size: int
    received: datetime
    open: Callable[[], IO[bytes]]
    refused: str = ""


@contextmanager
def opened(path: Path, max_entries: int, max_bytes: int) -> Iterator[list[Entry]]:
    """The files of a folder, a zip or a tar file; Refused if it is none that can be read."""
    with ExitStack() as stack:
        if path.is_dir():
            items = _of_folder(path)
        elif zipfile.is_zipfile(path):
            _check_zip(path, max_entries)
            items = _of_zip(stack.enter_context(_quiet(zipfile.ZipFile, path)))
        else:
            items = _of_tar(stack, path, max_bytes)
        try:
            entries = _listed(items, path, max_entries)
        except (*_DAMAGE, zipfile.BadZipFile) as error:
            raise Refused(f"{printable(path.name)} is damaged: {error}.") from error
        yield entries


def is_archive(name: str) -> bool:
    """Whether a file's name says that it is an archive that can be unpacked."""
    return name.lower().endswith(ENDINGS)


def copy(entry: Entry, target: Path, room: int) -> int:
    """Write an entry to a new file; return its bytes. Refused if there are more than `room`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with target.open("xb") as file:
            return sum(file.write(block) for block in blocks(entry, room))
    except Refused:
        target.unlink()
        raise


def blocks(entry: Entry, room: int) -> Iterator[bytes]:
    """The bytes of an entry; Refused if it is damaged or there are more than `room`."""
    name = printable("/".join(entry.parts))
    if entry.refused:
        raise Refused(entry.refused)
    try:
        with entry.open() as file:
            while block := file.read(BLOCK):
                room -= len(block)
                if room < 0:
                    raise Refused(f"{name} is too large; it was refused.")
                yield block
    except (
        *_DAMAGE,
        zipfile.BadZipFile,
        RuntimeError,
        NotImplementedError,
        struct.error,
    ) as error:
        raise Refused(f"{name} could not be unpacked ({type(error).__name__}).") from error


@dataclass(frozen=True)
class _Item:
    """An entry as the archive gives it, before any check."""

    name: str
    size: int
    packed: int
    seconds: float
    open: Callable[[], IO[bytes]]
    objection: str = ""


def _listed(items: Iterator[_Item], path: Path, max_entries: int) -> list[Entry]:
    entries: list[Entry] = []
    latest = time.time()
    if path.is_file():  # nothing in an archive is younger than the archive
        latest = min(latest, path.stat().st_mtime)
    for number, item in enumerate(items):
        if number >= max_entries:
            raise Refused(f"{printable(path.name)} has more than {max_entries} files.")
        parts, refused = _checked(item)
        if {part.casefold() for part in parts} & CLUTTER:
            continue
        seconds = item.seconds if 946_684_800 < item.seconds < latest else latest  # 2000-01-01
        received = datetime.fromtimestamp(seconds, UTC)
        entries.append(Entry(parts, item.size, received, item.open, refused))
    return entries


def _checked(item: _Item) -> tuple[tuple[str, ...], str]:
    """An entry's path, and why it is refused; nothing if it is not."""
    name = printable(item.name)
    try:
        parts = safe_parts(item.name)
    except Refused as why:
        words = (part.strip() for part in re.split(r"[/\\]", name))
        harmless = tuple(part for part in words if part.strip(".:"))
        return harmless or ("?",), str(why)
    if item.objection:
        return parts, f"{name} {item.objection}; it was refused."
    if item.size > SMALL_BYTES and item.size > MAX_RATIO * max(item.packed, 1):
        times = item.size // max(item.packed, 1)
        return parts, f"{name} would unpack to {times} times its size; it was refused."
    return parts, ""


def _of_folder(folder: Path) -> Iterator[_Item]:
    for where, folders, files in os.walk(folder):
        links = [name for name in folders if Path(where, name).is_symlink()]
        folders[:] = sorted(set(folders) - set(links))
        for name in sorted(files + links):
            path = Path(where, name)
            info = path.lstat()
            regular = stat.S_ISREG(info.st_mode)
            objection = "" if regular else "is a link or no regular file"
            relative = path.relative_to(folder).as_posix()
            size = info.st_size
            yield _Item(relative, size, size, info.st_mtime, partial(_read, path), objection)


def _read(path: Path) -> IO[bytes]:
    return path.open("rb")


def _of_zip(archive: zipfile.ZipFile) -> Iterator[_Item]:
    for info in archive.infolist():
        if info.orig_filename.endswith(("/", "\\")):
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)
        objection = "is a link or no regular file" if kind not in (0, stat.S_IFREG) else ""
        if info.flag_bits & 1:
            objection = "is encrypted"
        read = partial(archive.open, info)
        yield _Item(
            info.orig_filename, info.file_size, info.compress_size, _seconds(info), read, objection
        )


def _of_tar(stack: ExitStack, path: Path, max_bytes: int) -> Iterator[_Item]:
    packed = path.stat().st_size
    try:
        stream = stack.enter_context(_decompressed(path))
        bounded: Any = _Bounded(stream, max_bytes)
        archive = stack.enter_context(tarfile.TarFile(fileobj=bounded))
    except _DAMAGE as error:
        raise Refused(f"{printable(path.name)} is no zip or tar file that can be read.") from error
    return _members(archive, packed)


def _members(archive: tarfile.TarFile, packed: int) -> Iterator[_Item]:
    for member in archive:
        if member.isdir():
            continue
        objection = "" if member.isreg() else "is a link or no regular file"
        yield _Item(
            member.name, member.size, packed, member.mtime,
            partial(_extracted, archive, member), objection,
        )  # fmt: skip


def _extracted(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(member)
    if file is None:
        raise tarfile.TarError("no regular file")
    return file


def _decompressed(path: Path) -> Any:
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(path)
    if start.startswith(b"BZh"):
        return bz2.open(path)
    if start.startswith(b"\xfd7zXZ\0"):
        return lzma.open(path)
    return path.open("rb")


class _Bounded:
    """A readable file that refuses to go beyond a size: a bomb ends here, not in memory."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self.file, self.most = file, most

    def read(self, size: int = -1) -> bytes:
        if size < 0 or self.file.tell() + size > self.most:
            raise Refused("The archive unpacks to more than is allowed; it was refused.")
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence != 0 or offset > self.most:
            raise Refused("The archive unpacks to more than is allowed; it was refused.")
        return self.file.seek(offset)

    def tell(self) -> int:
        return self.file.tell()


def _seconds(info: zipfile.ZipInfo) -> float:
    """When an entry was written: the UTC time that most programs add, or else the local one."""
    extra = info.extra
    while len(extra) >= 4:
        tag, size = struct.unpack("<HH", extra[:4])
        if tag == 0x5455 and size >= 5 and extra[4] & 1:  # "extended timestamp" of Info-ZIP
            return float(struct.unpack("<i", extra[5:9])[0]) if len(extra) >= 9 else 0.0
        extra = extra[4 + size :]
    try:
        return time.mktime((*info.date_time, 0, 0, -1))
    except (ValueError, OverflowError):
        return 0.0


def _check_zip(path: Path, max_entries: int) -> None:
    """Refuse a zip file whose list of files alone would fill the memory.

    Reads the record at the end of the file where zipfile does, before zipfile reads the list.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 65_557))
        tail = file.read()
    at = len(tail) - 22
    if at < 0 or tail[at : at + 4] != b"PK\5\6" or tail[-2:] != b"\0\0":
        at = tail.rfind(b"PK\5\6")
    if at < 0 or at + 22 > len(tail):
        raise Refused(f"{printable(path.name)} is no whole zip file.")
    entries, listing = struct.unpack("<HL", tail[at + 10 : at + 16])
    if at >= 76 and tail[at - 20 : at - 16] == b"PK\6\7":  # the longer record of zip64
        entries, listing = struct.unpack("<QQ", tail[at - 44 : at - 28])
    if entries > max_entries or listing > 500 * max_entries:
        raise Refused(f"{printable(path.name)} has more than {max_entries} files.")


def _quiet(kind: type[zipfile.ZipFile], path: Path) -> zipfile.ZipFile:
    try:
        return kind(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise Refused(f"{printable(path.name)} is damaged: {error}.") from error
