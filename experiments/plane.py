"""The plane: every network that the course has measured, and which of them are worth having

Built from the other tables of results/, those that are there. A row is a network in a form of its
own (file, code, engine): the mean over the seeds listed in `seed` of its test accuracy, bytes,
MACs, and latency where it was measured (one image, one thread of a CPU). `frontier_*` is 1 where
no row of the data set is better in accuracy and that cost without being worse in one, and empty
where the row does not count there; `rank_*` counts for those the others on the frontier that
dominate them when differences within the noise of the seeds are ties (empty where there is one
seed: its noise is unknown).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, stdev

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator

from course_lib import pareto, plot, results
from course_lib.results import Table
from experiments._plane_sources import NAMES, TECHNIQUES, Run, runs
from experiments.runner import Job, Row

KEY = ("dataset", "technique", "network", "setting", "table")
DERIVED = True  # from other tables: made anew, not continued, when they have changed
COSTS = {"bytes": "size_bytes", "macs": "macs", "latency": "latency_s"}
SPREAD = {"accuracy": 1e-6, "size_bytes": 0, "macs": 0, "frontier_bytes": 0, "frontier_macs": 0}
UNCHANGED = {"engine": "macs"}  # by technique: the cost in which it only repeats the network
DIRECTIONS = ("max", "min")
FEW = 4  # networks of a data set that make a picture
FLOORS = {"mnist": 0.9}  # the least accuracy that counts in a hypervolume; elsewhere one half


def jobs(quick: bool) -> list[Job]:
    """One job per data set, from the tables in results/ also where this is the quick version."""
    tables = {name: results.table(name) for name in NAMES if name in results.names()}
    found: dict[str, list[Run]] = {}
    for run in runs(tables):
        found.setdefault(run.dataset, []).append(run)
    return [Job({"dataset": name}, partial(rows_of, found[name])) for name in found]


@dataclass(frozen=True)
class Model:
    """Runs that differ by nothing but their seed."""

    runs: tuple[Run, ...]

    def values(self, name: str) -> list[float]:
        """One number per run; none if it is missing in a run."""
        values = [getattr(run, name) for run in self.runs]
        return [] if None in values else values

    def mean(self, name: str) -> float | None:
        """The mean over the runs, rounded as in the file: what is equal there is equal here."""
        values = self.values(name)
        if not values:
            return None
        whole = all(isinstance(value, int) for value in values)
        return round(fmean(values)) if whole else float(f"{fmean(values):.6g}")

    def points(self, name: str) -> list[tuple[float, float]]:
        """Accuracy and a cost of every run."""
        return list(zip(self.values("accuracy"), self.values(name), strict=True))


def models_of(all_runs: Iterable[Run]) -> list[Model]:
    """Group runs that agree in everything of KEY; ValueError if two of them have one seed."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in all_runs:
        groups.setdefault(tuple(getattr(run, name) for name in KEY), []).append(run)
    for key, group in groups.items():
        if len({run.seed for run in group}) < len(group):
            raise ValueError(f"Two networks have one name: {key}.")
    return [Model(tuple(sorted(group, key=lambda run: run.seed))) for group in groups.values()]


def rows_of(all_runs: Iterable[Run]) -> list[Row]:
    """The rows of one data set."""
    models = models_of(all_runs)
    rows = [_row(model) for model in models]
    for short, name in COSTS.items():
        flags, ranks = standing(models, name)
        for row, flag, rank in zip(rows, flags, ranks, strict=True):
            row |= {f"frontier_{short}": flag, f"rank_{short}": rank}
    return rows


def _row(model: Model) -> Row:
    first, accuracies = model.runs[0], model.values("accuracy")
    means = ("validation_accuracy", "size_bytes", "macs", "latency_s")
    return {
        **{name: getattr(first, name) for name in KEY},
        "seed": " ".join(str(run.seed) for run in model.runs),
        "seeds_count": len(model.runs),
        "accuracy": model.mean("accuracy"),
        "accuracy_std": stdev(accuracies) if len(accuracies) > 1 else None,
        **{name: model.mean(name) for name in means},
    }


def standing(models: Sequence[Model], name: str) -> tuple[list[int | None], list[int | None]]:
    """For each model whether it is on the frontier of accuracy and `name`, and its rank there.

    Neither for those whose cost is unknown, or that of the same network in another row.
    """
    known = [
        i
        for i, model in enumerate(models)
        if model.values(name) and UNCHANGED.get(model.runs[0].technique) != name
    ]
    means = [(models[i].mean("accuracy"), models[i].mean(name)) for i in known]
    best = [known[i] for i in pareto.frontier(np.array(means, float).reshape(-1, 2), DIRECTIONS)]
    flags: list[int | None] = [None] * len(models)
    for i in known:
        flags[i] = int(i in best)
    several = [i for i in best if len(models[i].runs) > 1]
    found = pareto.ranks_beyond_noise([models[i].points(name) for i in several], DIRECTIONS)
    ranks: list[int | None] = [None] * len(models)
    for i, rank in zip(several, found, strict=True):
        ranks[i] = int(rank)
    return flags, ranks


def reading(table: Table) -> str:
    """What the table says."""
    rows: list[Row] = [dict(row) for row in table.rows]
    tables = {str(row["table"]) for row in rows}
    absent = [name for name in NAMES if name not in tables]
    said = [_reading_of(name, rows) for name in dict.fromkeys(r["dataset"] for r in rows)]
    missing = f"Not there when this was made: {', '.join(absent)}. " if absent else ""
    return f"""{len(rows):,} rows from {len(tables)} tables; a network in another file, code or
    engine is another row. {" ".join(said)} {missing}The
    volume is that of accuracy (in points, above a floor) times cost (in powers of ten, below the
    largest cost of the data set): another floor or scale gives other shares, and what two
    techniques reach both is the merit of neither in it. The tables trained for different times,
    with different images and recipes, so a technique that is absent from a frontier may have been
    given less; the plane shows what these runs reached, not what a technique can do. The best of
    many means are above average by luck, too: a frontier over hundreds of networks, drawn with
    test accuracies, is optimistic, most of all where there is one seed. MACs are those of dense
    kernels, zeros included; an engine does not change them, so its rows do not count there.
    Latencies were measured in different runs on one machine and count as exact, although the
    repetitions of each spread: where only they differ, a rank says more than was shown."""


def _reading_of(dataset: str, rows: Sequence[Row]) -> str:
    here = [row for row in rows if row["dataset"] == dataset]
    both = {short: [row for row in here if row[f"frontier_{short}"]] for short in COSTS}
    shared = sum(bool(row["frontier_bytes"] and row["frontier_macs"]) for row in here)
    parts = [f"{_points(best, COSTS[short])} by {short}" for short, best in both.items() if best]
    return (
        f"{dataset}: {len(here)} rows; on the frontier {', '.join(parts)}, {shared} by bytes "
        f"and by MACs. {_by_noise(both)} {_moved(here)}"
    )


def _points(best: Sequence[Row], cost: str) -> str:
    """How many points rows are; rows at one point are one network in several forms."""
    points = len({(row["accuracy"], row[cost]) for row in best})
    return str(points) if points == len(best) else f"{points} ({len(best)} rows)"


def _by_noise(both: dict[str, list[Row]]) -> str:
    said = []
    for short in COSTS:
        ranks = [row[f"rank_{short}"] for row in both[short]]
        known = [rank for rank in ranks if rank is not None]
        alone = ranks.count(None)
        left_out = f" ({alone} more with one seed)" if alone else ""
        said += [f"{known.count(0)} of {len(known)}{left_out} by {short}"] if known else []
    if not said:
        return "One seed each, so the noise is unknown."
    return (
        f"When differences within the noise of the seeds are ties, {', '.join(said)} are "
        "dominated by none (each other one ties with a cheaper neighbour, which does not make it "
        "tie with the cheapest)."
    )


def _moved(here: Sequence[Row]) -> str:
    """What share of the dominated volume would be lost without each technique."""
    said = []
    for short in ("bytes", "macs"):
        counting = [row for row in here if row[f"frontier_{short}"] is not None]
        lost = contributions(counting, COSTS[short])
        listed = ", ".join(f"{name} {share:.1%}" for name, share in lost.items() if share > 0)
        said.append(f"by {short}: {listed or 'none'}")
    return f"What the volume would lose without a technique, {'; '.join(said)}."


def contributions(rows: Sequence[Row], name: str) -> dict[str, float]:
    """For each technique, the share of the hypervolume that nothing else reaches, largest first.

    The reference is the floor of the data set and the largest cost in `rows`.
    """
    floor = FLOORS.get(str(rows[0]["dataset"]).partition(",")[0], 0.5)
    reference = (100 * floor, math.log10(max(row[name] for row in rows)))

    def volume(kept: Iterable[Row]) -> float:
        points = [(100 * row["accuracy"], math.log10(row[name])) for row in kept]
        return pareto.hypervolume(np.array(points, float).reshape(-1, 2), reference, DIRECTIONS)

    whole = volume(rows)
    present = [t for t in TECHNIQUES if any(row["technique"] == t for row in rows)]
    lost = {
        technique: 1 - volume(row for row in rows if row["technique"] != technique) / whole
        for technique in (present if whole else ())
    }
    return dict(sorted(lost.items(), key=lambda item: -item[1]))


def figure(table: Table) -> tuple[Figure, str]:
    """Accuracy (as error, logarithmic) against bytes and MACs, a row of panels per data set."""
    counts = Counter(str(row["dataset"]) for row in table.rows)
    datasets = [name for name, count in counts.items() if count >= FEW] or list(counts)
    size = (11.0, 1.2 + 3.6 * len(datasets))
    fig, panels = plot.subplots(len(datasets), 2, size=size, squeeze=False, sharey="row")
    for axes, dataset in zip(panels, datasets, strict=True):
        rows = [dict(row) for row in table.rows if row["dataset"] == dataset]
        for ax, short, label in zip(axes, COSTS, ("bytes of the file", "MACs"), strict=False):
            _panel(ax, [row for row in rows if row[f"frontier_{short}"] is not None], short)
            ax.set(xlabel=label, title=dataset)
        axes[0].set_ylabel("test accuracy (%), error on a log scale")
    handles = {
        label: handle
        for ax in panels.flat
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5)
    return fig, (
        "Test accuracy of every measured network against the bytes of its file and against its "
        "multiply-adds, by technique, with both Pareto frontiers"
    )


def _panel(ax: Axes, rows: Sequence[Row], short: str) -> None:
    name, top = COSTS[short], min(0.5, *map(_error, rows)) / 1.3
    ax.set_ylim(1, top)
    ax.set(xscale="log", yscale="log")
    for i, technique in enumerate(TECHNIQUES):
        chosen = [row for row in rows if row["technique"] == technique]
        if not chosen:
            continue
        look = plot.look(i) | {"linestyle": "none", "markersize": 5, "alpha": 0.7}
        look |= {"markerfacecolor": "none"} if i >= len(plot.PALETTE) else {}  # looks repeat
        x, errors = [row[name] for row in chosen], [_error(row) for row in chosen]
        ax.plot(x, errors, **look, label=technique)
    best = sorted((row for row in rows if row[f"frontier_{short}"]), key=lambda row: row[name])
    line = [row[name] for row in best], [_error(row) for row in best]
    ax.step(*line, where="post", color="black", linewidth=1, label="Pareto frontier")
    ticks = [e for e in (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005) if e > top]
    ax.set_yticks(ticks, [f"{100 * (1 - tick):g}" for tick in ticks])
    ax.minorticks_off()
    costs = [row[name] for row in rows]
    if max(costs) < 30 * min(costs):  # hardly a power of ten to label
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter(LogFormatterSciNotation(minor_thresholds=(99, 99)))


def _error(row: Row) -> float:
    return max(1 - row["accuracy"], 1e-4)


__all__ = ["DERIVED", "KEY", "SPREAD", "figure", "jobs", "reading"]
