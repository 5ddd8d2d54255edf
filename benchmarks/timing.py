"""Time rivals in turns, A B A B, so that a machine that slows down slows all of them.

A ratio is taken within each round, and the median and quartiles are those of the rounds' ratios:
load that comes and goes moves both numbers of a round and leaves their ratio.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Call = Callable[[], object]

LEAST_ROUNDS = 3
SHORTEST_SAMPLE_S = 1e-3  # shorter calls are repeated inside a sample, against the timer's grain


@dataclass(frozen=True)
class Quartiles:
    """Median and quartiles of some measurements."""

    q1: float
    median: float
    q3: float

    @classmethod
    def of(cls, values: tuple[float, ...]) -> Quartiles:
        return cls(*np.percentile(values, [25, 50, 75]).tolist())

    @property
    def spread(self) -> float:
        """Interquartile range / median."""
        return (self.q3 - self.q1) / self.median if self.median else 0.0


def interleave(
    calls: Mapping[str, Call], repeats: int = 30, budget_s: float = 20.0
) -> dict[str, tuple[float, ...]]:
    """Return the seconds of one call, per round, of each of `calls`: name -> [rounds].

    One call each is a warm-up that does not count. Then come `repeats` rounds, or as many as
    begin within `budget_s` seconds, but never fewer than three unless `repeats` is smaller.
    """
    inner = {name: _calls_per_sample(call) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    begin = time.perf_counter()
    for done in range(repeats):
        if done >= LEAST_ROUNDS and time.perf_counter() - begin > budget_s:
            break
        for name, call in calls.items():
            samples[name].append(seconds(call, inner[name]))
    return {name: tuple(values) for name, values in samples.items()}


def seconds(call: Call, count: int = 1) -> float:
    """Return the seconds that one of `count` calls in a row took."""
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


def ratios(samples: tuple[float, ...], reference: tuple[float, ...]) -> Quartiles:
    """Return the quartiles of sample / reference, round by round: below 1 is faster."""
    return Quartiles.of(tuple(a / b for a, b in zip(samples, reference, strict=True)))


def _calls_per_sample(call: Call) -> int:
    call()  # first calls allocate, load and compile
    return max(1, round(SHORTEST_SAMPLE_S / max(seconds(call), 1e-9)))
