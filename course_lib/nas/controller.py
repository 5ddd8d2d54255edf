"""A controller that learns by reward: REINFORCE over one softmax per choice.

It draws an architecture, sees its reward, and makes each option it took more likely if the reward
was above a running average, the baseline, and less likely if below. Zoph and Le 2017 used a
recurrent network, so that a choice could depend on the one before; independent choices do for
small spaces and can be read off. Sources: Williams 1992; Zoph and Le 2017, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib._validate import check_fraction, check_number
from course_lib.nas.search import MAX_DRAWS, Constraint, Evaluate, NasResult, Run, meets
from course_lib.nas.space import Architecture, SearchSpace


@dataclass(frozen=True)
class ReinforceResult(NasResult):
    """`probabilities`: what the controller has learned, per choice one per option."""

    probabilities: dict[str, tuple[float, ...]]


def reinforce(
    evaluate: Evaluate,
    space: SearchSpace,
    *,
    evaluations: int,
    learning_rate: float = 0.1,
    baseline_decay: float = 0.9,
    constraint: Constraint | None = None,
    seed: int = 0,
) -> ReinforceResult:
    """Evaluate architectures drawn by a controller that learns from each; Adam sets its steps.

    evaluate(architecture) -> a finite number, higher is better (see `mnasnet_reward`); what it
    raises ends the search. Draws that break the constraint are thrown away unseen; after 1,000 in
    a row one that meets it is drawn uniformly. The update takes the draw as the controller's own,
    which leaves out how the chance of meeting the constraint moves.
    The baseline starts at the first reward, so the first update is none.
    Raises ValueError if no architecture meets the constraint, the objective is NaN or infinite,
    evaluations < 1, learning_rate < 0, or baseline_decay is outside [0, 1].
    """
    run = Run(evaluate, space, evaluations, constraint, seed)
    check_number("learning_rate", learning_rate, minimum=0.0)
    check_fraction("baseline_decay", baseline_decay)
    logits = [torch.zeros(len(o), dtype=torch.float64) for o in space.choices.values()]
    optimizer = torch.optim.Adam(logits, learning_rate)
    baseline = None
    while not run.done:
        architecture = _draw(run, logits)
        reward = run.evaluate(architecture).objective
        baseline = reward if baseline is None else baseline
        for logit, index in zip(logits, space.encode(architecture), strict=True):
            logit.grad = -reinforce_gradient(logit, index, reward - baseline)  # Adam descends
        optimizer.step()
        baseline = baseline_decay * baseline + (1 - baseline_decay) * reward
    learned = zip(space.choices, logits, strict=True)
    probabilities = {name: tuple(logit.softmax(0).tolist()) for name, logit in learned}
    return ReinforceResult(tuple(run.history), probabilities)


def reinforce_gradient(logits: Tensor, index: int, advantage: float) -> Tensor:
    """Return advantage * gradient of log softmax(logits)[index], [K] -> [K].

    That is advantage * (one_hot(index) - softmax(logits)). Source: Williams 1992, section 4.
    """
    gradient = -logits.softmax(0)
    gradient[index] += 1
    return advantage * gradient


def _draw(run: Run, logits: Sequence[Tensor]) -> Architecture:
    probabilities = [logit.softmax(0).numpy() for logit in logits]
    for _ in range(MAX_DRAWS):
        code = [int(run.rng.choice(len(p), p=p / p.sum())) for p in probabilities]
        architecture = run.space.decode(code)
        if meets(run.constraint, architecture):
            return architecture
    return run.sample()
