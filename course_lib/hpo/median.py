"""The median stopping rule: end a training that does worse than half of the earlier ones did.

It compares learning curves and assumes nothing about their shape; it needs neither brackets nor a
plan of the budget. Source: Golovin et al. 2017 (Google Vizier), section 3.2.2.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterable, Sequence

import numpy as np

from course_lib._validate import check_int
from course_lib.hpo.space import Config
from course_lib.hpo.trials import (
    SearchResult,
    Trial,
    check_configs,
    check_evaluate,
    describe,
    finite_score,
)

TrainSteps = Callable[[Config], Iterable[float]]


def median_says_stop(scores: Sequence[float], completed: Sequence[Sequence[float]]) -> bool:
    """Return whether a trial with `scores` so far, one per step, should be stopped.

    It should if its best score is strictly below the median, over the completed trials, of the
    mean of their scores up to the same step. A higher score is better. A completed trial that
    has fewer steps counts with the mean of those. With none completed nothing is stopped.
    Raises ValueError for empty curves and for NaN/inf. Source: Golovin et al. 2017, 3.2.2.

    >>> completed = [[0.2, 0.6, 0.9], [0.1, 0.3, 0.8], [0.4, 0.8, 0.9]]  # means at 2: 0.4 0.2 0.6
    >>> median_says_stop([0.35, 0.39], completed), median_says_stop([0.45, 0.0], completed)
    (True, False)
    """
    best = max(_curve("scores", scores))
    curves = [_curve(f"completed[{i}]", curve) for i, curve in enumerate(completed)]
    if not curves:
        return False
    averages = [float(np.mean(curve[: len(scores)])) for curve in curves]
    return best < float(np.median(averages))


def median_stopping(
    train: TrainSteps,
    configs: Sequence[Config],
    *,
    max_steps: int,
    min_steps: int = 1,
    min_completed: int = 1,
) -> SearchResult:
    """Train the configurations in order, ending each as soon as the median rule says so.

    `train(config)` is a generator: it yields a score after each step (an epoch, say), and is
    closed when the trial ends; higher is better. A trial ends after `max_steps` or when the
    generator does; the rule is asked after each step but the last, from `min_steps` on and once
    `min_completed` trials have run to their end. Trials that were stopped or failed are not
    among the completed. One step is one unit of budget, and the step that fails counts too.
    A trial's score is the best of its `curve`; one that raises, or yields no finite number or
    nothing, is a failed trial with the curve until then.
    Raises ValueError for no configs or numbers < 1.
    """
    check_evaluate(train, "train")
    check_int("max_steps", max_steps)
    check_int("min_steps", min_steps)
    check_int("min_completed", min_completed)
    trials: list[Trial] = []
    for i, config in enumerate(check_configs(configs)):
        completed = [t.curve for t in trials if not t.failed and not t.stopped]
        judged = completed if len(completed) >= min_completed else []
        trials.append(_run(train, config, i, judged, max_steps, min_steps))
    return SearchResult(tuple(trials))


def _run(
    train: TrainSteps,
    config: Config,
    number: int,
    completed: list[tuple[float, ...]],
    max_steps: int,
    min_steps: int,
) -> Trial:
    curve: list[float] = []
    error, stopped = None, False
    try:
        steps = iter(train(copy.deepcopy(config)))
        while len(curve) < max_steps and not stopped:
            curve.append(finite_score(next(steps)))
            judged = min_steps <= len(curve) < max_steps
            stopped = judged and median_says_stop(curve, completed)
        if isinstance(steps, Generator):
            steps.close()
    except StopIteration:
        error = None if curve else "ValueError: train yielded no score."
    except Exception as problem:
        error = describe(problem)
    failed_step = int(error is not None)
    return Trial(
        number=number,
        candidate=number,
        config=config,
        budget=len(curve) + failed_step,
        score=None if error else max(curve),
        error=error,
        curve=tuple(curve),
        stopped=stopped and error is None,
    )


def _curve(name: str, scores: Sequence[float]) -> Sequence[float]:
    if len(scores) == 0:
        raise ValueError(f"{name} must hold at least one score, got none.")
    if not np.all(np.isfinite(np.asarray(scores, dtype=np.float64))):
        raise ValueError(f"{name} must be finite, got {list(scores)!r}.")
    return scores
