"""The explorer of the whole course: what its techniques make is what a file gives back."""

from __future__ import annotations

from dataclasses import replace
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

from course_lib import codec, cost, data, devices, models, prune, train
from course_lib.widgets import workbench as explorer
from course_lib.widgets._workbench import STRENGTHS, TECHNIQUES, built
from course_lib.widgets._workbench_board import METRICS, Board
from course_lib.widgets.workbench import Point, Settings, Subject, compute

MEASURED = [
    {
        "dataset": dataset,
        "technique": technique,
        "network": f"net {i}",
        "setting": "made up",
        "accuracy": accuracy,
        "accuracy_std": None,
        "seeds_count": 1,
        "size_bytes": 1000 * (i + 1),
        "macs": 10_000 * (i + 1),
        "latency_s": None if i else 1e-4,
    }
    for i, (dataset, technique, accuracy) in enumerate(
        [("mnist", "dense", 0.6), ("mnist", "pruning", 0.9), ("cifar10", "dense", 0.99)]
    )
]
VARIED = [
    Settings("small"),
    Settings("small", "quantize", 3),
    Settings("small", "prune weights", 4, axis="MACs"),
    Settings("small", "prune, share, code", 5, "Cortex-M0"),
    Settings("small", "remove units", 2, "Cortex-M0", "MACs"),
    Settings("small", "low rank", 6, axis="latency"),
]


@pytest.fixture(scope="module")
def subject() -> Subject:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (600, 1, 28, 28), generator=generator, dtype=torch.uint8)
    torch.manual_seed(0)
    model = models.mlp((20, 16)).eval()
    blank = data.Split(pixels, torch.zeros(600, dtype=torch.int64), (0.1,), (0.3,))
    labels = train.predict(model, blank).argmax(dim=1)  # so that compressing can only lose
    images = data.Split(pixels, labels, (0.1,), (0.3,))
    return Subject({"small": model, "other": models.mlp((12, 8)).eval()}, images, MEASURED)


# Techniques


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_every_technique_takes_something_and_more_with_strength(technique: str) -> None:
    torch.manual_seed(0)
    network, image = models.mlp((40, 30)).eval(), torch.zeros(1, 1, 28, 28)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    whole = built(network, image, technique, None)
    assert whole.macs == cost.count(network, image).macs
    steps = [whole, *(built(network, image, technique, x) for x in TECHNIQUES[technique].levels)]
    sizes, macs = [step.size_bytes for step in steps], [step.macs for step in steps]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0] / 2
    assert macs == sorted(macs, reverse=True)
    saves_macs = technique in ("remove units", "low rank")
    assert (macs[-1] < macs[0]) == saves_macs
    assert all(torch.equal(value, before[n]) for n, value in network.state_dict().items())


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_convolutional_network_works_too(technique: str) -> None:
    network, image = models.lenet_5().eval(), torch.zeros(1, 1, 28, 28)
    made = built(network, image, technique, TECHNIQUES[technique].levels[1])
    assert made.model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert made.size_bytes < len(codec.to_bytes(network, techniques=()))


def test_what_is_run_is_what_the_file_gives_back() -> None:
    torch.manual_seed(0)
    network, image = models.mlp((20, 16)).eval(), torch.zeros(1, 1, 28, 28)
    made = built(network, image, "prune, share, code", 0.8)
    assert prune.weight_sparsity(made.model) == pytest.approx(0.8, abs=1e-3)
    for weight in prune.prunable_weights(made.model).values():
        assert len(weight.unique()) <= 16
    for parameter in made.model.parameters():
        assert torch.equal(parameter, parameter.half().float())
    few = built(network, image, "quantize", 2).model
    for weight in prune.prunable_weights(few).values():
        assert all(len(row.unique()) <= 4 for row in weight)


def test_the_exchanged_bytes_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network that is run comes from the bytes: other bytes, another network."""
    network, image = models.mlp((20, 16)).eval(), torch.zeros(1, 1, 28, 28)
    other = codec.to_bytes(models.mlp((20, 16)), techniques=())
    monkeypatch.setattr(codec, "to_bytes", lambda *_, **__: other)
    made = built(network, image, "prune weights", 0.5)
    assert made.size_bytes == len(other)
    state, _ = codec.from_bytes(other)
    assert torch.equal(made.model.state_dict()["fc1.weight"], state["fc1.weight"])


# Points


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_every_strength_has_its_level_from_the_weakest_on(technique: str) -> None:
    levels = [Settings("small", technique, strength).level for strength in range(STRENGTHS + 1)]
    assert levels == [None, *TECHNIQUES[technique].levels]


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_a_point_holds_what_the_library_says(subject: Subject, settings: Settings) -> None:
    point = compute(subject, settings)
    made = subject.built("small", settings.technique, settings.level)
    device = devices.device(settings.device)
    images = torch.cat(list(subject.batches))
    with torch.no_grad():
        guesses = made.model(images).argmax(dim=1)
    assert point.accuracy == (guesses == subject.labels).double().mean().item()
    assert (point.images, point.size_bytes, point.macs) == (600, made.size_bytes, made.macs)
    assert point.energy_j == cost.energy_j(made.macs, made.size_bytes)
    assert point.needed_bytes == made.size_bytes + made.peak_activation_bytes
    assert point.fits == (point.needed_bytes <= device.memory_bytes)
    assert point.predicted_s == devices.predicted_latency_s(device, made.macs)
    assert point.latency_s > 0


def test_the_unchanged_network_is_right_everywhere(subject: Subject) -> None:
    for technique in TECHNIQUES:
        assert compute(subject, Settings("small", technique, 0)).accuracy == 1


@pytest.mark.parametrize(("few", "images_judged"), [(300, 300), (1000, 600)])
def test_a_slow_network_is_tried_on_the_first_images_only(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, few: int, images_judged: int
) -> None:
    monkeypatch.setattr(explorer, "LIVE_MACS", 1e6)
    monkeypatch.setattr(explorer, "FEW", few)
    images = data.Split(
        torch.zeros(600, 1, 28, 28, dtype=torch.uint8), subject.labels, (0.1,), (0.3,)
    )
    slow = Subject(subject.networks, images)
    point = compute(slow, Settings("small"))
    assert point.images == images_judged
    answer = slow.networks["small"](images.inputs(slice(1))).argmax().item()
    assert point.accuracy == (subject.labels[:few] == answer).double().mean().item()
    assert f"of {images_judged} test images" in explorer.workbench_summary(slow, point)


def test_better_are_those_that_dominate(subject: Subject) -> None:
    point = compute(subject, Settings("small"))
    at = lambda **changes: subject.better(replace(point, **changes))
    assert at(accuracy=0.9, size_bytes=2000) == 0, "an equal one does not dominate"
    assert at(accuracy=0.9, size_bytes=2001) == 1
    assert at(accuracy=0.5, size_bytes=5000) == 2
    assert at(accuracy=0.89, size_bytes=1999) == 0
    latency = replace(point.settings, axis="latency")
    assert at(accuracy=0.5, latency_s=1.0, settings=latency) == 1, "only one has a latency"


def test_the_table_and_the_summary_say_what_was_found(subject: Subject) -> None:
    points = [compute(subject, settings) for settings in VARIED]
    rows = explorer.workbench_table(points)
    assert [row["setting"] for row in rows] == [str(settings) for settings in VARIED]
    for row, point in zip(rows, points, strict=True):
        assert (row["accuracy"], row["fits"]) == (point.accuracy, point.fits)
        says = explorer.workbench_summary(subject, point)
        assert f"{point.size_bytes:,} bytes" in says
        assert ("does not fit" in says) == (not point.fits)
        assert "of 2 measured networks" in says
    alone = Subject(subject.networks, data.load("mnist").validation.head(10))
    assert "measured networks" not in explorer.workbench_summary(alone, points[0])


def test_the_summary_counts_in_millionths_of_a_second_and_of_a_joule(subject: Subject) -> None:
    point = replace(
        compute(subject, Settings("small")), latency_s=1.23e-3, energy_j=4.5e-6, predicted_s=0.0678
    )
    says = explorer.workbench_summary(subject, point)
    for words in ("1230 µs here", "4.50 µJ predicted", "67.8 ms predicted"):
        assert words in says


@pytest.mark.parametrize(
    ("settings", "error", "name"),
    [
        ({"technique": "hope"}, ValueError, "technique"),
        ({"strength": STRENGTHS + 1}, ValueError, "strength"),
        ({"strength": 0.5}, TypeError, "strength"),
        ({"axis": "params"}, ValueError, "axis"),
        ({"device": "abacus"}, ValueError, "name"),
    ],
)
def test_settings_out_of_range_are_named(
    settings: dict[str, Any], error: type[Exception], name: str
) -> None:
    with pytest.raises(error, match=name):
        Settings(**settings)


def test_an_unknown_or_missing_network_is_named(subject: Subject) -> None:
    with pytest.raises(ValueError, match="network must be one of other, small"):
        compute(subject, Settings("lenet_6"))
    with pytest.raises(ValueError, match="networks must hold at least one"):
        Subject({}, data.load("mnist").validation.head(10))


# Pictures


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_the_picture_shows_the_numbers(subject: Subject, settings: Settings) -> None:
    first = compute(subject, replace(settings, strength=0))
    point = compute(subject, settings)
    board = Board(subject.measured, settings.axis)
    board.draw([first, point], first)
    change, plane = board.figure.axes
    bars = [line.get_xdata()[1] for line in change.lines[1:]]
    assert len(bars) == len(METRICS)
    assert bars[1:3] == [point.size_bytes / first.size_bytes, point.macs / first.macs]
    assert [text.get_text() for text in change.texts][1] == f"{point.size_bytes:,} bytes"
    lines = {line.get_label(): line for line in plane.lines}
    x, y = lines["here"].get_data()
    assert x[0] == point.cost(settings.axis)
    assert y[0] == pytest.approx(max(1 - point.accuracy, 1.05e-3))
    assert len(lines["visited"].get_xdata()) == 2
    assert len(lines["limit of the device"].get_xdata()) == (
        0 if settings.axis == "latency" else 2
    )
    assert {"dense"} <= set(lines), "the measured networks"


def test_a_moved_picture_equals_a_new_one(subject: Subject) -> None:
    board, points = Board(subject.measured, "bytes"), list[Point]()
    for settings in VARIED:
        points.append(compute(subject, replace(settings, axis="bytes")))
        check_moved_picture(board, Board(subject.measured, "bytes"), points, points[0])


def test_the_figure_needs_a_point_and_no_measured_networks(subject: Subject) -> None:
    with pytest.raises(ValueError, match="points must hold at least one"):
        explorer.workbench_figure(subject, [])
    alone = Subject(subject.networks, data.load("mnist").validation.head(10))
    point = compute(alone, Settings("small", "quantize", 2))
    assert explorer.workbench_figure(alone, [point]).axes


# The widget


MOVES = [
    ("network", "other"),
    ("technique", "low rank"),
    ("strength (0: unchanged)", 4),
    ("device", "Cortex-M0"),
    ("cost on the plane", "MACs"),
]


@pytest.fixture(scope="module")
def shared(subject: Subject) -> Any:
    return explorer.workbench(subject, Settings("small", strength=1))


@pytest.fixture
def widget(shared: Any) -> Any:
    control(shared, "Reset").click()
    return shared


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


def test_the_page_shows_every_choice_since_the_start(subject: Subject, widget: Any) -> None:
    strength = control(widget, "strength (0: unchanged)")
    assert (strength.min, strength.max) == (0, STRENGTHS)
    for value in (3, STRENGTHS):
        strength.value = value
    points = [compute(subject, Settings("small", strength=s)) for s in (1, 3, STRENGTHS)]
    board = Board(subject.measured, "bytes")
    board.draw(points, compute(subject, Settings("small")))
    says = explorer.workbench_summary(subject, points[-1])
    assert page(widget).endswith(board.picture.html(says))


def test_importing_the_widget_loads_no_plotting_library() -> None:
    check_import_is_light("workbench")
