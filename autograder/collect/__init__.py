"""From the archive that a learning platform lets an instructor download to submitted/.

Each student's files are laid out in a temporary folder and renamed into place as a whole; a
submission that is there already gives way only to a newer one. The time of receipt is what the
platform says, never what a student wrote into a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nbgrader.api import MissingEntry

from autograder.collect.archive import Entry, opened
from autograder.collect.names import Refused, folded, printable, student_id_problem
from autograder.collect.presets import PRESETS, Parcel, guess
from autograder.collect.roster import Roster, read_roster
from autograder.collect.storing import Collected, recover, store
from autograder.course import Course
from autograder.errors import CourseError
from autograder.gradebook import open_gradebook

__all__ = ["PRESET_NAMES", "Collected", "collect"]

PRESET_NAMES = ("auto", *PRESETS)
MAX_CLASS_FILES = 200_000
MAX_CLASS_BYTES = 50 * 2**30


_Files = list[tuple[tuple[str, ...], Entry]]


@dataclass(frozen=True)
class _Named:
    """A parcel and the student it belongs to, or why it belongs to nobody."""

    parcel: Parcel
    student: str
    notes: tuple[str, ...] = ()
    refused: str = ""


def collect(
    course: Course,
    assignment: str,
    archive: Path,
    preset: str = "auto",
    roster: Path | None = None,
) -> list[Collected]:
    """Lay out the submissions of a zip file, a tar file or a folder in submitted/.

    `preset` is one of PRESET_NAMES: who made the archive ("auto" looks at the names). `roster` is
    a CSV file with what the platform calls each student: Canvas' exported gradebook, Moodle's
    grading worksheet, Gradescope's roster or nbgrader's list of students. Returns what became of
    every student in the archive. Raises CourseError where nothing of it can be read.
    """
    course.check_assignment(assignment)
    if preset not in PRESET_NAMES:
        raise CourseError(f"No preset is called {preset!r}. There are: {', '.join(PRESET_NAMES)}.")
    if not archive.exists():
        raise CourseError(f"There is no file or folder {archive}.")
    people = read_roster(course, roster)
    recover(course, assignment)
    try:
        with opened(archive, MAX_CLASS_FILES, MAX_CLASS_BYTES) as entries:
            chosen = guess(entries) if preset == "auto" else preset
            parcels = PRESETS[chosen](entries, people)
            named = list(_without_doubles([_named(parcel, people) for parcel in parcels]))
            duedate = _duedate(course, assignment)
            return [_store(course, assignment, each, duedate) for each in named]
    except Refused as error:
        raise CourseError(str(error)) from error


def _named(parcel: Parcel, roster: Roster) -> _Named:
    """Find out whose parcel it is: by the platform's ids, or else by a name nobody shares."""
    if parcel.refused:
        return _Named(parcel, "", refused=parcel.refused)
    person = roster.find(parcel.keys, parcel.name)
    if person is not None:
        parcel.received = parcel.received or person.received
        return _Named(parcel, person.student)
    notes: tuple[str, ...] = ()
    if roster.people:
        told = printable(parcel.label)
        notes = (f"{told} is not in the grade book or the roster; collected under that name.",)
    if all(entry.refused for _, entry in parcel.files):  # no reason to make up a student
        reasons = dict.fromkeys(entry.refused for _, entry in parcel.files)
        return _Named(parcel, parcel.label, refused=" ".join(reasons) or "There is no file in it.")
    return _Named(parcel, parcel.label, notes)


def _without_doubles(named: Sequence[_Named]) -> Iterator[_Named]:
    """Refuse ids that no folder can have, and all who claim to be the same student."""
    keys = [folded((each.student,))[0] for each in named]
    count = Counter(key for key, each in zip(keys, named, strict=True) if not each.refused)
    for key, each in zip(keys, named, strict=True):
        problem = each.refused or student_id_problem(each.student)
        if not problem and count[key] > 1:
            problem = (
                f"{count[key]} submissions of this archive claim to be {printable(each.student)}; "
                "name them with a roster, or leave all but one out."
            )
        yield replace(each, refused=problem)


def _store(
    course: Course, assignment: str, named: _Named, duedate: dict[str, datetime]
) -> Collected:
    parcel = named.parcel
    if named.refused:
        who = named.student or parcel.label
        return Collected(printable(who), (), (named.refused,), None, "refused")
    downloaded = max((entry.received for _, entry in parcel.files), default=None)
    if downloaded is None:
        return Collected(named.student, (), (*named.notes, "There is no file in it."), None)
    due = duedate.get(named.student, duedate.get(""))
    received, told = _received(parcel, downloaded, due)
    parcel.files = _without_assignment(parcel.files, assignment)
    parcel.notes += [*named.notes, *told]
    folder = course.submitted(named.student, assignment)
    return store(named.student, parcel, folder, received, parcel.received or downloaded)


def _received(
    parcel: Parcel, downloaded: datetime, due: datetime | None
) -> tuple[datetime, list[str]]:
    """When the submission was received, as far as the platform lets anybody know."""
    if parcel.received is not None:
        return parcel.received, []
    if due is None:
        return downloaded, []
    if not parcel.late:
        unsure = parcel.late is None and downloaded > due
        told = "The archive does not say when it was received; it counts as in time."
        return min(downloaded, due), [told] if unsure else []
    note = "The platform marks it late, but its archive does not say by how much."
    return due + timedelta(seconds=1), [note]


def _without_assignment(files: _Files, assignment: str) -> _Files:
    """nbgrader's own layout has a folder for the assignment in each student's."""
    if all(len(parts) > 1 and parts[0] == assignment for parts, _ in files):
        return [(parts[1:], entry) for parts, entry in files]
    return files


def _duedate(course: Course, assignment: str) -> dict[str, datetime]:
    """The due date of each student who has an extension, and under "" that of all others."""
    if course.gradebook_file is not None and not course.gradebook_file.exists():
        return {}
    with open_gradebook(course) as gradebook:
        try:
            about = gradebook.find_assignment(assignment)
        except MissingEntry:
            return {}
        if about.duedate is None:
            return {}
        utc = about.duedate.replace(tzinfo=UTC)  # as nbgrader stores it
        extended = {
            each.student.id: utc + each.extension for each in about.submissions if each.extension
        }
        return {"": utc, **extended}
