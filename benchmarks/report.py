"""Tables of measurements: as text for people, as CSV for programs.

Each row is one contestant in one case. `ratio` is its time divided by that of the row's
reference, so below 1 is faster; a contestant without a time has a note that says why.
"""

from __future__ import annotations

import csv
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from benchmarks.timing import Quartiles, ratios
from course_lib.measure import hardware

Cell = str | int | float | bool | None

PACKAGES = ("torchvision", "numpy", "onnxruntime", "fvcore", "torchinfo", "ptflops")


@dataclass(frozen=True)
class Row:
    """One contestant in one case; `extra` holds the table's own columns."""

    case: str
    subject: str
    samples_s: tuple[float, ...] = ()
    reference: str = ""
    reference_s: tuple[float, ...] = ()
    extra: Mapping[str, Cell] = field(default_factory=dict)
    note: str = ""

    @property
    def time(self) -> Quartiles | None:
        """Seconds of one call."""
        return Quartiles.of(self.samples_s) if self.samples_s else None

    @property
    def ratio(self) -> Quartiles | None:
        """Time relative to the reference, of the rounds they share."""
        if not self.samples_s or not self.reference_s:
            return None
        return ratios(self.samples_s, self.reference_s)

    def cells(self) -> dict[str, Cell]:
        """Everything a CSV row says."""
        return {
            "case": self.case,
            "subject": self.subject,
            **_quartiles(self.time, "seconds", "q1_s", "q3_s"),
            "rounds": len(self.samples_s),
            "reference": self.reference,
            **_quartiles(self.ratio, "ratio", "ratio_q1", "ratio_q3"),
            **self.extra,
            "note": self.note,
        }


@dataclass(frozen=True)
class Table:
    """The rows of one comparison, how they were measured, and what they say in one line."""

    name: str
    title: str
    method: str
    rows: tuple[Row, ...]
    reading: str

    def text(self) -> str:
        """The table as aligned text; a case is named in its first row."""
        extras = list(dict.fromkeys(key for row in self.rows for key in row.extra))
        header = ["case", "contestant", "ms", "IQR", "ratio", "quartiles", "of", *extras, "note"]
        lines, case = [header], None
        for row in self.rows:
            name, case = ("" if row.case == case else row.case), row.case
            time, ratio = row.time, row.ratio
            lines.append(
                [
                    name,
                    row.subject,
                    f"{time.median * 1e3:.3f}" if time else "-",
                    f"{time.spread:.0%}" if time else "-",
                    f"{ratio.median:.3f}" if ratio else "-",
                    f"{ratio.q1:.3f}..{ratio.q3:.3f}" if ratio else "-",
                    row.reference,
                    *(_shown(row.extra.get(key)) for key in extras),
                    row.note,
                ]
            )
        return "\n".join(
            (f"== {self.title} ==", self.method, "", _aligned(lines), "", self.reading)
        )

    def write_csv(self, folder: Path, machine: Mapping[str, Cell]) -> Path:
        """Write NAME.csv, each row with the machine it was measured on, and return its path."""
        rows = [{**row.cells(), **machine} for row in self.rows]
        columns = list(dict.fromkeys(key for row in rows for key in row))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        return path


def rows_of(
    case: str,
    samples: Mapping[str, tuple[float, ...]],
    reference: str | Mapping[str, str],
    extra: Mapping[str, Mapping[str, Cell]],
) -> list[Row]:
    """Return one row per contestant of `timing.interleave`'s result.

    `reference` names the contestant that ratios refer to, for all or for each.
    """
    rows = []
    for subject, seconds in samples.items():
        base = reference if isinstance(reference, str) else reference[subject]
        rows.append(Row(case, subject, seconds, base, samples[base], extra.get(subject, {})))
    return rows


def span(rows: Sequence[Row], subject: str) -> str:
    """Say a contestant's lowest and highest median ratio in these rows, for a table's reading."""
    values = [row.ratio.median for row in rows if row.subject == subject and row.ratio]
    if not values:
        return "not measured"
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


def machine() -> dict[str, Cell]:
    """This machine, its load at the start, and the versions of all that is compared."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {**hardware(), "load_1min": load, "zlib": zlib.ZLIB_RUNTIME_VERSION, **_versions()}


def _quartiles(values: Quartiles | None, median: str, q1: str, q3: str) -> dict[str, Cell]:
    if values is None:
        return {median: None, q1: None, q3: None}
    return {median: values.median, q1: values.q1, q3: values.q3}


def _versions() -> dict[str, Cell]:
    found: dict[str, Cell] = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns of equal width: numbers to the right, the words of the outer columns to the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    words = {0, 1, 6, len(widths) - 1}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _shown(value: Cell) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else value
