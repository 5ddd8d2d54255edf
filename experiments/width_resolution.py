"""MobileNet's multipliers: width, resolution and depth at equal training

The MobileNet V1 of `course_lib.models` on MNIST, all sizes with the same images, epochs and
learning rate: accuracy, MACs, parameters, bytes and latency of every point of the grid. `depth`
counts the repeated blocks in the middle (`middle_blocks`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache, partial
from statistics import fmean, stdev

import numpy as np
import torch
from matplotlib.figure import Figure

from course_lib import cost, data, pareto, plot, train
from course_lib.results import Table
from experiments._nas_statistics import latency_spread
from experiments._small_training import SEEDS, Timing, interleaved_latency, through_file
from experiments.recipes import Recipe
from experiments.runner import Job, Row

KEY = ("width", "resolution", "depth", "seed")
SPREAD = {
    "validation_accuracy": 0.02,
    "test_accuracy": 0.02,
    "params": 0,
    "macs": 0,
    "size_bytes": 0,
}
WIDTHS, RESOLUTIONS, DEPTHS = (0.125, 0.25, 0.5), (0.25, 0.5, 0.75, 1.0), (0, 2)
QUICK_WIDTHS, QUICK_RESOLUTIONS, QUICK_DEPTHS = (0.125, 0.25), (0.25, 0.5), (0,)
RECIPE = Recipe(
    "mobilenet_v1",
    "mnist",
    epochs=3,
    learning_rate=0.1,
    optimizer="sgd",
    weight_decay=1e-4,
    batch_size=64,
)
IMAGES, QUICK_IMAGES = 7_000, 2_000
Size = tuple[float, float, int]  # width, resolution, depth


def jobs(quick: bool) -> list[Job]:
    """One job per size, of one training per seed; quick: four sizes, few images, two epochs."""
    return [
        Job(
            {"width": width, "resolution": resolution, "depth": depth},
            partial(_train, (width, resolution, depth), quick),
        )
        for width, resolution, depth in _sizes(quick)
    ]


def _sizes(quick: bool) -> list[Size]:
    if quick:
        return list(itertools.product(QUICK_WIDTHS, QUICK_RESOLUTIONS, QUICK_DEPTHS))
    return list(itertools.product(WIDTHS, RESOLUTIONS, DEPTHS))


def _recipe(size: Size, quick: bool) -> Recipe:
    width, resolution, depth = size
    arguments = {
        "width": width,
        "resolution": resolution,
        "middle_blocks": depth,
        "num_classes": 10,
        "in_channels": 1,
        "small_input": True,
    }
    recipe = replace(RECIPE, arguments=arguments)
    return replace(recipe, epochs=2) if quick else recipe


def _train(size: Size, quick: bool) -> Iterable[Row]:
    recipe, timing = _recipe(size, quick), _latencies(quick)[str(size)]
    images = _images(quick)
    for seed in SEEDS[:2] if quick else SEEDS:
        result = recipe.train(images, seed)
        model, size_bytes = through_file(result.model, techniques=())
        test = images.open_test(f"the accuracy of MobileNet {size}, seed {seed}")
        test = test.head(2_000) if quick else test
        counted = cost.count(model, torch.zeros(1, 1, 28, 28))
        yield {
            "seed": seed,
            "validation_accuracy": train.evaluate(model, images.validation).accuracy,
            "test_accuracy": train.evaluate(model, test).accuracy,
            "pixels": round(28 * size[1]),
            "params": counted.params,
            "macs": counted.macs,
            "size_bytes": size_bytes,
            "latency_s": timing.median_s,
            "latency_q1_s": timing.q1_s,
            "latency_q3_s": timing.q3_s,
            "train_images": len(images.train),
            "epochs": recipe.epochs,
        }


@cache
def _images(quick: bool) -> data.Dataset:
    mnist = data.load(RECIPE.dataset)
    if quick:
        few, validation = mnist.train.head(QUICK_IMAGES), mnist.validation.head(1_000)
        return replace(mnist, train=few, validation=validation)
    return replace(mnist, train=mnist.train.head(IMAGES))


@cache
def _latencies(quick: bool) -> dict[str, Timing]:
    """Time all sizes in turn, once per process, before they have learned anything."""
    models = {str(size): _recipe(size, quick).untrained(seed=0) for size in _sizes(quick)}
    return interleaved_latency(models, dict.fromkeys(models, torch.zeros(1, 1, 28, 28)))


@dataclass(frozen=True)
class _Point:
    """One size and its test accuracies, one per seed."""

    width: float
    resolution: float
    depth: int
    accuracies: tuple[float, ...]
    macs: int
    latency_s: float

    @property
    def accuracy(self) -> float:
        return fmean(self.accuracies)

    @property
    def spread(self) -> float:
        return stdev(self.accuracies)


def _points(table: Table) -> list[_Point]:
    groups: dict[Size, list[Row]] = {}
    for row in map(Row, table.rows):
        groups.setdefault((row["width"], row["resolution"], row["depth"]), []).append(row)
    points = []
    for (width, resolution, depth), rows in groups.items():
        accuracies = tuple(row["test_accuracy"] for row in rows)
        macs, latency_s = rows[0]["macs"], rows[0]["latency_s"]
        points.append(_Point(width, resolution, depth, accuracies, macs, latency_s))
    return points


def reading(table: Table) -> str:
    """What the table says."""
    points = _points(table)
    low, high = min(points, key=_accuracy), max(points, key=_accuracy)
    small, large = min(points, key=_macs), max(points, key=_macs)
    logs = [(np.log(p.width), np.log(p.resolution), np.log(p.macs)) for p in points]
    by_width, by_resolution = _exponents(np.array(logs))
    best = _frontier(points)
    spread = float(np.median([p.spread for p in points]))
    pairs = _neighbours(points)
    told = [pair for pair in pairs if _differ(*pair)]
    epochs, images = table.rows[0]["epochs"], table.rows[0]["train_images"]
    return f"""{len(points)} sizes, {len(table) // len(points)} seeds each, {epochs} epochs of
    {images:,} images. Mean test accuracy goes from {low.accuracy:.2%} ({_says(low)}) to
    {high.accuracy:.2%} ({_says(high)}); the standard deviation over seeds is {spread:.2%} in the
    median. Of {len(pairs)} pairs of neighbours on the grid {len(told)} differ beyond that noise
    (95 % intervals, not corrected for many comparisons). MACs go from {small.macs:,} to
    {large.macs:,}, a factor of {large.macs / small.macs:.0f}, latency from
    {small.latency_s * 1e3:.2f} to {large.latency_s * 1e3:.2f} ms at batch 1, a factor of
    {large.latency_s / small.latency_s:.1f} only (eager PyTorch, {_threads(table)}; the quartiles
    of a latency lie {latency_spread(table):.0%} of its median apart, median over rows). A fit
    over the grid gives MACs ~
    width^{by_width:.2f} resolution^{by_resolution:.2f} (the paper's rule is 2 and 2; rounding to
    multiples of 8 channels and the last 1 x 1 positions bend it). Parameters and bytes do not
    depend on the resolution. {len(best)} sizes are on the frontier of accuracy and MACs:
    {", ".join(_says(p) for p in best)}. Training was short and alike for all, so the table does
    not show where each size would end, and large ones may be held back most. All images
    are digits in 28 x 28 pixels: photographs were not tried."""


def _threads(table: Table) -> str:
    (count,) = {row["threads"] for row in map(Row, table.rows)}
    return "one thread" if count == 1 else f"{count} threads"


def _neighbours(points: list[_Point]) -> list[tuple[_Point, _Point]]:
    """Pairs that lie next to each other along one axis of the grid and agree in the others."""
    axes = [sorted({_size(p)[i] for p in points}) for i in range(3)]
    places = [[axes[i].index(_size(p)[i]) for i in range(3)] for p in points]
    return [
        (points[i], points[j])
        for i, j in itertools.combinations(range(len(points)), 2)
        if sum(abs(a - b) for a, b in zip(places[i], places[j], strict=True)) == 1
    ]


def _differ(a: _Point, b: _Point) -> bool:
    low, high = pareto.difference_interval(a.accuracies, b.accuracies)
    return low > 0 or high < 0


def _exponents(logs: np.ndarray) -> tuple[float, float]:
    """Least squares for log MACs = a log width + b log resolution + c: [N, 3] -> a, b."""
    design = np.column_stack([logs[:, :2], np.ones(len(logs))])
    solution = np.linalg.lstsq(design, logs[:, 2], rcond=None)[0]
    return float(solution[0]), float(solution[1])


def _size(point: _Point) -> Size:
    return point.width, point.resolution, point.depth


def _accuracy(point: _Point) -> float:
    return point.accuracy


def _macs(point: _Point) -> int:
    return point.macs


def _says(point: _Point) -> str:
    return f"{point.width:g} x {point.resolution:g}, depth {point.depth}"


def _frontier(points: list[_Point]) -> list[_Point]:
    chosen = pareto.frontier([(p.accuracy, p.macs) for p in points], ("max", "min"))
    return sorted((points[i] for i in chosen), key=_macs)


def figure(table: Table) -> tuple[Figure, str]:
    """Accuracy against MACs: a line per width and depth along the resolutions."""
    points = _points(table)
    fig, axes = plot.subplots(size=(8.0, 4.6))
    lines = sorted({(p.width, p.depth) for p in points})
    for i, (width, depth) in enumerate(lines):
        line = sorted((p for p in points if (p.width, p.depth) == (width, depth)), key=_macs)
        macs, accuracy = [p.macs for p in line], [100 * p.accuracy for p in line]
        spread = [100 * p.spread for p in line]
        label = f"width {width:g}, depth {depth}"
        axes.errorbar(macs, accuracy, spread, **plot.look(i), capsize=2, label=label)
    axes.set(xscale="log", xlabel="multiply-adds per image")
    seeds = len(points[0].accuracies)
    axes.set_ylabel(f"test accuracy (%), mean and\nstandard deviation over {seeds} seeds")
    axes.legend(title="along a line: resolution")
    return fig, (
        "Test accuracy against multiply-adds; each line goes up the resolutions; error bars are "
        f"standard deviations over {seeds} seeds"
    )


__all__ = ["KEY", "SPREAD", "figure", "jobs", "reading"]
