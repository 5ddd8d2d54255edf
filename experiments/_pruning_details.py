"""What pruned networks are compared with, and the pruning table's numbers as smaller tables."""

from __future__ import annotations

import statistics
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from course_lib.results import Table
from experiments import _spread
from experiments._nets import EFFICIENT, REDUNDANT, RETRAIN_EPOCHS
from experiments._spread import Comparison, Rows, changes, comparison_table, points, section, where

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
    return _spread.drops(chosen(table, net, sparsity, **wanted), dense(table))


def dense(table: Table) -> Rows:
    """The networks before pruning."""
    return where(table, study="dense", schedule="none")


def percent(sparsity: float) -> str:
    """A sparsity as in the tables: "90 %"."""
    return f"{100 * sparsity:.0f} %"


# What is compared


def structures(table: Table) -> list[Comparison]:
    """What a structure costs against one ranking where much goes."""
    pairs = {
        (name, STRUCTURES[structure], percent(level)): (
            chosen(table, net, level, structure=structure),
            chosen(table, net, level, structure=FREE),
        )
        for net, name in NAMES.items()
        for structure, level in product((LAYER, CHANNELS), (0.8, 0.9, 0.95))
    }
    return _spread.compared(pairs, dense(table))


def criteria(table: Table) -> list[Comparison]:
    """Criteria against magnitude, for channels at 80 %."""
    pairs = {}
    for net, name in NAMES.items():
        rows_of = partial(chosen, table, net, 0.8, structure=CHANNELS)
        for criterion in ("taylor", "obd", "apoz", "random"):
            pairs[name, criterion, percent(0.8)] = (rows_of(criterion=criterion), rows_of())
    return _spread.compared(pairs, dense(table))


def schedules(table: Table) -> list[Comparison]:
    """Schedules against one shot, at the highest sparsity with a network above chance."""
    pairs = {}
    for net, structure, schedule in product(NAMES, STRUCTURES, ("iterative", "gradual")):
        by_level = {
            level: (
                chosen(table, net, level, structure=structure, schedule=schedule),
                chosen(table, net, level, structure=structure),
            )
            for level in {row["sparsity"] for row in where(table, schedule=schedule)}
        }
        level = _spread.last_above_chance(by_level)
        what = f"{schedule} for {STRUCTURES[structure]}"
        pairs[NAMES[net], what, percent(level)] = by_level[level]
    return _spread.compared(pairs, dense(table))


def networks(table: Table) -> list[Comparison]:
    """Do efficient networks lose more?"""
    both = f"{NAMES[EFFICIENT]} against {NAMES[REDUNDANT]}"
    rows_of = partial(chosen, table, sparsity=0.9)
    pairs = {
        (both, name, percent(0.9)): (
            rows_of(EFFICIENT, structure=structure),
            rows_of(REDUNDANT, structure=structure),
        )
        for structure, name in STRUCTURES.items()
    }
    return _spread.compared(pairs, dense(table))


# Times, bytes and widths


def shares(table: Table, net: str, structure: str, column: str) -> dict[float, list[float]]:
    """By sparsity: what each seed's pruned network has in a column, over its dense network."""
    found: dict[float, list[float]] = {}
    for level in sorted({row["sparsity"] for row in where(table, study="sweep", net=net)}):
        rows = chosen(table, net, level, structure=structure, schedule="one_shot")
        found |= {level: _spread.ratios(rows, dense(table), column)} if rows else {}
    return found


def times_smaller(table: Table, net: str, structure: str) -> dict[float, list[float]]:
    """By sparsity: the bytes of each seed's dense network over those of its pruned one."""
    found = shares(table, net, structure, "size_bytes")
    return {level: [1 / share for share in values] for level, values in found.items()}


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


def by_kind(table: Table, column: str) -> dict[str, list[float]]:
    """By class of width: each seed's time over that of the line."""
    rows = where(table, study="widths", net=REDUNDANT)
    seeds = sorted({row["seed"] for row in rows})
    each = [width_residuals([r for r in rows if r["seed"] == seed], column) for seed in seeds]
    return {kind: [1 + one[kind] for one in each] for kind in each[0]}


def fewer(table: Table, lost: int, column: str) -> list[float]:
    """What the MobileNet with so many channels fewer in every layer has, over all of it."""
    whole, less = (where(table, study="widths", net=EFFICIENT, kept=f"n - {k}") for k in (0, lost))
    return _spread.ratios(less, whole, column)


# Tables


def details(table: Table) -> str:
    """The numbers of the reading in full."""
    against = "Both retrained after one shot, by magnitude."
    place = ("removed", "lost")
    one_ranking = ("network", "structure", *place, "lost by one ranking")
    tables = [
        _networks(table),
        _losses(table),
        _spread.legend(_spread.deviation(table.rows), "dense"),
        comparison_table(
            "Structures against one ranking", against, one_ranking, structures(table)
        ),
        comparison_table(
            "Criteria against magnitude",
            "Channels, retrained after one shot.",
            ("network", "criterion", *place, "lost by magnitude"),
            criteria(table),
        ),
        comparison_table(
            "Schedules against one shot",
            "By magnitude, at the highest sparsity that leaves one of the two above chance in "
            "every seed. All saw as many images, but one shot trains with one cosine of "
            f"{RETRAIN_EPOCHS} epochs and keeps the one that is best on validation images; "
            f"iterative has {RETRAIN_EPOCHS} cosines of 1 epoch, gradual two, of "
            f"{RETRAIN_EPOCHS - 1} and 1, and neither has epochs to choose from.",
            ("network", "schedule", *place, "lost by one shot"),
            schedules(table),
        ),
        comparison_table(
            "The efficient network against the redundant one",
            against,
            ("networks", "structure", "removed", "lost by the first", "lost by the second"),
            networks(table),
        ),
        _times(table),
        _files(table),
        _odd_widths(table),
        _narrower(table),
    ]
    return "\n\n".join(filter(None, tables))


def _networks(table: Table) -> str:
    rows = []
    for net, name in NAMES.items():
        before = [row for row in dense(table) if row["net"] == net]
        again = where(table, study="dense", net=net, schedule="retrained")
        right = points([row["accuracy"] for row in before])
        counts = [f"{before[0][column]:,}" for column in ("size_bytes", "macs")]
        rows.append([name, *counts, right, points(_spread.drops(again, before))])
    caption = (
        f"All {len(table)} rows are about these: test images right, in percent, and what the same "
        f"retraining loses without pruning, in points (±: {_spread.deviation(table.rows)})."
    )
    head = ("network", "bytes", "multiply-adds", "right (%)", "lost by retraining alone")
    return section("## The networks", caption, head, rows)


def _losses(table: Table) -> str:
    sweep = where(table, study="sweep", criterion="magnitude", schedule="one_shot_retrained")
    levels = sorted({row["sparsity"] for row in sweep})
    when = {"one_shot": "at once", "one_shot_retrained": "retrained"}
    rows = []
    for net, structure, schedule in product(NAMES, STRUCTURES, when):
        found = [losses(table, net, x, structure=structure, schedule=schedule) for x in levels]
        if any(found):
            rows.append([NAMES[net], STRUCTURES[structure], when[schedule], *map(points, found)])
    caption = (
        "Percentage points of test accuracy lost against the dense network of the same seed, by "
        f"the share of weights removed (±: {_spread.deviation(table.rows)}), at once and after "
        "retraining."
    )
    head = ("network", "structure", "when", *map(percent, levels))
    return section("## Accuracy lost by magnitude, in one shot", caption, head, rows)


def _times(table: Table) -> str:
    levels = list(shares(table, REDUNDANT, FREE, TIMES[0]))
    batch = f"batch of {table.rows[0]['batch']}"
    rows = []
    for net, structure, column in product(NAMES, (CHANNELS, FREE), TIMES):
        found = shares(table, net, structure, column)
        inputs = batch if column == TIMES[0] else "one image"
        what = "channels cut out" if structure == CHANNELS else "zeros, one ranking"
        cells = [_spread.with_deviation(found.get(level, [])) for level in levels]
        rows.append([NAMES[net], what, inputs, *cells])
    wall = statistics.median(row["latency_iqr_ms"] / row["latency_ms"] for row in where(table))
    caption = (
        "Processor time as a share of the dense network's (one thread, eager PyTorch), by the "
        f"share of weights removed by magnitude, not retrained (±: "
        f"{_spread.deviation(table.rows)}); on the wall the median row's interquartile range is "
        f"{100 * wall:.0f} % of its median: the machine was "
        f"{'shared, so those times compare badly' if wall > 0.2 else 'quiet'}."
    )
    head = ("network", "what goes", "input", *map(percent, levels))
    return section("## Processor time", caption, head, rows)


def _files(table: Table) -> str:
    levels = list(shares(table, REDUNDANT, FREE, "size_bytes"))
    rows = []
    for net, structure in product(NAMES, (CHANNELS, FREE)):
        found = times_smaller(table, net, structure)
        cells = [f"{statistics.fmean(found[x]):.1f}" if x in found else "–" for x in levels]
        rows.append([NAMES[net], STRUCTURES[structure], *cells])
    caption = (
        "How many times smaller the file is than the dense network's (mean over seeds), by the "
        "share of weights removed; of a network with zeros it holds the others and their places."
    )
    return section("## Files", caption, ("network", "structure", *map(percent, levels)), rows)


def _odd_widths(table: Table) -> str:
    batch, one_image = (by_kind(table, column) for column in TIMES)
    rows = [[kind, changes(batch[kind]), changes(one_image[kind])] for kind in batch]
    caption = (
        "Processor time of LeNet-300-100 with both hidden layers of one width, in percent above "
        "or below a straight line in the multiply-adds through all widths "
        f"(±: {_spread.deviation(table.rows)})."
    )
    head = ("width", f"batch of {table.rows[0]['batch']}", "one image")
    return section("## Odd widths: LeNet-300-100", caption, head, rows)


def _narrower(table: Table) -> str:
    kept = {row["kept"] for row in where(table, study="widths", net=EFFICIENT)}
    lost = sorted({int(rule.removeprefix("n - ")) for rule in kept} - {0})
    rows = []
    for count in lost:
        macs, *times = (fewer(table, count, column) for column in ("macs", *TIMES))
        rows.append([str(count), *map(changes, times), changes(macs[:1])])
    caption = (
        "Changes in percent of the MobileNet, whose widths are multiples of 8, when every layer "
        f"has so many channels fewer: processor time and multiply-adds (±: "
        f"{_spread.deviation(table.rows)})."
    )
    head = ("fewer", f"batch of {table.rows[0]['batch']}", "one image", "multiply-adds")
    return section("## Odd widths: MobileNet", caption, head, rows)
