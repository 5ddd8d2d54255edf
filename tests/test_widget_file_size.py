"""The explorer of notebook 04: every size is that of bytes that were written and read back."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from widget_checks import (
    check_descriptions,
    check_import_is_light,
    check_keyboard_reach,
    check_moved_picture,
    check_page_follows,
    check_reset,
    page,
)

from course_lib import codec, data, models, prune, train
from course_lib.widgets import file_size as explorer
from course_lib.widgets.file_size import FLOAT, Point, Settings, Subject, compute

VARIED = [
    Settings(0.0, FLOAT, "fixed width"),
    Settings(0.0, 3),
    Settings(0.9, FLOAT),
    Settings(0.9, 4, "fixed width"),
    Settings(0.9, 4),
    Settings(0.5, 2),
]


@pytest.fixture(scope="module")
def subject() -> Subject:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (600, 1, 28, 28), generator=generator, dtype=torch.uint8)
    torch.manual_seed(0)
    model = models.mlp((12,))
    blank = data.Split(pixels, torch.zeros(600, dtype=torch.int64), (0.1,), (0.3,))
    labels = train.predict(model, blank).argmax(dim=1)  # so that compressing can only lose
    networks = {share: prune.prune_model(model, share).model for share in (0.9, 0.5)}
    images = data.Split(pixels, labels, (0.1,), (0.3,))
    return Subject({**networks, 0.0: model}, images, paper="LeNet-300-100")


def axes_of(figure: Figure) -> Any:
    return figure.axes


# Numbers


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_a_point_is_a_file_that_can_be_read(
    subject: Subject, settings: Settings, tmp_path: Any
) -> None:
    model = subject.networks[settings.sparsity]
    if settings.bits != FLOAT:
        model = explorer.shared(model, settings.bits)
    path = tmp_path / "model"
    codec.save(model, path, techniques=explorer.CODERS[settings.coder])
    read = codec.load(path, model)
    images = torch.cat(list(subject.batches))
    with torch.no_grad():
        right = (read(images).argmax(dim=1) == subject.labels).double().mean().item()
    point = compute(subject, settings)
    assert point.size_bytes == path.stat().st_size == sum(point.parts)
    assert point.accuracy == right


def test_sharing_keeps_zeros_and_leaves_few_values(subject: Subject) -> None:
    before = subject.networks[0.9]
    after = explorer.shared(before, 3)
    for name, weight in prune.prunable_weights(after).items():
        assert torch.equal(weight == 0, before.get_parameter(name) == 0)
        assert len(weight.unique()) <= 2**3
    for parameter in after.parameters():
        assert torch.equal(parameter, parameter.half().float())


def test_huffman_is_never_larger_by_more_than_its_tables(subject: Subject) -> None:
    fixed, coded = (
        compute(subject, Settings(0.5, 4, coder)) for coder in ("fixed width", "Huffman")
    )
    assert coded.size_bytes <= fixed.size_bytes
    assert coded.accuracy == fixed.accuracy


def test_the_entropy_is_that_of_every_layers_values() -> None:
    model = models.mlp((4,), num_classes=2, in_features=4)
    with torch.no_grad():
        model.fc1.weight.copy_(torch.tensor([0.0, 0, 1, 2]).repeat(4, 1))  # 16 at 1.5 bits
        model.fc2.weight.copy_(torch.tensor([1.0, 1, 1, 1]).repeat(2, 1))  # 8 at 0 bits
    assert explorer.weight_entropy_bytes(model) == 16 * 1.5 / 8


def test_no_code_of_single_weights_beats_the_entropy(subject: Subject) -> None:
    """A dense layer's indices are coded one by one, so the file cannot be smaller."""
    for bits in (2, 4, 6):
        point = compute(subject, Settings(0.0, bits))
        assert point.parts[1] == 0
        assert point.entropy_bytes is not None
        assert point.entropy_bytes <= point.parts[0]


def test_without_codebook_there_is_no_entropy(subject: Subject) -> None:
    assert compute(subject, Settings(0.9, FLOAT)).entropy_bytes is None


def test_the_reference_is_the_least_sparse_network(subject: Subject) -> None:
    assert list(subject.networks) == [0.0, 0.5, 0.9]
    assert subject.dense_accuracy == 1
    assert subject.dense_bytes == compute(subject, VARIED[0]).size_bytes
    says = explorer.file_size_summary(subject, compute(subject, VARIED[0]))
    assert "1.0 times smaller" in says


@pytest.mark.parametrize(
    ("settings", "error", "name"),
    [
        ({"bits": 7}, ValueError, "bits"),
        ({"bits": 4.0}, TypeError, "bits"),
        ({"coder": "zip"}, ValueError, "coder"),
    ],
)
def test_settings_out_of_range_are_named(
    settings: dict[str, Any], error: type[Exception], name: str
) -> None:
    with pytest.raises(error, match=name):
        Settings(**settings)


def test_an_unknown_network_is_named(subject: Subject) -> None:
    with pytest.raises(ValueError, match=r"sparsity must be one of 0\.0, 0\.5, 0\.9; got 0\.7"):
        compute(subject, Settings(0.7))
    images = data.Split(
        torch.zeros(1, 1, 28, 28, dtype=torch.uint8), torch.tensor([0]), (0.1,), (0.3,)
    )
    with pytest.raises(ValueError, match="networks must hold at least one"):
        Subject({}, images)


def test_a_file_that_gives_back_something_else_is_refused(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = codec.to_bytes(explorer.shared(subject.networks[0.9], 5))
    monkeypatch.setattr(codec, "to_bytes", lambda *_, **__: other)
    with pytest.raises(RuntimeError, match="does not give back what was written"):
        compute(subject, Settings(0.9, 4))


# Pictures


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_the_picture_shows_the_numbers(subject: Subject, settings: Settings) -> None:
    point = compute(subject, settings)
    bar, plane = axes_of(explorer.file_size_figure(subject, [point]))
    shares = [part.get_height() for part in bar.patches]
    assert shares == [size / point.size_bytes for size in point.parts]
    assert math.isclose(sum(shares), 1)
    words = [text.get_text() for text in bar.texts]
    for name, size in zip(explorer.ACCOUNTS, point.parts, strict=True):
        assert f"{name}: {size:,}" in words
    x, y = plane.lines[3].get_data()
    assert (x[0], y[0]) == (point.size_bytes / 1e3, max(1 - point.accuracy, 0.009))
    mark = bar.lines[0].get_ydata()
    if point.entropy_bytes is None:
        assert len(mark) == 0
    else:
        assert mark[0] == min(point.entropy_bytes / point.size_bytes, 1.3)


def test_the_paper_stands_where_it_claims(subject: Subject) -> None:
    plane = axes_of(explorer.file_size_figure(subject, [compute(subject, VARIED[0])]))[1]
    size, error = plane.lines[1].get_data()
    assert (size[0], error[0]) == (27, pytest.approx(0.0158))


def test_the_trail_keeps_every_point_in_order(subject: Subject) -> None:
    points = [compute(subject, settings) for settings in VARIED]
    plane = axes_of(explorer.file_size_figure(subject, points))[1]
    assert list(plane.lines[2].get_xdata()) == [point.size_bytes / 1e3 for point in points]
    rows = explorer.file_size_table(points)
    assert [row["setting"] for row in rows] == [str(settings) for settings in VARIED]
    assert [sum(row[name] for name in explorer.ACCOUNTS) for row in rows] == [
        row["size_bytes"] for row in rows
    ]
    with pytest.raises(ValueError, match="points must hold at least one"):
        explorer.file_size_figure(subject, [])


def test_a_moved_picture_equals_a_new_one(subject: Subject) -> None:
    board, points = explorer._Board(subject), list[Point]()
    for settings in VARIED:
        points.append(compute(subject, settings))
        check_moved_picture(board, explorer._Board(subject), points)


# The widget


MOVES = [("zeros among weights", 0.9), ("bits of an index", 2), ("coder", "fixed width")]


@pytest.fixture
def widget(subject: Subject) -> Any:
    return explorer.file_size(subject)


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


def test_it_starts_where_it_is_told_to(subject: Subject) -> None:
    widget = explorer.file_size(subject, Settings(0.5, 6, "fixed width"))
    assert "50.0% zeros, 6-bit codebook, fixed width" in page(widget)


def test_importing_the_widget_loads_no_plotting_library() -> None:
    check_import_is_light("file_size")
