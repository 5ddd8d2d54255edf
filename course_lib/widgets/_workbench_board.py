"""The picture of the explorer `workbench`: what has changed, and where that is on the plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from course_lib import plot
from course_lib.widgets._explorer import Picture, start_titles
from course_lib.widgets._plane import BEST_ERROR, Model, move, place, start_marks, start_plane
from course_lib.widgets.plane import limit_of

if TYPE_CHECKING:
    from course_lib.widgets.workbench import Point

METRICS = ("error", "bytes", "MACs", "latency", "energy")
_FARTHEST = 64.0  # times more or less than the unchanged network


class Board:
    """One figure whose artists move: see `Picture`. The measured networks and the axis stay."""

    def __init__(self, measured: Sequence[Model], axis: str) -> None:
        from matplotlib.figure import Figure

        self._axis = axis
        self.figure = Figure(figsize=(10.4, 4.4))
        with plot.style():
            self._change, self._plane = self.figure.subplots(1, 2, width_ratios=(0.8, 1.5))
        self.figure.subplots_adjust(left=0.07, right=0.815, top=0.88, bottom=0.13, wspace=0.3)
        self._start_change()
        self._start_plane([m for m in measured if m.cost(axis) is not None])
        self._titles = start_titles([self._change, self._plane])
        moving = [*self._bars, *self._words, self._limit, self._trail, self._here]
        self.picture = Picture(self.figure, [*moving, *self._titles])

    def _start_change(self) -> None:
        axes, places = self._change, range(len(METRICS))
        ticks = (1 / 16, 1 / 4, 1, 4, 16)
        axes.set(xscale="log", xlim=(1 / _FARTHEST, _FARTHEST), ylim=(len(METRICS) - 0.4, -0.6))
        axes.set_xticks(ticks, ["1/16", "1/4", "1", "4", "16"])
        axes.set(yticks=places, yticklabels=METRICS, xlabel="times that of the unchanged network")
        axes.minorticks_off()
        axes.grid(visible=False, axis="y")
        axes.axvline(1, color="black", linewidth=1)
        blue = plot.PALETTE["blue"]
        self._bars = [
            axes.plot([], [], "o-", color=blue, linewidth=5, markersize=8, markevery=[1])[0]
            for _ in places
        ]
        text: dict[str, Any] = {"fontsize": 9, "ha": "center", "va": "bottom"}
        text["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        self._words = [axes.text(1, y - 0.2, "", **text) for y in places]

    def _start_plane(self, measured: Sequence[Model]) -> None:
        axes, axis = self._plane, self._axis
        costs = [model.cost(axis) or 1.0 for model in measured]
        start_plane(axes, costs, axis)
        low, high = (min(costs), max(costs)) if costs else (1e3, 1e7)
        axes.set_xlim(low / 3, 3 * high)
        techniques = tuple(sorted({model.technique for model in measured}))
        for technique, marks in start_marks(axes, techniques).items():
            move(marks, [place(m, axis) for m in measured if m.technique == technique])
            marks.set(alpha=0.45, markersize=4)
        red, black = plot.PALETTE["vermillion"], plot.PALETTE["black"]
        (self._limit,) = axes.plot([], [], "--", color=red, label="limit of the device")
        (self._trail,) = axes.plot([], [], ".-", color=black, alpha=0.6, label="visited")
        (self._here,) = axes.plot(
            [], [], "*", color=red, markeredgecolor=black, markersize=17, label="here"
        )
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=9)

    def draw(self, points: Sequence[Point], unchanged: Point) -> None:
        """Move the artists to the last of the points, its trail and its start."""
        last = points[-1]
        before, after = _metrics(unchanged), _metrics(last)
        words = (
            f"{after[0]:.2%}",
            f"{last.size_bytes:,} bytes",
            f"{last.macs:,}",
            f"{1e6 * last.latency_s:.0f} µs, measured here",
            f"{1e6 * last.energy_j:.1f} µJ, predicted",
        )
        for y, (bar, word) in enumerate(zip(self._bars, self._words, strict=True)):
            ratio = min(max(after[y] / before[y], 1.1 / _FARTHEST), _FARTHEST / 1.1)
            bar.set_data([1, ratio], [y, y])
            word.set_text(words[y])
        places = [_place(point, self._axis) for point in points]
        move(self._trail, places)
        move(self._here, places[-1:])
        limit = limit_of(last.settings.device, self._axis)
        move(self._limit, [] if limit is None else [(limit, 1.0), (limit, BEST_ERROR)])
        room = "fits" if last.fits else "does not fit"
        self._titles[0].set_text(str(last.settings))
        self._titles[1].set_text(
            f"{last.accuracy:.2%} right; {room} on {last.settings.device}, "
            f"{1e3 * last.predicted_s:.3g} ms there"
        )


def _metrics(point: Point) -> tuple[float, float, float, float, float]:
    """What METRICS name; an error is at least that of one image, so that ratios exist."""
    error = max(1 - point.accuracy, 1 / point.images)
    return error, point.size_bytes, point.macs, point.latency_s, point.energy_j


def _place(point: Point, axis: str) -> tuple[float, float]:
    return point.cost(axis), max(1 - point.accuracy, 1.05 * BEST_ERROR)
