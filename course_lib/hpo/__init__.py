"""Hyper-parameter search: which settings to try, and how long to go on with each.

Every search calls `evaluate(config, budget) -> score`, where a higher score is better (return
-loss to minimise) and the budget is in the caller's unit, such as epochs; it gives a SearchResult
that accounts for every call. Grid, random, halving, Hyperband and the median rule are plain
Python; Bayesian search and storage that workers share are Optuna's.
Papers: Bergstra and Bengio 2012 (random); Jamieson and Talwalkar 2016 (halving); Li et al. 2018
(Hyperband); Golovin et al. 2017 (median rule); Bergstra et al. 2011 (TPE).
"""

from course_lib.hpo.bayesian import bayesian_search, stored_result
from course_lib.hpo.halving import (
    Bracket,
    Rung,
    halving_rungs,
    hyperband,
    hyperband_brackets,
    successive_halving,
)
from course_lib.hpo.median import median_says_stop, median_stopping
from course_lib.hpo.plain import grid_search, random_search
from course_lib.hpo.space import (
    Choice,
    Integers,
    LogUniform,
    Uniform,
    grid_configs,
    random_configs,
)
from course_lib.hpo.trials import SearchResult, Trial, best_at, best_so_far

__all__ = [
    "Bracket",
    "Choice",
    "Integers",
    "LogUniform",
    "Rung",
    "SearchResult",
    "Trial",
    "Uniform",
    "bayesian_search",
    "best_at",
    "best_so_far",
    "grid_configs",
    "grid_search",
    "halving_rungs",
    "hyperband",
    "hyperband_brackets",
    "median_says_stop",
    "median_stopping",
    "random_configs",
    "random_search",
    "stored_result",
    "successive_halving",
]
