"""The explorer of notebook 07: which rank a network's layers need."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
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
)

from course_lib import cost, data, lowrank, models, train
from course_lib.widgets import rank as explorer
from course_lib.widgets.rank import Subject, compute

VARIED: list[explorer.Ranks] = [(None, None), (5, None), (None, 2), (12, 9), (1, 1)]


@pytest.fixture(scope="module")
def images() -> data.Split:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (300, 1, 28, 28), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (300,), generator=generator)
    return data.Split(pixels, labels, (0.1,), (0.3,))


@pytest.fixture(scope="module")
def subject(images: data.Split) -> Subject:
    torch.manual_seed(0)
    model = models.mlp((12, 9)).eval()
    labels = train.predict(model, images).argmax(dim=1)  # so that splitting can only lose
    return Subject(model, data.Split(images.images, labels, images.mean, images.std))


def named(ranks: explorer.Ranks) -> str:
    return "-".join("whole" if rank is None else str(rank) for rank in ranks)


def chosen(subject: Subject, ranks: explorer.Ranks) -> dict[str, int]:
    pairs = zip(subject.layers, ranks, strict=True)
    return {name: rank for name, rank in pairs if rank is not None}


# Numbers


@pytest.mark.parametrize("ranks", VARIED, ids=named)
def test_a_point_is_what_the_library_makes_of_the_network(
    subject: Subject, images: data.Split, ranks: explorer.Ranks
) -> None:
    smaller = lowrank.factorize(subject.model, chosen(subject, ranks)).eval()
    right = train.predict(smaller, images).argmax(dim=1) == subject.labels
    counted = cost.count(smaller, torch.zeros(1, 1, 28, 28))
    point = compute(subject, ranks)
    # Sums in another order may decide a tie between two logits otherwise.
    assert point.accuracy == pytest.approx(right.double().mean().item(), abs=1.5 / len(right))
    assert (point.params, point.macs) == (counted.params, counted.macs)
    assert point.size_bytes == 4 * counted.params


def test_the_whole_network_is_the_reference(subject: Subject) -> None:
    point = compute(subject, (None, None))
    assert point.accuracy == 1
    assert point.energies == (1.0, 1.0)
    assert compute(subject, (1, 1)).accuracy < 1


@pytest.mark.parametrize("rank", [1, 4, 12])
def test_the_energy_lost_is_the_squared_tail_of_the_spectrum(subject: Subject, rank: int) -> None:
    weight = subject.model.fc1.weight.detach()
    lost = (lowrank.tail_error(weight, rank) / weight.double().norm().item()) ** 2
    assert compute(subject, (rank, None)).energies[0] == pytest.approx(1 - lost, abs=1e-9)


def test_a_layer_split_above_its_break_even_rank_is_larger_than_whole(subject: Subject) -> None:
    row = explorer.rank_table(subject, compute(subject, (None, 9)))[1]
    assert row["break_even"] == lowrank.break_even_rank(12, 9) < 9
    assert row["weights"] == 9 * (12 + 9) > row["whole"] == 12 * 9
    assert compute(subject, (None, 9)).size_bytes > compute(subject, (None, None)).size_bytes


def test_computing_changes_nothing(subject: Subject) -> None:
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    for ranks in VARIED:
        compute(subject, ranks)
    assert all(torch.equal(before[n], v) for n, v in subject.model.state_dict().items())


def test_layers_without_bias_are_split_too(images: data.Split) -> None:
    torch.manual_seed(0)
    layers = nn.Linear(784, 6, bias=False), nn.ReLU(), nn.Linear(6, 10, bias=False)
    subject = Subject(nn.Sequential(nn.Flatten(), *layers), images)
    assert compute(subject, (2,)).params == 2 * (784 + 6) + 60


@pytest.mark.parametrize(
    ("ranks", "error", "words"),
    [
        ((1,), ValueError, "ranks must name fc1, fc2, got 1"),
        ((0, None), ValueError, "rank of fc1"),
        ((None, 10), ValueError, "rank of fc2"),
        ((2.0, None), TypeError, "rank of fc1"),
    ],
)
def test_ranks_out_of_range_are_named(
    subject: Subject, ranks: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        compute(subject, ranks)


@pytest.mark.parametrize("model", [models.lenet_5(), nn.Linear(784, 10), models.mlp(())])
def test_only_a_chain_of_linear_layers_is_a_subject(images: data.Split, model: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"model must be an nn\.Sequential"):
        Subject(model, images)


def test_the_summary_says_ranks_size_and_accuracy(subject: Subject) -> None:
    point = compute(subject, (5, None))
    says = explorer.rank_summary(subject, point)
    assert says.startswith(f"fc1 at rank 5, fc2 whole: {point.size_bytes / 1e3:.1f} kB")
    assert f"{point.accuracy:.2%} of 300 images right." in says


# Pictures


@pytest.mark.parametrize("ranks", VARIED, ids=named)
def test_the_picture_shows_the_numbers(subject: Subject, ranks: explorer.Ranks) -> None:
    point = compute(subject, ranks)
    spectra, plane = explorer.rank_figure(subject, [point]).axes
    for number, name in enumerate(subject.layers):
        curve, cut = spectra.lines[2 * number : 2 * number + 2]
        np.testing.assert_allclose(curve.get_ydata(), subject.spectra[name])
        assert list(cut.get_xdata()) == ([] if ranks[number] is None else [ranks[number]])
    start, *moved = plane.lines
    assert start.get_xdata()[0] == compute(subject, (None, None)).size_bytes / 1e3
    for marks in moved:
        x, y = marks.get_data()
        assert (x[0], y[0]) == (point.size_bytes / 1e3, max(1 - point.accuracy, 1e-4))


def test_a_moved_picture_equals_a_new_one(subject: Subject) -> None:
    board, points = explorer._Board(subject), []
    for ranks in VARIED:
        points.append(compute(subject, ranks))
        check_moved_picture(board, explorer._Board(subject), points)


def test_a_picture_needs_a_point(subject: Subject) -> None:
    with pytest.raises(ValueError, match="points must hold at least one"):
        explorer.rank_figure(subject, [])


# The widget


@pytest.fixture
def widget(subject: Subject) -> Any:
    return explorer.rank(subject)


MOVES = [("rank of fc1", 4), ("rank of fc2", 2)]


def test_every_control_says_what_it_chooses(widget: Any) -> None:
    check_descriptions(widget, MOVES)


def test_the_keyboard_reaches_every_control(widget: Any) -> None:
    check_keyboard_reach(widget)


@pytest.mark.parametrize(("description", "value"), MOVES)
def test_every_control_changes_the_picture_and_its_description(
    widget: Any, description: str, value: Any
) -> None:
    check_page_follows(widget, description, value)


def test_a_slider_reaches_the_full_rank_and_the_whole_layer(widget: Any) -> None:
    assert control(widget, "rank of fc1").options[-2:] == (("12", 12), ("whole", 0))
    assert control(widget, "rank of fc2").options[-2:] == (("9", 9), ("whole", 0))


def test_reset_puts_everything_back_and_forgets_the_trail(widget: Any) -> None:
    check_reset(widget, MOVES)


def test_a_point_that_was_visited_is_not_computed_again(
    widget: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    control(widget, "rank of fc1").value = 3
    monkeypatch.setattr(explorer, "compute", None)
    control(widget, "rank of fc1").value = 0
    assert "fc1 whole" in page(widget)


def test_importing_the_widget_loads_no_plotting_library() -> None:
    check_import_is_light("rank")
