"""The log of test-split openings: who looked at the test images, when, and for which claim.

A test split that is looked at while choices are made stops being a test. The log does not forbid
that; it makes it visible.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from types import FrameType
from typing import ClassVar

from course_lib import _cache

_log: list[TestOpening] = []


@dataclass(frozen=True)
class TestOpening:
    """One opening of a test split: `when` is UTC in ISO form, `caller` the place in the code."""

    __test__: ClassVar[bool] = False  # its name is no test for pytest

    dataset: str
    claim: str
    when: str
    caller: str


def record(dataset: str, claim: str) -> TestOpening:
    """Append an opening to the log of this process and, if possible, to the file in the cache."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    opening = TestOpening(dataset, claim, when, _caller())
    _log.append(opening)
    line = json.dumps(asdict(opening)) + "\n"
    with suppress(OSError):  # a full disk or a read-only folder must not stop an evaluation
        folder = _cache.folder()
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "test_openings.jsonl", "ab", buffering=0) as log:
            log.write(line.encode())  # one append of one line: processes do not mix theirs
    return opening


def recorded() -> tuple[TestOpening, ...]:
    """Return the openings of this process, oldest first."""
    return tuple(_log)


def _caller() -> str:
    """Say which line outside this library opened the split: `file:line`, or a notebook cell."""
    frame: FrameType | None = sys._getframe(1)
    while frame and str(frame.f_globals.get("__name__")).partition(".")[0] == __package__:
        frame = frame.f_back
    if frame is None:
        return "unknown"
    cells_run = frame.f_globals.get("In")  # IPython's list; its first entry is a placeholder
    if callable(frame.f_globals.get("get_ipython")) and isinstance(cells_run, list):
        return f"notebook cell [{len(cells_run) - 1}], line {frame.f_lineno}"
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
