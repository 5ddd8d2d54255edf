"""Put one student's files in place: as a whole or not at all, and never over newer ones."""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from autograder.collect.archive import Entry, copy, is_archive, opened
from autograder.collect.names import Refused, folded, printable
from autograder.collect.presets import Parcel
from autograder.course import Course
from autograder.files import write_text
from autograder.intake.folder import COLLECT_NOTES, TIMESTAMP

MAX_FILES = 2000
MAX_NOTES = 40
MAX_BYTES = 256 * 2**20
GRANULARITY_S = 2.0  # of the times in a zip file

_TEMPORARY = ".collecting-"
_PREVIOUS = ".previous-"


@dataclass(frozen=True)
class Collected:
    """What became of one student's files.

    `status` is "new", "updated", "unchanged", "older" (what is there is newer and stays) or
    "refused"; `notes` are sentences, which the student's feedback repeats; `received` is UTC.
    """

    student: str
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()
    received: datetime | None = None
    status: str = "refused"


def store(
    student: str, parcel: Parcel, folder: Path, received: datetime, written: datetime
) -> Collected:
    """Lay out a parcel as `folder`; `written` is when the platform says that its files were."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder.parent))
    try:
        os.chmod(temporary, 0o755)
        notes = _lay_out(temporary, parcel)
        files = tuple(sorted(path.relative_to(temporary).as_posix() for path in _files(temporary)))
        status = _status(temporary, folder, written, notes)
        if status in ("new", "updated"):
            if notes:
                write_text(temporary / COLLECT_NOTES, "\n".join(notes) + "\n")
            write_text(temporary / TIMESTAMP, f"{received:%Y-%m-%d %H:%M:%S} UTC\n")
            for path in _files(temporary):
                os.utime(path, (written.timestamp(), written.timestamp()))
            _exchange(temporary, folder)
        elif status == "older":
            notes.append("What was collected before is newer; it stays.")
        elif status == "refused":
            notes.append("No file of it was taken; what was collected before stays.")
        # A first submission of which nothing is left is graded, as nothing, with the reasons.
        return Collected(student, files, tuple(notes), received, status if files else "refused")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def recover(course: Course, assignment: str) -> None:
    """Tidy up after a collection that was killed: the last whole submission is put back."""
    home = course.submitted("x", assignment).parent.parent
    for previous in home.glob(f"*/{_PREVIOUS}{assignment}"):
        folder = previous.parent / assignment
        if folder.exists():
            shutil.rmtree(previous, ignore_errors=True)
        else:
            previous.rename(folder)
    for temporary in home.glob(f"*/{_TEMPORARY}*"):
        shutil.rmtree(temporary, ignore_errors=True)


class _Layout:
    """Writes files below a folder within limits; no two names that any computer takes for one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[str] = []
        self.taken: dict[tuple[str, ...], bool] = {}  # folded path -> whether it is a file
        self.room, self.number = MAX_BYTES, MAX_FILES

    def add(self, parts: tuple[str, ...], entry: Entry) -> Path | None:
        """Write one entry, or note why not."""
        name = printable("/".join(parts))
        try:
            if entry.refused:
                raise Refused(entry.refused)
            self._claim(parts, name)
            target = self.folder.joinpath(*parts)
            self.room -= copy(entry, target, self.room)
        except Refused as why:
            self.notes.append(str(why))
            return None
        return target

    def _claim(self, parts: tuple[str, ...], name: str) -> None:
        if parts[-1].casefold() in (TIMESTAMP, COLLECT_NOTES):
            raise Refused(f"{name} was left out: the time of receipt counts.")
        path = folded(parts)
        folders = [path[:depth] for depth in range(1, len(path))]
        if path in self.taken or any(self.taken.get(above) for above in folders):
            raise Refused(f"There is another file that some computers take for {name}; it stays.")
        if self.number == 0:
            raise Refused(f"{name} was left out: more than {MAX_FILES} files are too many.")
        self.number -= 1
        self.taken |= {above: False for above in folders} | {path: True}


def _lay_out(folder: Path, parcel: Parcel) -> list[str]:
    layout = _Layout(folder)
    layout.notes += parcel.notes
    for parts, entry in parcel.files:
        path = layout.add(parts, entry)
        if path is not None and is_archive(path.name):
            _unpack(path, layout)
    notes = list(dict.fromkeys(layout.notes))
    more = [f"{len(notes) - MAX_NOTES} more files were left out."] if notes[MAX_NOTES:] else []
    return notes[:MAX_NOTES] + more


def _unpack(path: Path, layout: _Layout) -> None:
    """Unpack a student's own archive, once, if there is a notebook in it; else it is data."""
    inside = printable(path.name)
    try:
        with opened(path, MAX_FILES, MAX_BYTES) as entries:
            if not any(".ipynb" in entry.parts[-1].lower() for entry in entries):
                return
            for entry in entries:
                if is_archive(entry.parts[-1]):
                    name = printable(entry.parts[-1])
                    layout.notes.append(f"{name} in {inside} is itself an archive; refused.")
                else:
                    layout.add(entry.parts, entry)
    except Refused as why:
        layout.notes.append(str(why))
    path.unlink()


def _status(temporary: Path, folder: Path, written: datetime, notes: Sequence[str]) -> str:
    """What to do with the files laid out, given those that are there already."""
    old = {path.relative_to(folder): path for path in _files(folder)}
    new = {path.relative_to(temporary): path for path in _files(temporary)}
    if not folder.exists():
        return "new"
    if not new:
        return "refused"
    same = old.keys() == new.keys()
    if same and all(filecmp.cmp(old[name], new[name], shallow=False) for name in new):
        return "unchanged"
    youngest = max((path.lstat().st_mtime for path in old.values()), default=0.0)
    return "older" if written.timestamp() < youngest - GRANULARITY_S else "updated"


def _files(folder: Path) -> Iterator[Path]:
    """The student's files below a folder, without what collecting adds."""
    for path in folder.rglob("*"):
        own = PurePosixPath(path.relative_to(folder)) not in _ADDED
        if own and path.is_file() and not path.is_symlink():
            yield path


_ADDED = (PurePosixPath(TIMESTAMP), PurePosixPath(COLLECT_NOTES))


def _exchange(temporary: Path, folder: Path) -> None:
    """Rename the new files into place; killed in between, `recover` puts the old ones back."""
    previous = folder.parent / f"{_PREVIOUS}{folder.name}"
    if folder.exists():
        folder.rename(previous)
    temporary.rename(folder)
    shutil.rmtree(previous, ignore_errors=True)
