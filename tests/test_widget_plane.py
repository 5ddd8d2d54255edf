"""The explorer of notebook 12: frontiers of what is shown, and the limits that a device draws."""

from __future__ import annotations

import math
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
    page,
)

from course_lib import devices, pareto, results
from course_lib.widgets import plane as explorer
from course_lib.widgets._plane import BEST_ERROR, Model, Subject, place
from course_lib.widgets.plane import AXES, NO_DEVICE, Settings, compute

TECHNIQUES = ("dense", "pruning", "quantization")
VARIED = [
    Settings(),
    Settings(axis="MACs"),
    Settings(axis="latency"),
    Settings(dataset="cifar10", floor=0.0),
    Settings(techniques=("pruning",)),
    Settings(device="Cortex-M0"),
    Settings(axis="MACs", device="Cortex-M0", floor=0.5),
    Settings(axis="latency", device="Cortex-M4", floor=0.99),
    Settings(techniques=()),
]


def made_up() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "dataset": "cifar10" if i % 7 == 0 else "mnist",
            "technique": TECHNIQUES[i % 3],
            "network": f"net {i}",
            "setting": "made up",
            "accuracy": float(rng.uniform(0.3, 0.999)),
            "accuracy_std": 0.002 if i % 2 else None,
            "seeds_count": 3 if i % 2 else 1,
            "size_bytes": int(10 ** rng.uniform(3, 6)),
            "macs": int(10 ** rng.uniform(4, 7)),
            "latency_s": float(10 ** rng.uniform(-5, -3)) if i % 4 else None,
            "another_column": "is not needed",
        }
        for i in range(60)
    ]


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject(made_up())


def lines_of(figure: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in figure.axes[0].lines}


# Numbers


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_a_view_shows_all_that_is_asked_for_and_its_frontier(
    subject: Subject, settings: Settings
) -> None:
    view = compute(subject, settings)
    wanted = TECHNIQUES if settings.techniques is None else settings.techniques
    column = AXES[settings.axis][0]
    expected = [
        row["network"]
        for row in made_up()
        if row["dataset"] == settings.dataset
        and row["technique"] in wanted
        and row[column] is not None
    ]
    assert [model.network for model in view.models] == expected
    for model in view.models:
        better = [
            other
            for other in view.models
            if other.accuracy > model.accuracy and getattr(other, column) < getattr(model, column)
        ]
        assert (model in view.frontier) == (not better)  # no two are equal in either
    costs = [getattr(model, column) for model in view.frontier]
    assert costs == sorted(costs)


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_the_best_is_the_most_accurate_within_both_limits(
    subject: Subject, settings: Settings
) -> None:
    view = compute(subject, settings)
    limit = math.inf if view.limit is None else view.limit
    allowed = [
        model
        for model in view.models
        if getattr(model, AXES[settings.axis][0]) <= limit and model.accuracy >= settings.floor
    ]
    assert view.best == max(allowed, key=lambda model: model.accuracy, default=None)


def test_a_device_limits_its_memory_and_its_multiply_adds_in_time() -> None:
    device = devices.device("Cortex-M7")
    macs = explorer.limit_of("Cortex-M7", "MACs")
    assert explorer.limit_of("Cortex-M7", "bytes") == device.memory_bytes
    assert macs is not None
    assert devices.predicted_latency_s(device, round(macs)) == pytest.approx(explorer.IN_TIME_S)
    assert explorer.limit_of("Cortex-M7", "latency") is None
    assert {explorer.limit_of(NO_DEVICE, axis) for axis in AXES} == {None}


def test_the_hypervolume_counts_points_times_powers_of_ten() -> None:
    row = made_up()[1] | {"dataset": "mnist", "technique": "dense"}
    small = row | {"accuracy": 0.95, "size_bytes": 10_000}
    large = row | {"accuracy": 0.97, "size_bytes": 1_000_000, "technique": "pruning"}
    view = compute(Subject([small, large]), Settings(floor=0.9))
    assert view.volume == pytest.approx(5 * 2)  # the large one is at the reference
    limited = compute(Subject([small, large]), Settings(floor=0.9, device="Cortex-M0"))
    assert limited.volume == pytest.approx(5 * math.log10(32 * 1024 / 10_000))
    alone = compute(Subject([small, large]), Settings(floor=0.9, techniques=("dense",)))
    assert alone.volume == view.volume, "the reference does not move with what is shown"


def test_more_techniques_never_lessen_the_hypervolume(subject: Subject) -> None:
    volumes = [
        compute(subject, Settings(techniques=TECHNIQUES[:count])).volume for count in range(4)
    ]
    assert volumes[0] == 0
    assert volumes == sorted(volumes)


def test_the_table_lists_the_frontier_with_its_spread(subject: Subject) -> None:
    view = compute(subject, Settings(device="Cortex-M0"))
    rows = explorer.plane_table(view)
    assert [row["network"] for row in rows] == [str(model) for model in view.frontier]
    for row, model in zip(rows, view.frontier, strict=True):
        assert row["fits"] == (model.size_bytes <= 32 * 1024)
        assert ("±" in row["accuracy"]) == (model.seeds_count > 1)
    assert {row["fits"] for row in explorer.plane_table(compute(subject, Settings()))} == {""}


def test_the_summary_says_when_nothing_is_shown_or_good_enough(subject: Subject) -> None:
    nothing = explorer.plane_summary(compute(subject, Settings(techniques=())))
    assert "nothing of what is chosen was measured" in nothing
    strict = explorer.plane_summary(compute(subject, Settings(floor=1.0, device="Cortex-M0")))
    assert "none has 100% within 33 k (Cortex-M0)" in strict


@pytest.mark.parametrize(
    ("settings", "error", "name"),
    [
        ({"axis": "params"}, ValueError, "axis"),
        ({"device": "abacus"}, ValueError, "device"),
        ({"floor": 90}, ValueError, "floor"),
    ],
)
def test_settings_out_of_range_are_named(
    settings: dict[str, Any], error: type[Exception], name: str
) -> None:
    with pytest.raises(error, match=name):
        Settings(**settings)


def test_a_table_that_is_not_the_plane_is_refused(subject: Subject) -> None:
    with pytest.raises(ValueError, match="at least one network"):
        Subject([])
    with pytest.raises(ValueError, match="rows must hold accuracy_std"):
        Subject([{key: v for key, v in made_up()[0].items() if key != "accuracy_std"}])
    with pytest.raises(ValueError, match="dataset must be one of cifar10, mnist"):
        compute(subject, Settings("imagenet"))


def test_the_measured_plane_has_the_same_frontier_as_its_columns() -> None:
    if "plane" not in results.names():
        pytest.skip("results/plane.csv has not been made yet")
    rows = results.table("plane").rows
    measured = Subject(rows)
    for dataset in measured.datasets:
        for axis, column in (("bytes", "frontier_bytes"), ("MACs", "frontier_macs")):
            view = compute(measured, Settings(dataset, axis))
            flagged = [row for row in rows if row["dataset"] == dataset and row[column]]
            assert len(view.frontier) == len(flagged)
            assert len(view.models) == sum(
                row["dataset"] == dataset and row[column] is not None for row in rows
            )


# Pictures


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_the_picture_shows_the_view(subject: Subject, settings: Settings) -> None:
    view = compute(subject, settings)
    lines = lines_of(explorer.plane_figure(subject, view))
    for technique in TECHNIQUES:
        shown = [place(m, settings.axis) for m in view.models if m.technique == technique]
        assert list(zip(*lines[technique].get_data(), strict=True)) == shown
    steps = list(zip(*lines["frontier"].get_data(), strict=True))
    assert steps == [place(model, settings.axis) for model in view.frontier]
    limit = lines["limit of the device"].get_xdata()
    assert list(limit) == ([] if view.limit is None else [view.limit] * 2)
    floor = lines["least accuracy"].get_ydata()
    error = max(1 - settings.floor, BEST_ERROR)
    assert list(floor) == ([error] * 2 if settings.floor else [])
    best = list(zip(*lines["best within both"].get_data(), strict=True))
    assert best == ([] if view.best is None else [place(view.best, settings.axis)])


def test_a_perfect_network_still_shows(subject: Subject) -> None:
    row = made_up()[1] | {"accuracy": 1.0}
    names = Model.__dataclass_fields__
    x, y = place(Model(**{name: row[name] for name in names}), "bytes")
    assert x == row["size_bytes"]
    assert y > BEST_ERROR


def test_techniques_look_different(subject: Subject) -> None:
    lines = lines_of(explorer.plane_figure(subject, compute(subject, Settings())))
    looks = {(lines[t].get_color(), lines[t].get_marker()) for t in TECHNIQUES}
    assert len(looks) == len(TECHNIQUES)
    rows = [made_up()[1] | {"technique": f"technique {i}"} for i in range(9)]
    many = Subject(rows)
    lines = lines_of(explorer.plane_figure(many, compute(many, Settings())))
    looks = {
        (lines[t].get_color(), lines[t].get_marker(), str(lines[t].get_markerfacecolor()))
        for t in many.techniques
    }
    assert len(looks) == 9


def test_a_moved_picture_equals_a_new_one(subject: Subject) -> None:
    board = explorer._Board(subject, Settings())
    for settings in VARIED:
        if (settings.dataset, settings.axis) != ("mnist", "bytes"):
            continue
        fresh = explorer._Board(subject, settings)
        check_moved_picture(board, fresh, compute(subject, settings))


# The widget


MOVES = [
    ("data set", "cifar10"),
    ("cost", "MACs"),
    ("techniques shown", ("dense",)),
    ("limit of device", "Cortex-M0"),
    ("least accuracy", 0.98),
]


@pytest.fixture
def widget(subject: Subject) -> Any:
    return explorer.plane(subject, Settings())


def test_every_control_says_what_it_chooses(widget: Any) -> None:
    check_descriptions(widget, MOVES)


def test_the_keyboard_reaches_every_control(widget: Any) -> None:
    check_keyboard_reach(widget)


@pytest.mark.parametrize(("description", "value"), MOVES)
def test_every_control_changes_the_picture_and_its_description(
    widget: Any, description: str, value: Any
) -> None:
    check_page_follows(widget, description, value)


def test_reset_puts_everything_back(widget: Any) -> None:
    check_reset(widget, MOVES)


def test_it_starts_where_it_is_told_to(subject: Subject) -> None:
    widget = explorer.plane(subject, Settings("cifar10", "MACs", ("dense",), floor=0.33))
    assert control(widget, "least accuracy").value == 0.33
    assert "cifar10" in page(widget)
    assert control(explorer.plane(subject), "data set").value == subject.datasets[0]


def test_the_frontier_is_the_librarys(subject: Subject) -> None:
    view = compute(subject, Settings())
    points = [(model.accuracy, model.size_bytes) for model in view.models]
    chosen = {view.models[i] for i in pareto.frontier(points, ("max", "min"))}
    assert chosen == set(view.frontier)


def test_importing_the_widget_loads_no_plotting_library() -> None:
    check_import_is_light("plane")
