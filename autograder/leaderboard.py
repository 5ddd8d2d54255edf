"""A leaderboard for any assignment: whatever a test cell reports about a submission.

A test cell that prints a line `leaderboard: {"score": 0.91, "size_bytes": 20480}` puts its
student on the board. Only test cells count, whose output the judge wrote; the student's own
prints never do. People appear under pseudonyms that only they and the instructor can resolve.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import secrets
from pathlib import Path

from nbformat import NotebookNode
from nbgrader import utils

from autograder.course import Course
from autograder.files import write_text

PREFIX = "leaderboard:"
MAX_COLUMNS = 8
MAX_TEXT = 40
_SALT = Path(".autograder") / "pseudonyms"
_FIRST = (
    *("amber", "azure", "coral", "ebony", "green", "indigo"),
    *("ivory", "jade", "olive", "pearl", "ruby", "silver"),
)
_SECOND = (
    *("otter", "falcon", "lynx", "heron", "badger", "marten"),
    *("ibis", "gecko", "raven", "tapir", "wren", "zebra"),
)

Entry = dict[str, float | str]


def entry_of(notebook: NotebookNode) -> Entry | None:
    """The last entry that a test cell of an executed notebook printed, if any."""
    entry = None
    for cell in notebook.cells:
        if utils.is_grade(cell) and not utils.is_solution(cell):
            for output in cell.get("outputs", []):
                if output.output_type == "stream":
                    for line in str(output.text).splitlines():
                        entry = _parsed(line) or entry
    return entry


def is_entry(line: str) -> bool:
    """Whether a line puts somebody on the leaderboard."""
    return _parsed(line) is not None


def pseudonym(course: Course, student: str) -> str:
    """A name that stays the same through the course and does not give the student away."""
    digest = hmac.new(_salt(course), student.encode("utf-8", "replace"), hashlib.sha256).digest()
    number = int.from_bytes(digest[2:4], "big") % 1000
    return f"{_FIRST[digest[0] % 12]} {_SECOND[digest[1] % 12]} {number:03}"


def ranked(entries: dict[str, Entry]) -> list[tuple[str, Entry]]:
    """Entries by name, the best score first; without a score, last."""

    def place(item: tuple[str, Entry]) -> tuple[float, str]:
        score = item[1].get("score")
        return (-score if isinstance(score, (int, float)) else math.inf, item[0])

    return sorted(entries.items(), key=place)


def columns(entries: dict[str, Entry]) -> list[str]:
    """All keys, in the order in which they first appear, the score last."""
    names = dict.fromkeys(key for entry in entries.values() for key in entry)
    return [name for name in names if name != "score"] + ["score"] * ("score" in names)


def _parsed(line: str) -> Entry | None:
    """The numbers and short texts of a line; None for anything else."""
    head, found, rest = line.strip().partition(PREFIX)
    if head or not found:
        return None
    try:
        values = json.loads(rest)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    entry: Entry = {}
    for key, value in list(values.items())[:MAX_COLUMNS]:
        if isinstance(value, str):
            entry[key[:MAX_TEXT]] = value[:MAX_TEXT]
        elif isinstance(value, (int, float)) and math.isfinite(value):
            entry[key[:MAX_TEXT]] = float(value)
    return entry or None


def _salt(course: Course) -> bytes:
    """A secret of the course, without which names cannot be found by trying all students."""
    path = course.root / _SALT
    if not path.is_file():
        write_text(path, secrets.token_hex(32))
    return path.read_bytes()
