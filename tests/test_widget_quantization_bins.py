"""The explorer of notebook 02, and what all explorers with moving pictures share."""

from __future__ import annotations

import io
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
    control,
    page,
    pixels,
)

from course_lib import data, models, quantize, train
from course_lib.widgets import quantization_bins as explorer
from course_lib.widgets._explorer import Picture
from course_lib.widgets.quantization_bins import Point, Settings, Subject, compute

VARIED = [
    Settings(),
    Settings(8),
    Settings(2, "affine"),
    Settings(3, "symmetric", "channel"),
    Settings(3, "affine", "channel", 0.5),
    Settings(2, "codebook"),
]


@pytest.fixture(scope="module")
def images() -> data.Split:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2300, 1, 28, 28), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (2300,), generator=generator)
    return data.Split(pixels, labels, (0.1,), (0.3,))


@pytest.fixture(scope="module")
def subject(images: data.Split) -> Subject:
    torch.manual_seed(0)
    model = models.mlp((12,))
    with torch.no_grad():  # rows of different range, as in trained networks
        model.fc1.weight.mul_(torch.linspace(0.2, 2, 12)[:, None])
    labels = train.predict(model, images).argmax(dim=1)  # so that quantizing can only lose
    return Subject(model, data.Split(images.images, labels, images.mean, images.std))


def saved(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return pixels(buffer.getvalue())


def axes_of(figure: Figure) -> Any:
    return figure.axes


# Numbers


@pytest.mark.parametrize("settings", [s for s in VARIED if s.kept == 1], ids=str)
def test_a_point_is_what_the_library_makes_of_the_network(
    subject: Subject, images: data.Split, settings: Settings
) -> None:
    if settings.scheme == "codebook":
        model = quantize.share_weights(subject.model, settings.bits)
        weight = model.fc1.weight
    else:
        model = quantize.post_training_dynamic(
            subject.model,
            bits=settings.bits,
            activation_bits=None,
            per_channel=settings.granularity == "channel",
            symmetric=settings.scheme == "symmetric",
        )
        weight = model.fc1.layer.weight
    guesses = train.predict(model, images).argmax(dim=1)
    point = compute(subject, settings)
    assert point.accuracy == (guesses == subject.labels).double().mean().item()
    assert point.size_bytes == quantize.size_bytes(model)
    assert point.sqnr_db == quantize.sqnr_db(subject.weight, weight.detach())


@pytest.mark.parametrize("granularity", explorer.GRANULARITIES)
@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
def test_covering_less_of_the_range_shrinks_every_grid(
    subject: Subject, scheme: str, granularity: str
) -> None:
    whole, half = (compute(subject, Settings(4, scheme, granularity, kept)) for kept in (1.0, 0.5))
    widths = [(point.bins[1:] - point.bins[:-1]) for point in (whole, half)]
    torch.testing.assert_close(widths[1], widths[0] / 2, rtol=1e-5, atol=0)
    assert whole.size_bytes == half.size_bytes


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_the_bins_are_the_values_that_the_shown_weights_take(
    subject: Subject, settings: Settings
) -> None:
    point = compute(subject, settings)
    assert len(point.bins) == 2**settings.bits
    assert torch.equal(point.bins, point.bins.sort().values)
    nearest = point.bins[(point.shown.flatten()[:, None] - point.bins).abs().argmin(dim=1)]
    if point.channel is None:
        assert torch.equal(point.shown, subject.weight)
        noise = quantize.sqnr_db(point.shown.flatten(), nearest)
        assert noise == pytest.approx(point.sqnr_db, abs=1e-4)
    else:
        assert torch.equal(point.shown, subject.weight[point.channel])
        assert 0 in point.bins


def test_the_float_network_is_the_reference(subject: Subject) -> None:
    assert subject.float_accuracy == 1
    assert subject.float_bytes == 4 * sum(p.numel() for p in subject.model.parameters())
    assert compute(subject, Settings(8)).accuracy > compute(subject, Settings(2)).accuracy


def test_computing_changes_nothing(subject: Subject) -> None:
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    for settings in VARIED:
        compute(subject, settings)
    assert all(torch.equal(before[n], v) for n, v in subject.model.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "error", "name"),
    [
        ({"bits": 1}, ValueError, "bits"),
        ({"bits": 9}, ValueError, "bits"),
        ({"bits": 4.0}, TypeError, "bits"),
        ({"scheme": "ternary"}, ValueError, "scheme"),
        ({"granularity": "row"}, ValueError, "granularity"),
        ({"kept": 0.0}, ValueError, "kept"),
        ({"kept": 1.5}, ValueError, "kept"),
    ],
)
def test_settings_out_of_range_are_named(
    settings: dict[str, Any], error: type[Exception], name: str
) -> None:
    with pytest.raises(error, match=name):
        Settings(**settings)


def test_a_subject_needs_a_layer_that_is_there(images: data.Split) -> None:
    with pytest.raises(ValueError, match="layer"):
        Subject(models.lenet_300_100(), images, layer="fc9")
    with pytest.raises(ValueError, match="model must have"):
        Subject(nn.Flatten(), images)


# Pictures


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_the_picture_shows_the_numbers(subject: Subject, settings: Settings) -> None:
    point = compute(subject, settings)
    bins, plane = axes_of(explorer.quantization_bins_figure(subject, [point]))
    drawn = [segment[0][0] for segment in bins.collections[0].get_segments()]
    np.testing.assert_allclose(drawn, point.bins.numpy(), rtol=1e-6)
    assert f"{point.sqnr_db:.1f} dB" in bins.get_title()
    assert f"{point.accuracy:.2%}" in plane.get_title()
    start, trail, here = plane.lines
    assert start.get_xdata()[0] == subject.float_bytes / 1e3
    for marks in (trail, here):
        x, y = marks.get_data()
        assert (x[0], y[0]) == (point.size_bytes / 1e3, max(1 - point.accuracy, 0.009))


def test_the_trail_keeps_every_point_in_order(subject: Subject) -> None:
    points = [compute(subject, settings) for settings in VARIED]
    plane = axes_of(explorer.quantization_bins_figure(subject, points))[1]
    trail, here = plane.lines[1:]
    assert list(trail.get_xdata()) == [point.size_bytes / 1e3 for point in points]
    assert list(here.get_xdata()) == [points[-1].size_bytes / 1e3]
    rows = explorer.quantization_bins_table(points)
    assert [row["setting"] for row in rows] == [str(settings) for settings in VARIED]
    assert [row["bins"] for row in rows] == [2**settings.bits for settings in VARIED]


def test_a_picture_needs_a_point(subject: Subject) -> None:
    with pytest.raises(ValueError, match="points must hold at least one"):
        explorer.quantization_bins_figure(subject, [])


def test_a_moved_picture_equals_a_new_one(subject: Subject) -> None:
    board = explorer._Board(subject)
    points: list[Point] = []
    for settings in VARIED:
        points.append(compute(subject, settings))
        check_moved_picture(board, explorer._Board(subject), points)


def test_a_picture_is_what_the_saved_figure_shows(subject: Subject) -> None:
    board = explorer._Board(subject)
    board.draw([compute(subject, Settings(3))])
    quick, slow = pixels(board.picture.png()), saved(board.figure)
    assert quick.shape == slow.shape
    assert np.abs(quick - slow).max() < 0.02  # a level of 8 bits where colours blend


def test_what_stands_still_is_drawn_once() -> None:
    figure = Figure(figsize=(2, 2))
    axes = figure.subplots()
    (dot,) = axes.plot([0.5], [0.5], "o")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    picture = Picture(figure, [dot])
    first = picture.png()
    draws: list[int] = []
    axes.xaxis.draw = lambda *_: draws.append(1)  # type: ignore[method-assign]
    dot.set_data([0.2], [0.2])
    assert picture.png() != first
    assert draws == []
    dot.set_data([0.5], [0.5])
    assert picture.png() == first


def test_the_description_of_a_picture_is_escaped() -> None:
    figure = Figure(figsize=(1, 1))
    page = Picture(figure, []).html('a "b" <c>')
    assert 'alt="a &quot;b&quot; &lt;c&gt;"' in page


# The widget


@pytest.fixture
def widget(subject: Subject) -> Any:
    return explorer.quantization_bins(subject)


MOVES = [
    ("bits per weight", 2),
    ("scheme", "affine"),
    ("scales", "channel"),
    ("range covered by bins", 0.5),
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


def test_reset_puts_everything_back_and_forgets_the_trail(widget: Any) -> None:
    check_reset(widget, MOVES)


def test_the_page_shows_what_compute_finds(widget: Any, subject: Subject) -> None:
    control(widget, "bits per weight").value = 3
    points = [compute(subject, Settings(bits)) for bits in (4, 3)]
    board = explorer._Board(subject)
    board.draw(points)
    says = explorer.quantization_bins_summary(points[-1])
    assert page(widget).endswith(board.picture.html(says))
    assert f'<p role="status">{says}</p>' in page(widget)


def test_a_point_that_was_visited_is_not_computed_again(
    widget: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    control(widget, "bits per weight").value = 3
    monkeypatch.setattr(explorer, "compute", None)
    control(widget, "bits per weight").value = 4
    assert "4 bits" in page(widget)


def test_importing_the_widget_loads_no_plotting_library() -> None:
    check_import_is_light("quantization_bins")
