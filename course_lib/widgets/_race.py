"""What races in the explorer of searches: the searches themselves, and what they are told.

A search is a function (evaluate, space, allowed, seed) -> its choice after each step, with the
trainings spent until then. All see one noisy validation accuracy per training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from course_lib import devices, hpo, nas
from course_lib.cost import count

MEASURED = "the course's machine"
DEVICES = (MEASURED, *(device.name for device in devices.all_devices()))
GOALS = ("accuracy", "soft reward", "hard reward", "accuracy within the target")
WITHIN = GOALS[-1]
MOST_TRAININGS = 100
TARGET_QUANTILE = 0.25  # of the latencies of all that fit
_BRACKET = 9  # architectures that one run of halving starts with; 18 trainings in all

Evaluate = Callable[[nas.Architecture], float]
Allowed = Callable[[nas.Architecture], bool]
Choices = list[tuple[int, nas.Architecture]]  # trainings spent, the best so far
Search = Callable[[Evaluate, nas.SearchSpace, Allowed, int], Choices]


class Goal:
    """A device and what is wanted there: who may take part, and what each architecture is worth.

    Arrays have one entry per architecture, in the order of `trained`: `allowed`, `latencies_s` on
    the device, `ratios` to the target, and `below`, the points by which the reward of the mean
    test accuracy misses that of the reference. The reference is what the mean validation
    accuracies of the whole table would choose.
    """

    def __init__(self, trained: Sequence[nas.TrainedArchitecture], device: str, goal: str) -> None:
        speed = 1.0  # of a device: units of `cost` per second
        self.cost = np.array([float(t.latency_s) for t in trained])
        self.allowed = np.ones(len(self.cost), dtype=bool)
        if device != MEASURED:
            chosen, needed = devices.device(device), _needed_bytes()
            speed = 1 / devices.predicted_latency_s(chosen, 1)
            self.cost = np.array([float(t.macs) for t in trained])
            self.allowed = np.array([devices.fits(chosen, needed[t.name]) for t in trained])
        target = float(np.quantile(self.cost[self.allowed], TARGET_QUANTILE))
        self.target_s, self.latencies_s = target / speed, self.cost / speed
        self.ratios = self.cost / target
        if goal == WITHIN:
            self.allowed &= self.ratios <= 1
        self.goal = goal
        tested = np.array([self.reward(i, t.test_accuracy) for i, t in enumerate(trained)])
        seen = [self.reward(i, t.validation_accuracy) for i, t in enumerate(trained)]
        self.reference = int(np.argmax(np.where(self.allowed, seen, -np.inf)))
        self.below = 100 * (tested[self.reference] - tested)

    def reward(self, index: int, accuracy: float) -> float:
        """What a search is told about architecture `index` with this validation accuracy."""
        if not self.goal.endswith("reward"):
            return accuracy
        return nas.mnasnet_reward(accuracy, self.ratios[index], 1.0, self.goal.split()[0])

    @property
    def key(self) -> tuple[Any, ...]:
        """Goals with one key send all searches the same way."""
        ratios = self.ratios.tobytes() if self.goal.endswith("reward") else b""
        return self.goal.removesuffix(" within the target"), ratios, self.allowed.tobytes()


@cache
def _needed_bytes() -> dict[str, int]:
    """Memory for the weights and the activations of each architecture, in 32 bits."""
    found = {}
    for architecture in nas.BENCHMARK_SPACE.enumerate():
        counted = count(partial(nas.benchmark_network, architecture), (1, 1, 14, 14))
        found[nas.architecture_name(architecture)] = devices.needed_bytes(counted)
    return found


def _nas(
    search: Callable[..., nas.NasResult],
    evaluate: Evaluate,
    space: nas.SearchSpace,
    allowed: Allowed,
    seed: int,
) -> Choices:
    limits: dict[str, Any] = {"evaluations": MOST_TRAININGS, "constraint": allowed, "seed": seed}
    history = search(evaluate, space, **limits).history
    return _choices((1, (step.objective,), step.architecture) for step in history)


def _halving(evaluate: Evaluate, space: nas.SearchSpace, allowed: Allowed, seed: int) -> Choices:
    """Halving, again and again: nine with one training each, the best three with three anew.

    A score is the mean over the trainings; those with three are chosen before those with one.
    """
    rng = np.random.default_rng(seed)
    trials: list[hpo.Trial] = []
    while sum(trial.budget for trial in trials) < MOST_TRAININGS:
        drawn = [nas.sample_feasible(space, rng, allowed) for _ in range(_BRACKET)]
        mean = lambda config, trainings: np.mean([evaluate(config) for _ in range(trainings)])
        trials += hpo.successive_halving(mean, drawn, max_budget=3).trials
    return _choices((int(t.budget), (t.budget, t.score or 0.0), t.config) for t in trials)


def _tpe(evaluate: Evaluate, space: nas.SearchSpace, allowed: Allowed, seed: int) -> Choices:
    """Bayesian search. It is not told what is allowed; what is not has a score of 0."""
    choices = {name: hpo.Choice(options) for name, options in space.choices.items()}
    score = lambda config, _: evaluate(config) if allowed(config) else 0.0
    result = hpo.bayesian_search(score, choices, trials=MOST_TRAININGS, seed=seed)
    return _choices((1, (t.score or 0.0,), t.config) for t in result.trials)


def _choices(steps: Iterable[tuple[int, tuple[float, ...], nas.Architecture]]) -> Choices:
    """What stands highest after each step of (trainings, rank, architecture), first of equals."""
    spent = 0
    highest: tuple[float, ...] = (-math.inf,)
    chosen: Choices = []
    for trainings, rank, architecture in steps:
        spent += trainings
        better = rank > highest
        highest = rank if better else highest
        chosen.append((spent, architecture if better else chosen[-1][1]))
    return chosen


SEARCHES: dict[str, Search] = {
    "random": partial(_nas, nas.random_search),
    "evolution": partial(_nas, nas.regularised_evolution),
    "reinforce": partial(_nas, nas.reinforce),
    "halving": _halving,
    "tpe": _tpe,
}
