"""The explorer of notebooks 08 and 09: searches race through the tabular benchmark."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from widget_checks import (
    check_descriptions,
    check_import_is_light,
    check_keyboard_reach,
    check_moved_picture,
    check_page_follows,
    check_reset,
    control,
    descriptions,
    page,
)

from course_lib import cost, devices, nas
from course_lib.results import Table
from course_lib.widgets import search_race as explorer
from course_lib.widgets._race import _choices
from course_lib.widgets.search_race import GOALS, MEASURED, SEARCHES, Settings, Subject, compute

WITHIN = "accuracy within the target"


def accuracies(architecture: dict[str, Any], seed: int) -> tuple[float, float]:
    """Validation and test accuracy: wider, deeper and more kinds of blocks are better."""
    code = nas.BENCHMARK_SPACE.encode(architecture)
    value = 0.5 + 0.03 * sum(code)
    return value + 0.01 * (seed - 1) * (sum(code) % 2), value - 0.02


def rows() -> list[dict[str, Any]]:
    made = []
    for i, architecture in enumerate(nas.BENCHMARK_SPACE.enumerate()):
        for seed in range(3):
            validation, test = accuracies(architecture, seed)
            made.append({
                "architecture": nas.architecture_name(architecture), **architecture,
                "seed": seed, "validation_accuracy": validation, "test_accuracy": test,
                "train_cpu_s": 1.0, "params": 100, "macs": 1000 + i, "size_bytes": 400,
                "latency_s": 1e-6 * (300 - i),
            })  # fmt: skip
    return made


@pytest.fixture(scope="module")
def benchmark() -> nas.TabularBenchmark:
    made = rows()
    return nas.TabularBenchmark(Table("made_up", tuple(made[0]), tuple(made)))


@pytest.fixture(scope="module")
def subject(benchmark: nas.TabularBenchmark) -> Subject:
    methods = ("random", "evolution", "reinforce", "halving")
    return Subject(benchmark, methods, seeds=3, on=(MEASURED, "Cortex-M0"))


VARIED = [
    Settings(),
    Settings(goal="soft reward", trainings=1, seed=2),
    Settings(goal="hard reward", trainings=100, seed=1),
    Settings("Cortex-M0", WITHIN, 37),
]


# Goals


def test_the_target_is_what_a_quarter_meets(subject: Subject) -> None:
    goal = subject.goal(MEASURED, WITHIN)
    latencies = [trained.latency_s for trained in subject.trained]
    assert goal.target_s == pytest.approx(np.quantile(latencies, 0.25))
    assert goal.allowed.sum() == 64
    assert list(goal.allowed) == [latency <= goal.target_s for latency in latencies]


def test_a_devices_latency_is_predicted_and_its_memory_limits(subject: Subject) -> None:
    board = devices.device("Cortex-M0")
    goal = subject.goal("Cortex-M0", "accuracy")
    for i in (0, 100, 255):
        trained = subject.trained[i]
        network = nas.benchmark_network(trained.architecture)
        needed = devices.needed_bytes(cost.count(network, (1, 1, 14, 14)))
        assert goal.allowed[i] == (needed <= board.memory_bytes)
        expected = devices.predicted_latency_s(board, trained.macs)
        assert goal.latencies_s[i] == pytest.approx(expected)
    assert 0 < goal.allowed.sum() < len(goal.allowed)


@pytest.mark.parametrize("variant", ["soft", "hard"])
def test_rewards_are_mnasnets(subject: Subject, variant: str) -> None:
    goal = subject.goal(MEASURED, f"{variant} reward")
    for i in (0, 100, 255):
        latency_s = subject.trained[i].latency_s
        expected = nas.mnasnet_reward(0.7, latency_s, goal.target_s, variant)
        assert goal.reward(i, 0.7) == pytest.approx(expected)


@pytest.mark.parametrize("name", GOALS)
def test_the_reference_is_what_all_validation_accuracies_would_choose(
    subject: Subject, name: str
) -> None:
    goal = subject.goal(MEASURED, name)
    allowed = [i for i, allowed in enumerate(goal.allowed) if allowed]
    value = lambda i: goal.reward(i, fmean(subject.trained[i].validation_accuracies))
    assert value(goal.reference) == max(value(i) for i in allowed)
    tested = [goal.reward(i, t.test_accuracy) for i, t in enumerate(subject.trained)]
    np.testing.assert_allclose(goal.below, 100 * (tested[goal.reference] - np.array(tested)))


def test_goals_that_differ_only_in_units_share_a_race(benchmark: nas.TabularBenchmark) -> None:
    large = Subject(benchmark, ("random",), seeds=1)
    zero, phone = (
        large.goal(device, "soft reward") for device in ("Raspberry Pi Zero", "Smartphone")
    )
    assert zero.target_s == pytest.approx(40 * phone.target_s)
    assert large.race(zero) is large.race(phone)
    assert large.race(zero) is not large.race(large.goal(MEASURED, "soft reward"))


# Searches


def test_choices_keep_the_first_of_equals_and_add_up_trainings() -> None:
    a, b, c, d = ({"name": name} for name in "abcd")
    steps = [(1, (0.5,), a), (1, (0.5,), b), (3, (0.7,), c), (1, (0.6,), d)]
    assert _choices(steps) == [(1, a), (2, a), (5, c), (6, c)]


@pytest.mark.parametrize(
    ("method", "search"),
    [
        ("random", nas.random_search),
        ("evolution", nas.regularised_evolution),
        ("reinforce", nas.reinforce),
    ],
)
def test_a_race_is_the_librarys_search(
    subject: Subject, method: str, search: Callable[..., nas.NasResult]
) -> None:
    goal = subject.goal(MEASURED, "accuracy")
    for seed in range(subject.seeds):
        training = subject.benchmark.training(seed)
        result = search(training, subject.benchmark.space, evaluations=100, seed=seed)
        for n in (1, 2, 50, 100):
            best = nas.NasResult(result.history[:n]).best.architecture
            chosen = subject.trained[subject.race(goal)[method][seed, n - 1]]
            assert chosen.architecture == best


@pytest.mark.parametrize("goal", GOALS)
def test_no_search_chooses_what_is_not_allowed(subject: Subject, goal: str) -> None:
    for device in subject.devices:
        wanted = subject.goal(device, goal)
        for choices in subject.race(wanted).values():
            assert wanted.allowed[choices].all()


def test_halving_trusts_averages_and_pays_for_every_training(subject: Subject) -> None:
    asked: list[str] = []

    def evaluate(architecture: nas.Architecture) -> float:
        asked.append(nas.architecture_name(architecture))
        return 0.9 if asked.count(asked[-1]) == 1 else 0.1  # lucky once

    chosen = SEARCHES["halving"](evaluate, nas.BENCHMARK_SPACE, lambda _: True, 0)
    spent = [trainings for trainings, _ in chosen]
    assert spent[:13] == [*range(1, 10), 12, 15, 18, 19]
    assert spent[-1] == len(asked) >= explorer.MOST_TRAININGS
    names = [nas.architecture_name(architecture) for _, architecture in chosen]
    assert names[8] == asked[0]
    assert len(set(names[9:12])) == 1  # three trainings count, even where one looked better


def test_tpe_is_optunas_and_scores_what_is_not_allowed_with_zero(
    benchmark: nas.TabularBenchmark,
) -> None:
    pytest.importorskip("optuna")
    wide = lambda architecture: architecture["width"] == 16
    chosen = SEARCHES["tpe"](benchmark.training(0), benchmark.space, wide, 0)
    assert [trainings for trainings, _ in chosen] == list(range(1, 101))
    assert wide(chosen[-1][1])
    first, last = (benchmark.look_up(chosen[i][1]).test_accuracy for i in (0, -1))
    assert last > first


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_the_standing_is_that_of_the_choices(subject: Subject, settings: Settings) -> None:
    standing = compute(subject, settings)
    goal = subject.goal(settings.device, settings.goal)
    assert standing.allowed == goal.allowed.sum()
    assert standing.reference == subject.trained[goal.reference].name
    for find in standing.finds:
        choices = subject.race(goal)[find.method][:, settings.trainings - 1]
        np.testing.assert_array_equal(find.below, goal.below[choices])
        trained = subject.trained[choices[settings.seed]]
        assert (find.name, find.accuracy) == (trained.name, trained.test_accuracy)
        assert find.latency_s == goal.latencies_s[choices[settings.seed]]


def test_more_trainings_never_make_the_best_seen_worse(subject: Subject) -> None:
    goal = subject.goal(MEASURED, "accuracy")
    choices = subject.race(goal)["random"]
    highest = [max(t.validation_accuracies) for t in subject.trained]
    first, last = (np.array(highest)[choices[:, n]] for n in (0, -1))
    assert (last >= first).all()


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"device": "toaster"}, "device"),
        ({"goal": "speed"}, "goal"),
        ({"trainings": 0}, "trainings"),
        ({"trainings": 101}, "trainings"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Settings(**settings)


def test_a_seed_or_search_that_did_not_race_is_named(
    subject: Subject, benchmark: nas.TabularBenchmark
) -> None:
    with pytest.raises(ValueError, match="seed"):
        compute(subject, Settings(seed=3))
    with pytest.raises(ValueError, match="methods"):
        Subject(benchmark, ("luck",))


# Pictures


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_the_picture_shows_the_numbers(subject: Subject, settings: Settings) -> None:
    standing = compute(subject, settings)
    board = explorer._Board(subject)
    board.draw(standing)
    goal = subject.goal(settings.device, settings.goal)
    for line, single, star, find in zip(
        board._medians, board._singles, board._stars, standing.finds, strict=True
    ):
        assert list(line.get_xdata()) == list(range(1, settings.trainings + 1))
        assert line.get_ydata()[-1] == np.median(find.below)
        assert single.get_ydata()[-1] == find.below[settings.seed]
        assert star.get_ydata() == [100 * find.accuracy]
        assert star.get_xdata() == [find.latency_s / standing.target_s]
    for band, choices in zip(board._bands, subject.race(goal).values(), strict=True):
        low, high = np.quantile(goal.below[choices[:, : settings.trainings]], (0.25, 0.75), axis=0)
        there_and_back = [*enumerate(low, start=1), *reversed([*enumerate(high, start=1)])]
        corners = band.get_paths()[0].vertices[: len(there_and_back)]
        np.testing.assert_array_equal(corners, there_and_back)
    assert len(board._open.get_xdata()) == standing.allowed
    assert len(board._other.get_xdata()) == len(goal.allowed) - standing.allowed
    assert f"{settings.trainings} trainings" in board._titles[0].get_text()
    assert f"{standing.allowed} of 256" in board._titles[1].get_text()


def test_table_and_summary_tell_the_same(subject: Subject) -> None:
    standing = compute(subject, VARIED[2])
    table, says = explorer.race_table(standing), explorer.race_summary(standing)
    assert [row["search"] for row in table] == list(subject.methods)
    for row, find in zip(table, standing.finds, strict=True):
        assert row["points below the reference, median"] == np.median(find.below)
        assert row["find of seed 1"] == find.name
        low, high = np.quantile(find.below, (0.25, 0.75))
        assert row["quartiles"] == f"{low:.2f} to {high:.2f}"
        assert row["latency [µs]"] == pytest.approx(1e6 * find.latency_s)
        assert row["test accuracy"] == find.accuracy
        assert f"{find.method} {np.median(find.below):.2f}" in says


def test_a_moved_picture_equals_a_new_one(subject: Subject) -> None:
    board = explorer._Board(subject)
    for settings in VARIED:
        check_moved_picture(board, explorer._Board(subject), compute(subject, settings))


# The widget


MOVES = [
    ("device", "Cortex-M0"),
    ("goal", "soft reward"),
    ("budget [trainings]", 20),
    ("seed of the thin lines", 2),
]


@pytest.fixture
def widget(subject: Subject) -> Any:
    return explorer.search_race(subject)


def test_every_control_says_what_it_chooses(widget: Any) -> None:
    check_descriptions(widget, MOVES)


def test_the_keyboard_reaches_every_control(widget: Any) -> None:
    check_keyboard_reach(widget)


def test_the_sliders_end_where_the_races_do(widget: Any, subject: Subject) -> None:
    budget, seed = (control(widget, name) for name, _ in MOVES[2:])
    assert (budget.min, budget.max) == (1, explorer.MOST_TRAININGS)
    assert (seed.min, seed.max) == (0, subject.seeds - 1)


@pytest.mark.parametrize(("description", "value"), MOVES)
def test_every_control_changes_the_picture_and_its_description(
    widget: Any, description: str, value: Any
) -> None:
    check_page_follows(widget, description, value)


def test_reset_puts_everything_back(widget: Any) -> None:
    check_reset(widget, MOVES)


def test_what_cannot_be_chosen_has_no_control(benchmark: nas.TabularBenchmark) -> None:
    one = Subject(benchmark, ("random",), seeds=2, on=(MEASURED,), goals=("accuracy",))
    found = descriptions(explorer.search_race(one))
    assert found == ["budget [trainings]", "seed of the thin lines", "Reset"]


def test_moving_searches_nothing_anew(widget: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subject, "_run", None)
    for description, value in MOVES:
        control(widget, description).value = value
    assert "soft reward on Cortex-M0, 20 trainings, seed 2" in page(widget)


def test_importing_the_widget_loads_no_plotting_library() -> None:
    check_import_is_light("search_race")
