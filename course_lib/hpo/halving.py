"""Successive halving and Hyperband: give many a little, and the better part of them more.

Halving must be told how many to start with: many with little each, or few with much? Hyperband
tries all compromises, one bracket each, at about the same cost.
Papers: Jamieson and Talwalkar 2016; Li et al. 2018, algorithm 1 and table 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from course_lib._validate import check_int, check_number
from course_lib.hpo.space import Config, Space, check_space, draw
from course_lib.hpo.trials import (
    Evaluate,
    SearchResult,
    Trial,
    check_budget,
    check_configs,
    check_evaluate,
    run_trial,
)


@dataclass(frozen=True)
class Rung:
    """One round of halving: how many configurations are evaluated, and with what budget each."""

    count: int
    budget: float


@dataclass(frozen=True)
class Bracket:
    """One run of successive halving inside Hyperband; `number` is the paper's s."""

    number: int
    rungs: tuple[Rung, ...]

    @property
    def total_budget(self) -> float:
        """What the bracket costs if no trial fails, each rung trained from the start."""
        return _plain(sum(rung.count * Fraction(rung.budget) for rung in self.rungs))


def halving_rungs(
    count: int, *, min_budget: float = 1, eta: int = 3, max_budget: float | None = None
) -> tuple[Rung, ...]:
    """Return the rungs of successive halving: floor(count / eta^i) with min_budget * eta^i each.

    It ends with the last rung that has a configuration left and, if `max_budget` is given, costs
    no more than that per configuration. Raises ValueError for count < 1, eta < 2,
    min_budget <= 0 or max_budget < min_budget. Source: Li et al. 2018, algorithm 1.

    >>> halving_rungs(9)
    (Rung(count=9, budget=1), Rung(count=3, budget=3), Rung(count=1, budget=9))
    """
    check_int("count", count)
    check_int("eta", eta, minimum=2)
    smallest = check_budget("min_budget", min_budget)
    if max_budget is None:
        return _rungs(count, Fraction(smallest), eta, None)
    largest = check_budget("max_budget", max_budget)
    if largest < smallest:
        raise ValueError(
            f"max_budget must not be below min_budget, got {max_budget!r} and {min_budget!r}."
        )
    return _rungs(count, Fraction(smallest), eta, Fraction(largest))


def hyperband_brackets(max_budget: float, eta: int = 3) -> tuple[Bracket, ...]:
    """Return Hyperband's brackets s = s_max, ..., 1, 0, the one with most configurations first.

    s_max = floor(log_eta R) where R is `max_budget`, the most that one configuration may get, in
    units of the least that makes sense (one epoch, say). Bracket s starts
    n = ceil((s_max + 1) / (s + 1) * eta^s) configurations on R / eta^s each. Budgets are ints
    where they are whole: always, if R is a whole number times eta^s_max.
    Raises ValueError for max_budget < 1 or eta < 2. Source: Li et al. 2018, algorithm 1; for
    R = 81 and eta = 3 table 1.

    >>> [(rung.count, rung.budget) for rung in hyperband_brackets(81)[1].rungs]
    [(34, 3), (11, 9), (3, 27), (1, 81)]
    """
    check_int("eta", eta, minimum=2)
    check_number("max_budget", max_budget, minimum=1.0)
    largest = Fraction(check_budget("max_budget", max_budget))
    s_max = 0  # not math.log: floor(log(243) / log(3)) is 4
    while eta ** (s_max + 1) <= largest:
        s_max += 1
    brackets = []
    for s in range(s_max, -1, -1):
        count = -(-(s_max + 1) * eta**s // (s + 1))  # rounded up
        brackets.append(Bracket(s, _rungs(count, largest / eta**s, eta, largest)))
    return tuple(brackets)


def successive_halving(
    evaluate: Evaluate,
    configs: Sequence[Config],
    *,
    min_budget: float = 1,
    eta: int = 3,
    max_budget: float | None = None,
) -> SearchResult:
    """Evaluate all configurations with little budget, the best 1/eta with eta times that, etc.

    Rungs are those of `halving_rungs(len(configs), ...)`. evaluate(config, budget) -> score,
    higher is better; it trains from the start each time, and each call's budget counts in full.
    Of equal scores the configuration earlier in `configs` goes on. A call that raises or gives no
    finite number becomes a failed trial, which never goes on, even if fewer than planned do.
    Raises ValueError for no configs and as `halving_rungs` does.

    >>> configs = [{"x": x} for x in range(9)]
    >>> result = successive_halving(lambda config, budget: config["x"], configs)
    >>> [(t.config["x"], t.budget) for t in result.trials if t.rung > 0]
    [(6, 3), (7, 3), (8, 3), (8, 9)]
    """
    check_evaluate(evaluate)
    copies = check_configs(configs)
    rungs = halving_rungs(len(copies), min_budget=min_budget, eta=eta, max_budget=max_budget)
    return SearchResult(tuple(_run_bracket(evaluate, copies, Bracket(0, rungs))))


def hyperband(
    evaluate: Evaluate, space: Space, *, max_budget: float, eta: int = 3, seed: int = 0
) -> SearchResult:
    """Run successive halving in every bracket of `hyperband_brackets`, on fresh random draws.

    evaluate(config, budget) -> score, higher is better, from the start each time; ties and
    failures as in `successive_halving`. Trials carry `bracket` (the paper's s) and `rung`, and
    `result.best` is the paper's answer: the best score seen at any budget.
    Raises ValueError for an empty space, max_budget < 1 or eta < 2.
    """
    check_evaluate(evaluate)
    check_space(space)
    rng = np.random.default_rng(check_int("seed", seed, minimum=0))
    trials: list[Trial] = []
    candidates = 0
    for bracket in hyperband_brackets(max_budget, eta):
        configs = [draw(space, rng) for _ in range(bracket.rungs[0].count)]
        trials += _run_bracket(evaluate, configs, bracket, len(trials), candidates)
        candidates += len(configs)
    return SearchResult(tuple(trials))


def _run_bracket(
    evaluate: Evaluate,
    configs: list[Config],
    bracket: Bracket,
    first_trial: int = 0,
    first_candidate: int = 0,
) -> list[Trial]:
    trials: list[Trial] = []
    survivors = list(range(len(configs)))
    for level, rung in enumerate(bracket.rungs):
        scores = {}
        # The best, as many as the rung has room for; in their first order, not by score.
        for i in sorted(survivors[: rung.count]):
            place = (first_trial + len(trials), first_candidate + i, bracket.number, level)
            trials.append(run_trial(evaluate, configs[i], rung.budget, *place))
            if (score := trials[-1].score) is not None:
                scores[i] = score
        survivors = sorted(scores, key=lambda i: -scores[i])  # stable: the earlier of equals
    return trials


def _rungs(
    count: int, budget: Fraction, eta: int, max_budget: Fraction | None
) -> tuple[Rung, ...]:
    rungs = []
    while count >= 1 and (max_budget is None or budget <= max_budget):
        rungs.append(Rung(count, _plain(budget)))
        count, budget = count // eta, budget * eta
    return tuple(rungs)


def _plain(number: Fraction | int) -> float:
    """An int where the number is whole, else the nearest float."""
    return int(number) if number == int(number) else float(number)
