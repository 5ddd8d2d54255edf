"""Searches against enumeration, the tables of their papers and their own accounts."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from course_lib import hpo

LOG_SPACE = {"learning_rate": hpo.LogUniform(1e-5, 1.0)}
MIXED_SPACE = {
    "learning_rate": hpo.LogUniform(1e-5, 1.0),
    "dropout": hpo.Uniform(0.0, 0.5),
    "layers": hpo.Integers(1, 4),
    "optimizer": hpo.Choice(["sgd", "adam", None]),
}


def bowl(config: dict, budget: float = 1) -> float:
    """Highest, 0, at a learning rate of 1e-2."""
    return -((math.log10(config["learning_rate"]) + 2) ** 2)


# Spaces


def test_a_two_by_two_grid_has_four_trials_in_order():
    seen = []
    result = hpo.grid_search(
        lambda config, budget: seen.append(config) or len(seen), {"a": [1, 2], "b": ["x", "y"]}
    )
    wanted = [{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}]
    assert seen == wanted == [trial.config for trial in result.trials]
    assert result.total_budget == 4
    assert result.best.number == 3


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_a_grid_has_the_product_of_its_sizes_and_no_config_twice(sizes):
    grid = {f"x{i}": range(size) for i, size in enumerate(sizes)}
    configs = hpo.grid_configs(grid)
    assert len(configs) == math.prod(sizes)
    assert len({tuple(config.values()) for config in configs}) == len(configs)


def test_a_grid_takes_numpy_values_and_gives_python_numbers():
    configs = hpo.grid_configs({"learning_rate": np.logspace(-3, -1, 3)})
    assert [type(config["learning_rate"]) for config in configs] == [float] * 3


def test_log_uniform_is_uniform_in_the_logarithm():
    drawn = [c["learning_rate"] for c in hpo.random_configs(LOG_SPACE, 2000, seed=1)]
    assert stats.kstest(np.log10(drawn), stats.uniform(-5, 5).cdf).pvalue > 0.01


def test_uniform_integers_and_choices_are_uniform():
    configs = hpo.random_configs(MIXED_SPACE, 2000, seed=2)
    dropouts = [config["dropout"] for config in configs]
    assert stats.kstest(dropouts, stats.uniform(0, 0.5).cdf).pvalue > 0.01
    for name, options in (("layers", [1, 2, 3, 4]), ("optimizer", ["sgd", "adam", None])):
        counts = Counter(config[name] for config in configs)
        assert stats.chisquare([counts[option] for option in options]).pvalue > 0.01
        assert sum(counts[option] for option in options) == 2000


@pytest.mark.parametrize(
    ("low", "high"), [(1e-300, 1e300), (1000.0, math.nextafter(1000.0, 2000.0)), (5e-324, 1.0)]
)
def test_log_uniform_stays_in_its_range(low, high):
    drawn = hpo.random_configs({"x": hpo.LogUniform(low, high)}, 300)
    assert all(low <= config["x"] <= high for config in drawn)


def test_a_seed_repeats_and_fewer_trials_are_the_first_of_more():
    five = hpo.random_configs(MIXED_SPACE, 5, seed=3)
    assert five == hpo.random_configs(MIXED_SPACE, 9, seed=3)[:5]
    assert five != hpo.random_configs(MIXED_SPACE, 5, seed=4)


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: hpo.Uniform(1.0, 1.0), ValueError, "low must be below high"),
        (lambda: hpo.Uniform(0.0, math.nan), ValueError, "high"),
        (lambda: hpo.Uniform(-1.7e308, 1.7e308), ValueError, "high - low"),
        (lambda: hpo.LogUniform(0.0, 1.0), ValueError, "above 0"),
        (lambda: hpo.LogUniform(-1.0, 1.0), ValueError, "low"),
        (lambda: hpo.Integers(1.5, 3), TypeError, "low"),
        (lambda: hpo.Integers(3, 1), ValueError, "low must be below high"),
        (lambda: hpo.Choice([]), ValueError, "at least one"),
        (lambda: hpo.Choice("adam"), TypeError, "list of values"),
        (lambda: hpo.grid_configs({}), ValueError, "at least one hyper-parameter"),
        (lambda: hpo.grid_configs({"a": []}), ValueError, r"grid\['a'\]"),
        (lambda: hpo.grid_configs({"a": 3}), TypeError, r"grid\['a'\]"),
        (lambda: hpo.random_configs({}, 3), ValueError, "at least one hyper-parameter"),
        (lambda: hpo.random_configs({"a": [1, 2]}, 3), TypeError, r"space\['a'\]"),
        (lambda: hpo.random_configs(LOG_SPACE, 0), ValueError, "count"),
        (lambda: hpo.random_configs(LOG_SPACE, 3, seed=-1), ValueError, "seed"),
        (lambda: hpo.grid_search(None, {"a": [1]}), TypeError, "evaluate"),
        (lambda: hpo.grid_search(bowl, {"a": [1]}, budget=0), ValueError, "budget"),
        (lambda: hpo.random_search(bowl, LOG_SPACE, trials=0), ValueError, "count"),
    ],
)
def test_bad_arguments_are_named(build, error, words):
    with pytest.raises(error, match=words):
        build()


# Trials, failures, accounts


def explode(config: dict, budget: float) -> float:
    if config["x"] == 1:
        raise RuntimeError("the loss diverged")
    return {0: 0.25, 2: math.nan, 3: -math.inf, 4: None, 5: 0.5, 6: "0.9", 7: True}[config["x"]]


def test_failures_are_trials_that_say_why_and_cost_their_budget():
    result = hpo.grid_search(explode, {"x": range(8)}, budget=3)
    assert [trial.number for trial in result.failed] == [1, 2, 3, 4, 6, 7]
    assert result.trials[1].error == "RuntimeError: the loss diverged"
    assert "nan" in result.trials[2].error
    assert result.best.config == {"x": 5}
    assert result.total_budget == 24
    assert "the loss diverged" in str(result)


@pytest.mark.parametrize(
    "score", [0.5, np.float32(0.5), np.array(0.5), torch.tensor([0.5]), Fraction(1, 2)]
)
def test_scores_of_every_number_type_become_floats(score):
    trial = hpo.grid_search(lambda config, budget: score, {"x": [0]}).trials[0]
    assert trial.score == 0.5
    assert type(trial.score) is float


def test_if_all_fail_best_says_why():
    result = hpo.grid_search(lambda config, budget: 1 / 0, {"x": [0, 1]})
    with pytest.raises(ValueError, match="2 failed: ZeroDivisionError"):
        _ = result.best
    assert np.isnan(hpo.best_so_far(result)[1]).all()
    assert "2 trials" in str(result)


def test_ctrl_c_is_not_a_failed_trial():
    def interrupted(config: dict, budget: float) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hpo.grid_search(interrupted, {"x": [0]})


def test_of_equal_scores_the_first_is_best():
    assert hpo.grid_search(lambda config, budget: 0.0, {"x": [7, 8]}).best.config == {"x": 7}


def test_an_evaluate_that_changes_its_config_changes_no_record():
    def evaluate(config: dict, budget: float) -> float:
        config["layers"].append(99)
        return 0.0

    result = hpo.grid_search(evaluate, {"layers": [[1], [1, 2]]})
    assert [trial.config for trial in result.trials] == [{"layers": [1]}, {"layers": [1, 2]}]


def test_best_so_far_against_a_loop():
    result = hpo.grid_search(explode, {"x": [2, 0, 1, 5, 0]}, budget=0.5)
    spent, best = hpo.best_so_far(result)
    assert spent.tolist() == [0.5, 1.0, 1.5, 2.0, 2.5]
    assert best[1:].tolist() == [0.25, 0.25, 0.5, 0.5]
    assert math.isnan(best[0])
    at = hpo.best_at(result, [0.0, 0.99, 1.0, 1.99, 2.0, 1e9])
    np.testing.assert_array_equal(at, [np.nan, np.nan, 0.25, 0.25, 0.5, 0.5])


# Halving and Hyperband

PAPER_TABLE_1 = {  # Li et al. 2018, table 1: R = 81, eta = 3
    4: [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    3: [(34, 3), (11, 9), (3, 27), (1, 81)],
    2: [(15, 9), (5, 27), (1, 81)],
    1: [(8, 27), (2, 81)],
    0: [(5, 81)],
}


def as_pairs(rungs):
    return [(rung.count, rung.budget) for rung in rungs]


def test_hyperband_has_the_brackets_of_the_papers_table():
    brackets = hpo.hyperband_brackets(81, eta=3)
    assert {bracket.number: as_pairs(bracket.rungs) for bracket in brackets} == PAPER_TABLE_1
    assert [bracket.number for bracket in brackets] == [4, 3, 2, 1, 0]
    assert all(type(budget) is int for b in brackets for _, budget in as_pairs(b.rungs))
    assert [bracket.total_budget for bracket in brackets] == [405, 363, 351, 378, 405]


def test_hyperband_brackets_for_eta_2():
    pairs = [as_pairs(bracket.rungs) for bracket in hpo.hyperband_brackets(8, eta=2)]
    assert pairs == [
        [(8, 1), (4, 2), (2, 4), (1, 8)],
        [(6, 2), (3, 4), (1, 8)],
        [(4, 4), (2, 8)],
        [(4, 8)],
    ]


@pytest.mark.parametrize("eta", [2, 3, 4, 5, 10])
@pytest.mark.parametrize("power", [0, 1, 3, 5, 10])
def test_the_number_of_brackets_is_exact_at_and_around_powers(eta, power):
    budget = eta**power
    assert len(hpo.hyperband_brackets(budget, eta)) == power + 1
    if budget > 1:
        assert len(hpo.hyperband_brackets(budget - 0.5, eta)) == power


@given(budget=st.floats(1, 2000) | st.integers(1, 2000), eta=st.integers(2, 6))
@settings(max_examples=60, deadline=None)
def test_every_bracket_ends_at_the_full_budget_and_costs_about_the_same(budget, eta):
    brackets = hpo.hyperband_brackets(budget, eta)
    for bracket in brackets:
        assert len(bracket.rungs) == bracket.number + 1
        assert bracket.rungs[-1].budget == budget
        assert bracket.rungs[-1].count >= 1
        # At most (s_max + 1) R, but for rounding the number of configurations up by one.
        assert bracket.total_budget <= (len(brackets) + bracket.number + 1) * budget


@pytest.mark.parametrize(
    ("count", "arguments", "pairs"),
    [
        (1, {}, [(1, 1)]),
        (2, {}, [(2, 1)]),
        (8, {"eta": 2, "min_budget": 5}, [(8, 5), (4, 10), (2, 20), (1, 40)]),
        (100, {}, [(100, 1), (33, 3), (11, 9), (3, 27), (1, 81)]),
        (100, {"max_budget": 9}, [(100, 1), (33, 3), (11, 9)]),
        (100, {"max_budget": 8.9}, [(100, 1), (33, 3)]),
        (4, {"min_budget": 0.25, "eta": 2}, [(4, 0.25), (2, 0.5), (1, 1)]),
    ],
)
def test_halving_rungs(count, arguments, pairs):
    assert as_pairs(hpo.halving_rungs(count, **arguments)) == pairs


def test_halving_finds_the_best_if_scores_keep_their_order():
    values = np.random.default_rng(0).permutation(40)
    configs = [{"x": int(value)} for value in values]
    result = hpo.successive_halving(lambda config, budget: config["x"] * budget, configs)
    for level, rung in enumerate(hpo.halving_rungs(40)):
        there = [trial for trial in result.trials if trial.rung == level]
        assert sorted(t.config["x"] for t in there) == list(range(40 - rung.count, 40))
        assert {trial.budget for trial in there} == {rung.budget}
        assert [t.candidate for t in there] == sorted(t.candidate for t in there)
    assert result.best.config == {"x": 39}
    assert result.total_budget == 40 + 13 * 3 + 4 * 9 + 1 * 27


def test_of_equals_the_earlier_configurations_go_on():
    result = hpo.successive_halving(lambda config, budget: 0.5, [{"x": x} for x in range(9)])
    assert [t.candidate for t in result.trials if t.rung == 1] == [0, 1, 2]


def test_failed_trials_never_go_on_even_if_fewer_do():
    def evaluate(config: dict, budget: float) -> float:
        return -1.0 if config["x"] == 4 else math.nan

    result = hpo.successive_halving(evaluate, [{"x": x} for x in range(9)])
    assert [(t.candidate, t.budget) for t in result.trials if t.rung > 0] == [(4, 3), (4, 9)]
    assert result.total_budget == 9 + 3 + 9
    nothing = hpo.successive_halving(lambda config, budget: math.nan, [{"x": 1}] * 9)
    assert len(nothing.trials) == 9


def test_hyperband_evaluates_exactly_its_brackets():
    calls = Counter()

    def evaluate(config: dict, budget: float) -> float:
        calls[budget] += 1
        return bowl(config)

    result = hpo.hyperband(evaluate, LOG_SPACE, max_budget=81, seed=5)
    brackets = hpo.hyperband_brackets(81)
    assert Counter((t.bracket, t.budget) for t in result.trials) == Counter(
        {(b.number, r.budget): r.count for b in brackets for r in b.rungs}
    )
    assert result.total_budget == sum(bracket.total_budget for bracket in brackets) == 1902
    assert calls == {1: 81, 3: 61, 9: 35, 27: 19, 81: 10}
    assert [trial.number for trial in result.trials] == list(range(206))
    assert len({trial.candidate for trial in result.trials}) == 81 + 34 + 15 + 8 + 5
    assert result.best.score == max(trial.score for trial in result.trials)


def test_in_each_bracket_those_promoted_are_the_best_of_their_rung():
    result = hpo.hyperband(bowl, LOG_SPACE, max_budget=27, seed=6)
    for bracket in hpo.hyperband_brackets(27):
        for level in range(1, bracket.number + 1):
            here = [t for t in result.trials if (t.bracket, t.rung) == (bracket.number, level)]
            below = [
                t for t in result.trials if (t.bracket, t.rung) == (bracket.number, level - 1)
            ]
            best = sorted(below, key=lambda t: -t.score)[: len(here)]
            assert {t.candidate for t in here} == {t.candidate for t in best}


def test_hyperband_repeats_with_its_seed():
    first, second, other = (
        hpo.hyperband(bowl, MIXED_SPACE, max_budget=9, seed=seed) for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: hpo.hyperband_brackets(0.5), ValueError, "max_budget"),
        (lambda: hpo.hyperband_brackets(math.inf), ValueError, "max_budget"),
        (lambda: hpo.hyperband_brackets(9, eta=1), ValueError, "eta"),
        (lambda: hpo.hyperband_brackets(9, eta=2.5), TypeError, "eta"),
        (lambda: hpo.halving_rungs(0), ValueError, "count"),
        (lambda: hpo.halving_rungs(3, min_budget=0), ValueError, "min_budget"),
        (lambda: hpo.halving_rungs(3, min_budget=3, max_budget=2), ValueError, "max_budget"),
        (lambda: hpo.successive_halving(bowl, []), ValueError, "configs"),
        (lambda: hpo.successive_halving(bowl, {"x": 1}), TypeError, "configs"),
        (lambda: hpo.successive_halving(bowl, [3]), TypeError, "configs"),
        (lambda: hpo.hyperband(bowl, {}, max_budget=9), ValueError, "space"),
        (lambda: hpo.hyperband(3, LOG_SPACE, max_budget=9), TypeError, "evaluate"),
    ],
)
def test_bad_halving_arguments_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


# The median rule


def stop_by_definition(scores, completed):
    """Golovin et al. 2017, section 3.2.2, with means and the median written out."""
    step = len(scores)
    means = sorted(sum(c[:step]) / len(c[:step]) for c in completed)
    if not means:
        return False
    middle = len(means) // 2
    median = means[middle] if len(means) % 2 else (means[middle - 1] + means[middle]) / 2
    return max(scores) < median


# Quarters, and 1, 2 or 4 of them, so that every mean is exact and a tie is a tie.
quarters = st.integers(-4, 4).map(lambda k: k / 4)
curves = st.sampled_from([1, 2, 4]).flatmap(
    lambda size: st.lists(quarters, min_size=size, max_size=size)
)


@given(curves, st.lists(curves, max_size=5))
@settings(max_examples=200, deadline=None)
def test_the_median_rule_is_its_definition(scores, completed):
    assert hpo.median_says_stop(scores, completed) == stop_by_definition(scores, completed)


def test_equal_to_the_median_goes_on():
    assert not hpo.median_says_stop([0.5], [[0.5], [0.5], [0.9]])
    assert hpo.median_says_stop([0.49], [[0.5], [0.5], [0.9]])


@pytest.mark.parametrize(
    ("scores", "completed", "words"),
    [
        ([], [[1.0]], "scores"),
        ([math.nan], [[1.0]], "scores"),
        ([1.0], [[1.0], []], r"completed\[1\]"),
        ([1.0], [[math.inf]], r"completed\[0\]"),
    ],
)
def test_the_median_rule_names_bad_curves(scores, completed, words):
    with pytest.raises(ValueError, match=words):
        hpo.median_says_stop(scores, completed)


def climb(config: dict):
    """A learning curve that goes straight to its end."""
    for step in range(1, 11):
        yield config["end"] * step / 10


def test_median_stopping_stops_the_worse_half_at_once_and_accounts_for_steps():
    configs = [{"end": end} for end in (0.5, 0.2, 0.9, 0.1, 0.6)]
    result = hpo.median_stopping(climb, configs, max_steps=10)
    assert [trial.stopped for trial in result.trials] == [False, True, False, True, True]
    # The fifth: completed ends 0.5 and 0.9, so its median mean at step 1 is 0.07 > 0.06.
    assert [trial.budget for trial in result.trials] == [10, 1, 10, 1, 1]
    assert result.total_budget == 23
    assert result.best.config["end"] == 0.9
    assert result.best.score == 0.9 == max(result.best.curve)


def test_median_stopping_waits_for_min_steps_and_min_completed():
    configs = [{"end": end} for end in (0.5, 0.2, 0.2)]
    result = hpo.median_stopping(climb, configs, max_steps=10, min_steps=4, min_completed=2)
    assert [trial.budget for trial in result.trials] == [10, 10, 4]


def test_every_generator_is_closed_when_its_trial_ends():
    closed = []

    def steps(score: float):
        try:
            while True:
                yield score
        finally:
            closed.append(score)

    alive = []  # so that it is not the garbage collector that closes them

    def train(config: dict):
        alive.append(steps(config["score"]))
        return alive[-1]

    hpo.median_stopping(train, [{"score": s} for s in (0.5, 0.1)], max_steps=3)
    assert closed == [0.5, 0.1]


def test_median_stopping_keeps_what_a_failed_trial_reported():
    def train(config: dict):
        yield 0.3
        if config["how"] == "raise":
            raise RuntimeError("out of memory")
        yield {"nan": math.nan, "short": 0.4}[config["how"]]

    configs = [{"how": how} for how in ("raise", "nan", "short")]
    broken, nan, short = hpo.median_stopping(train, configs, max_steps=5).trials
    assert (broken.error, broken.curve, broken.budget) == (
        "RuntimeError: out of memory",
        (0.3,),
        2,
    )
    assert nan.failed
    assert nan.budget == 2
    assert (short.score, short.curve, short.budget, short.stopped) == (0.4, (0.3, 0.4), 2, False)
    silent = hpo.median_stopping(lambda config: [], [{}], max_steps=5).trials[0]
    assert "no score" in silent.error
    assert silent.failed
    assert silent.budget == 1


# Optuna


def test_bayesian_search_repeats_with_its_seed_and_covers_every_distribution():
    first, second = (
        hpo.bayesian_search(bowl, MIXED_SPACE, trials=12, budget=2, seed=3) for _ in range(2)
    )
    assert first == second
    assert first.total_budget == 24
    for trial in first.trials:
        assert set(trial.config) == set(MIXED_SPACE)
        assert trial.config["optimizer"] in ["sgd", "adam", None]
        assert trial.config["layers"] in range(1, 5)
        assert 0 <= trial.config["dropout"] <= 0.5


def test_bayesian_search_starts_uniformly_in_the_logarithm():
    result = hpo.bayesian_search(bowl, {"learning_rate": hpo.LogUniform(1e-12, 1.0)}, trials=10)
    logs = [math.log10(trial.config["learning_rate"]) for trial in result.trials]
    assert stats.kstest(logs, stats.uniform(-12, 12).cdf).pvalue > 0.01


def test_bayesian_search_beats_random_search_on_a_bowl():
    def regret(search) -> float:
        return float(
            np.mean([-search(bowl, LOG_SPACE, trials=25, seed=s).best.score for s in range(5)])
        )

    assert regret(hpo.bayesian_search) < regret(hpo.random_search)


def test_bayesian_search_records_failures_and_goes_on():
    result = hpo.bayesian_search(explode, {"x": hpo.Choice(range(8))}, trials=15, seed=0)
    assert len(result.trials) == 15
    assert 0 < len(result.failed) < 15
    assert all(trial.error for trial in result.failed)
    assert result.best.config["x"] == 5


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_stored_search_is_continued_and_read_back(tmp_path: Path, kind: str):
    place = {"journal": tmp_path / "s.log", "sqlite": f"sqlite:///{tmp_path}/s.db"}[kind]
    first = hpo.bayesian_search(bowl, MIXED_SPACE, trials=3, seed=0, storage=place)
    both = hpo.bayesian_search(bowl, MIXED_SPACE, trials=2, seed=1, storage=place)
    assert both.trials[:3] == first.trials
    assert len(both.trials) == 5
    assert hpo.stored_result(MIXED_SPACE, place) == both
    with pytest.raises(ValueError, match="other"):
        hpo.stored_result(MIXED_SPACE, place, name="other")


WORKER = """
import sys
from course_lib import hpo, nas
assert "optuna" not in sys.modules, "importing hpo must stay cheap"
place, seed = sys.argv[1:]
space = {"x": hpo.Uniform(0.0, 1.0)}
hpo.bayesian_search(lambda c, b: c["x"], space, trials=6, seed=int(seed), storage=place)
"""


def test_two_processes_share_one_search(tmp_path: Path):
    place = str(tmp_path / "shared.log")
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, place, str(seed)]) for seed in (1, 2)
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    result = hpo.stored_result({"x": hpo.Uniform(0.0, 1.0)}, place)
    assert sorted(trial.number for trial in result.trials) == list(range(12))
    assert len({trial.config["x"] for trial in result.trials}) == 12


def test_without_optuna_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"efficient-dl-course\[search\]"):
        hpo.bayesian_search(bowl, LOG_SPACE, trials=1)
