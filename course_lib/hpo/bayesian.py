"""Bayesian search: let the trials so far say where the next should be. Optuna does the work.

Its sampler, the tree-structured Parzen estimator (Bergstra et al. 2011), models where good and
where other configurations lie and proposes what is likely under the first and not under the
second. With a `storage` on disk several processes, or machines with a shared disk, work on one
search: each calls `bayesian_search` and learns from the others' trials.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from course_lib._validate import check_int
from course_lib.hpo.space import Choice, Config, Integers, LogUniform, Space, check_space
from course_lib.hpo.trials import (
    Evaluate,
    SearchResult,
    Trial,
    attempt,
    check_budget,
    check_evaluate,
)


def bayesian_search(
    evaluate: Evaluate,
    space: Space,
    *,
    trials: int,
    budget: float = 1,
    seed: int = 0,
    storage: str | Path | None = None,
    name: str = "search",
) -> SearchResult:
    """Call evaluate(config, budget) `trials` times, each where Optuna's TPE expects most.

    The first ten trials are random. A higher score is better; a call that raises or gives no
    finite number becomes a failed trial. The same seed gives the same trials, in one process.

    `storage` keeps the trials: None in memory, "sqlite:///search.db" (any URL that Optuna takes)
    in a database, another string or a Path in a journal file. The search called `name` in it is
    continued, and the result holds all its finished trials, other workers' too. Workers, and
    later calls, need seeds of their own, or they begin with the same random trials.

    Raises ImportError without Optuna, ValueError for an empty space, trials < 1, budget <= 0, or
    a space that differs from the stored one in a Choice.
    """
    check_evaluate(evaluate)
    check_space(space)
    check_int("trials", trials)
    check_int("seed", seed, minimum=0, maximum=2**32 - 1)
    budget = check_budget("budget", budget)
    optuna = _optuna()
    with _quiet(optuna):
        study = optuna.create_study(
            storage=_storage(optuna, storage),
            sampler=optuna.samplers.TPESampler(seed=seed),
            study_name=name,
            direction="maximize",
            load_if_exists=True,
        )
    distributions = {key: _distribution(optuna, value) for key, value in space.items()}
    for _ in range(trials):
        asked = study.ask(distributions)
        config = copy.deepcopy(_config(space, asked.params))
        score, error = attempt(partial(evaluate, config, budget))
        asked.set_user_attr("budget", budget)
        asked.set_user_attr("error", error)
        state = optuna.trial.TrialState.FAIL if score is None else None
        study.tell(asked, score, state=state)
    return _result(optuna, study, space)


def stored_result(space: Space, storage: str | Path, name: str = "search") -> SearchResult:
    """Return the finished trials of a search that `bayesian_search` keeps in `storage`.

    `space` as in the search. Raises ImportError without Optuna, ValueError if there is no search
    of that name.
    """
    check_space(space)
    optuna = _optuna()
    with _quiet(optuna):
        backend = _storage(optuna, storage)
    try:
        study = optuna.load_study(study_name=name, storage=backend)
    except KeyError:
        raise ValueError(f"name must be a search kept in {storage}, got {name!r}.") from None
    return _result(optuna, study, space)


def _result(optuna: Any, study: Any, space: Space) -> SearchResult:
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.FAIL)
    # A trial that a worker is at, or was when it was killed, is in neither state.
    return SearchResult(
        tuple(
            Trial(
                number=trial.number,
                candidate=trial.number,
                config=_config(space, trial.params),
                budget=trial.user_attrs["budget"],
                score=trial.value,
                error=trial.user_attrs["error"],
            )
            for trial in study.get_trials(deepcopy=False, states=states)
        )
    )


def _distribution(optuna: Any, distribution: Any) -> Any:
    kinds = optuna.distributions
    if isinstance(distribution, Choice):  # by index, for options need not be what JSON can hold
        return kinds.CategoricalDistribution(range(len(distribution.options)))
    if isinstance(distribution, Integers):
        return kinds.IntDistribution(distribution.low, distribution.high)
    log = isinstance(distribution, LogUniform)
    return kinds.FloatDistribution(float(distribution.low), float(distribution.high), log=log)


def _config(space: Space, parameters: dict[str, Any]) -> Config:
    return {
        name: kind.options[parameters[name]] if isinstance(kind, Choice) else parameters[name]
        for name, kind in space.items()
    }


def _storage(optuna: Any, storage: str | Path | None) -> Any:
    if storage is None or (isinstance(storage, str) and "://" in storage):
        return storage
    journal = optuna.storages.journal
    return optuna.storages.JournalStorage(journal.JournalFileBackend(str(storage)))


def _optuna() -> ModuleType:
    try:
        import optuna
    except ImportError:
        raise ImportError(
            "Bayesian search needs Optuna: pip install 'efficient-dl-course[search]'."
        ) from None
    return optuna


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Without the line that Optuna writes to stderr about every new study."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
