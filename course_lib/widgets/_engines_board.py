"""The picture of the engines explorer: one figure whose artists move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from course_lib import plot
from course_lib.widgets._explorer import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    from course_lib.widgets.engines import Comparison, Row, Subject

_ROOM = 6.0  # factor between the largest value and the end of a logarithmic axis, at least
_SEEN = 2**18  # bytes: peak memory is not known better (`measure.peak_memory`)
_PANELS = {  # column: title, and what one unit of the axis is
    "latency_ms": ("latency [ms]", 1.0),
    "size_bytes": ("file [kB]", 1e3),
    "peak_memory_bytes": ("peak memory [MB]", 1e6),
}


class Board:
    """One figure whose artists move: see `Picture`. The axes fit all rows."""

    def __init__(self, subject: Subject) -> None:
        from matplotlib.figure import Figure

        self._subject = subject
        height = 1.3 + 0.3 * len(subject.engines)  # inches
        self.figure = Figure(figsize=(10.0, height))
        with plot.style():
            panels = self.figure.subplots(1, len(_PANELS), sharey=True)
        inside = {"left": 0.21, "right": 0.985, "top": 1 - 0.65 / height, "bottom": 0.55 / height}
        self.figure.subplots_adjust(**inside, wspace=0.12)
        self.figure.text(0.01, 0.05 / height, subject.source, fontsize=8)
        pairs = zip(_PANELS, panels, strict=True)
        self._panels = {column: self._start(axes, column) for column, axes in pairs}
        places = range(len(subject.engines))
        panels[0].set(ylim=(len(places) - 0.4, -0.6))
        panels[0].set_yticks(places, subject.engines, fontsize=9)
        thick: dict[str, Any] = {"color": "black", "linestyle": "-", "linewidth": 2}
        self._spreads = [panels[0].plot([], [], **thick)[0] for _ in places]
        above = 1 + 0.36 / (
            height - 1.2
        )  # a text of axes: animated ones of a figure are not saved
        self._title = panels[0].text(
            -0.8, above, "", fontsize=11, parse_math=False, transform=panels[0].transAxes
        )
        artists = [artist for dots, words in self._panels.values() for artist in (dots, *words)]
        self.picture = Picture(self.figure, [*artists, *self._spreads, self._title])

    def _start(self, axes: Axes, column: str) -> tuple[Line2D, list[Text]]:
        low, high = self._limits(column)
        axes.set(xscale="log", xlim=(low, high))
        axes.set_title(f"{_PANELS[column][0]} (over eager's)", fontsize=10, y=1.0)
        for steps, stride in (((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3)):
            ticks = [step * 10.0**power for power in range(-6, 9, stride) for step in steps]
            ticks = [tick for tick in ticks if low < tick < high / _ROOM]
            if len(ticks) <= 4:  # labels do not touch
                break
        axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
        axes.tick_params(axis="x", labelsize=8)
        axes.minorticks_off()
        color = plot.PALETTE["blue"]
        (dots,) = axes.plot([], [], "o", color=color, linestyle="none", markersize=7)
        right: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": 8, "parse_math": False}
        right["transform"] = axes.get_yaxis_transform()
        return dots, [axes.text(0.995, y, "", **right) for y in range(len(self._subject.engines))]

    def _limits(self, column: str) -> tuple[float, float]:
        """Room for every value of the subject, per batch and per input, and for its words."""
        rows = self._subject.rows
        values = [_value(row, column, each) for row in rows for each in (False, True)]
        known = [value for value in values if value] or [1.0]
        low, high = min(known), max(known)
        return low / 2, high * _ROOM * (high / low) ** 0.6

    def draw(self, comparison: Comparison) -> None:
        """Move the artists to what the comparison says."""
        chosen = comparison.settings
        rows = {row["engine"]: row for row in comparison.rows}
        ordered = [rows.get(name) for name in self._subject.engines]
        for column, (dots, words) in self._panels.items():
            eager = _value(comparison.eager, column, chosen.per_input)
            values: list[Any] = [_value(row or {}, column, chosen.per_input) for row in ordered]
            places = [y for y, value in enumerate(values) if value]
            dots.set_data([values[y] for y in places], places)
            for word, value, row in zip(words, values, ordered, strict=True):
                times = f" ({value / eager:.2f})" if value and eager else ""
                word.set_text(f"{value:,.4g}{times}" if value else _why(row, column))
        for line, row, place in zip(self._spreads, ordered, range(len(ordered)), strict=True):
            names = ("latency_q1_ms", "latency_q3_ms")
            ends = [_value(row, name, chosen.per_input) or 0 for name in names] if row else []
            line.set_data(*((ends, [place, place]) if any(ends) else ([], [])))
        inputs = "1 input" if chosen.batch == 1 else f"{chosen.batch} inputs"
        share = ", time and memory per input" if chosen.per_input else ""
        self._title.set_text(f"{chosen.net}, {inputs} at once{share}")


def _value(row: Row, column: str, per_input: bool) -> float | None:
    """The value in its panel's unit; None where there is none, or one too small to be seen."""
    value = row.get(column)
    if not value or (column == "peak_memory_bytes" and value < _SEEN):
        return None
    unit = _PANELS[column][1] if column in _PANELS else 1.0
    return value / unit / (row["batch"] if per_input and column != "size_bytes" else 1)


def _why(row: Row | None, column: str, most: int = 28) -> str:
    """Say in a few words why a row has no bar."""
    if row is None:
        return "not measured"
    if row[column] is not None:
        return "too little to be seen"
    text = str(row["note"] or "no number")
    return text if len(text) <= most else f"{text[: most - 1]}…"
