"""What a search has tried: one frozen record per call of evaluate, and what they add up to.

A call that raises, or gives no finite number, becomes a failed trial that carries its reason: one
diverged training must not cost the night's other results. Its budget was spent and counts.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from course_lib._validate import check_number
from course_lib.hpo.space import Config

Evaluate = Callable[[Config, Any], Any]  # (config, budget) -> score


@dataclass(frozen=True)
class Trial:
    """One call of evaluate. `score` is None where it failed, and `error` then says why.

    `candidate` numbers the configuration, which halving evaluates once per rung; `bracket` and
    `rung` tell where. `curve` and `stopped` come from the median rule: the scores step by step,
    and whether it ended the trial.
    """

    number: int  # in order of evaluation, from 0
    candidate: int
    config: Config
    budget: float  # in the caller's unit
    score: float | None  # higher is better
    error: str | None = None
    bracket: int = 0
    rung: int = 0
    curve: tuple[float, ...] = ()
    stopped: bool = False

    @property
    def failed(self) -> bool:
        return self.score is None


@dataclass(frozen=True)
class SearchResult:
    """All trials in the order in which they were evaluated."""

    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The trial with the highest score, the first of equals; ValueError if all failed."""
        scored = [(t.score, t) for t in self.trials if t.score is not None]
        if not scored:
            reasons = "; ".join(dict.fromkeys(str(trial.error) for trial in self.trials))
            raise ValueError(
                f"No trial succeeded, {len(self.trials)} failed: {reasons or 'none was run'}."
            )
        return max(scored, key=lambda pair: pair[0])[1]

    @property
    def failed(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.failed)

    @property
    def total_budget(self) -> float:
        """The sum over all trials, failed ones included; an int if every budget is."""
        budgets = [trial.budget for trial in self.trials]
        return sum(budgets) if all(isinstance(b, int) for b in budgets) else math.fsum(budgets)

    def __str__(self) -> str:
        lines = [f"{len(self.trials)} trials, budget {self.total_budget:g}"]
        if len(self.failed) < len(self.trials):
            lines.append(f"best: {self.best.score:.6g} with {self.best.config}")
        lines += [f"failed: trial {t.number} {t.config}: {t.error}" for t in self.failed]
        return "\n".join(lines)


def best_so_far(result: SearchResult) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the budget spent after each of T trials, [T], and the best score until then, [T].

    The best is NaN until a trial has succeeded. With halving it mixes budgets, as the paper's
    own answer does: a score of a short training counts like one of a long training.

    >>> trials = [Trial(i, i, {}, 2, score) for i, score in enumerate([0.5, None, 0.4, 0.7])]
    >>> best_so_far(SearchResult(tuple(trials)))
    (array([2., 4., 6., 8.]), array([0.5, 0.5, 0.5, 0.7]))
    """
    spent = np.cumsum([float(trial.budget) for trial in result.trials])
    scores = np.array([np.nan if t.score is None else t.score for t in result.trials])
    return spent, np.fmax.accumulate(scores) if len(scores) else scores


def best_at(result: SearchResult, budgets: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the best score that had been reached when each of `budgets` was spent, [B] -> [B].

    Puts searches with different steps on one axis, to compare them at equal budget and to draw
    bands over seeds. NaN before the first success.

    >>> trials = [Trial(i, i, {}, 2, score) for i, score in enumerate([0.5, 0.4, 0.7])]
    >>> best_at(SearchResult(tuple(trials)), [1, 2, 5.9, 100])
    array([nan, 0.5, 0.5, 0.7])
    """
    spent, best = best_so_far(result)
    done = np.searchsorted(spent, np.asarray(budgets, dtype=np.float64), side="right")
    return np.concatenate([[np.nan], best])[done]


def run_trial(
    evaluate: Evaluate,
    config: Config,
    budget: float,
    number: int,
    candidate: int,
    bracket: int = 0,
    rung: int = 0,
) -> Trial:
    """Evaluate once; what goes wrong inside ends up in the record. Ctrl-C still ends all."""
    score, error = attempt(lambda: evaluate(copy.deepcopy(config), budget))
    return Trial(number, candidate, config, budget, score, error, bracket, rung)


def attempt(call: Callable[[], Any]) -> tuple[float | None, str | None]:
    """The finite score that `call` gives and None, or None and the reason why there is none."""
    try:
        return finite_score(call()), None
    except Exception as problem:
        return None, describe(problem)


def describe(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}"


def finite_score(value: Any) -> float:
    """`value`, a number, NumPy scalar or tensor of one element, as a finite float, or raise."""
    item = value.item() if hasattr(value, "item") else value
    if isinstance(item, bool):
        raise TypeError(f"the score must be a finite number, got {item!r}.")
    return check_number("the score", item)


def check_budget(name: str, value: object) -> float:
    """`value` if it is above 0; whole numbers stay int, so that sums stay exact."""
    number = check_number(name, value, minimum=0.0)
    if number == 0:
        raise ValueError(f"{name} must be above 0, got {value!r}.")
    return int(value) if isinstance(value, Integral) else number


def check_evaluate(evaluate: object, argument: str = "evaluate") -> None:
    if not callable(evaluate):
        raise TypeError(f"{argument} must be a function of a configuration, got {evaluate!r}.")


def check_configs(configs: Sequence[Config]) -> list[Config]:
    """Copies of the configurations, at least one."""
    if isinstance(configs, (str, bytes, dict)) or not isinstance(configs, Sequence):
        raise TypeError(f"configs must be a list of dictionaries, got {configs!r}.")
    if not configs:
        raise ValueError("configs must hold at least one configuration, got none.")
    for config in configs:
        if not isinstance(config, dict):
            raise TypeError(f"configs must hold dictionaries, got {config!r}.")
    return [dict(config) for config in configs]
