"""Regularised evolution: the best of a few has a child, and the oldest of all dies.

Age, not fitness, decides who goes: an architecture that was lucky once must prove itself again
through its children. Source: Real et al. 2019 (AmoebaNet), algorithm 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from course_lib._validate import check_int
from course_lib.nas.search import Constraint, Evaluate, Evaluated, NasResult, Run, meets
from course_lib.nas.space import Architecture, SearchSpace

MAX_MUTATIONS = 200


def regularised_evolution(
    evaluate: Evaluate,
    space: SearchSpace,
    *,
    evaluations: int,
    population_size: int = 20,
    sample_size: int = 5,
    constraint: Constraint | None = None,
    seed: int = 0,
) -> NasResult:
    """Evolve `population_size` random architectures until `evaluations` have been evaluated.

    Each cycle the winner of a tournament among `sample_size` gets a child, itself with one choice
    changed; the child joins on the right, the oldest leaves on the left. Children are drawn until
    one meets the constraint; a parent with none to be found has a new random architecture instead.
    The best of all evaluated is returned, alive or not.

    evaluate(architecture) -> a finite number, higher is better; what it raises ends the search.
    Raises ValueError if no architecture meets the constraint, the objective is NaN or infinite,
    population_size > evaluations, or a number < 1. Source: Real et al. 2019, algorithm 1.
    """
    run = Run(evaluate, space, evaluations, constraint, seed)
    check_int("population_size", population_size, 1, evaluations)
    check_int("sample_size", sample_size)
    population = deque(run.evaluate(run.sample()) for _ in range(population_size))
    while not run.done:
        parent = tournament(population, sample_size, run.rng)
        population.append(run.evaluate(_child(run, parent.architecture)))
        population.popleft()
    return NasResult(tuple(run.history))


def tournament(
    population: Sequence[Evaluated], sample_size: int, rng: np.random.Generator
) -> Evaluated:
    """Return the best of `sample_size` members drawn with replacement, the first drawn of equals.

    Raises ValueError for an empty population or sample_size < 1.
    """
    if len(population) == 0:
        raise ValueError("population must have at least one member, got none.")
    drawn = rng.integers(len(population), size=check_int("sample_size", sample_size))
    return max((population[int(i)] for i in drawn), key=lambda member: member.objective)


def _child(run: Run, parent: Architecture) -> Architecture:
    if run.space.size > 1:
        for _ in range(MAX_MUTATIONS):
            child = run.space.mutate(parent, run.rng)
            if meets(run.constraint, child):
                return child
    return run.sample()
