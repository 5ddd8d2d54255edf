"""What the pruning table says, in a paragraph and a figure; _pruning_details.py has the rest."""

from __future__ import annotations

import statistics
from itertools import product

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib import plot
from course_lib.results import Table
from experiments import _pruning_details as full
from experiments import _spread
from experiments._nets import EFFICIENT, REDUNDANT, RETRAIN_EPOCHS, RETRAIN_IMAGES
from experiments._pruning_details import (
    CHANNELS,
    FREE,
    NAMES,
    STRUCTURES,
    TIMES,
    kind_of_width,
    losses,
    shares,
)
from experiments._spread import changes, points, summary, where


def reading(table: Table) -> str:
    """What the table shows, and what it does not."""
    return " ".join([_setting(table), _findings(table), _costs(table), _not_shown()])


def _setting(table: Table) -> str:
    right = [
        points([row["accuracy"] for row in full.dense(table) if row["net"] == net])
        for net in NAMES
    ]
    return (
        f"Pruned were {' and '.join(NAMES.values())} ({' and '.join(right)} % of MNIST's test "
        f"images right; ±: {_spread.deviation(table.rows)}): weights in one ranking or in "
        "equal shares per layer, or channels. Losses are points of test accuracy against a seed's "
        "dense network, verdicts by 95 % intervals (tables below; not corrected for many "
        "comparisons)."
    )


def _findings(table: Table) -> str:
    both = (losses(table, net, 0.9, structure=FREE) for net in NAMES)
    lost = " and ".join(points(found) for found in both if found)
    first, second = NAMES.values()
    kinds = {
        "Retrained structures against one ranking": full.structures(table),
        "Criteria against magnitude, for channels": full.criteria(table),
        "Iterative and gradual schedules against one shot": full.schedules(table),
        f"{second} against {first}": full.networks(table),
    }
    said = [
        f"After retraining, 90 % removed by magnitude in one ranking cost {lost}.",
        *(summary(kind, found) for kind, found in kinds.items()),
        _spread.widths(one for found in kinds.values() for one in found),
    ]
    return " ".join(filter(None, said))


def _costs(table: Table) -> str:
    cut, zeros = [], []
    for net, name in NAMES.items():
        least, level = min((time, level) for level, time in _mean_times(table, net).items())
        cut.append(f"{least:.2f} ({name}, at {level:.0f} %)")
        zeros.append(f"{statistics.fmean(shares(table, net, FREE, TIMES[0])[0.9]):.2f}")
    files, sparse = (
        [f"{statistics.fmean(full.times_smaller(table, net, s)[0.9]):.1f}" for net in NAMES]
        for s in (CHANNELS, FREE)
    )
    time, macs = (full.fewer(table, 1, column) for column in (TIMES[0], "macs"))
    return (
        f"Cutting channels takes a batch's processor time down to {' and '.join(cut)} of dense; "
        f"90 % zeros leave {' and '.join(zeros)}. Files at 90 % are {' and '.join(files)} "
        f"times smaller by channels, {' and '.join(sparse)} by zeros. {NAMES[EFFICIENT]} with one "
        f"channel fewer per layer takes {changes(time)} time for {changes(macs[:1])} "
        "multiply-adds."
    )


def _not_shown() -> str:
    return (
        "Not shown: sparse kernels (see engines.md), larger images and networks, where time "
        "follows operations more closely, the best a criterion can do (rates and epochs were "
        f"the same), retraining to convergence (it saw {RETRAIN_IMAGES:,} images), and "
        f"schedules equal in more than images: cosines are of {RETRAIN_EPOCHS} epochs (one shot, "
        f"which keeps the best by validation), {RETRAIN_EPOCHS} times 1 (iterative), "
        f"{RETRAIN_EPOCHS - 1} and 1 (gradual)."
    )


def _mean_times(table: Table, net: str) -> dict[float, float]:
    """By percent removed: the mean time of a batch with channels cut out, over that of dense."""
    found = shares(table, net, CHANNELS, TIMES[0])
    return {100 * level: statistics.fmean(values) for level, values in found.items()}


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
        means = _mean_times(table, net)
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
