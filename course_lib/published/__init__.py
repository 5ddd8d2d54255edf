"""Numbers that papers and talks published: one CSV file per table, a citation in every row.

Notebooks read a published number from here and never retype it. The end of a column's name is its
unit (`latency_ms`, `top1_percent`, `params_millions`); `bleu` and `temperature` have none,
`sparsity` is the fraction of the weights that are zero, and `_times` is a factor.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from course_lib._tables import Table, Value, parse
from course_lib._validate import check_choice

__all__ = ["Table", "Value", "names", "table"]


def names() -> tuple[str, ...]:
    """Return the names of all tables."""
    entries = (entry.name for entry in files(__package__).iterdir())
    return tuple(sorted(name.removesuffix(".csv") for name in entries if name.endswith(".csv")))


def table(name: str) -> Table:
    """Return the table `name`; ValueError lists the names if there is no such table.

    >>> table("deep_compression").rows[0]["compression_times"]
    40
    """
    return parse(name, _text(check_choice("name", name, names())))


@cache
def _text(name: str) -> str:
    return (files(__package__) / f"{name}.csv").read_text(encoding="utf-8")
