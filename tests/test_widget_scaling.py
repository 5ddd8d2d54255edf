"""The explorer of notebook 06: width, resolution and depth of a MobileNet."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import Any

import pytest
import torch
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

from course_lib import cost, devices, models
from course_lib.widgets import scaling as explorer
from course_lib.widgets.scaling import Settings, Subject, compute

ROWS = [
    {"width": 0.125, "resolution": 0.5, "depth": 0, "seed": 0, "test_accuracy": 0.90},
    {"width": 0.125, "resolution": 0.5, "depth": 0, "seed": 1, "test_accuracy": 0.94},
    {"width": 0.25, "resolution": 0.5, "depth": 0, "seed": 0, "test_accuracy": 0.95},
]
MEASURED, ONCE = Settings(0.125, 0.5, 0), Settings(0.25, 0.5, 0)
VARIED = [MEASURED, ONCE, Settings(1.0, 1.0, 5), Settings(0.125, 1.0, 2)]


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject(ROWS)


# Numbers


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_the_cost_is_that_of_the_network_with_these_multipliers(
    subject: Subject, settings: Settings
) -> None:
    model = models.mobilenet_v1(
        settings.width,
        10,
        1,
        resolution=settings.resolution,
        middle_blocks=settings.depth,
        small_input=True,
    )
    counted = cost.count(model, torch.zeros(1, 1, 28, 28))
    sized = compute(subject, settings)
    assert (sized.cost.macs, sized.cost.params) == (counted.macs, counted.params)
    for row in explorer.scaling_table(sized):
        assert row["needed_bytes"] == 4 * counted.params + counted.peak_activation_bytes
        assert row["fits"] == (row["needed_bytes"] <= row["memory_bytes"])


def test_there_is_a_row_per_device(subject: Subject) -> None:
    rows = explorer.scaling_table(compute(subject, MEASURED))
    assert [row["device"] for row in rows] == [found.name for found in devices.all_devices()]
    ratio = [
        row["latency_s"] / devices.predicted_latency_s(found, compute(subject, MEASURED).cost.macs)
        for row, found in zip(rows, devices.all_devices(), strict=True)
    ]
    assert ratio == pytest.approx([1.0] * len(rows))


def test_seeds_of_one_size_are_averaged(subject: Subject) -> None:
    sized = compute(subject, MEASURED)
    assert sized.accuracies == (0.90, 0.94)
    assert sized.accuracy == fmean((0.90, 0.94))
    assert sized.spread == stdev((0.90, 0.94))
    once = compute(subject, ONCE)
    assert (once.accuracy, once.spread) == (0.95, None)


def test_nothing_is_made_up_where_nothing_was_measured(subject: Subject) -> None:
    sized = compute(subject, Settings(0.125, 0.75, 0))
    assert sized.accuracy is None
    assert sized.spread is None
    assert "accuracy not measured" in explorer.scaling_summary(sized)


def test_another_column_may_hold_the_accuracy() -> None:
    rows = [{"width": 1, "resolution": 1, "depth": 5, "validation_accuracy": 0.5}]
    subject = Subject(rows, accuracy="validation_accuracy")
    assert compute(subject, Settings(1.0, 1.0, 5)).accuracy == 0.5


@pytest.mark.parametrize("column", ["width", "depth", "test_accuracy"])
def test_a_row_that_lacks_a_column_is_refused(column: str) -> None:
    row = {key: value for key, value in ROWS[0].items() if key != column}
    with pytest.raises(ValueError, match=f"rows must hold {column}"):
        Subject([row])


def test_an_accuracy_in_percent_is_refused() -> None:
    with pytest.raises(ValueError, match="test_accuracy"):
        Subject([ROWS[0] | {"test_accuracy": 94.0}])


@pytest.mark.parametrize(
    ("settings", "error", "name"),
    [
        ({"width": 0.0}, ValueError, "width"),
        ({"resolution": 1.5}, ValueError, "resolution"),
        ({"depth": -1}, ValueError, "depth"),
        ({"depth": 1.5}, TypeError, "depth"),
    ],
)
def test_settings_out_of_range_are_named(
    settings: dict[str, Any], error: type[Exception], name: str
) -> None:
    with pytest.raises(error, match=name):
        Settings(**settings)


def test_the_summary_names_the_smallest_device_with_room(subject: Subject) -> None:
    for settings in VARIED:
        sized = compute(subject, settings)
        says = explorer.scaling_summary(sized)
        room = [row["device"] for row in explorer.scaling_table(sized) if row["fits"]]
        assert f"fit {room[0]} and larger." in says
        assert f"{sized.cost.params:,} parameters" in says
    assert "92.00 ± 2.83 % right" in explorer.scaling_summary(compute(subject, MEASURED))


# Pictures


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_the_picture_shows_the_numbers(subject: Subject, settings: Settings) -> None:
    sized = compute(subject, settings)
    plane, memory = explorer.scaling_figure(subject, sized).axes
    *measured, line, here = plane.lines
    shown = {p for marks in measured for p in zip(*marks.get_data(), strict=True)}
    assert shown == {
        (subject.cost(size).macs / 1e6, 100 * fmean(values))
        for size, values in subject.accuracies.items()
    }
    assert set(line.get_xdata()) == {sized.cost.macs / 1e6}
    expected = [] if sized.accuracy is None else [100 * sized.accuracy]
    assert list(here.get_ydata()) == expected
    words = [text.get_text() for text in memory.texts]
    rows = explorer.scaling_table(sized)
    assert [word.startswith("fits") for word in words] == [row["fits"] for row in rows]
    assert set(memory.lines[0].get_xdata()) == {rows[0]["needed_bytes"]}


def test_a_moved_picture_equals_a_new_one(subject: Subject) -> None:
    board = explorer._Board(subject)
    for settings in VARIED:
        check_moved_picture(board, explorer._Board(subject), compute(subject, settings))


def test_without_measurements_the_plane_holds_the_cost_alone() -> None:
    subject = Subject([])
    plane = explorer.scaling_figure(subject, compute(subject, MEASURED)).axes[0]
    assert len(plane.lines) == 2
    assert list(plane.lines[1].get_ydata()) == []


# The widget


@pytest.fixture
def widget(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(explorer, "WIDTHS", (0.125, 0.25))
    monkeypatch.setattr(explorer, "RESOLUTIONS", (0.5, 1.0))
    monkeypatch.setattr(explorer, "DEPTHS", (0, 1))
    return explorer.scaling(subject, ONCE)


MOVES = [("width", 0.125), ("resolution", 1.0), ("depth [middle blocks]", 1)]


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


def test_moving_counts_nothing_anew(widget: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "count", None)
    control(widget, "width").value = 0.125
    control(widget, "depth [middle blocks]").value = 1
    assert "width 0.125" in page(widget)


def test_importing_the_widget_loads_no_plotting_library() -> None:
    check_import_is_light("scaling")
