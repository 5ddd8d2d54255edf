"""Explorer: searches race each other through the tabular benchmark of architectures.

Device, goal, number of trainings and seed are chosen. Every search ran once with each seed before
the first picture, on look-ups instead of trainings, so that a slider only has to look again. A
search sees validation accuracies of single trainings; what it found is judged by the mean test
accuracy over seeds, which it never saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from course_lib import nas, plot
from course_lib._validate import check_choice, check_int
from course_lib.widgets._explorer import WIDE, Picture, explorer, start_titles
from course_lib.widgets._race import (
    DEVICES,
    GOALS,
    MEASURED,
    MOST_TRAININGS,
    SEARCHES,
    Goal,
)

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

METHODS = ("random", "evolution", "reinforce")
_RATIOS = (1 / 8, 32)  # of the axis: latency to target
_BELOW = (20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.0, -0.5, -1.0)  # ticks, in points


@dataclass(frozen=True)
class Settings:
    """Where the architecture shall run, what is wanted of it, and how many trainings are paid."""

    device: str = MEASURED
    goal: str = GOALS[0]
    trainings: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("device", self.device, DEVICES)
        check_choice("goal", self.goal, GOALS)
        check_int("trainings", self.trainings, maximum=MOST_TRAININGS)
        check_int("seed", self.seed, minimum=0)

    def __str__(self) -> str:
        return f"{self.goal} on {self.device}, {self.trainings} trainings, seed {self.seed}"


@dataclass(frozen=True)
class Find:
    """What a search had chosen when its trainings were spent.

    below: for each seed by how many points its choice misses the reference; the rest is the choice
    of one seed: accuracy on the test images (mean over trainings), latency on the device.
    """

    method: str
    below: npt.NDArray[np.float64] = field(repr=False)
    name: str
    accuracy: float
    latency_s: float


@dataclass(frozen=True)
class Standing:
    """What `compute` found. `allowed` is the number of architectures that may be chosen."""

    settings: Settings
    target_s: float
    allowed: int
    reference: str
    finds: tuple[Find, ...]


class Subject:
    """The benchmark, the searches that race in it, and everything they did.

    methods: names from SEARCHES; "tpe" needs Optuna. Each runs with seeds 0 to seeds - 1.
    on, goals: the devices and goals that can be chosen.
    """

    def __init__(
        self,
        benchmark: nas.TabularBenchmark | None = None,
        methods: Sequence[str] = METHODS,
        *,
        seeds: int = 10,
        on: Sequence[str] = DEVICES,
        goals: Sequence[str] = GOALS,
    ) -> None:
        self.benchmark = nas.TabularBenchmark() if benchmark is None else benchmark
        self.methods = tuple(check_choice("methods", name, SEARCHES) for name in methods)
        self.seeds = check_int("seeds", seeds)
        self.devices = tuple(check_choice("on", name, DEVICES) for name in on)
        self.goals = tuple(check_choice("goals", name, GOALS) for name in goals)
        self.trained = tuple(self.benchmark)
        self.index = {t.name: i for i, t in enumerate(self.trained)}
        self.goal = cache(partial(Goal, self.trained))
        self._races: dict[tuple[Any, ...], Mapping[str, npt.NDArray[np.int64]]] = {}

    def race(self, goal: Goal) -> Mapping[str, npt.NDArray[np.int64]]:
        """Return for each search what it had chosen, [seeds, MOST_TRAININGS]; runs it only once.

        An entry is the position of the architecture; [s, n - 1] is the choice after n trainings.
        """
        if goal.key not in self._races:
            self._races[goal.key] = {
                method: np.array([self._run(goal, method, seed) for seed in range(self.seeds)])
                for method in self.methods
            }
        return self._races[goal.key]

    def _run(self, goal: Goal, method: str, seed: int) -> list[int]:
        training = self.benchmark.training(seed)

        def position(architecture: nas.Architecture) -> int:
            return self.index[self.benchmark.look_up(architecture).name]

        def evaluate(architecture: nas.Architecture) -> float:
            return goal.reward(position(architecture), training(architecture))

        chosen = SEARCHES[method](
            evaluate, self.benchmark.space, lambda a: bool(goal.allowed[position(a)]), seed
        )
        spent = [trainings for trainings, _ in chosen]
        places = [position(architecture) for _, architecture in chosen]
        steps = np.searchsorted(spent, np.arange(1, MOST_TRAININGS + 1), side="right") - 1
        return [places[max(step, 0)] for step in steps]


def compute(subject: Subject, settings: Settings) -> Standing:
    """Say what each search had chosen after so many trainings, for all seeds and for one."""
    check_int("seed", settings.seed, minimum=0, maximum=subject.seeds - 1)
    goal = subject.goal(settings.device, settings.goal)
    finds = []
    for method, choices in subject.race(goal).items():
        now = choices[:, settings.trainings - 1]
        found = subject.trained[now[settings.seed]]
        latency_s = float(goal.latencies_s[now[settings.seed]])
        finds.append(Find(method, goal.below[now], found.name, found.test_accuracy, latency_s))
    name = subject.trained[goal.reference].name
    return Standing(settings, goal.target_s, int(goal.allowed.sum()), name, tuple(finds))


def race_table(standing: Standing) -> list[dict[str, Any]]:
    """Return one row per search: over seeds how far below the reference; the find of the seed."""
    return [
        {
            "search": find.method,
            "points below the reference, median": float(np.median(find.below)),
            "quartiles": " to ".join(f"{q:.2f}" for q in np.quantile(find.below, (0.25, 0.75))),
            f"find of seed {standing.settings.seed}": find.name,
            "test accuracy": find.accuracy,
            "latency [µs]": 1e6 * find.latency_s,
        }
        for find in standing.finds
    ]


def race_summary(standing: Standing) -> str:
    """Say in a sentence who is how far."""
    said = [f"{find.method} {np.median(find.below):.2f}" for find in standing.finds]
    return (
        f"{standing.settings}: {standing.allowed} architectures may be chosen, the target is "
        f"{1e6 * standing.target_s:,.0f} µs. Points below the reference, median over "
        f"{len(standing.finds[0].below)} seeds: {', '.join(said)}."
    )


def race_figure(subject: Subject, settings: Settings) -> Figure:
    """Draw the climb of every search, and where its choice lies among all architectures."""
    board = _Board(subject)
    board.draw(compute(subject, settings))
    return board.figure


def search_race(subject: Subject, settings: Settings | None = None) -> VBox:
    """Return the explorer for a notebook; it starts at `settings`. All races are run first."""
    import ipywidgets as widgets

    first = settings or Settings(subject.devices[0], subject.goals[0])
    for device in subject.devices:
        for goal in subject.goals:
            subject.race(subject.goal(device, goal))
    board = _Board(subject)

    def draw(**values: Any) -> tuple[Picture, str]:
        standing = compute(subject, replace(first, **values))
        board.draw(standing)
        return board.picture, race_summary(standing)

    controls: dict[str, Any] = {}
    for name, options in (("device", subject.devices), ("goal", subject.goals)):
        if len(options) > 1:
            controls[name] = widgets.Dropdown(
                options=options, value=getattr(first, name), description=name, **WIDE
            )
    for name, limits, unit in (
        ("trainings", {"min": 1, "max": MOST_TRAININGS}, "budget [trainings]"),
        ("seed", {"min": 0, "max": subject.seeds - 1}, "seed of the thin lines"),
    ):
        controls[name] = widgets.IntSlider(
            value=getattr(first, name), description=unit, **limits, **WIDE
        )
    return explorer(controls, draw)


class _Board:
    """One figure whose artists move: see `Picture`."""

    def __init__(self, subject: Subject) -> None:
        from matplotlib.figure import Figure

        self._subject = subject
        self.figure = Figure(figsize=(9.4, 4.0))
        with plot.style():
            self._climb, self._plane = self.figure.subplots(1, 2, width_ratios=(1.15, 1))
        self.figure.subplots_adjust(left=0.075, right=0.985, top=0.91, bottom=0.135, wspace=0.22)
        looks = [plot.look(i) for i in range(len(subject.methods))]
        self._start_climb(looks)
        self._start_plane(looks)
        self._titles = start_titles([self._climb, self._plane])
        lines = (*self._medians, *self._singles, self._other, self._open, *self._stars)
        self.picture = Picture(self.figure, (*self._bands, *lines, *self._titles))

    def _start_climb(self, looks: list[dict[str, Any]]) -> None:
        axes = self._climb
        axes.set(xlim=(0, MOST_TRAININGS), xlabel="trainings", ylabel="points below the reference")
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(_BELOW[0], _BELOW[-1])
        axes.set_yticks(_BELOW, [f"{tick:g}" for tick in _BELOW])
        axes.minorticks_off()
        axes.axhline(0, color="black", linewidth=0.8)
        self._bands = [axes.fill_between([], [], [], color=k["color"], alpha=0.18) for k in looks]
        plain = [{**k, "markevery": 10, "markersize": 5} for k in looks]
        self._medians = [axes.plot([], [], **k)[0] for k in plain]
        thin = [{**k, "marker": "", "linewidth": 0.8} for k in looks]
        self._singles = [axes.plot([], [], **k)[0] for k in thin]
        for name, line in zip(self._subject.methods, self._medians, strict=True):
            line.set_label(name)
        axes.legend(loc="lower right", title="median, quartiles", fontsize=9)

    def _start_plane(self, looks: list[dict[str, Any]]) -> None:
        axes = self._plane
        tested = [100 * t.test_accuracy for t in self._subject.trained]
        axes.set(xscale="log", xlim=_RATIOS, ylim=(min(tested) - 0.5, max(tested) + 1.5))
        axes.set_xticks([1 / 4, 1, 4, 16], ["1/4", "1", "4", "16"])
        axes.minorticks_off()
        axes.set(xlabel="latency, relative to the target", ylabel="test accuracy [%]")
        axes.axvline(1, color="black", linestyle=":")
        dots: dict[str, Any] = {"linestyle": "none", "markersize": 4, "color": "#767676"}
        (self._open,) = axes.plot([], [], "o", **dots, label="may be chosen")
        (self._other,) = axes.plot([], [], "x", **dots, alpha=0.5, label="may not")
        shown = {"markeredgecolor": "white", "linestyle": "none"}
        sizes = range(15, 0, -3)  # one may lie on another
        pairs = zip(looks, sizes, strict=False)
        self._stars = [axes.plot([], [], **(k | shown), markersize=n)[0] for k, n in pairs]
        axes.legend(loc="lower right", fontsize=9)

    def draw(self, standing: Standing) -> None:
        """Move the artists to where the searches stand."""
        settings = standing.settings
        goal = self._subject.goal(settings.device, settings.goal)
        self._draw_climb(goal, settings)
        tested = np.array([100 * t.test_accuracy for t in self._subject.trained])
        for marks, shown in ((self._open, goal.allowed), (self._other, ~goal.allowed)):
            marks.set_data(goal.ratios[shown], tested[shown])
        for star, find in zip(self._stars, standing.finds, strict=True):
            star.set_data([find.latency_s / goal.target_s], [100 * find.accuracy])
        self._titles[0].set_text(f"{settings.goal}, {settings.trainings} trainings")
        allowed = f"{standing.allowed} of {len(tested)} may be chosen"
        self._titles[1].set_text(f"target {1e6 * goal.target_s:,.0f} µs; {allowed}")

    def _draw_climb(self, goal: Goal, settings: Settings) -> None:
        spent = np.arange(1, settings.trainings + 1)
        races = self._subject.race(goal)
        for i, choices in enumerate(races.values()):
            below = goal.below[choices[:, : settings.trainings]]
            low, middle, high = np.quantile(below, (0.25, 0.5, 0.75), axis=0)
            self._medians[i].set_data(spent, middle)
            self._singles[i].set_data(spent, below[settings.seed])
            edge = np.concatenate([np.c_[spent, low], np.c_[spent, high][::-1]])
            self._bands[i].set_verts([edge])
