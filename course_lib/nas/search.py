"""Random search over architectures, and what every search shares: constraint, record, result.

A constraint is a predicate, such as a limit on bytes. It is asked before `evaluate`, so nothing
that breaks it is trained, and nothing that breaks it can be returned. Random search is the
baseline that cleverer ones have to beat (Li and Talwalkar 2019).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from course_lib._validate import check_int
from course_lib.nas.space import Architecture, SearchSpace

Evaluate = Callable[[Architecture], Any]
Constraint = Callable[[Architecture], bool]

MAX_DRAWS = 1_000  # this many misses in a row, and the space is searched in order
MAX_ENUMERATED = 100_000


@dataclass(frozen=True)
class Evaluated:
    """An architecture and what `evaluate` said of it; higher is better."""

    architecture: Architecture
    objective: float


@dataclass(frozen=True)
class NasResult:
    """Everything a search evaluated, in order; all of it meets the constraint."""

    history: tuple[Evaluated, ...]

    @property
    def best(self) -> Evaluated:
        """The highest objective, the first of equals."""
        return max(self.history, key=lambda evaluated: evaluated.objective)

    @property
    def best_so_far(self) -> tuple[float, ...]:
        """The highest objective after each evaluation."""
        objectives = [evaluated.objective for evaluated in self.history]
        return tuple(np.maximum.accumulate(objectives).tolist())


def random_search(
    evaluate: Evaluate,
    space: SearchSpace,
    *,
    evaluations: int,
    constraint: Constraint | None = None,
    seed: int = 0,
) -> NasResult:
    """Evaluate independent draws, uniform over the architectures that meet the constraint.

    evaluate(architecture) -> a finite number, higher is better; what it raises ends the search,
    so let it give a failed training the worst value. constraint(architecture) -> bool.
    Raises ValueError if no architecture meets the constraint, the objective is NaN or infinite,
    or evaluations < 1.

    >>> space = SearchSpace({"width": range(1, 9), "depth": range(1, 9)})
    >>> size = lambda a: a["width"] * a["depth"]
    >>> result = random_search(size, space, evaluations=50, constraint=lambda a: size(a) <= 20)
    >>> result.best.objective
    20.0
    """
    run = Run(evaluate, space, evaluations, constraint, seed)
    while not run.done:
        run.evaluate(run.sample())
    return NasResult(tuple(run.history))


def sample_feasible(
    space: SearchSpace, rng: np.random.Generator, constraint: Constraint | None = None
) -> Architecture:
    """Draw an architecture that meets the constraint; each such is equally likely.

    Draws until one fits. After 1,000 misses it goes through the space in order if that has at
    most 100,000 architectures, and so finds what there is; else it gives up.
    Raises ValueError if none was found.
    """
    for _ in range(MAX_DRAWS):
        architecture = space.sample(rng)
        if meets(constraint, architecture):
            return architecture
    if space.size > MAX_ENUMERATED:
        raise ValueError(
            f"constraint must be met by some architecture, but none of {MAX_DRAWS:,} drawn from "
            f"{space.size:,} meets it; relax it or narrow the space."
        )
    feasible = [
        architecture for architecture in space.enumerate() if meets(constraint, architecture)
    ]
    if not feasible:
        raise ValueError(
            f"constraint must be met by some architecture, but none of the {space.size:,} in the "
            "space meets it; relax it or widen the space."
        )
    return feasible[int(rng.integers(len(feasible)))]


def meets(constraint: Constraint | None, architecture: Architecture) -> bool:
    return constraint is None or bool(constraint(copy.deepcopy(architecture)))


class Run:
    """The state that the searches share: checked arguments, random numbers, history."""

    def __init__(
        self,
        evaluate: Evaluate,
        space: SearchSpace,
        evaluations: int,
        constraint: Constraint | None,
        seed: int,
    ):
        if not callable(evaluate):
            raise TypeError(f"evaluate must be a function of an architecture, got {evaluate!r}.")
        if not isinstance(space, SearchSpace):
            raise TypeError(f"space must be a SearchSpace, got {space!r}.")
        if constraint is not None and not callable(constraint):
            raise TypeError(f"constraint must be a function or None, got {constraint!r}.")
        self.space, self.constraint = space, constraint
        self.evaluations = check_int("evaluations", evaluations)
        self.rng = np.random.default_rng(check_int("seed", seed, minimum=0))
        self.history: list[Evaluated] = []
        self._evaluate = evaluate

    @property
    def done(self) -> bool:
        return len(self.history) >= self.evaluations

    def sample(self) -> Architecture:
        return sample_feasible(self.space, self.rng, self.constraint)

    def evaluate(self, architecture: Architecture) -> Evaluated:
        value = self._evaluate(copy.deepcopy(architecture))
        objective = _finite(value, architecture)
        self.history.append(Evaluated(architecture, objective))
        return self.history[-1]


def _finite(value: Any, architecture: Architecture) -> float:
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, bool) or not isinstance(number, Real):
        raise TypeError(f"evaluate must return a number, got {value!r} for {architecture}.")
    if not math.isfinite(number):
        raise ValueError(
            f"evaluate must return a finite number, got {number} for {architecture}; "
            "let it give a failed training the worst value."
        )
    return float(number)
