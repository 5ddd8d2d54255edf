"""How learning platforms name what they let an instructor download.

Canvas      name_LATE_userid_fileid_filename in one flat folder; without LATE when in time, with
            anon_xxxxx for the id where marking is anonymous. Source: lib/content_zipper.rb
            (get_filename, add_upload_submission) of instructure/canvas-lms.
Moodle      "Full Name_12345_assignsubmission_file/..." (before 4.1 with one more underscore at the
            end), where 12345 is the participant number of the grading worksheet; or flat, with the
            file name after it. Source: mod/assign/classes/downloader.php of moodle/moodle.
Gradescope  submission_12345/... beside submission_metadata.yml, which has :submitters: with
            :name:, :sid: and :email:, and :created_at:. Source: the export itself
            ("Export Submissions"), as public tools read it.
plain       a folder or a file per student, called by the student's id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import PurePosixPath
from typing import Any

import yaml

from autograder.collect.archive import ENDINGS, Entry, blocks
from autograder.collect.names import Refused
from autograder.collect.roster import Person, Roster, same_name

METADATA = "submission_metadata.yml"
MAX_METADATA_BYTES = 20 * 2**20


@dataclass
class Parcel:
    """What an archive says one student handed in."""

    label: str  # what the student is called where nobody knows better
    keys: tuple[str, ...] = ()
    name: str = ""
    files: list[tuple[tuple[str, ...], Entry]] = field(default_factory=list)
    received: datetime | None = None
    late: bool | None = None  # None: the platform does not say
    notes: list[str] = field(default_factory=list)
    refused: str = ""


Preset = Callable[[Sequence[Entry], Roster], list[Parcel]]

_CANVAS_IDS = re.compile(r"_(\d+)_(?=(\d+)_.)|(?:^|_)(anon_\w{5})_(?=(\d+)_.)")
_CANVAS_TEXT = re.compile(r"_\d+_(text|link)\.html$")
_MOODLE = re.compile(r"(?P<name>[^_]+)_(?P<number>\d+)_assignsubmission_(?P<kind>[a-z]+)_?")


def guess(entries: Sequence[Entry]) -> str:
    """The name of the preset whose scheme most of the files follow."""
    if any(entry.parts[-1] == METADATA and len(entry.parts) <= 2 for entry in entries):
        return "gradescope"
    tops = [entry.parts[0] for entry in _without_wrapper(entries, ())]
    if sum(bool(_MOODLE.match(top)) for top in tops) * 2 > len(tops):
        return "moodle"
    flat = [entry.parts[-1] for entry in _without_wrapper(entries, ()) if len(entry.parts) <= 2]
    if sum(bool(_CANVAS_IDS.search(name)) for name in flat) * 2 > len(entries):
        return "canvas"
    return "plain"


def canvas(entries: Sequence[Entry], roster: Roster) -> list[Parcel]:
    """One parcel per Canvas user; of files with one name the last uploaded comes first."""
    parcels: dict[str, Parcel] = {}
    uploads: dict[str, list[tuple[int, str, Entry]]] = {}
    for entry in _without_wrapper(entries, ()):
        split = _canvas_split(entry.parts[-1], roster)
        if split is None:
            if not _CANVAS_TEXT.search(entry.parts[-1]):
                parcels[entry.parts[-1]] = _nobody(entry, "Canvas")
            continue
        name, late, user, number, filename = split
        parcel = parcels.setdefault(user, Parcel(user, (user,), name))
        parcel.late = bool(parcel.late) or late
        uploads.setdefault(user, []).append((number, filename, entry))
    for user, files in uploads.items():
        files.sort(key=lambda file: -file[0])
        parcels[user].files = [((filename,), entry) for _, filename, entry in files]
    return list(parcels.values())


def _canvas_split(text: str, roster: Roster) -> tuple[str, bool, str, int, str] | None:
    """(name, late, user, file number, file name); where a student's own digits make it
    ambiguous, the reading that the roster confirms, else the first."""
    splits = []
    for found in _CANVAS_IDS.finditer(text):
        user, number = found[1] or found[3], found[2] or found[4]
        name, late = re.subn(r"_?late$", "", text[: found.start()], flags=re.I)
        filename = text[found.end() + len(number) + 1 :]
        splits.append((name.strip("_"), bool(late), user, int(number[:18]), filename))
    for split in splits:
        person = roster.by_key(split[2])
        if person is not None and same_name(split[0], person.name):
            return split
    return splits[0] if splits else None


def moodle(entries: Sequence[Entry], roster: Roster) -> list[Parcel]:
    """One parcel per participant; text typed into Moodle is left out."""
    parcels: dict[str, Parcel] = {}
    for entry in _without_wrapper(entries, ()):
        found = _MOODLE.match(entry.parts[0])
        if found is None:
            parcels[entry.parts[0]] = _nobody(entry, "Moodle")
            continue
        number, name = found["number"], found["name"].strip()
        anonymous = name.casefold() == "participant"
        label = f"participant-{number}" if anonymous else name
        person_name = "" if anonymous else name
        parcel = parcels.setdefault(number, Parcel(label, (number,), person_name))
        if found["kind"] != "file":
            continue
        rest = entry.parts[0][found.end() :].lstrip("_")
        parts = entry.parts[1:] if len(entry.parts) > 1 else (rest,)
        if parts[0]:
            parcel.files.append((parts, entry))
    return [parcel for parcel in parcels.values() if parcel.files or parcel.refused]


def gradescope(entries: Sequence[Entry], roster: Roster) -> list[Parcel]:
    """One parcel per submitter, several for the work of a group."""
    listing = [entry for entry in entries if entry.parts[-1] == METADATA and len(entry.parts) <= 2]
    if not listing:
        raise Refused(f"There is no {METADATA}, without which nobody knows whose files these are.")
    about = _metadata(listing[0])
    depth = len(listing[0].parts) - 1
    files: dict[str, list[tuple[tuple[str, ...], Entry]]] = {}
    for entry in entries:
        if len(entry.parts) > depth + 1:
            files.setdefault(entry.parts[depth], []).append((entry.parts[depth + 1 :], entry))
    parcels = []
    for folder, its in files.items():
        record = about.get(folder)
        people = record.get(":submitters") if isinstance(record, dict) else None
        if not isinstance(record, dict) or not isinstance(people, list):
            sentence = f"{METADATA} does not say who handed in {folder}."
            parcels.append(Parcel(folder, refused=sentence))
            continue
        received = _utc(record.get(":created_at"))
        for person in people:
            told = person if isinstance(person, dict) else {}
            sid, email, name = (str(told.get(f":{key}") or "") for key in ("sid", "email", "name"))
            keys = tuple(key for key in (sid, email) if key)
            parcels.append(Parcel(sid or email or name, keys, name, its, received))
    return parcels


def plain(entries: Sequence[Entry], roster: Roster) -> list[Parcel]:
    """One parcel per folder or file; a folder may have the assignment's folder in it."""
    parcels: dict[str, Parcel] = {}
    known = {key for person in roster.people for key in person.keys}
    for entry in _without_wrapper(entries, known):
        top = entry.parts[0]
        if len(entry.parts) > 1:
            parcel = parcels.setdefault(top, Parcel(top, (top,), top))
            parcel.files.append((entry.parts[1:], entry))
            continue
        label = _stem(top)
        person = _mentioned(label, roster)
        label = person.student if person else label
        parcels.setdefault(label, Parcel(label, (label,), label)).files.append(((top,), entry))
    for parcel in parcels.values():  # here the times are those of the files themselves
        parcel.received = max(entry.received for _, entry in parcel.files)
    return list(parcels.values())


PRESETS: dict[str, Preset] = {
    "canvas": canvas,
    "moodle": moodle,
    "gradescope": gradescope,
    "plain": plain,
}


def _nobody(entry: Entry, platform: str) -> Parcel:
    name = "/".join(entry.parts)
    sentence = f"{name} is not named as {platform} names files; nobody knows whose it is."
    return Parcel(entry.parts[0], refused=sentence)


def _without_wrapper(entries: Sequence[Entry], known: Any) -> list[Entry]:
    """The entries without the one folder that holds all the others, if there is one.

    A folder is only a wrapper if it holds folders alone or files that are named after students:
    else it may be the only student's.
    """
    taken = [entry for entry in entries if not entry.refused]
    tops = {entry.parts[0] for entry in taken}
    inner = {entry.parts[1] if len(entry.parts) > 1 else "" for entry in taken}
    if len(tops) != 1 or "" in inner or next(iter(tops)).casefold() in known:
        return list(entries)
    folders = all(len(entry.parts) > 2 for entry in taken)
    named = any(_stem(name).casefold() in known for name in inner)
    schemes = any(_MOODLE.match(name) or _CANVAS_IDS.search(name) for name in inner)
    if not (folders or named or schemes) or _MOODLE.match(next(iter(tops))):
        return list(entries)
    inside = [each for each in entries if each.parts[0] in tops and len(each.parts) > 1]
    return [replace(each, parts=each.parts[1:]) for each in inside]


def _stem(name: str) -> str:
    for ending in (*ENDINGS, PurePosixPath(name).suffix):
        if ending and name.lower().endswith(ending.lower()):
            return name[: -len(ending)]
    return name


def _mentioned(stem: str, roster: Roster) -> Person | None:
    """The one student whose id is the file's name, or a word of it."""
    person = roster.find((stem,))
    if person is not None:
        return person
    people = {p.student: p for word in re.split(r"[\s_]+", stem) if (p := roster.by_key(word))}
    return next(iter(people.values())) if len(people) == 1 else None


class _Loader(yaml.SafeLoader):
    """YAML as Ruby writes it: tags of Ruby's classes are read as the plain data they wrap."""


def _untagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_Loader.add_multi_constructor("", _untagged)


def _metadata(entry: Entry) -> dict[str, Any]:
    text = b"".join(blocks(entry, MAX_METADATA_BYTES))
    try:
        about = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise Refused(f"{METADATA} cannot be read: {str(error)[:200]}.") from error
    if not isinstance(about, dict):
        raise Refused(f"{METADATA} does not list submissions.")
    return {str(key): value for key, value in about.items()}


def _utc(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace(" Z", "+00:00").replace(" UTC", "+00:00"))
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return None
