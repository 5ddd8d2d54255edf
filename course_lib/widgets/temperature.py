"""Explorer: what a student sees of a teacher's answer at a temperature, and how hard it pulls.

For one image at a time: both networks' tempered probabilities, the entropy of the teacher's, and
the gradient of the soft loss with respect to the student's logits, with or without the factor T^2.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import distill, plot, train
from course_lib._validate import check_int, check_number
from course_lib.data import Split
from course_lib.widgets._explorer import WIDE, Picture, explorer, set_titles, start_titles

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

TEMPERATURES = (
    *(0.5, 0.7, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0),
    *(8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0),
)  # of the slider
_HEATS = np.geomspace(
    TEMPERATURES[0], TEMPERATURES[-1], 60
)  # where the curve of the entropy is drawn


@dataclass(frozen=True)
class Settings:
    """Which image, at which temperature; `scaled`: whether the soft loss is multiplied by T^2."""

    image: int = 0
    temperature: float = 1.0
    scaled: bool = True

    def __post_init__(self) -> None:
        check_int("image", self.image, minimum=0)
        check_number("temperature", self.temperature, minimum=0.01, maximum=1000.0)
        if not isinstance(self.scaled, bool):
            raise TypeError(f"scaled must be True or False, got {self.scaled!r}.")


@dataclass(frozen=True)
class Lesson:
    """What `compute` found, per class [K]: two distributions, and d loss / d student logits."""

    settings: Settings
    label: int
    teacher: Tensor = field(repr=False)
    student: Tensor = field(repr=False)
    gradient: Tensor = field(repr=False)

    @property
    def entropy_bits(self) -> float:
        """Of the teacher's probabilities: 0 if it is certain, log2 K if it says nothing."""
        return _entropy_bits(self.teacher)

    @property
    def pull(self) -> float:
        """Length of the gradient."""
        return self.gradient.norm().item()


class Subject:
    """The images to choose from, and what a teacher and a student answer to each.

    Both networks map the inputs of `images` to logits [N, K]. ValueError if there are no images or
    the networks differ in K.
    """

    def __init__(self, teacher: nn.Module, student: nn.Module, images: Split) -> None:
        if len(images) == 0:
            raise ValueError("images must hold at least one image, got none.")
        self.images = images
        self.teacher = train.predict(teacher, images).double()
        self.student = train.predict(student, images).double()
        if self.teacher.shape != self.student.shape:
            raise ValueError(
                "teacher and student must know the same classes, "
                f"got {self.teacher.shape[1]} and {self.student.shape[1]}."
            )

    @property
    def classes(self) -> int:
        return self.teacher.shape[1]


def compute(subject: Subject, settings: Settings) -> Lesson:
    """Soften both answers to the image and take the gradient of KL(teacher || student).

    That gradient is (student - teacher) / T, times T^2 if `settings.scaled`.
    """
    image = check_int("image", settings.image, 0, len(subject.images) - 1)
    heat = settings.temperature
    teacher = distill.tempered_softmax(subject.teacher[image], heat)
    student = distill.tempered_softmax(subject.student[image], heat)
    factor = heat if settings.scaled else 1 / heat
    label = int(subject.images.labels[image])
    return Lesson(settings, label, teacher, student, factor * (student - teacher))


def temperature_table(lesson: Lesson) -> list[dict[str, Any]]:
    """Return one row per class: class, teacher, student (fractions), gradient."""
    columns = (lesson.teacher, lesson.student, lesson.gradient)
    return [
        {"class": number, "teacher": teacher, "student": student, "gradient": gradient}
        for number, (teacher, student, gradient) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        )
    ]


def temperature_summary(lesson: Lesson) -> str:
    """Say in a sentence what the teacher tells about the image, and how hard it pulls."""
    shares, classes = lesson.teacher.topk(min(2, len(lesson.teacher)))
    said = ", ".join(
        f"{share:.3%} {number}"
        for share, number in zip(shares.tolist(), classes.tolist(), strict=True)
    )
    factor = "with" if lesson.settings.scaled else "without"
    return (
        f"Image {lesson.settings.image}, a {lesson.label}, at T = "
        f"{lesson.settings.temperature:.3g}: the teacher says {said}, "
        f"{lesson.entropy_bits:.2f} bits; the pull {factor} T² is {lesson.pull:.2g}."
    )


def temperature_figure(subject: Subject, lesson: Lesson) -> Figure:
    """Draw the image, both distributions, the gradient and the entropy at all temperatures."""
    board = _Board(subject)
    board.draw(lesson)
    return board.figure


def temperature(subject: Subject, settings: Settings | None = None) -> VBox:
    """Return the explorer for a notebook; it starts at `settings`."""
    import ipywidgets as widgets

    first, board = settings or Settings(), _Board(subject)
    heats = sorted({*TEMPERATURES, first.temperature})

    def draw(**values: Any) -> tuple[Picture, str]:
        lesson = compute(subject, replace(first, **values))
        board.draw(lesson)
        return board.picture, temperature_summary(lesson)

    controls = {
        "image": widgets.IntSlider(
            first.image, 0, len(subject.images) - 1, description="image", **WIDE
        ),
        "temperature": widgets.SelectionSlider(
            options=[(f"{heat:g}", heat) for heat in heats], value=first.temperature,
            description="temperature T", **WIDE,
        ),
        "scaled": widgets.Checkbox(first.scaled, description="soft loss times T²", **WIDE),
    }  # fmt: skip
    return explorer(controls, draw)


def _entropy_bits(probabilities: Tensor) -> float:
    return torch.special.entr(probabilities).sum().item() / float(np.log(2))


class _Board:
    """One figure whose artists move: see `Picture`."""

    def __init__(self, subject: Subject) -> None:
        from matplotlib.figure import Figure

        self._subject = subject
        self.figure = Figure(figsize=(9.6, 3.2))
        with plot.style():
            panels = self.figure.subplots(1, 4, width_ratios=(1.0, 2.6, 2.2, 2.0))
        self.figure.subplots_adjust(left=0.01, right=0.985, top=0.86, bottom=0.17, wspace=0.38)
        self._image, self._answers, self._pulls, self._entropy = panels
        self._start_image()
        self._start_bars()
        self._start_entropy()
        self._titles = start_titles(panels)
        bars = [*self._teacher, *self._student, *self._gradient]
        self.picture = Picture(
            self.figure, [self._shown, *bars, self._curve, self._here, *self._titles]
        )

    def _start_image(self) -> None:
        self._image.set_axis_off()
        first = _grey(self._subject, 0)
        self._shown = self._image.imshow(first, cmap="gray_r", vmin=0, vmax=1)

    def _start_bars(self) -> None:
        classes, edge = np.arange(self._subject.classes), {"edgecolor": "black", "linewidth": 0.5}
        zeros, blue, orange = 0 * classes, plot.PALETTE["blue"], plot.PALETTE["orange"]
        self._teacher = self._answers.bar(
            classes - 0.2, zeros, 0.4, color=blue, label="teacher", **edge
        )
        self._student = self._answers.bar(
            classes + 0.2, zeros, 0.4, color=orange, label="student", hatch="///", **edge
        )
        self._answers.set(ylim=(0, 1.02), ylabel="probability at T")
        self._answers.legend(fontsize=8, loc="upper right", ncols=2)
        self._gradient = self._pulls.bar(classes, zeros, 0.7, color="0.7", **edge)
        limit = 1.1 * self._largest_gradient()
        self._pulls.set(ylim=(-limit, limit), ylabel="d loss / d student logit")
        self._pulls.axhline(0, color="black", linewidth=0.8)
        for axes in (self._answers, self._pulls):
            axes.set(xlabel="class", xlim=(-0.6, len(classes) - 0.4), xticks=classes)
            axes.grid(visible=False, axis="x")

    def _largest_gradient(self) -> float:
        """With the factor T^2, over all images and the slider's temperatures."""
        teacher, student = self._subject.teacher, self._subject.student
        return max(
            heat * _difference(teacher, student, heat).abs().max().item() for heat in _HEATS
        )

    def _start_entropy(self) -> None:
        axes, most = self._entropy, np.log2(self._subject.classes)
        axes.set(xscale="log", xlim=(TEMPERATURES[0], TEMPERATURES[-1]), xlabel="temperature T")
        axes.set(ylim=(0, 1.08 * most), ylabel="teacher's entropy [bits]")
        ticks = (0.5, 1, 2, 5, 10, 20, 50)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.axhline(most, color="grey", linestyle=":")
        (self._curve,) = axes.plot([], [], color=plot.PALETTE["blue"])
        (self._here,) = axes.plot([], [], "o", color=plot.PALETTE["vermillion"], markersize=9)

    def draw(self, lesson: Lesson) -> None:
        """Move the artists to what the lesson says."""
        chosen, teacher = lesson.settings, self._subject.teacher[lesson.settings.image]
        self._shown.set_data(_grey(self._subject, chosen.image))
        for bars, values in (
            (self._teacher, lesson.teacher),
            (self._student, lesson.student),
            (self._gradient, lesson.gradient),
        ):
            for bar, value in zip(bars, values.tolist(), strict=True):
                bar.set_height(value)
        curve = [_entropy_bits(distill.tempered_softmax(teacher, heat)) for heat in _HEATS]
        self._curve.set_data(_HEATS, curve)
        self._here.set_data([chosen.temperature], [lesson.entropy_bits])
        words = (
            f"a {lesson.label}",
            f"answers at T = {chosen.temperature:.3g}",
            f"gradient{' times T²' if chosen.scaled else ''}, length {lesson.pull:.2g}",
            f"{lesson.entropy_bits:.2f} bits",
        )
        set_titles(self._titles, words)


def _difference(teacher: Tensor, student: Tensor, heat: float) -> Tensor:
    return distill.tempered_softmax(student, heat) - distill.tempered_softmax(teacher, heat)


def _grey(subject: Subject, image: int) -> np.ndarray:
    """The image's mean over channels, [C, H, W] -> [H, W] in [0, 1]."""
    return (subject.images.images[image].double().mean(dim=0) / 255).numpy()
