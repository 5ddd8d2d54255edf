"""Every architecture of a small search space, trained three times

256 networks of `course_lib.nas.BENCHMARK_SPACE` on 6,000 images of MNIST: validation and test
accuracy per seed, parameters, MACs, bytes, measured latency. `nas_benchmark_datasheet.md` says how
it was made, what it is for and what it is not.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from functools import cache, partial

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from course_lib import cost, data, pareto, plot, train
from course_lib.nas.benchmark_space import (
    BENCHMARK_SPACE,
    BLOCKS,
    architecture_name,
    benchmark_images,
    benchmark_network,
)
from course_lib.nas.space import Architecture
from course_lib.nas.tabular import TabularBenchmark
from course_lib.results import Table
from experiments._nas_datasheet import datasheet
from experiments._nas_statistics import latency_spread, summary
from experiments._small_training import SEEDS, Timing, built, interleaved_latency, through_file
from experiments.provenance import commit
from experiments.runner import Job, Row, finished

KEY = ("architecture", "seed")
SPREAD = {
    "validation_accuracy": 0.03,
    "test_accuracy": 0.03,
    "params": 0,
    "macs": 0,
    "size_bytes": 0,
}
EPOCHS, BATCH, LEARNING_RATE = 3, 64, 0.2
RECIPE = (
    f"{EPOCHS} epochs of SGD with Nesterov momentum 0.9, learning rate {LEARNING_RATE:g} with a "
    f"cosine to 0, batches of about {BATCH}"
)
INPUT_SHAPE = (1, 1, 14, 14)
QUICK = ("w8-k3-separable-x1-separable-x1", "w8-k3-dense-x1-dense-x1", "w16-k3-dense-x2-dense-x1")
QUICK_IMAGES = 3_000


def jobs(quick: bool) -> list[Job]:
    """One job per architecture, of three trainings; quick: three of them, half the images."""
    architectures = {architecture_name(a): a for a in BENCHMARK_SPACE.enumerate()}
    return [
        Job({"architecture": name}, partial(_train, name, architecture, quick))
        for name, architecture in architectures.items()
        if not quick or name in QUICK
    ]


def _train(name: str, architecture: Architecture, quick: bool) -> Iterable[Row]:
    timing = latencies(QUICK if quick else None)[name]
    for seed in SEEDS:
        result, train_cpu_s = _fit(architecture, seed, quick)
        model, size = through_file(result.model, techniques=())
        images = _images()
        test = images.open_test(f"the accuracy of architecture {name}, seed {seed}")
        counted = cost.count(model, torch.zeros(INPUT_SHAPE))
        yield architecture | {
            "seed": seed,
            "validation_accuracy": train.evaluate(model, images.validation).accuracy,
            "test_accuracy": train.evaluate(model, test).accuracy,
            "params": counted.params,
            "macs": counted.macs,
            "size_bytes": size,
            "latency_s": timing.median_s,
            "latency_q1_s": timing.q1_s,
            "latency_q3_s": timing.q3_s,
            "train_cpu_s": train_cpu_s,
            "latency_commit": commit(),
        }


def _fit(architecture: Architecture, seed: int, quick: bool) -> tuple[train.FitResult, float]:
    """Train; return the result and the CPU seconds, which other programs do not lengthen."""
    images = _images()
    if quick:
        images = replace(images, train=images.train.head(QUICK_IMAGES))
    begin = time.process_time()
    result = train.fit(
        built(partial(benchmark_network, architecture), seed),
        images,
        epochs=EPOCHS,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        optimizer="sgd",
        schedule="cosine",
        seed=seed,
        progress=False,
    )
    return finished(result), time.process_time() - begin


@cache
def _images() -> data.Dataset:
    return benchmark_images(data.load("mnist"))


@cache
def latencies(names: tuple[str, ...] | None) -> dict[str, Timing]:
    """Time the named architectures (all if None), once per process.

    Untrained ones: how long a network takes does not depend on what it has learned.
    """
    models = {
        architecture_name(a): built(partial(benchmark_network, a), seed=0)
        for a in BENCHMARK_SPACE.enumerate()
        if names is None or architecture_name(a) in names
    }
    image = _images().validation.inputs([0])
    return interleaved_latency(models, dict.fromkeys(models, image), calls=10)


def reading(table: Table) -> str:
    """What the table says."""
    s, apart = summary(TabularBenchmark(table)), latency_spread(table)
    return f"""{s.count} architectures with {s.seeds} seeds each. Mean test accuracy goes from
    {s.worst:.1%} to {s.best:.1%}. Between architectures the standard deviation is
    {s.between:.2%}, between seeds of one architecture {s.within:.2%} in the median, and the ranks
    that two seeds give to all architectures correlate with {s.seed_correlation:.2f}. So the table
    tells good from bad, but not the best: {s.tied} architectures are not shown to be worse
    than the one with the highest validation accuracy ({s.best_name}) by these seeds (95 %
    intervals, not corrected for many comparisons). MACs are not latency: their ranks correlate
    with {s.macs_latency:.2f}, the frontier of accuracy and MACs has {s.macs_frontier}
    architectures, that of accuracy and latency {s.latency_frontier}, and {s.both_frontiers} are
    on both. The quartiles of a latency lie {apart:.0%} of its median apart (median over rows),
    and smaller differences than that are not shown. At batch 1 these networks are so small that
    the time goes into starting operations: latency mostly counts layers, for its ranks
    and those of the number of convolutions correlate with {s.convolutions_latency:.2f}. On
    another engine or device the order may be another. The networks were trained for {EPOCHS}
    short epochs and by one recipe for all; the table does not show which architecture would be
    best when trained to the end, on more images, or with a recipe of its own."""


def figure(table: Table) -> tuple[Figure, str]:
    """Accuracy against MACs and against latency, by kind of the first stage."""
    trained = list(TabularBenchmark(table))
    fig, axes = plot.subplots(1, 2, size=(10.0, 4.4), sharey=True)
    costs = {
        "thousand multiply-adds": [t.macs / 1e3 for t in trained],
        "latency at batch 1, one thread (µs)": [t.latency_s * 1e6 for t in trained],
    }
    accuracy = [100 * t.test_accuracy for t in trained]
    for panel, (label, values) in zip(axes, costs.items(), strict=True):
        for i, block in enumerate(BLOCKS):
            chosen = [j for j, t in enumerate(trained) if t.architecture["block_1"] == block]
            look = plot.look(i) | {"linestyle": "none", "markersize": 4, "alpha": 0.7}
            x, y = [values[j] for j in chosen], [accuracy[j] for j in chosen]
            panel.plot(x, y, **look, label=f"{block} in stage 1")
        points = list(zip(values, accuracy, strict=True))
        best = sorted(pareto.frontier(points, ("min", "max")), key=lambda j: values[j])
        line = [values[j] for j in best], [accuracy[j] for j in best]
        panel.step(*line, where="post", color="black", linewidth=0.8, label="Pareto frontier")
        panel.set(xscale="log", xlabel=label)
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter("")
    axes[0].set_ylabel("test accuracy, mean of 3 seeds (%)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return fig, (
        "Test accuracy of every architecture against multiply-adds and against latency, "
        "with both Pareto frontiers"
    )


def documents(table: Table) -> dict[str, str]:
    """Further files to write beside the table: name -> text."""
    return {"nas_benchmark_datasheet.md": datasheet(table, RECIPE)}


__all__ = ["KEY", "SPREAD", "documents", "figure", "jobs", "reading"]
