"""What the reading and the datasheet of `nas_benchmark` say in numbers."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from course_lib import pareto
from course_lib.nas.benchmark_space import benchmark_network
from course_lib.nas.space import Architecture
from course_lib.nas.tabular import TabularBenchmark
from course_lib.results import Table
from experiments.runner import Row


@dataclass(frozen=True)
class Summary:
    """Accuracies are fractions of test images, means over seeds where nothing else is said."""

    count: int
    seeds: int
    worst: float
    best: float
    best_name: str  # of the highest validation accuracy
    tied: int  # architectures that are not worse than that one beyond noise
    between: float  # standard deviation over architectures
    within: float  # median over architectures of the standard deviation over seeds
    seed_correlation: float
    macs_latency: float  # rank correlations with the latency
    convolutions_latency: float
    macs_frontier: int
    latency_frontier: int
    both_frontiers: int


def summary(benchmark: TabularBenchmark) -> Summary:
    """Summarize the table."""
    trained = list(benchmark)
    accuracy = [t.test_accuracy for t in trained]
    cheap = _frontier(accuracy, [t.macs for t in trained])
    latencies = [t.latency_s for t in trained]
    fast = _frontier(accuracy, latencies)
    return Summary(
        count=len(trained),
        seeds=len(trained[0].test_accuracies),
        worst=min(accuracy),
        best=max(accuracy),
        best_name=benchmark.best.name,
        tied=_tied(benchmark),
        between=statistics.stdev(accuracy),
        within=statistics.median(statistics.stdev(t.test_accuracies) for t in trained),
        seed_correlation=_seed_correlation([t.test_accuracies for t in trained]),
        macs_latency=rank_correlation([t.macs for t in trained], latencies),
        convolutions_latency=rank_correlation(
            [convolutions(t.architecture) for t in trained], latencies
        ),
        macs_frontier=len(cheap),
        latency_frontier=len(fast),
        both_frontiers=len(cheap & fast),
    )


def latency_spread(table: Table) -> float:
    """The median over rows of (third - first quartile) / median of the latency."""
    return statistics.median(
        (row["latency_q3_s"] - row["latency_q1_s"]) / row["latency_s"]
        for row in map(Row, table.rows)
    )


def convolutions(architecture: Architecture) -> int:
    """Return how many convolutions a network of the space has, those of its gates included."""
    return _convolutions(tuple(architecture.items()))


@cache  # building them all takes seconds
def _convolutions(choices: tuple[tuple[str, Any], ...]) -> int:
    with torch.device("meta"):
        network = benchmark_network(dict(choices))
    return sum(isinstance(layer, nn.Conv2d) for layer in network.modules())


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Return Spearman's rank correlation of two lists [N]; equal values share their mean rank."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: Sequence[float]) -> list[float]:
    array = np.asarray(values)
    return [float((array < value).sum() + ((array == value).sum() - 1) / 2) for value in array]


def _seed_correlation(accuracies: Sequence[Sequence[float]]) -> float:
    """The mean rank correlation of two seeds, over all pairs of seeds."""
    by_seed = list(zip(*accuracies, strict=True))
    pairs = itertools.combinations(by_seed, 2)
    return statistics.fmean(rank_correlation(a, b) for a, b in pairs)


def _frontier(accuracy: Sequence[float], cost: Sequence[float]) -> set[int]:
    points = list(zip(accuracy, cost, strict=True))
    return set(pareto.frontier(points, ("max", "min")).tolist())


def _tied(benchmark: TabularBenchmark) -> int:
    best = benchmark.best
    return sum(
        pareto.difference_interval(best.test_accuracies, t.test_accuracies)[0] <= 0
        for t in benchmark
        if t is not best
    )
