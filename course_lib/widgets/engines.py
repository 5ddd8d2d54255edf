"""Explorer: one network in several engines: latency, bytes of the file, peak memory.

The rows are those of the course's own table `engines` or, where that is not there, of a short
measurement on this machine. Bars carry the quartiles of their repetitions: what differs by less
is not told apart. An engine without a number says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from course_lib import deploy, models, plot, results
from course_lib._validate import check_choice
from course_lib.widgets._explorer import WIDE, Picture, explorer

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from torch import Tensor

Row = Mapping[str, Any]

REFERENCE = "eager"
COLUMNS = (
    *("net", "batch", "engine", "latency_ms", "latency_q1_ms", "latency_q3_ms", "size_bytes"),
    *("peak_memory_bytes", "max_abs_error", "agreement", "note"),
)
_PANELS = {  # column: title, and what one unit of the axis is
    "latency_ms": ("latency [ms]", 1.0),
    "size_bytes": ("file [kB]", 1e3),
    "peak_memory_bytes": ("peak memory of a call [MB]", 1e6),
}


@dataclass(frozen=True)
class Settings:
    """Which network, how many inputs at once, and whether every bar is divided by eager's."""

    net: str
    batch: int = 1
    relative: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.relative, bool):
            raise TypeError(f"relative must be True or False, got {self.relative!r}.")


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
    """Return the rows of one network and batch size; ValueError if they were not measured."""
    check_choice("net", settings.net, subject.nets)
    wanted = (settings.net, settings.batch)
    rows = tuple(row for row in subject.rows if (row["net"], row["batch"]) == wanted)
    if not rows:
        raise ValueError(f"batch must be one of {subject.batches}, got {settings.batch!r}.")
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
    """Draw latency with quartiles, bytes of the file and peak memory, a bar per engine."""
    board = _Board(subject)
    board.draw(comparison)
    return board.figure


def engines(subject: Subject, settings: Settings | None = None) -> VBox:
    """Return the explorer for a notebook; it starts at `settings`."""
    import ipywidgets as widgets

    first, board = settings or subject.first(), _Board(subject)

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
        "relative": widgets.Checkbox(
            first.relative, description="relative to eager PyTorch", **WIDE
        ),
    }
    return explorer(controls, draw)


class _Board:
    """One figure whose artists move: see `Picture`. The axes fit all rows."""

    def __init__(self, subject: Subject) -> None:
        from matplotlib.figure import Figure

        self._subject = subject
        self.figure = Figure(figsize=(10.0, 1.2 + 0.32 * len(subject.engines)))
        with plot.style():
            panels = self.figure.subplots(1, len(_PANELS), sharey=True)
        self.figure.subplots_adjust(left=0.19, right=0.985, top=0.8, bottom=0.2, wspace=0.08)
        self.figure.text(0.01, 0.015, subject.source, fontsize=8)
        self._panels: dict[str, tuple[list[Any], list[Text]]] = {
            column: self._start(axes, column) for axes, column in zip(panels, _PANELS, strict=True)
        }
        self._spreads = [panels[0].plot([], [], color="black")[0] for _ in subject.engines]
        self._title = self.figure.suptitle("", x=0.01, ha="left", fontsize=11)
        artists = [artist for bars, words in self._panels.values() for artist in (*bars, *words)]
        self.picture = Picture(self.figure, [*artists, *self._spreads, self._title])

    def _start(self, axes: Axes, column: str) -> tuple[list[Any], list[Text]]:
        title, unit = _PANELS[column]
        names, places = self._subject.engines, range(len(self._subject.engines))
        low, high = self._limits(column, unit)
        axes.set(xscale="log", xlim=(low, high), ylim=(len(names) - 0.4, -0.6))
        axes.set_yticks(places, names)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("or times eager's", fontsize=8)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.grid(visible=False, axis="y")
        style: dict[str, Any] = {"edgecolor": "black", "linewidth": 0.5, "left": low}
        bars = list(axes.barh(places, [0] * len(names), color=plot.PALETTE["sky blue"], **style))
        box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.6}
        words = [
            axes.text(0, y, "", va="center", fontsize=8, clip_on=True, bbox=box) for y in places
        ]
        self._low = getattr(self, "_low", {}) | {column: low}
        return bars, words

    def _limits(self, column: str, unit: float) -> tuple[float, float]:
        """Room for every value and every ratio of the subject, and for a word beside it."""
        values = [row[column] / unit for row in self._subject.rows if row[column]]
        for net, batch in dict.fromkeys((r["net"], r["batch"]) for r in self._subject.rows):
            shown = compute(self._subject, Settings(net, batch))
            values += [v for v in _values(shown, column, relative=True) if v]
        low, high = min(values, default=1.0), max(values, default=1.0)
        return low / 3, high * (high / low) ** 0.45 * 3

    def draw(self, comparison: Comparison) -> None:
        """Move the artists to what the comparison says."""
        chosen = comparison.settings
        place = {name: i for i, name in enumerate(self._subject.engines)}
        rows: dict[int, Row] = {place[row["engine"]]: row for row in comparison.rows}
        for column, (bars, words) in self._panels.items():
            found = dict(zip(rows, _values(comparison, column, chosen.relative), strict=True))
            for index, (bar, word) in enumerate(zip(bars, words, strict=True)):
                value, low = found.get(index), self._low[column]
                bar.set_width(value - low if value else 0)
                word.set_x(1.15 * value if value else low * 1.1)
                word.set_text(f"{value:.3g}" if value else _why(rows.get(index), column))
        self._draw_spreads(comparison, rows)
        inputs = "1 input" if chosen.batch == 1 else f"{chosen.batch} inputs"
        self._title.set_text(f"{chosen.net}, {inputs}")

    def _draw_spreads(self, comparison: Comparison, rows: Mapping[int, Row]) -> None:
        """Lines from quartile to quartile, just below the middle of each bar."""
        eager = comparison.eager.get("latency_ms")
        divisor = eager if comparison.settings.relative and eager else 1.0
        for index, line in enumerate(self._spreads):
            row = rows.get(index, {})
            ends = [row.get(name) for name in ("latency_q1_ms", "latency_q3_ms")]
            shown = None not in ends
            line.set_data([e / divisor for e in ends] if shown else [], [index] * 2 * shown)


def _values(comparison: Comparison, column: str, relative: bool) -> list[float | None]:
    """The column in its panel's unit, or divided by eager's; None where there is no number."""
    values = [row[column] for row in comparison.rows]
    divisor = _PANELS[column][1]
    if relative:
        divisor = comparison.eager.get(column) or 0
    return [v / divisor if v and divisor else None for v in values]


def _why(row: Row | None, column: str, most: int = 28) -> str:
    """Say in a few words why a row has no bar."""
    if row is None:
        return "not measured"
    if row[column] == 0:
        return "too little to be seen"
    text = str(row["note"] or "no number")
    return text if len(text) <= most else f"{text[: most - 1]}…"
