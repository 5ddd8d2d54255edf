"""What the course itself measured: one CSV file per table, made by `python -m experiments`.

Every row ends with how it came about: seconds, hardware, threads, torch, python, commit. The
tables lie in `results/` beside course_lib, or in the folder that COURSE_RESULTS_DIR names. Units
are in the names of the columns, as in `published`; `results/NAME.md` reads the table in words.
"""

from __future__ import annotations

import os
from pathlib import Path

from course_lib._tables import Table, parse
from course_lib._validate import check_choice

__all__ = ["Table", "folder", "names", "read", "table"]


def folder() -> Path:
    """Where the tables lie."""
    named = os.environ.get("COURSE_RESULTS_DIR")
    return Path(named) if named else Path(__file__).resolve().parent.parent / "results"


def names() -> tuple[str, ...]:
    """Return the names of all tables."""
    return tuple(sorted(path.stem for path in folder().glob("*.csv")))


def table(name: str) -> Table:
    """Return the table `name`; ValueError lists the names if there is no such table."""
    if not names():
        raise ValueError(
            f"There are no measured tables in {folder()}: set COURSE_RESULTS_DIR to the course's "
            "folder results/, or make them with `make results-quick`."
        )
    return read(folder() / f"{check_choice('name', name, names())}.csv")


def read(path: Path) -> Table:
    """Return the table in a CSV file; OSError if it cannot be read."""
    return parse(path.stem, path.read_text(encoding="utf-8"))
