"""Device fit: its numbers, its picture for fixed settings, and the controls on top."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import psutil
import pytest
from matplotlib import image as mpimg
from matplotlib.figure import Figure
from torch import nn
from widget_checks import (
    check_descriptions,
    check_import_is_light,
    check_keyboard_reach,
    check_page_follows,
    check_reset,
    control,
    page,
)

from course_lib import cost, devices, plot, published
from course_lib.measure import Latency
from course_lib.widgets import device_fit as explorer

TINY = cost.count(nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10)), (1, 100))
LARGE = cost.count(nn.Linear(2**14, 2**14, bias=False), (1, 2**14))
SETTINGS: list[dict[str, Any]] = [
    {},
    {"bits": 8},
    {"bits": 1, "batch": 64},
    {"bits": 4, "sparsity": 0.9},
    {"bits": 16, "sparsity": 0.5, "batch": 3, "measured_s": 0.02},
]


def pixels(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=40)
    buffer.seek(0)
    return mpimg.imread(buffer, format="png")


# Numbers


def test_networks_are_counted_by_their_published_names() -> None:
    rows = {row["model"]: row for row in published.table("torchvision_models").rows}
    costs = explorer.count_models(["mobilenet_v2", "lenet_300_100"])
    assert costs["mobilenet_v2"].params == rows["mobilenet_v2"]["params_count"]
    giga_macs = costs["mobilenet_v2"].macs / 1e9
    assert giga_macs == pytest.approx(rows["mobilenet_v2"]["macs_billions"], abs=0.0005)
    assert (costs["lenet_300_100"].macs, costs["lenet_300_100"].params) == (266_200, 266_610)


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(ValueError, match="lenet_6"):
        explorer.count_models(["lenet_6"])


@pytest.mark.parametrize("settings", SETTINGS)
def test_there_is_a_row_per_published_device_and_one_for_this_machine(settings: dict) -> None:
    rows = explorer.device_fit_table(TINY, **settings)
    assert [row["device"] for row in rows[:-1]] == [d.name for d in devices.all_devices()]
    assert rows[-1]["memory_bytes"] == psutil.virtual_memory().total
    assert rows[-1]["latency_s"] == settings.get("measured_s")
    assert len({row["needed_bytes"] for row in rows}) == 1
    for row in rows:
        assert row["fits"] == (row["needed_bytes"] <= row["memory_bytes"])


@pytest.mark.parametrize(("bits", "activation_bits"), [(32, 32), (16, 16), (8, 8), (4, 8), (1, 8)])
def test_memory_is_the_weights_and_the_peak_of_the_activations(
    bits: int, activation_bits: int
) -> None:
    weights = -(-TINY.params * bits // 8)
    peak = 3 * 4 * (100 + 50)  # batch 3, float32; input and output of the first layer
    rows = explorer.device_fit_table(TINY, bits=bits, batch=3)
    assert rows[0]["needed_bytes"] == weights + peak * activation_bits // 32


def test_no_machine_holds_a_batch_of_a_billion_large_inputs() -> None:
    rows = explorer.device_fit_table(LARGE, batch=2**30)
    assert [row["fits"] for row in rows] == [False] * len(rows)


def test_zeros_save_memory_but_no_time() -> None:
    dense = explorer.device_fit_table(TINY)
    sparse = explorer.device_fit_table(TINY, sparsity=0.9)
    assert sparse[0]["needed_bytes"] < dense[0]["needed_bytes"]
    assert [row["latency_s"] for row in sparse] == [row["latency_s"] for row in dense]


@pytest.mark.parametrize("settings", SETTINGS)
def test_energy_per_input_adds_up_to_that_of_the_batch(settings: dict) -> None:
    choice = {key: value for key, value in settings.items() if key != "measured_s"}
    per_input = sum(explorer.device_fit_energy(TINY, **choice))
    rows = explorer.device_fit_table(TINY, **choice)
    assert per_input * choice.get("batch", 1) == pytest.approx(rows[0]["energy_j"], rel=1e-12)
    assert rows[-1]["energy_j"] is None


def test_a_batch_shares_the_fetching_of_the_weights() -> None:
    one, eight = (explorer.device_fit_energy(TINY, batch=batch) for batch in (1, 8))
    assert one[0] == eight[0]
    assert one[1] == pytest.approx(8 * eight[1])


@pytest.mark.parametrize(
    ("settings", "error", "name"),
    [
        ({"bits": 0}, ValueError, "bits"),
        ({"bits": 33}, ValueError, "bits"),
        ({"bits": 8.0}, TypeError, "bits"),
        ({"sparsity": 90}, ValueError, "sparsity"),
        ({"batch": 0}, ValueError, "batch"),
        ({"measured_s": -1.0}, ValueError, "measured_s"),
        ({"measured_s": float("nan")}, ValueError, "measured_s"),
    ],
)
def test_settings_out_of_range_are_named(
    settings: dict, error: type[Exception], name: str
) -> None:
    with pytest.raises(error, match=name):
        explorer.device_fit_table(TINY, **settings)
    with pytest.raises(error, match=name):
        explorer.device_fit_figure(TINY, **settings)


def test_the_summary_names_the_devices_with_room() -> None:
    text = explorer.device_fit_summary(explorer.device_fit_table(LARGE))
    assert text == "1 GB are needed; there is room on Smartphone."
    small = explorer.device_fit_summary(explorer.device_fit_table(TINY, bits=8))
    assert (
        small
        == "5.58 KB are needed; there is room on "
        + ", ".join(device.name for device in devices.all_devices())
        + "."
    )
    nowhere = explorer.device_fit_summary(explorer.device_fit_table(LARGE, batch=2**16))
    assert nowhere.endswith("more than any of the devices has.")


# Pictures


@pytest.mark.parametrize("model", [TINY, LARGE], ids=["tiny", "large"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_the_picture_shows_the_numbers_of_the_table(model: Any, settings: dict) -> None:
    rows = explorer.device_fit_table(model, **settings)
    memory, latency, energy = explorer.device_fit_figure(model, **settings).axes
    words = [text.get_text() for text in memory.texts]
    assert words == ["fits" if row["fits"] else "too small" for row in rows]
    assert [bar.get_width() for bar in memory.patches] == [row["memory_bytes"] for row in rows]
    assert set(memory.lines[0].get_xdata()) == {rows[0]["needed_bytes"]}
    shown = {}
    for marks in latency.lines:
        shown |= {int(y): x for x, y in zip(*marks.get_data(), strict=True)}
    expected = {i: row["latency_s"] for i, row in enumerate(rows) if row["latency_s"]}
    assert shown == expected
    assert sum(bar.get_width() for bar in energy.patches) == pytest.approx(1)


def test_a_moved_picture_equals_a_new_one() -> None:
    board = explorer._Board()
    for settings in SETTINGS:
        for model in (LARGE, TINY):
            board.draw(model, "title", **settings)
            fresh = explorer.device_fit_figure(model, title="title", **settings)
            np.testing.assert_array_equal(pixels(board.figure), pixels(fresh))


def test_a_model_without_weights_and_multiplications_can_be_drawn() -> None:
    nothing = cost.count(nn.Flatten(), (1, 2, 3))
    assert pixels(explorer.device_fit_figure(nothing)).size


# The widget


@pytest.fixture
def widget() -> Any:
    spread = (0.02, 0.02)
    measured = {"tiny": {1: Latency(0.02, 0.02, 0.02, 0.02, spread, threads=1, batch=1)}}
    return explorer.device_fit({"tiny": TINY, "large": LARGE}, measured)


MOVES = [
    ("model", "large"),
    ("bits per weight", 4),
    ("zeros among weights", 0.9),
    ("batch [inputs]", 16),
]


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


def test_the_page_equals_its_static_twin(widget: Any) -> None:
    control(widget, "bits per weight").value = 8
    rows = explorer.device_fit_table(TINY, bits=8, measured_s=0.02)
    figure = explorer.device_fit_figure(TINY, title="tiny", bits=8, measured_s=0.02)
    alt = f"tiny: {explorer.device_fit_summary(rows)}"
    assert page(widget).endswith(plot.figure_html(figure, alt, dpi=100))


def test_the_measured_point_shows_only_where_it_was_measured(widget: Any) -> None:
    measured = page(widget)
    control(widget, "batch [inputs]").value = 2
    unmeasured = explorer.device_fit_figure(TINY, title="tiny", batch=2)
    assert plot.figure_html(unmeasured, "x", dpi=100).split("src=")[1] in page(widget)
    assert "measured" not in explorer.device_fit_summary(explorer.device_fit_table(TINY))
    control(widget, "batch [inputs]").value = 1
    assert page(widget) == measured


def test_without_arguments_the_courses_models_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "count_models", lambda: {"tiny": TINY})
    assert control(explorer.device_fit(), "model").options == ("tiny",)
    with pytest.raises(ValueError, match="costs must hold at least one model"):
        explorer.device_fit({})


def test_importing_the_widget_loads_no_plotting_library() -> None:
    check_import_is_light("device_fit")
