"""A search space in which everything has been trained: what a query would cost is in a table.

Comparing searches means running each of them many times, which nobody can afford where a query is
a training. Here it is a look-up, so that hundreds of searches take seconds, all of them see the
same networks, and the true optimum is known. Source: Ying et al. 2019 (NAS-Bench-101).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib import results
from course_lib._validate import check_int
from course_lib.nas.benchmark_space import BENCHMARK_SPACE
from course_lib.nas.space import Architecture, SearchSpace


@dataclass(frozen=True)
class TrainedArchitecture:
    """What is known of one architecture; tuples have one entry for each seed it was trained with.

    Accuracies are fractions. `latency_s` is the median time of one image on one thread, `train_s`
    the CPU seconds of each training, `size_bytes` what the file with the weights takes.
    """

    name: str
    architecture: Architecture
    validation_accuracies: tuple[float, ...]
    test_accuracies: tuple[float, ...]
    train_s: tuple[float, ...]
    params: int
    macs: int
    size_bytes: int
    latency_s: float

    @property
    def validation_accuracy(self) -> float:
        """The mean over seeds: what a search would see if it could train more than once."""
        return statistics.fmean(self.validation_accuracies)

    @property
    def test_accuracy(self) -> float:
        """The mean over seeds: how good a finding is. No search may see it."""
        return statistics.fmean(self.test_accuracies)


class TabularBenchmark:
    """The table `nas_benchmark` as something to search.

    `random_search(benchmark.training(seed=0), benchmark.space, evaluations=20)` is a search that
    trains nothing; `benchmark.look_up(result.best.architecture)` then says how good it is.

    `table` is by default the one that comes with the course. Raises ValueError if it lacks a
    column, names an architecture outside of `space`, or has no rows.
    """

    def __init__(self, table: results.Table | None = None, space: SearchSpace = BENCHMARK_SPACE):
        table = results.table("nas_benchmark") if table is None else table
        if not len(table):
            raise ValueError(f"table must have rows, but {table.name} has none.")
        for column in (*space.choices, *_COLUMNS):
            table.column(column)
        self.space = space
        by_code: dict[tuple[int, ...], list[Mapping[str, Any]]] = {}
        for row in table.rows:
            code = space.encode({name: row[name] for name in space.choices})
            by_code.setdefault(code, []).append(row)
        self._trained = {code: _trained(space, code, rows) for code, rows in by_code.items()}

    def __len__(self) -> int:
        """The number of architectures in the table."""
        return len(self._trained)

    def __iter__(self) -> Iterator[TrainedArchitecture]:
        return iter(self._trained.values())

    def look_up(self, architecture: Mapping[str, Any]) -> TrainedArchitecture:
        """Return everything known of an architecture, which costs nothing and counts as nothing.

        Raises ValueError for an architecture that is not in the space, or not in the table.
        """
        code = self.space.encode(architecture)
        if code not in self._trained:
            raise ValueError(
                f"architecture must be one of the {len(self)} in the table, got {architecture}."
            )
        return self._trained[code]

    def training(self, seed: int = 0) -> SimulatedTraining:
        """Return what a search calls in place of a training: see `SimulatedTraining`."""
        return SimulatedTraining(self, seed)

    @property
    def best(self) -> TrainedArchitecture:
        """The highest mean validation accuracy: what an endless search would choose."""
        return max(self, key=lambda trained: trained.validation_accuracy)


class SimulatedTraining:
    """architecture -> validation accuracy of one of its trainings, drawn at random.

    A search that asks twice may hear two answers, as it would from two trainings. `queries` counts
    the calls, `train_s` adds up the CPU seconds that these trainings took when the table was made.
    """

    def __init__(self, benchmark: TabularBenchmark, seed: int = 0):
        self._benchmark = benchmark
        self._rng = np.random.default_rng(check_int("seed", seed, minimum=0))
        self.queries = 0
        self.train_s = 0.0

    def __call__(self, architecture: Mapping[str, Any]) -> float:
        trained = self._benchmark.look_up(architecture)
        drawn = int(self._rng.integers(len(trained.validation_accuracies)))
        self.queries += 1
        self.train_s += trained.train_s[drawn]
        return trained.validation_accuracies[drawn]


_COLUMNS = (
    "architecture", "seed", "validation_accuracy", "test_accuracy", "train_cpu_s", "params",
    "macs", "size_bytes", "latency_s",
)  # fmt: skip


def _trained(
    space: SearchSpace, code: tuple[int, ...], rows: list[Mapping[str, Any]]
) -> TrainedArchitecture:
    """Gather the rows of one architecture, one per seed."""
    rows = sorted(rows, key=lambda row: row["seed"])
    first = rows[0]
    if len({row["seed"] for row in rows}) < len(rows):
        raise ValueError(f"table must have one row per seed, but {first['architecture']} has two.")
    return TrainedArchitecture(
        name=str(first["architecture"]),
        architecture=space.decode(code),
        validation_accuracies=tuple(row["validation_accuracy"] for row in rows),
        test_accuracies=tuple(row["test_accuracy"] for row in rows),
        train_s=tuple(row["train_cpu_s"] for row in rows),
        params=first["params"],
        macs=first["macs"],
        size_bytes=first["size_bytes"],
        latency_s=first["latency_s"],
    )
