"""Explorer: every network that was measured, on the plane of accuracy and cost.

Data set, cost and techniques are chosen; the frontier and its hypervolume are those of what is
shown. A device draws a line at what it can hold, or compute in time; the best network on its left
is marked. Every point is a row of `results.table("plane")`: nothing is computed anew but the
frontier.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from course_lib import devices, pareto, plot
from course_lib._validate import check_choice, check_fraction
from course_lib.widgets._explorer import WIDE, Picture, explorer
from course_lib.widgets._plane import (
    AXES,
    BEST_ERROR,
    Model,
    Subject,
    accuracy_text,
    move,
    place,
    start_marks,
    start_plane,
)

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

NO_DEVICE = "none"
IN_TIME_S = 0.1  # for one image on the device
FLOORS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
DIRECTIONS = ("max", "min")


@dataclass(frozen=True)
class Settings:
    """What is shown; `techniques` None: all. Accuracies below `floor` count for nothing."""

    dataset: str = "mnist"
    axis: str = "bytes"
    techniques: tuple[str, ...] | None = None
    device: str = NO_DEVICE
    floor: float = 0.9

    def __post_init__(self) -> None:
        check_choice("axis", self.axis, tuple(AXES))
        check_choice("device", self.device, (NO_DEVICE, *_device_names()))
        check_fraction("floor", self.floor)


@dataclass(frozen=True)
class View:
    """What `compute` found. `volume`: points of accuracy times powers of ten of the cost."""

    settings: Settings
    models: tuple[Model, ...] = field(repr=False)
    frontier: tuple[Model, ...]  # the cheapest first
    limit: float | None  # of the device
    best: Model | None  # the most accurate within the limit
    volume: float


def limit_of(device: str, axis: str) -> float | None:
    """The largest cost that a device allows: its memory, or the MACs that it does in IN_TIME_S.

    Latencies were measured on another machine and say nothing of a device: None, as without one.
    """
    if device == NO_DEVICE or axis == "latency":
        return None
    found = devices.device(device)
    if axis == "bytes":
        return float(found.memory_bytes)
    return IN_TIME_S / devices.predicted_latency_s(found, 1)


def compute(subject: Subject, settings: Settings) -> View:
    """Find the frontier of what `settings` show, its hypervolume, and the best for the device.

    The reference of the hypervolume is the worst that is accepted: the floor, and the limit of
    the device or, without one, the largest cost of the data set.
    """
    axis = settings.axis
    everything = subject.on(settings.dataset, axis)
    wanted = subject.techniques if settings.techniques is None else settings.techniques
    models = [model for model in everything if model.technique in wanted]
    costs = {model: model.cost(axis) or 0.0 for model in everything}
    limit = limit_of(settings.device, axis)
    points = [(100 * m.accuracy, math.log10(costs[m])) for m in models]
    best = [models[i] for i in pareto.frontier(points, DIRECTIONS)]
    worst = max(costs.values(), default=1.0) if limit is None else limit
    reference = (100 * settings.floor, math.log10(worst))
    affordable = [m for m in best if costs[m] <= worst and m.accuracy >= settings.floor]
    return View(
        settings,
        tuple(models),
        tuple(sorted(best, key=lambda m: costs[m])),
        limit,
        max(affordable, key=lambda m: m.accuracy, default=None),
        pareto.hypervolume(points, reference, DIRECTIONS),
    )


def plane_table(view: View) -> list[dict[str, Any]]:
    """Return one row per network on the frontier, the cheapest first."""
    return [
        {
            "network": str(model),
            "technique": model.technique,
            "accuracy": accuracy_text(model),
            "seeds": model.seeds_count,
            "size_bytes": model.size_bytes,
            "macs": model.macs,
            "latency_s": model.latency_s,
            "fits": "" if view.limit is None else _fits(model, view),
        }
        for model in view.frontier
    ]


def plane_summary(view: View) -> str:
    """Say in a sentence how large the frontier is and which network is the best to take."""
    settings = view.settings
    if not view.models:
        return f"{settings.dataset}: nothing of what is chosen was measured on this axis."
    where = "" if view.limit is None else f" within {_amount(view.limit)} ({settings.device})"
    best = f"none has {settings.floor:.0%}{where}"
    if view.best is not None:
        best = f"best{where}: {view.best}, {accuracy_text(view.best)} %"
    return (
        f"{settings.dataset}: {len(view.frontier)} of {len(view.models)} networks are on the "
        f"frontier of accuracy and {settings.axis}, hypervolume {view.volume:.2f}; {best}."
    )


def plane_figure(subject: Subject, view: View) -> Figure:
    """Draw the networks, their frontier, the limit of the device and the best within it."""
    board = _Board(subject, view.settings)
    board.draw(view)
    return board.figure


def plane(subject: Subject, settings: Settings | None = None) -> VBox:
    """Return the explorer for a notebook; it starts at `settings`, or with all techniques."""
    import ipywidgets as widgets

    first = settings or Settings(subject.datasets[0])
    boards = {
        (dataset, axis): _Board(subject, Settings(dataset, axis))
        for dataset in subject.datasets
        for axis in AXES
    }
    for board in boards.values():  # the first drawing is slower than a slider
        board.picture.png()
    known = cache(lambda chosen: compute(subject, chosen))

    def draw(**values: Any) -> tuple[Picture, str]:
        view = known(replace(first, **values))
        board = boards[view.settings.dataset, view.settings.axis]
        board.draw(view)
        return board.picture, plane_summary(view)

    floors = sorted({*FLOORS, first.floor})
    chosen = subject.techniques if first.techniques is None else first.techniques
    controls = {
        "dataset": widgets.Dropdown(
            options=subject.datasets, value=first.dataset, description="data set", **WIDE
        ),
        "axis": widgets.Dropdown(
            options=tuple(AXES), value=first.axis, description="cost", **WIDE
        ),
        "techniques": widgets.SelectMultiple(
            options=subject.techniques, value=chosen, rows=len(subject.techniques),
            description="techniques shown", **WIDE,
        ),
        "device": widgets.Dropdown(
            options=(NO_DEVICE, *_device_names()), value=first.device,
            description="limit of device", **WIDE,
        ),
        "floor": widgets.SelectionSlider(
            options=[(f"{floor:.0%}", floor) for floor in floors], value=first.floor,
            description="least accuracy", **WIDE,
        ),
    }  # fmt: skip
    return explorer(controls, draw)


class _Board:
    """One figure whose artists move: see `Picture`. Its data set and axis stay."""

    def __init__(self, subject: Subject, settings: Settings) -> None:
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(9.4, 4.4))
        with plot.style():
            axes = self.figure.subplots()
        self.figure.subplots_adjust(left=0.09, right=0.77, top=0.92, bottom=0.13)
        here = subject.on(settings.dataset, settings.axis)
        start_plane(axes, [model.cost(settings.axis) or 1.0 for model in here], settings.axis)
        self._marks = start_marks(axes, subject.techniques)
        red = plot.PALETTE["vermillion"]
        (self._steps,) = axes.step([], [], where="post", color="black", label="frontier")
        (self._limit,) = axes.plot([], [], "--", color=red, label="limit of the device")
        (self._floor,) = axes.plot([], [], ":", color="black", label="least accuracy")
        look: dict[str, Any] = {"markersize": 15, "markeredgecolor": "black"}
        (self._best,) = axes.plot([], [], "*", color=red, label="best within both", **look)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=9)
        self._title = axes.set_title("", fontsize=10, y=1.0)
        self._left_right = axes.get_xlim()
        moving = [*self._marks.values(), self._steps, self._limit, self._floor]
        self.picture = Picture(self.figure, [*moving, self._best, self._title])

    def draw(self, view: View) -> None:
        """Move the artists to what the view shows."""
        axis, floor = view.settings.axis, view.settings.floor
        for technique, marks in self._marks.items():
            move(marks, [place(m, axis) for m in view.models if m.technique == technique])
        move(self._steps, [place(model, axis) for model in view.frontier])
        limit = [] if view.limit is None else [(view.limit, 1.0), (view.limit, BEST_ERROR)]
        move(self._limit, limit)
        error = max(1 - floor, BEST_ERROR)
        move(self._floor, [(x, error) for x in self._left_right] if floor else [])
        move(self._best, [] if view.best is None else [place(view.best, axis)])
        self._title.set_text(
            f"{view.settings.dataset}: {len(view.frontier)} of {len(view.models)} on the "
            f"frontier, hypervolume {view.volume:.2f}"
        )


def _fits(model: Model, view: View) -> bool:
    return (model.cost(view.settings.axis) or 0.0) <= (view.limit or 0.0)


def _amount(cost: float) -> str:
    from matplotlib.ticker import EngFormatter

    return EngFormatter(places=0)(cost)


def _device_names() -> tuple[str, ...]:
    return tuple(device.name for device in devices.all_devices())
