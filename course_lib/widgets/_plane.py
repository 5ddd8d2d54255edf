"""What is drawn on the plane of accuracy and cost: the measured networks, axes, marks.

Used by the explorers `plane` and `workbench`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from course_lib import plot
from course_lib._validate import check_choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

AXES: Mapping[str, tuple[str, str]] = {  # name -> column of the table, label
    "bytes": ("size_bytes", "bytes of the file"),
    "MACs": ("macs", "multiply-adds for an image"),
    "latency": ("latency_s", "seconds for an image, one CPU thread"),
}
REPEATED = {"engine": "MACs"}  # technique -> the axis on which it only repeats its network
BEST_ERROR = 1e-3  # the top of the picture
_ERROR_TICKS = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002)


@dataclass(frozen=True)
class Model:
    """A row of the table: means over `seeds_count` seeds, and the standard deviation, or None."""

    dataset: str
    technique: str
    network: str
    setting: str
    accuracy: float
    accuracy_std: float | None
    seeds_count: int
    size_bytes: float
    macs: float
    latency_s: float | None

    def cost(self, axis: str) -> float | None:
        """What it costs on an axis; None where that was not measured or only repeats a network."""
        if REPEATED.get(self.technique) == axis:
            return None
        value: float | None = getattr(self, AXES[axis][0])
        return value

    def __str__(self) -> str:
        return f"{self.network} ({self.setting})"


class Subject:
    """The measured networks: rows of `results.table("plane")`.

    ValueError if there is none, or if a row lacks a column.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        names = tuple(Model.__dataclass_fields__)
        found = []
        for row in rows:
            missing = set(names) - set(row)
            if missing:
                raise ValueError(f"rows must hold {', '.join(sorted(missing))}; one does not.")
            found.append(Model(**{name: row[name] for name in names}))
        if not found:
            raise ValueError("rows must hold at least one network, got none.")
        self.models = tuple(found)
        self.datasets = tuple(dict.fromkeys(model.dataset for model in found))
        self.techniques = tuple(sorted({model.technique for model in found}))

    def on(self, dataset: str, axis: str) -> list[Model]:
        """The networks of a data set whose cost on that axis is known."""
        check_choice("dataset", dataset, self.datasets)
        return [m for m in self.models if m.dataset == dataset and m.cost(axis) is not None]


def start_plane(ax: Axes, costs: Sequence[float], axis: str) -> None:
    """Set up axes for accuracy, the error on a log scale, against costs on a log scale."""
    ax.set(xscale="log", xlabel=AXES[axis][1])
    if costs:
        ax.set_xlim(min(costs) / 1.5, 1.5 * max(costs))
    ax.set(yscale="log", ylim=(1, BEST_ERROR), ylabel="test accuracy (error on a log scale)")
    ax.set_yticks(_ERROR_TICKS, [f"{100 * (1 - error):g} %" for error in _ERROR_TICKS])
    ax.minorticks_off()


def start_marks(ax: Axes, techniques: Sequence[str]) -> dict[str, Line2D]:
    """Return an empty series of marks for each technique, each with a look of its own."""
    series = {}
    for index, technique in enumerate(techniques):
        look = plot.look(index) | {"linestyle": "none", "markersize": 5, "alpha": 0.7}
        if index >= len(plot.PALETTE):  # looks repeat
            look["markerfacecolor"] = "none"
        (series[technique],) = ax.plot([], [], **look, label=technique)
    return series


def place(model: Model, axis: str) -> tuple[float, float]:
    """Where a network stands: its cost, and its error, not below what the picture shows."""
    return model.cost(axis) or math.nan, max(1 - model.accuracy, 1.05 * BEST_ERROR)


def accuracy_text(model: Model) -> str:
    """The mean accuracy in percent, with the standard deviation over seeds if it is known."""
    spread = "" if model.accuracy_std is None else f" ± {100 * model.accuracy_std:.2f}"
    return f"{100 * model.accuracy:.2f}{spread}"


def move(line: Line2D, points: Sequence[tuple[float, float]]) -> None:
    """Put a line or a series of marks through these points."""
    line.set_data(*zip(*points, strict=True)) if points else line.set_data([], [])
