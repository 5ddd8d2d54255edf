"""What the pruning table says, in a paragraph and a figure."""

from __future__ import annotations

import statistics
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib import plot
from course_lib.results import Table
from experiments import _spread
from experiments._nets import EFFICIENT, REDUNDANT, RETRAIN_EPOCHS, RETRAIN_IMAGES
from experiments._spread import Rows, changes, drops, points, ratios, where, with_deviation

NAMES = {REDUNDANT: "LeNet-300-100", EFFICIENT: "MobileNet"}
FREE, LAYER, CHANNELS = "unstructured_global", "unstructured_layer", "channels"
STRUCTURES = {FREE: "one ranking", LAYER: "equal shares", CHANNELS: "channels"}
TIMES = ("cpu_ms", "single_cpu_ms")  # of a batch, and of one image


def chosen(table: Table, net: str, sparsity: float, **wanted: Any) -> Rows:
    """Rows of the sweep; if nothing else is wanted, by magnitude, retrained after one shot."""
    usual = {"study": "sweep", "criterion": "magnitude", "schedule": "one_shot_retrained"}
    return where(table, **(usual | wanted), net=net, sparsity=sparsity)


def losses(table: Table, net: str, sparsity: float, **wanted: Any) -> list[float]:
    """Test accuracy lost by each seed."""
    return drops(chosen(table, net, sparsity, **wanted), _dense(table))


def _dense(table: Table) -> Rows:
    return where(table, study="dense", schedule="none")


def reading(table: Table) -> str:
    """What the table shows, and what it does not."""
    nets = " ".join(_of_net(table, net) for net in NAMES) + _efficient(table)
    return " ".join([_setting(table), nets, _speed(table), _odd_widths(table), _not_shown()])


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
    return (
        f"{len(table)} rows about {' and '.join(said)}. Losses are percentage points of test "
        "accuracy against the dense network of a seed (±: "
        f"{_spread.deviation(table.rows)}). {_spread.COMPARISONS} Schedules saw as many images "
        "and are compared at the highest sparsity that leaves one of the two above chance in "
        "every seed. What goes by magnitude are single weights, in one ranking or in equal shares "
        "per layer, or channels."
    )


def _of_net(table: Table, net: str) -> str:
    said = []
    for structure, name in STRUCTURES.items():
        lost = {
            when: losses(table, net, 0.9, schedule=schedule, structure=structure)
            for schedule, when in (("one_shot", "at once"), ("one_shot_retrained", "retrained"))
        }
        said.append(f"{name} " + " and ".join(f"{points(v)} {k}" for k, v in lost.items() if v))
    text = f"{NAMES[net]} without 90 % of its weights, by magnitude, loses: {'; '.join(said)}."
    return text + _structures(table, net) + _criteria(table, net) + _schedules(table, net)


def _compared(table: Table, what: str, pairs: dict[str, tuple[Rows, Rows]]) -> str:
    found = _spread.verdicts(pairs, _dense(table))
    return f" {what}: {found}." if found else ""


def _structures(table: Table, net: str) -> str:
    """What a structure costs where much goes."""
    pairs = {
        f"{STRUCTURES[structure]} at {100 * level:.0f} %": (
            chosen(table, net, level, structure=structure),
            chosen(table, net, level, structure=FREE),
        )
        for structure, level in product((LAYER, CHANNELS), (0.8, 0.9, 0.95))
    }
    return _compared(table, "Structures against one ranking, retrained", pairs)


def _criteria(table: Table, net: str) -> str:
    rows_of = partial(chosen, table, net, 0.8, structure=CHANNELS)
    names = ("taylor", "obd", "apoz", "random")
    pairs = {name: (rows_of(criterion=name), rows_of()) for name in names}
    return _compared(table, "Criteria against magnitude, channels at 80 %, retrained", pairs)


def _schedules(table: Table, net: str) -> str:
    pairs = {}
    for structure, schedule in product(STRUCTURES, ("iterative", "gradual")):
        by_level = {
            level: (
                chosen(table, net, level, structure=structure, schedule=schedule),
                chosen(table, net, level, structure=structure),
            )
            for level in {row["sparsity"] for row in where(table, schedule=schedule)}
        }
        level = _spread.last_above_chance(by_level)
        pairs[f"{schedule} for {STRUCTURES[structure]} at {100 * level:.0f} %"] = by_level[level]
    return _compared(table, "Schedules against one shot", pairs)


def _efficient(table: Table) -> str:
    """Do efficient networks lose more?"""
    rows_of = partial(chosen, table, sparsity=0.9)
    pairs = {
        name: (rows_of(EFFICIENT, structure=structure), rows_of(REDUNDANT, structure=structure))
        for structure, name in STRUCTURES.items()
    }
    return _compared(table, "The MobileNet against LeNet-300-100, at 90 % retrained", pairs)


def shares(table: Table, net: str, structure: str, column: str) -> dict[float, list[float]]:
    """By sparsity: what each seed's pruned network has in a column, over its dense network."""
    found: dict[float, list[float]] = {}
    for level in sorted({row["sparsity"] for row in where(table, study="sweep", net=net)}):
        rows = chosen(table, net, level, structure=structure, schedule="one_shot")
        found |= {level: ratios(rows, _dense(table), column)} if rows else {}
    return found


def _speed(table: Table) -> str:
    said, smaller = [], []
    for net, name in NAMES.items():
        cut, one_cut = (_late(shares(table, net, CHANNELS, column)) for column in TIMES)
        zeros, one = (with_deviation(shares(table, net, FREE, column)[0.9]) for column in TIMES)
        said.append(
            f"{name} takes {cut} with channels cut out (one image: {one_cut}), and {zeros} with "
            f"90 % zeros (one image: {one})"
        )
        files = [
            statistics.fmean(1 / share for share in shares(table, net, s, "size_bytes")[0.9])
            for s in (CHANNELS, FREE)
        ]
        smaller.append(f"{name} {files[0]:.1f} times by channels, {files[1]:.1f} by zeros")
    wall = statistics.median(row["latency_iqr_ms"] / row["latency_ms"] for row in where(table))
    return (
        f"Processor time of a batch of {table.rows[0]['batch']} as a share of the dense "
        f"network's (one thread, eager PyTorch): {'; '.join(said)}. (On the wall the median row's "
        f"interquartile range is {wall:.0%} of its median: the machine was "
        f"{'shared, so those times compare badly' if wall > 0.2 else 'quiet'}.) At 90 % files "
        f"are smaller: {'; '.join(smaller)}."
    )


def _late(found: dict[float, list[float]]) -> str:
    """Shares of time where much is gone."""
    late = {100 * level: values for level, values in found.items() if level >= 0.8}
    return ", ".join(f"{with_deviation(v)} at {level:.0f} %" for level, v in late.items())


def kind_of_width(width: int) -> str:
    """The finest class that a channel count belongs to."""
    for divisor in (16, 8, 2):
        if width % divisor == 0:
            return f"multiples of {divisor}" if divisor > 2 else "other even"
    return "odd"


def width_residuals(rows: Rows, column: str = "cpu_ms") -> dict[str, float]:
    """By class of width: time beyond the straight line through all widths, as a fraction."""
    macs = np.array([row["macs"] for row in rows], float)
    cpu = np.array([row[column] for row in rows], float)
    line = np.polyval(np.polyfit(macs, cpu, 1), macs)
    found: dict[str, list[float]] = {}
    for row, extra in zip(rows, cpu / line - 1, strict=True):
        found.setdefault(kind_of_width(int(row["kept"])), []).append(float(extra))
    return {kind: statistics.fmean(extra) for kind, extra in found.items()}


def _odd_widths(table: Table) -> str:
    batch, one_image = (_by_kind(table, column) for column in TIMES)
    kinds = ", ".join(f"{kind} {changes(found)}" for kind, found in batch.items())
    off = max(abs(statistics.fmean(found) - 1) for found in one_image.values())
    narrower = []
    for lost in (1, 4):
        whole, less = (
            where(table, study="widths", net=EFFICIENT, kept=f"n - {k}") for k in (0, lost)
        )
        if less:
            time, one = (changes(ratios(less, whole, column)) for column in TIMES)
            macs = changes(ratios(less[:1], whole, "macs"))
            narrower.append(
                f"{lost} fewer in every layer {time} time (one image: {one}) for {macs} "
                "multiply-adds"
            )
    return (
        "Odd channel counts: LeNet-300-100 with both hidden layers of one width takes, against a "
        f"straight line in the multiply-adds, {kinds} (one image: no kind more than "
        f"{100 * off:.1f} % off); the MobileNet, whose widths are multiples of 8, with "
        f"{'; with '.join(narrower)}."
    )


def _by_kind(table: Table, column: str) -> dict[str, list[float]]:
    """By class of width: each seed's time over that of the line."""
    rows = where(table, study="widths", net=REDUNDANT)
    seeds = sorted({row["seed"] for row in rows})
    each = [width_residuals([r for r in rows if r["seed"] == seed], column) for seed in seeds]
    return {kind: [1 + one[kind] for one in each] for kind in each[0]}


def _not_shown() -> str:
    return (
        "Not shown: sparse kernels (see the table of engines), larger images and networks, where "
        "time follows operations more closely, the best a criterion can do (rates and epochs are "
        f"the same for all), and retraining to convergence: it saw {RETRAIN_IMAGES:,} images. Nor "
        "are the schedules equal in more than the images: one shot trains with one cosine of "
        f"{RETRAIN_EPOCHS} epochs and keeps the one that is best on validation images; iterative "
        f"has {RETRAIN_EPOCHS} cosines of 1 epoch, gradual two, of {RETRAIN_EPOCHS - 1} and 1, "
        "and neither has epochs to choose from."
    )


def figure(table: Table) -> tuple[Figure, str]:
    """Accuracy lost against sparsity per network, time against weights left, odd widths."""
    fig, panels = plot.subplots(2, 2, size=(10, 8.6))
    for axes, net in zip(panels[0], NAMES, strict=True):
        _draw_losses(axes, table, net)
    panels[0][0].set_ylabel("test accuracy lost (points)")
    handles, labels = panels[0][1].get_legend_handles_labels()
    bars = f"Error bars: {_spread.deviation(table.rows)}"
    what = f"Single weights in one ranking or in equal shares per layer, or channels. {bars}"
    fig.legend(handles, labels, title=what, loc="outside upper center", ncols=3)
    _draw_times(panels[1][0], table)
    _draw_widths(panels[1][1], table)
    return fig, (
        "Accuracy lost against sparsity for three structures, before and after retraining; "
        f"{_course_of_times(table)}; processor time against the width of the hidden layers, one "
        f"point per network. {bars}"
    )


def _course_of_times(table: Table) -> str:
    """The panel of times in words."""
    cut, zeros = [], []
    for net, name in NAMES.items():
        found = shares(table, net, CHANNELS, TIMES[0])
        means = {100 * level: statistics.fmean(values) for level, values in found.items()}
        least, last = min(means, key=means.__getitem__), max(means)
        then = f", then {means[last]:.2f} at {last:.0f} %" if last > least else ""
        cut.append(f"at {least:.0f} % for {name} ({means[least]:.2f} of dense{then})")
        zeros += [statistics.fmean(v) for v in shares(table, net, FREE, TIMES[0]).values()]
    return (
        "processor time of a batch (one thread, eager PyTorch) against the share of weights "
        f"removed: by channels least {' and '.join(cut)}, by single weights always "
        f"{min(zeros):.2f} to {max(zeros):.2f}"
    )


def _draw_losses(axes: Axes, table: Table, net: str) -> None:
    series = product(("one_shot", "one_shot_retrained"), STRUCTURES)
    levels = sorted({row["sparsity"] for row in where(table, study="sweep", net=net)})
    for index, (schedule, structure) in enumerate(series):
        wanted = {"structure": structure, "schedule": schedule}
        found = {100 * x: [100 * v for v in losses(table, net, x, **wanted)] for x in levels}
        label = STRUCTURES[structure] + (", retrained" if "re" in schedule else "")
        _spread.draw_means(axes, found, label=label, **plot.look(index))
    axes.set(title=f"{NAMES[net]}, by magnitude", xlabel="weights removed (%)", yscale="symlog")


def _draw_times(axes: Axes, table: Table) -> None:
    for index, (structure, net) in enumerate(product((CHANNELS, FREE), NAMES)):
        found = {100 * x: v for x, v in shares(table, net, structure, TIMES[0]).items()}
        label = f"{NAMES[net]}, {'channels' if structure == CHANNELS else 'single weights'}"
        _spread.draw_means(axes, found, label=label, **plot.look(index))
    axes.set(xlabel="weights removed (%)", ylabel="processor time / that of dense", ylim=(0, None))
    axes.set_title(f"batches of {table.rows[0]['batch']}, one thread, eager PyTorch")
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
