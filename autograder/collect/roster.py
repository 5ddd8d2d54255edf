"""Who is who: from what an LMS calls a student to the student's id in the grade book."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import dateutil.parser

from autograder.course import Course
from autograder.errors import CourseError
from autograder.gradebook import open_gradebook

MAX_ROSTER_BYTES = 5 * 2**20

# Columns (letters only, lower case) of nbgrader's `db student import`, of the gradebook that
# Canvas exports, of Moodle's grading worksheet and of the roster that Gradescope downloads, in
# the order in which they are preferred as the student's id.
_IDS = (
    "studentid", "username", "sisloginid", "loginid", "idnumber", "sisuserid", "sid", "email",
    "emailaddress", "id", "lmsuserid", "identifier",
)  # fmt: skip
_NAMES = ("student", "fullname", "name")
_RECEIVED = ("lastmodifiedsubmission", "submittedat", "received", "timestamp")


@dataclass(frozen=True)
class Person:
    """A student and everything by which an archive may call them."""

    student: str
    name: str = ""
    keys: frozenset[str] = frozenset()
    received: datetime | None = None


@dataclass(frozen=True)
class Roster:
    """The students of a course."""

    people: tuple[Person, ...] = field(default=())

    def find(self, keys: tuple[str, ...], name: str = "") -> Person | None:
        """The one student with one of these keys, or else the only one of this name."""
        for key in keys:
            found = [person for person in self.people if key.casefold() in person.keys]
            if len(found) == 1:
                return found[0]
        namesakes = [person for person in self.people if same_name(name, person.name)]
        return namesakes[0] if len(namesakes) == 1 else None

    def by_key(self, key: str) -> Person | None:
        """The one student with this key."""
        return self.find((key,))


def read_roster(course: Course, path: Path | None = None) -> Roster:
    """The students of the grade book, and those of a CSV file matched with them."""
    people = _from_gradebook(course)
    known = {key: person for person in people for key in person.keys}
    for person in _from_csv(path) if path is not None else []:
        same = next((known[key] for key in sorted(person.keys) if key in known), None)
        if same is None:
            people.append(person)
        else:
            keys = same.keys | person.keys
            people.remove(same)
            people.append(replace(person, student=same.student, keys=keys))
    return Roster(tuple(people))


def same_name(one: str, other: str) -> bool:
    """Whether two spellings are one name: "Smith, Bob", "smithbob" and "Bob Smith" are."""
    ours, theirs = _words(one), _words(other)
    if not ours or not theirs:
        return False
    turned = {"".join(theirs[i:] + theirs[:i]) for i in range(len(theirs))}
    return sorted(ours) == sorted(theirs) or "".join(ours) in turned


def _words(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", name).casefold()
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    return re.findall(r"[^\W_]+", plain)


def _from_gradebook(course: Course) -> list[Person]:
    if course.gradebook_file is not None and not course.gradebook_file.exists():
        return []
    people = []
    with open_gradebook(course) as gradebook:
        for student in gradebook.students:
            name = f"{student.first_name or ''} {student.last_name or ''}".strip()
            keys = (student.id, student.email, student.lms_user_id)
            people.append(Person(student.id, name, _keys(keys)))
    return people


def _from_csv(path: Path) -> list[Person]:
    try:
        if path.stat().st_size > MAX_ROSTER_BYTES:
            raise CourseError(f"The roster {path} is larger than {MAX_ROSTER_BYTES} bytes.")
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"The roster {path} cannot be read as UTF-8 text: {error}.") from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    people = [person for row in rows if (person := _person(row)) is not None]
    if not people:
        raise CourseError(
            f"The roster {path} names no student: it needs a heading with one of "
            f"{', '.join(_IDS)}, and a row per student. It has: {first[:200]}"
        )
    return people


def _person(row: dict[str, str]) -> Person | None:
    cells = {
        re.sub(r"[^a-z]", "", heading.lower()): (value or "").strip()
        for heading, value in row.items()
        if isinstance(heading, str) and not isinstance(value, list)
    }
    # Canvas calls its own number "ID" (and the student's name "Student"); nbgrader the student's.
    preferred = _IDS if "student" in cells else ("id", *_IDS)
    student = next((cells[column] for column in preferred if cells.get(column)), "")
    if not student:
        return None
    name = next((cells[column] for column in _NAMES if cells.get(column)), "")
    if not name:
        name = f"{cells.get('firstname', '')} {cells.get('lastname', '')}".strip()
    keys = [cells.get(column) for column in _IDS]
    keys.append(re.sub(r"^participant ", "", cells.get("identifier", ""), flags=re.I))
    received = next((cells[column] for column in _RECEIVED if cells.get(column)), "")
    return Person(student, name, _keys(keys), _time(received))


def _keys(values: object) -> frozenset[str]:
    return frozenset(str(value).casefold() for value in values if value)  # type: ignore[attr-defined]


def _time(text: str) -> datetime | None:
    """A time as Moodle writes it, "Friday, 20 November 2026, 8:30 AM", or in ISO form."""
    try:
        return dateutil.parser.parse(text).astimezone(UTC) if len(text) > 5 else None
    except (ValueError, OverflowError):
        return None
