"""The explorer of notebook 05: what a student sees of a teacher at a temperature."""

from __future__ import annotations

import math
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

from course_lib import data, distill, models, train
from course_lib.widgets import temperature as explorer
from course_lib.widgets.temperature import Settings, Subject, compute

VARIED = [
    Settings(),
    Settings(0, 4.0),
    Settings(3, 20.0, scaled=False),
    Settings(4, 0.5),
    Settings(1, 50.0),
]


def images_of(count: int, channels: int = 1) -> data.Split:
    generator = torch.Generator().manual_seed(0)
    shape = (count, channels, 28, 28)
    pixels = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (count,), generator=generator)
    return data.Split(pixels, labels, (0.1,) * channels, (0.3,) * channels)


@pytest.fixture(scope="module")
def networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    teacher, student = models.mlp((12,)), models.mlp((4,))
    with torch.no_grad():
        teacher[-1].weight.mul_(12)  # as sure of itself as a trained one
    return teacher.eval(), student.eval()


@pytest.fixture(scope="module")
def subject(networks: tuple[nn.Module, nn.Module]) -> Subject:
    return Subject(*networks, images_of(5))


# Numbers


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_the_gradient_is_that_of_the_librarys_loss(
    subject: Subject, networks: tuple[nn.Module, nn.Module], settings: Settings
) -> None:
    lesson = compute(subject, settings)
    teacher, student = (train.predict(net, subject.images).double() for net in networks)
    rows, heat = slice(settings.image, settings.image + 1), settings.temperature
    logits = student[rows].clone().requires_grad_()
    distill.distillation_loss(logits, teacher[rows], None, heat, 0.0, 1.0).backward()
    expected = logits.grad[0] if settings.scaled else logits.grad[0] / heat**2
    torch.testing.assert_close(lesson.gradient, expected, rtol=1e-6, atol=1e-12)
    assert lesson.label == int(subject.images.labels[settings.image])


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_both_sides_are_distributions_and_the_pulls_cancel(
    subject: Subject, settings: Settings
) -> None:
    rows = explorer.temperature_table(compute(subject, settings))
    assert [row["class"] for row in rows] == list(range(10))
    assert sum(row["teacher"] for row in rows) == pytest.approx(1)
    assert sum(row["student"] for row in rows) == pytest.approx(1)
    assert sum(row["gradient"] for row in rows) == pytest.approx(0, abs=1e-9)


def test_entropy_rises_with_the_temperature_to_that_of_a_fair_draw(subject: Subject) -> None:
    entropies = [
        compute(subject, Settings(0, heat)).entropy_bits for heat in (0.01, 1.0, 4.0, 1000.0)
    ]
    assert entropies == sorted(entropies)
    assert entropies[0] == pytest.approx(0, abs=1e-6)
    assert entropies[-1] == pytest.approx(math.log2(10), abs=1e-3)


def test_entropy_is_in_bits(subject: Subject) -> None:
    lesson = compute(subject, Settings(2, 3.0))
    by_hand = -sum(p * math.log2(p) for p in lesson.teacher.tolist())
    assert lesson.entropy_bits == pytest.approx(by_hand, rel=1e-12)


def test_a_student_like_its_teacher_feels_no_pull(networks: tuple[nn.Module, nn.Module]) -> None:
    same = Subject(networks[0], networks[0], images_of(2))
    assert compute(same, Settings(1, 4.0)).pull == 0


@pytest.mark.parametrize(
    ("settings", "error", "name"),
    [
        ({"image": -1}, ValueError, "image"),
        ({"image": 0.5}, TypeError, "image"),
        ({"temperature": 0.0}, ValueError, "temperature"),
        ({"temperature": float("nan")}, ValueError, "temperature"),
        ({"scaled": 1}, TypeError, "scaled"),
    ],
)
def test_settings_out_of_range_are_named(
    settings: dict[str, Any], error: type[Exception], name: str
) -> None:
    with pytest.raises(error, match=name):
        Settings(**settings)


def test_an_image_that_is_not_there_is_named(subject: Subject) -> None:
    with pytest.raises(ValueError, match="image"):
        compute(subject, Settings(5))


def test_a_subject_needs_images_and_networks_of_the_same_classes(
    networks: tuple[nn.Module, nn.Module],
) -> None:
    with pytest.raises(ValueError, match="images must hold at least one"):
        Subject(*networks, images_of(0))
    with pytest.raises(ValueError, match="same classes, got 10 and 7"):
        Subject(networks[0], models.mlp((3,), num_classes=7), images_of(2))


def test_the_summary_names_the_two_classes_the_teacher_believes_most(subject: Subject) -> None:
    lesson = compute(subject, Settings(3, 2.0, scaled=False))
    first, second = lesson.teacher.argsort(descending=True)[:2].tolist()
    says = explorer.temperature_summary(lesson)
    assert f"{lesson.teacher[first]:.3%} {first}, {lesson.teacher[second]:.3%} {second}," in says
    assert f"a {lesson.label}, at T = 2" in says
    assert f"without T² is {lesson.pull:.2g}." in says


# Pictures


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_the_picture_shows_the_numbers(subject: Subject, settings: Settings) -> None:
    lesson = compute(subject, settings)
    image, answers, pulls, entropy = explorer.temperature_figure(subject, lesson).axes
    heights = [bar.get_height() for bar in answers.patches]
    assert heights == [*lesson.teacher.tolist(), *lesson.student.tolist()]
    assert [bar.get_height() for bar in pulls.patches] == lesson.gradient.tolist()
    low, high = pulls.get_ylim()
    assert low < lesson.gradient.min()
    assert high > lesson.gradient.max()
    here = entropy.lines[-1].get_data()
    assert (here[0][0], here[1][0]) == (settings.temperature, lesson.entropy_bits)
    shown = image.images[0].get_array()
    np.testing.assert_allclose(shown, subject.images.images[settings.image][0] / 255)


def test_the_marker_lies_on_the_curve(subject: Subject) -> None:
    heat = float(explorer._HEATS[20])
    figure = explorer.temperature_figure(subject, compute(subject, Settings(1, heat)))
    curve, here = figure.axes[3].lines[1:]
    assert curve.get_ydata()[20] == pytest.approx(here.get_ydata()[0])


def test_a_moved_picture_equals_a_new_one(subject: Subject) -> None:
    board = explorer._Board(subject)
    for settings in VARIED:
        check_moved_picture(board, explorer._Board(subject), compute(subject, settings))


def test_an_image_in_colour_can_be_drawn() -> None:
    torch.manual_seed(0)
    nets = [models.mlp((3,), in_features=3 * 28 * 28) for _ in range(2)]
    subject = Subject(*nets, images_of(2, channels=3))
    image = explorer.temperature_figure(subject, compute(subject, Settings(1))).axes[0]
    assert image.images[0].get_array().shape == (28, 28)


# The widget


@pytest.fixture
def widget(subject: Subject) -> Any:
    return explorer.temperature(subject, Settings(0, 4.0))


MOVES = [("image", 3), ("temperature T", 10.0), ("soft loss times T²", False)]


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


def test_the_page_shows_what_compute_finds(widget: Any, subject: Subject) -> None:
    control(widget, "image").value = 2
    lesson = compute(subject, Settings(2, 4.0))
    board = explorer._Board(subject)
    board.draw(lesson)
    says = explorer.temperature_summary(lesson)
    assert page(widget).endswith(board.picture.html(says))


def test_a_start_of_ones_own_is_among_the_temperatures(subject: Subject) -> None:
    slider = control(explorer.temperature(subject, Settings(0, 3.3)), "temperature T")
    offered = [value for _, value in slider.options]
    assert slider.value == 3.3
    assert offered == sorted([*explorer.TEMPERATURES, 3.3])


def test_importing_the_widget_loads_no_plotting_library() -> None:
    check_import_is_light("temperature")
