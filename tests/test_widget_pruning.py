"""The explorer of notebook 03: numbers, pictures and sliders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn
from widget_checks import (
    check_descriptions,
    check_import_is_light,
    check_keyboard_reach,
    check_moved_picture,
    check_page_follows,
    check_reset,
    page,
)

from course_lib import codec, cost, data, models, prune, train
from course_lib.widgets import pruning as explorer
from course_lib.widgets.pruning import STRUCTURES, Point, Settings, Subject, compute

ONE_RANKING, PER_LAYER, NEURONS = STRUCTURES
VARIED = [
    Settings(0.0),
    Settings(0.5),
    Settings(0.9, "taylor"),
    Settings(0.7, "random", PER_LAYER),
    Settings(0.95, "obd", PER_LAYER),
    Settings(0.5, "magnitude", NEURONS),
]


@pytest.fixture(scope="module")
def subject() -> Subject:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (1300, 1, 28, 28), generator=generator, dtype=torch.uint8)
    torch.manual_seed(0)
    model = models.mlp((12, 8))
    blank = data.Split(pixels, torch.zeros(1300, dtype=torch.int64), (0.1,), (0.3,))
    labels = train.predict(model, blank).argmax(dim=1)  # so that pruning can only lose
    images = data.Split(pixels, labels, (0.1,), (0.3,))
    return Subject(model, images, images.head(32))


def axes_of(figure: Figure) -> Any:
    return figure.axes


# Numbers


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_a_point_counts_what_the_pruned_network_is(subject: Subject, settings: Settings) -> None:
    model = explorer.pruned(subject, settings)
    point = compute(subject, settings)
    images = torch.cat(list(subject.batches))
    with torch.no_grad():
        right = (model(images).argmax(dim=1) == subject.labels).double().mean().item()
    assert point.accuracy == right
    assert point.size_bytes == len(codec.to_bytes(model, techniques=("sparse",)))
    weights = prune.prunable_weights(model)
    assert point.macs == sum(int(w.count_nonzero()) for w in weights.values())
    assert point.dense_s > 0
    assert point.sparse_s > 0


def test_weights_go_exactly_as_many_as_asked(subject: Subject) -> None:
    for structure in (ONE_RANKING, PER_LAYER):
        model = explorer.pruned(subject, Settings(0.75, "magnitude", structure))
        expected = prune.prune_model(
            subject.model, 0.75, scope="global" if structure == ONE_RANKING else "layer"
        ).model
        for name, weight in model.state_dict().items():
            assert torch.equal(weight, expected.state_dict()[name])


def test_per_layer_every_layer_loses_the_same_share(subject: Subject) -> None:
    kept = compute(subject, Settings(0.7, "magnitude", PER_LAYER)).kept
    for (name, share), shape in zip(kept.items(), subject.shapes.values(), strict=True):
        assert share == pytest.approx(0.3, abs=0.5 / (shape[0] * shape[1])), name


def test_removed_neurons_leave_a_smaller_network(subject: Subject) -> None:
    model = explorer.pruned(subject, Settings(0.5, "magnitude", NEURONS))
    sizes = [layer.out_features for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert sizes == [6, 4, 10]
    point = compute(subject, Settings(0.5, "magnitude", NEURONS))
    assert point.macs == cost.count(model, (1, 1, 28, 28)).macs == 784 * 6 + 6 * 4 + 4 * 10
    assert list(point.kept.values()) == [1 / 2, 1 / 4, 1 / 2]
    assert torch.equal(point.pixels, torch.full((784,), 0.5))


def test_pixels_are_the_share_of_their_weights(subject: Subject) -> None:
    settings = Settings(0.9, "taylor")
    weight = explorer.pruned(subject, settings).fc1.weight
    point = compute(subject, settings)
    for pixel in (0, 400, 783):
        assert point.pixels[pixel] == pytest.approx(int((weight[:, pixel] != 0).sum()) / 12)
    assert point.pixels.mean() == pytest.approx(point.kept["fc1.weight"])


def test_nothing_removed_is_the_dense_network(subject: Subject) -> None:
    assert subject.dense.accuracy == 1
    assert set(subject.dense.kept.values()) == {1.0}
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    for settings in VARIED:
        compute(subject, settings)
    assert all(torch.equal(before[n], v) for n, v in subject.model.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"sparsity": -0.1}, "sparsity"),
        ({"sparsity": 90}, "sparsity"),
        ({"criterion": "size"}, "criterion"),
        ({"structure": "filters"}, "structure"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Settings(**settings)


def test_a_convolution_is_refused(subject: Subject) -> None:
    images = data.Split(
        torch.zeros(2, 1, 28, 28, dtype=torch.uint8), torch.tensor([0, 1]), (0.1,), (0.3,)
    )
    with pytest.raises(ValueError, match="fully connected"):
        Subject(models.lenet_5(), images, images)


# Pictures


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_the_picture_shows_the_numbers(subject: Subject, settings: Settings) -> None:
    point = compute(subject, settings)
    pixels, layers, plane = axes_of(explorer.pruning_figure(subject, [point]))
    np.testing.assert_array_equal(pixels.images[0].get_array().flatten(), point.pixels.numpy())
    assert [bar.get_height() for bar in layers.patches] == list(point.kept.values())
    assert f"{point.macs:,} MACs" in pixels.get_title()
    assert f"{1e6 * point.dense_s:.0f} µs" in layers.get_title()
    assert f"{point.accuracy:.2%}" in plane.get_title()
    x, y = plane.lines[2].get_data()
    assert (x[0], y[0]) == (point.size_bytes / 1e3, max(1 - point.accuracy, 0.009))


def test_the_trail_keeps_every_point_in_order(subject: Subject) -> None:
    points = [compute(subject, settings) for settings in VARIED]
    plane = axes_of(explorer.pruning_figure(subject, points))[2]
    assert list(plane.lines[1].get_xdata()) == [point.size_bytes / 1e3 for point in points]
    rows = explorer.pruning_table(points)
    assert [row["setting"] for row in rows] == [str(settings) for settings in VARIED]
    with pytest.raises(ValueError, match="points must hold at least one"):
        explorer.pruning_figure(subject, [])


def test_a_moved_picture_equals_a_new_one(subject: Subject) -> None:
    board, points = explorer._Board(subject), list[Point]()
    for settings in VARIED:
        points.append(compute(subject, settings))
        check_moved_picture(board, explorer._Board(subject), points)


# The widget


MOVES = [("share removed", 0.9), ("score", "random"), ("what goes", NEURONS)]


@pytest.fixture
def widget(subject: Subject) -> Any:
    return explorer.pruning(subject)


def test_every_control_says_what_it_chooses(widget: Any) -> None:
    check_descriptions(widget, MOVES)


def test_the_keyboard_reaches_every_control(widget: Any) -> None:
    check_keyboard_reach(widget)


@pytest.mark.parametrize(("description", "value"), MOVES)
def test_every_control_changes_the_picture_and_its_description(
    widget: Any, description: str, value: Any
) -> None:
    check_page_follows(widget, description, value)


def test_reset_puts_everything_back_and_forgets_the_trail(widget: Any) -> None:
    check_reset(widget, MOVES)  # times too: a point that was visited is not measured again


def test_it_starts_where_it_is_told_to(subject: Subject) -> None:
    widget = explorer.pruning(subject, Settings(0.33, "obd"))
    assert "33.0% of weights, one ranking, by obd" in page(widget)


def test_importing_the_widget_loads_no_plotting_library() -> None:
    check_import_is_light("pruning")
