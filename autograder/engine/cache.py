"""Results that are already there: one file per student and notebook, whole or not there.

The first line of an entry holds its key and the checksum of the rest, so that a result for
other files, from other code, or from a disk that lost half of it is simply computed again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from autograder.course import Course
from autograder.files import write_bytes
from autograder.result import Graded
from autograder.template import Template

FOLDER = ".autograder"


class Cache:
    """The results of one notebook of an assignment, below `.autograder/results`."""

    def __init__(self, course: Course, template: Template) -> None:
        self.folder = course.root / FOLDER / "results" / template.assignment
        self.name = f"{template.notebook}.json"

    def get(self, student: str, key: str) -> Graded | None:
        """The stored result, or None where there is none for exactly this key."""
        try:
            head, _, body = self._path(student).read_bytes().partition(b"\n")
            if head.decode() != _head(key, body):
                return None
            return Graded.from_json(body)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, student: str, key: str, graded: Graded) -> None:
        """Keep a result in place of this student's earlier one."""
        body = graded.to_json().encode("utf-8", "replace")
        write_bytes(self._path(student), _head(key, body).encode() + b"\n" + body)

    def _path(self, student: str) -> Path:
        return self.folder / student / self.name


def _head(key: str, body: bytes) -> str:
    return f"{key} {hashlib.sha256(body).hexdigest()}"
