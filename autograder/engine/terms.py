"""Everything besides the submission that decides a grade, and the key under which it is kept.

Two runs with the same key must give the same grade: the key covers the student's files, the
notebook in its three forms, the instructor's files, the limits, how code is confined, and the
code that grades, down to the bytes of this package and of course_lib.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from pathlib import Path

import nbformat

from autograder.engine.contents import Contents
from autograder.execute import Limits
from autograder.template import Template

PACKAGES = ("torch", "numpy", "nbgrader", "nbclient", "nbformat", "ipykernel")
_NOT_GRADING = ("autograder/corpus", "autograder/cli")


@cache
def versions() -> str:
    """Digest of the Python, the packages and the source files that grade."""
    found = [sys.version, *(f"{name} {_version(name)}" for name in PACKAGES)]
    whole = hashlib.sha256("\n".join(found).encode())
    root = Path(__file__).parents[2]
    for path in sorted((*(root / "autograder").rglob("*"), *(root / "course_lib").rglob("*"))):
        name = path.relative_to(root).as_posix()
        if path.is_file() and "__pycache__" not in name and not name.startswith(_NOT_GRADING):
            whole.update(name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


@dataclass(frozen=True)
class Terms:
    """The notebook to grade against, the files it needs, and the limits, confinement included."""

    template: Template
    supplies: Contents
    limits: Limits
    versions: str = field(default_factory=versions)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all of it."""
        template = self.template
        forms = (template.source, template.graded, template.released)
        parts = [
            template.assignment,
            template.notebook,
            *(hashlib.sha256(nbformat.writes(form).encode()).hexdigest() for form in forms),
            self.supplies.digest,
            json.dumps(asdict(self.limits), sort_keys=True),
            self.versions,
        ]
        return _digest(parts)

    def key(self, student: str, contents: Contents) -> str:
        """The key of this student's result for these files under these terms."""
        return _digest([student, contents.digest, self.digest])


def _digest(parts: list[str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
