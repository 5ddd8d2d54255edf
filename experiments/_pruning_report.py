"""What the pruning table says, in a paragraph and a figure."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib import plot
from course_lib.results import Table
from experiments._nets import EFFICIENT, REDUNDANT, RETRAIN_IMAGES
from experiments._spread import Rows, compare, drops, mean_and_spread, points, where

NAMES = {REDUNDANT: "LeNet-300-100", EFFICIENT: "MobileNet"}
STRUCTURES = {
    "unstructured_global": "single weights, one ranking",
    "unstructured_layer": "single weights, per layer",
    "channels": "channels",
}


def losses(table: Table, net: str, sparsity: float, schedule: str, **wanted: Any) -> list[float]:
    """Test accuracy lost by each seed; by magnitude if nothing else is wanted."""
    wanted = {"criterion": "magnitude", "study": "sweep"} | wanted
    rows = where(table, **wanted, net=net, sparsity=sparsity, schedule=schedule)
    return drops(rows, where(table, study="dense", schedule="none"))


def reading(table: Table) -> str:
    """What the table shows, and what it does not."""
    parts = [_setting(table), *(_of_net(table, net) for net in NAMES), _efficient(table)]
    return " ".join([*parts, _speed(table), _odd_widths(table), _not_shown()])


def _setting(table: Table) -> str:
    said = []
    for net, name in NAMES.items():
        dense = where(table, study="dense", net=net, schedule="none")
        again = where(table, study="dense", net=net, schedule="retrained")
        said.append(
            f"{name} ({dense[0]['size_bytes']:,} bytes, {dense[0]['macs']:,} multiply-adds, "
            f"{points([row['accuracy'] for row in dense])} % of the test images right; after the "
            f"retraining without pruning it has lost {points(drops(again, dense))} points)"
        )
    seeds = len({row["seed"] for row in where(table)})
    return (
        f"{len(table)} rows about {' and '.join(said)}; seeds: {seeds}, ± is the standard "
        "deviation over them, losses are percentage points of test accuracy against the dense "
        "network of a seed."
    )


def _of_net(table: Table, net: str) -> str:
    said = []
    for structure, name in STRUCTURES.items():
        lost = [
            f"{points(losses(table, net, 0.9, schedule, structure=structure))} {when}"
            for schedule, when in (("one_shot", "at once"), ("one_shot_retrained", "retrained"))
            if losses(table, net, 0.9, schedule, structure=structure)
        ]
        said.append(f"{name} {' and '.join(lost)}")
    text = f"{NAMES[net]} without 90 % of its weights, by magnitude, loses: {'; '.join(said)}."
    return " ".join([text, _criteria(table, net), _schedules(table, net)]).strip()


def _criteria(table: Table, net: str) -> str:
    said = []
    for criterion in ("taylor", "obd", "apoz", "random"):
        pair = [
            losses(table, net, 0.8, "one_shot_retrained", structure="channels", criterion=c)
            for c in (criterion, "magnitude")
        ]
        if all(pair):
            said.append(f"{criterion} {compare(*pair)}")
    if not said:
        return ""
    return (
        "Other criteria, by what they lose more than magnitude (80 % of the weights gone as "
        f"channels, retrained): {'; '.join(said)}."
    )


def _schedules(table: Table, net: str) -> str:
    said = []
    for structure, name in STRUCTURES.items():
        for schedule in ("iterative", "gradual"):
            highest = 0.95 if losses(table, net, 0.95, schedule) else 0.9
            pair = [
                losses(table, net, highest, s, structure=structure)
                for s in (schedule, "one_shot_retrained")
            ]
            if all(pair):
                said.append(f"{schedule} with {name} at {highest:.0%} {compare(*pair)}")
    return f"Schedules of equal training, by what they lose more than one shot: {'; '.join(said)}."


def _efficient(table: Table) -> str:
    """Do efficient networks lose more?"""
    said = []
    for structure, name in STRUCTURES.items():
        pair = [
            losses(table, net, 0.9, "one_shot_retrained", structure=structure)
            for net in (EFFICIENT, REDUNDANT)
        ]
        if all(pair):
            said.append(f"{name} {compare(*pair)}")
    return f"The MobileNet loses more than LeNet-300-100 by, at 90 % retrained: {'; '.join(said)}."


def _speed(table: Table) -> str:
    said = []
    for net, name in NAMES.items():
        for structure, what in (("channels", "channels"), ("unstructured_global", "zeros")):
            rows = where(
                table, net=net, structure=structure, criterion="magnitude", schedule="one_shot",
                sparsity=0.9, study="sweep",
            )  # fmt: skip
            ratios = [_dense_of(table, row)["cpu_ms"] / row["cpu_ms"] for row in rows]
            smaller = [_dense_of(table, row)["size_bytes"] / row["size_bytes"] for row in rows]
            said.append(
                f"{name} with 90 % of its weights gone as {what} is {_times(ratios)} as fast, its "
                f"file {_times(smaller)} smaller"
            )
    wall = statistics.median(row["latency_iqr_ms"] / row["latency_ms"] for row in where(table))
    return (
        f"Processor time, batches of {table.rows[0]['batch']}: {'; '.join(said)}. (On the wall "
        f"the median row's interquartile range is {wall:.0%} of its median: the machine was "
        f"{'shared, so those times compare badly' if wall > 0.2 else 'quiet'}.)"
    )


def _dense_of(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    dense = where(table, study="dense", schedule="none", net=row["net"], seed=row["seed"])
    return dense[0]


def _times(ratios: list[float]) -> str:
    mean, spread = mean_and_spread(ratios)
    return f"{mean:.1f}" + (f" ± {spread:.1f}" if spread == spread else "") + " times"


def kind_of_width(width: int) -> str:
    """The finest class that a channel count belongs to."""
    for divisor in (16, 8, 2):
        if width % divisor == 0:
            return f"multiples of {divisor}" if divisor > 2 else "other even"
    return "odd"


def width_residuals(rows: Rows) -> dict[str, float]:
    """By class of width: time beyond the straight line through all widths, as a fraction."""
    macs = np.array([row["macs"] for row in rows], float)
    cpu = np.array([row["cpu_ms"] for row in rows], float)
    line = np.polyval(np.polyfit(macs, cpu, 1), macs)
    found: dict[str, list[float]] = {}
    for row, extra in zip(rows, cpu / line - 1, strict=True):
        found.setdefault(kind_of_width(int(row["kept"])), []).append(float(extra))
    return {kind: statistics.fmean(extra) for kind, extra in found.items()}


def _odd_widths(table: Table) -> str:
    seeds = sorted({row["seed"] for row in where(table, study="widths", net=EFFICIENT)})
    each = [
        width_residuals(where(table, study="widths", net=REDUNDANT, seed=seed)) for seed in seeds
    ]
    kinds = ", ".join(f"{kind} {_percent([one[kind] for one in each])}" for kind in each[0])
    less = []
    for lost in (1, 4):
        pairs = [
            [
                where(table, study="widths", net=EFFICIENT, seed=seed, kept=f"n - {k}")
                for k in (lost, 0)
            ]
            for seed in seeds
        ]
        if all(all(pair) for pair in pairs):
            time, macs = (
                [pair[0][0][column] / pair[1][0][column] - 1 for pair in pairs]
                for column in ("cpu_ms", "macs")
            )
            less.append(f"{lost} fewer in every layer {_percent(time)} time for "
                        f"{_percent(macs[:1])} multiply-adds")  # fmt: skip
    return (
        "Odd channel counts: LeNet-300-100 with both hidden layers of one width takes, against a "
        f"straight line in the multiply-adds, {kinds}; the MobileNet, whose widths are multiples "
        f"of 8, with {'; with '.join(less)}."
    )


def _percent(values: list[float]) -> str:
    mean, spread = mean_and_spread(values)
    return f"{100 * mean:+.1f}" + (f" ± {100 * spread:.1f}" if spread == spread else "") + " %"


def _not_shown() -> str:
    return (
        "Not shown: sparse kernels (see the table of engines), larger images and networks, where "
        "time follows operations more closely, the best a criterion can do (rates and epochs "
        "are the same for all), and retraining to convergence: "
        f"it saw {RETRAIN_IMAGES:,} images."
    )


def figure(table: Table) -> tuple[Figure, str]:
    """Accuracy lost against sparsity per network, time against weights left, odd widths."""
    fig, panels = plot.subplots(2, 2, size=(10, 8.2))
    for axes, net in zip(panels[0], NAMES, strict=True):
        _draw_losses(axes, table, net)
    panels[0][0].set_ylabel("test accuracy lost (points)")
    fig.legend(*panels[0][1].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    _draw_times(panels[1][0], table)
    _draw_widths(panels[1][1], table)
    return fig, (
        "Accuracy lost against sparsity for three structures, before and after retraining; "
        "processor time against the share of weights removed, which falls for channels only; "
        "processor time against the width of the hidden layers"
    )


def _draw_losses(axes: Axes, table: Table, net: str) -> None:
    series = [(s, when) for when in ("one_shot", "one_shot_retrained") for s in STRUCTURES]
    for index, (structure, schedule) in enumerate(series):
        levels = sorted({row["sparsity"] for row in where(table, study="sweep", net=net)})
        found = {x: losses(table, net, x, schedule, structure=structure) for x in levels}
        drawn = {x: mean_and_spread(lost) for x, lost in found.items() if lost}
        if drawn:
            means, spreads = (100 * np.nan_to_num(v) for v in zip(*drawn.values(), strict=True))
            label = STRUCTURES[structure] + (", retrained" if "re" in schedule else "")
            xs = [100 * x for x in drawn]
            axes.errorbar(xs, means, spreads, capsize=3, label=label, **plot.look(index))
    axes.set(title=f"{NAMES[net]}, by magnitude", xlabel="weights removed (%)", yscale="symlog")


def _draw_times(axes: Axes, table: Table) -> None:
    series = [(net, s) for s in ("channels", "unstructured_global") for net in NAMES]
    for index, (net, structure) in enumerate(series):
        rows = where(table, study="sweep", net=net, structure=structure, schedule="one_shot",
                     criterion="magnitude")  # fmt: skip
        ratios: dict[float, list[float]] = {}
        for row in rows:
            before = _dense_of(table, row)["cpu_ms"]
            ratios.setdefault(row["sparsity"], []).append(row["cpu_ms"] / before)
        levels = sorted(ratios)
        label = f"{NAMES[net]}, {'channels' if structure == 'channels' else 'single weights'}"
        means = [statistics.fmean(ratios[x]) for x in levels]
        axes.plot([100 * x for x in levels], means, label=label, **plot.look(index))
    axes.set(xlabel="weights removed (%)", ylabel="processor time / that of dense", ylim=(0, None))
    axes.legend(fontsize=8)


def _draw_widths(axes: Axes, table: Table) -> None:
    rows = where(table, study="widths", net=REDUNDANT)
    kinds = sorted({kind_of_width(int(row["kept"])) for row in rows})
    for index, kind in enumerate(kinds):
        mine = [row for row in rows if kind_of_width(int(row["kept"])) == kind]
        look = plot.look(index) | {"linestyle": "none"}
        axes.plot([int(r["kept"]) for r in mine], [r["cpu_ms"] for r in mine], label=kind, **look)
    axes.set(xlabel="width of both hidden layers", ylabel="processor time of a batch (ms)")
    axes.set_title("LeNet-300-100")
    axes.legend(fontsize=8)
