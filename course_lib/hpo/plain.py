"""Grid and random search: decide everything before the first trial.

Both can run in parallel without a word between the trials. Random search tries a new value of
every setting each time, which is why it wins where few of the settings matter.
Source: Bergstra and Bengio 2012.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from course_lib.hpo.space import Config, Space, grid_configs, random_configs
from course_lib.hpo.trials import (
    Evaluate,
    SearchResult,
    check_budget,
    check_evaluate,
    run_trial,
)


def grid_search(
    evaluate: Evaluate, grid: Mapping[str, Sequence[Any]], *, budget: float = 1
) -> SearchResult:
    """Call evaluate(config, budget) for every combination of the values, the last name fastest.

    The number of trials is the product of the numbers of values. A higher score is better; a
    call that raises or gives no finite number becomes a failed trial.
    Raises ValueError for an empty grid, a name without values, or budget <= 0.

    >>> grid = {"learning_rate": [0.1, 0.01], "batch_size": [32, 128]}
    >>> result = grid_search(lambda config, budget: -config["learning_rate"], grid, budget=5)
    >>> len(result.trials), result.total_budget, result.best.config
    (4, 20, {'learning_rate': 0.01, 'batch_size': 32})
    """
    return _run_all(evaluate, grid_configs(grid), budget)


def random_search(
    evaluate: Evaluate, space: Space, *, trials: int, budget: float = 1, seed: int = 0
) -> SearchResult:
    """Call evaluate(config, budget) for `trials` independent draws from the space.

    The same seed gives the same configurations, and with fewer trials the first of them. A higher
    score is better; a call that raises or gives no finite number becomes a failed trial.
    Raises ValueError for an empty space, trials < 1 or budget <= 0.
    """
    return _run_all(evaluate, random_configs(space, trials, seed), budget)


def _run_all(evaluate: Evaluate, configs: list[Config], budget: float) -> SearchResult:
    check_evaluate(evaluate)
    budget = check_budget("budget", budget)
    return SearchResult(
        tuple(run_trial(evaluate, config, budget, i, i) for i, config in enumerate(configs))
    )
