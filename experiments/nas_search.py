"""Random search, evolution and REINFORCE on the tabular benchmark

Every search is run many times from `nas_benchmark` and sees one noisy validation accuracy per
query. After each budget its best find is judged by mean test accuracy, which it never saw: regret
is what it lacks to the architecture that the mean validation accuracies of the whole table would
choose. Objectives: accuracy alone; MnasNet's soft and hard reward (Tan et al. 2019) for a latency
that a quarter of the space meets; accuracy under that latency as a constraint.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from matplotlib.figure import Figure

from course_lib import plot
from course_lib.nas import (
    Architecture,
    NasResult,
    mnasnet_reward,
    random_search,
    regularised_evolution,
    reinforce,
)
from course_lib.nas.tabular import TabularBenchmark, TrainedArchitecture
from course_lib.results import Table
from experiments.runner import Job, Row

KEY = ("objective", "method", "queries")
SPREAD = {"regret_median": 1e-5, "test_accuracy_median": 1e-5, "latency_median_s": 1e-9}
METHODS: dict[str, Callable[..., NasResult]] = {
    "random": random_search,
    "evolution": regularised_evolution,
    "reinforce": reinforce,
}
OBJECTIVES = ("accuracy", "soft", "hard", "constraint")
BUDGETS = (5, 10, 20, 30, 40, 50, 60, 80, 100, 150)
REPEATS = 200
TARGET_QUANTILE = 0.25
QUICK_BUDGETS, QUICK_REPEATS = (5, 40), 30


def jobs(quick: bool) -> list[Job]:
    """One job per objective and method, of all repeats; quick: fewer repeats and queries."""
    budgets = QUICK_BUDGETS if quick else BUDGETS
    repeats = QUICK_REPEATS if quick else REPEATS
    return [
        Job(
            {"objective": objective, "method": method},
            partial(_search, objective, method, budgets, repeats),
        )
        for objective in OBJECTIVES
        for method in METHODS
    ]


def _search(objective: str, method: str, budgets: Sequence[int], repeats: int) -> Iterable[Row]:
    goal = goal_of(benchmark(), objective)
    runs = [run_once(benchmark(), goal, method, budgets, seed) for seed in range(repeats)]
    for i, queries in enumerate(budgets):
        yield {
            "queries": queries,
            "seed": 0,
            "repeats": repeats,
            "target_s": goal.target_s,
            **summarize([run[i] for run in runs], goal),
        }


@cache
def benchmark() -> TabularBenchmark:
    """The table in results/, also where this is the quick version: a search costs nothing."""
    return TabularBenchmark()


@dataclass(frozen=True)
class Goal:
    """What a search maximizes: `reward(accuracy, latency_s)`, within `limit_s` if there is one."""

    reward: Callable[[float, float], float]
    target_s: float
    limit_s: float = math.inf

    def true_value(self, trained: TrainedArchitecture) -> float:
        """The reward of the mean test accuracy."""
        return self.reward(trained.test_accuracy, trained.latency_s)

    def reference(self, table: TabularBenchmark) -> TrainedArchitecture:
        """What mean validation accuracies would choose."""
        allowed = [t for t in table if t.latency_s <= self.limit_s]
        return max(allowed, key=lambda t: self.reward(t.validation_accuracy, t.latency_s))


def goal_of(table: TabularBenchmark, objective: str) -> Goal:
    """The goal called `objective`, one of OBJECTIVES."""
    target = float(np.quantile([t.latency_s for t in table], TARGET_QUANTILE))
    if objective in ("soft", "hard"):
        reward = partial(mnasnet_reward, target_s=target, variant=objective)
        return Goal(reward, target)
    limit = target if objective == "constraint" else math.inf
    return Goal(lambda accuracy, latency_s: accuracy, target, limit)


@dataclass(frozen=True)
class Find:
    """The best that a search has found within a budget, and what it asked for until then."""

    trained: TrainedArchitecture
    regret: float
    distinct: int
    train_s: float


def run_once(
    table: TabularBenchmark, goal: Goal, method: str, budgets: Sequence[int], seed: int
) -> list[Find]:
    """Search once with the largest budget; return the find at each of `budgets`."""
    training, spent = table.training(seed), []

    def evaluate(architecture: Architecture) -> float:
        accuracy = training(architecture)
        spent.append(training.train_s)
        return goal.reward(accuracy, table.look_up(architecture).latency_s)

    result = METHODS[method](
        evaluate,
        table.space,
        evaluations=max(budgets),
        constraint=lambda a: table.look_up(a).latency_s <= goal.limit_s,
        seed=seed,
    )
    best = goal.true_value(goal.reference(table))
    finds = []
    for budget in budgets:
        asked = result.history[:budget]
        found = table.look_up(NasResult(asked).best.architecture)
        distinct = len({table.space.encode(evaluated.architecture) for evaluated in asked})
        regret = best - goal.true_value(found)
        finds.append(Find(found, regret, distinct, spent[budget - 1]))
    return finds


def summarize(finds: Sequence[Find], goal: Goal) -> Row:
    """Medians and quartiles over repeats."""
    regrets = [find.regret for find in finds]
    q1, median, q3 = np.percentile(regrets, [25, 50, 75]).tolist()
    latencies = [find.trained.latency_s for find in finds]
    return {
        "regret_median": median,
        "regret_q1": q1,
        "regret_q3": q3,
        "regret_mean": float(np.mean(regrets)),
        "regret_std": float(np.std(regrets, ddof=1)),
        "test_accuracy_median": float(np.median([find.trained.test_accuracy for find in finds])),
        "latency_median_s": float(np.median(latencies)),
        "within_target_fraction": float(np.mean([t <= goal.target_s for t in latencies])),
        "distinct_mean": float(np.mean([find.distinct for find in finds])),
        "train_cpu_median_s": float(np.median([find.train_s for find in finds])),
    }


def reading(table: Table) -> str:
    """What the table says."""
    rows: dict[tuple[str, str, int], Row] = {
        (r["objective"], r["method"], r["queries"]): r for r in map(Row, table.rows)
    }
    last = max(queries for _, _, queries in rows)
    repeats = rows["accuracy", "random", last]["repeats"]
    parts = []
    for objective in OBJECTIVES:
        random = rows[objective, "random", last]
        said = [_compared(rows[objective, m, last], random) for m in METHODS if m != "random"]
        parts.append(
            f"{_LABELS[objective]}: random search lacks {_points(random['regret_mean'])} in the "
            f"mean, {', '.join(said)}; median latency of the finds "
            f"{_latencies([rows[objective, m, last] for m in METHODS])}, within the target "
            f"{_shares([rows[objective, m, last] for m in METHODS])}."
        )
    plain = rows["accuracy", "random", last]
    trainings = len(next(iter(benchmark())).validation_accuracies)
    minutes = [r["train_cpu_median_s"] / 60 for (_, _, asked), r in rows.items() if asked == last]
    return f"""Each search ran {repeats} times (seeds 0 to {repeats - 1}; a row stands for all of
    them, and its column `seed` is {table.rows[0]["seed"]}). What the finds after {last} queries
    lack to the reference, in points of mean test accuracy (of reward, where there is one); a
    search lacks less or more than random search where the 95 % interval of the difference of
    means leaves out zero (not corrected for many comparisons). {" ".join(parts)}
    (Latencies and shares in the order random, evolution, REINFORCE; the target is
    {plain["target_s"] * 1e6:.0f} microseconds.) The intervals cover the chance of the searches
    on this one table, which has {trainings} trainings of every architecture; what other tables
    would say is not in them. A search chooses by one
    noisy validation accuracy per query, which can keep regret above zero; it is negative where a
    find has a higher test accuracy than the reference. {last} queries
    stand for {min(minutes):.1f} to {max(minutes):.1f} CPU minutes of training, by what was
    searched for and how ({plain["train_cpu_median_s"] / 60:.1f} for accuracy at random). Queries
    are counted alike for all, also those that ask again for the same architecture (random search
    for accuracy saw {plain["distinct_mean"]:.0f} different ones). Settings are the library's
    defaults; none was tuned, so this does not show what each method could do at its best, nor what
    happens in a space of more than a few hundred architectures, where random search covers
    less."""


_LABELS = {
    "accuracy": "Accuracy alone",
    "soft": "Soft reward",
    "hard": "Hard reward",
    "constraint": "Accuracy within the target latency",
}


def _compared(row: Row, baseline: Row) -> str:
    difference = row["regret_mean"] - baseline["regret_mean"]
    variance = row["regret_std"] ** 2 + baseline["regret_std"] ** 2
    half_width = 1.96 * math.sqrt(variance / row["repeats"])
    verdict = (
        "no difference shown"
        if abs(difference) <= half_width
        else ("less" if difference < 0 else "more")
    )
    return f"{row['method']} {_points(row['regret_mean'])} ({verdict})"


def _points(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


def _latencies(rows: Sequence[Row]) -> str:
    return "/".join(f"{row['latency_median_s'] * 1e6:.0f}" for row in rows)


def _shares(rows: Sequence[Row]) -> str:
    return "/".join(f"{row['within_target_fraction']:.0%}" for row in rows)


def figure(table: Table) -> tuple[Figure, str]:
    """Median regret against queries with quartiles, one panel per objective."""
    fig, axes = plot.subplots(1, len(OBJECTIVES), size=(13.0, 3.9))
    for panel, objective in zip(axes, OBJECTIVES, strict=True):
        for i, method in enumerate(METHODS):
            rows = [
                r
                for r in map(Row, table.rows)
                if (r["objective"], r["method"]) == (objective, method)
            ]
            x = [row["queries"] + 1.5 * (i - 1) for row in rows]  # side by side
            middle = np.array([100 * row["regret_median"] for row in rows])
            quartiles = np.array(
                [[100 * row[f"regret_{q}"] for row in rows] for q in ("q1", "q3")]
            )
            bars = np.abs(quartiles - middle)
            panel.errorbar(x, middle, bars, **plot.look(i), markersize=4, capsize=2, label=method)
        panel.set(title=_LABELS[objective], xlabel="queries")
    axes[0].set_ylabel(
        f"regret (points), median and\nquartiles of {table.rows[0]['repeats']} runs"
    )
    axes[0].legend()
    repeats = table.rows[0]["repeats"]
    return fig, (
        "Regret of three searches falls with the number of queries, for four objectives: medians "
        f"of {repeats} runs, with quartiles as bars"
    )


__all__ = ["KEY", "SPREAD", "figure", "jobs", "reading"]
