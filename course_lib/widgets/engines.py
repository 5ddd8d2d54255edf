"""Explorer: one network in several engines: latency, bytes of the file, peak memory.

The rows are those of the course's own table `engines` or, where that is not there, of a short
measurement on this machine. Latencies carry the quartiles of their repetitions: what differs by
less is not told apart. An engine without a number says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from course_lib import deploy, models, results
from course_lib._validate import check_choice
from course_lib.widgets._engines_board import Board
from course_lib.widgets._explorer import WIDE, Picture, explorer

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure
    from torch import Tensor

Row = Mapping[str, Any]

REFERENCE = "eager"
COLUMNS = (
    *("net", "batch", "engine", "latency_ms", "latency_q1_ms", "latency_q3_ms", "size_bytes"),
    *("peak_memory_bytes", "max_abs_error", "agreement", "note"),
)


@dataclass(frozen=True)
class Settings:
    """Which network, how many inputs at once, and whether costs are divided by their number."""

    net: str
    batch: int = 1
    per_input: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.per_input, bool):
            raise TypeError(f"per_input must be True or False, got {self.per_input!r}.")


@dataclass(frozen=True)
class Comparison:
    """What `compute` found: the rows of one network at one batch size, in the table's order."""

    settings: Settings
    rows: tuple[Row, ...] = field(repr=False)

    @property
    def eager(self) -> Row:
        """The row of eager PyTorch; empty if it has none."""
        return next((row for row in self.rows if row["engine"] == REFERENCE), {})

    @property
    def faster(self) -> tuple[str, ...]:
        """Engines whose slow quartile is below eager's fast one: faster beyond the spread."""
        limit = self.eager.get("latency_q1_ms")
        timed = [row for row in self.rows if row["latency_q3_ms"] is not None]
        return tuple(r["engine"] for r in timed if limit and r["latency_q3_ms"] < limit)


class Subject:
    """The rows to choose from; ValueError if there are none, a column is missing, or none ran.

    rows: as in the table `engines`: net, batch, engine, latency_ms with quartiles, size_bytes,
    peak_memory_bytes, max_abs_error, agreement, note. source: where they come from, in words.
    """

    def __init__(self, rows: Sequence[Row], source: str) -> None:
        if not rows:
            raise ValueError("rows must hold at least one measurement, got none.")
        for column in COLUMNS:
            if any(column not in row for row in rows):
                raise ValueError(f"rows must all have the column {column!r}, one has not.")
        if not any(row["latency_ms"] for row in rows):
            raise ValueError("rows must hold at least one latency; none of the engines ran.")
        self.rows, self.source = tuple(rows), source
        self.nets = tuple(dict.fromkeys(str(row["net"]) for row in rows))
        self.batches = tuple(sorted({int(row["batch"]) for row in rows}))
        self.engines = tuple(dict.fromkeys(str(row["engine"]) for row in rows))

    def first(self) -> Settings:
        """The first network at the smallest batch size."""
        return Settings(self.nets[0], self.batches[0])


def measured() -> Subject | None:
    """Return the course's table `engines`, or None where it has not been measured yet."""
    if "engines" not in results.names():
        return None
    rows = results.table("engines").rows
    return Subject(
        rows, f"results/engines.csv, {rows[0]['hardware']}, {rows[0]['threads']} thread"
    )


def live(
    examples: Mapping[str, Tensor],
    batches: Sequence[int] = (1, 64),
    engines: Sequence[str] = ("eager", "folded", "onnxruntime", "onnxruntime_int8"),
    repeats: int = 20,
) -> Subject:
    """Measure here and now: for each packaged network, inputs [N, ...] of which batches are taken.

    The first rows are the batch and all of them calibrate int8, so this tells time, bytes and
    memory; whether int8 is right, other inputs decide. Raises as `deploy.compare_engines` does.
    """
    rows = []
    for net, inputs in examples.items():
        for batch in batches:
            found = deploy.compare_engines(
                models.pretrained(net),
                inputs[:batch],
                engines,
                calibration=inputs,
                repeats=repeats,
            )
            rows += [row_of(net, row) for row in found]
    return Subject(rows, f"measured here, {repeats} repetitions, 1 thread")


def row_of(net: str, row: deploy.EngineRow) -> dict[str, Any]:
    """Return an `EngineRow` with the columns and units of the table `engines`."""
    times = (row.latency_s, row.latency_q1_s, row.latency_q3_s)
    names = ("latency_ms", "latency_q1_ms", "latency_q3_ms")
    return {
        "net": net,
        "batch": row.batch,
        "engine": row.engine,
        **{n: None if t is None else 1e3 * t for n, t in zip(names, times, strict=True)},
        "size_bytes": row.size_bytes,
        "peak_memory_bytes": row.peak_memory_bytes,
        "max_abs_error": row.max_abs_error,
        "agreement": row.agreement,
        "note": row.note,
    }


def compute(subject: Subject, settings: Settings) -> Comparison:
    """Return the rows of one network and batch size: none where just that pair was not measured.

    ValueError for a network or a batch size that no row has.
    """
    check_choice("net", settings.net, subject.nets)
    if settings.batch not in subject.batches:
        raise ValueError(f"batch must be one of {subject.batches}, got {settings.batch!r}.")
    wanted = (settings.net, settings.batch)
    rows = tuple(row for row in subject.rows if (row["net"], row["batch"]) == wanted)
    return Comparison(settings, rows)


def engines_table(comparison: Comparison) -> list[dict[str, Any]]:
    """Return a row per engine: times in ms with quartiles, sizes in bytes, correctness, note."""
    return [{name: row[name] for name in COLUMNS[2:]} for row in comparison.rows]


def engines_summary(comparison: Comparison) -> str:
    """Say in a sentence what the fastest engine is and which ones beat eager beyond the spread."""
    chosen = comparison.settings
    inputs = "1 input" if chosen.batch == 1 else f"{chosen.batch} inputs"
    timed = [row for row in comparison.rows if row["latency_ms"]]
    if not timed:
        return f"{chosen.net}, {inputs}: no engine has a number."
    best = min(timed, key=lambda row: row["latency_ms"])
    beaten = ", ".join(comparison.faster) or "none"
    silent = [row["engine"] for row in comparison.rows if not row["latency_ms"]]
    return (
        f"{chosen.net}, {inputs}: the median is lowest in {best['engine']}, "
        f"{best['latency_ms']:.3g} ms. Faster than eager beyond the quartiles: {beaten}."
        + (f" Without a number: {', '.join(silent)}." if silent else "")
    )


def engines_figure(subject: Subject, comparison: Comparison) -> Figure:
    """Draw latency with quartiles, bytes of the file and peak memory, a dot per engine."""
    board = Board(subject)
    board.draw(comparison)
    return board.figure


def engines(subject: Subject, settings: Settings | None = None) -> VBox:
    """Return the explorer for a notebook; it starts at `settings`."""
    import ipywidgets as widgets

    first, board = settings or subject.first(), Board(subject)

    def draw(**values: Any) -> tuple[Picture, str]:
        comparison = compute(subject, replace(first, **values))
        board.draw(comparison)
        return board.picture, engines_summary(comparison)

    controls = {
        "net": widgets.Dropdown(
            options=subject.nets, value=first.net, description="network", **WIDE
        ),
        "batch": widgets.SelectionSlider(
            options=subject.batches, value=first.batch, description="batch [inputs]", **WIDE
        ),
        "per_input": widgets.Checkbox(
            first.per_input, description="time and memory per input", **WIDE
        ),
    }
    return explorer(controls, draw)
