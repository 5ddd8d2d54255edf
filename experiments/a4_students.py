"""What the student of assignment A4 learns with and without its teacher

A network of 16 hidden units, 2,000 MNIST images of which 100 have labels, and the pretrained
LeNet-300-100: the thresholds of the assignment's graded training (section 6.3) rest on this table.
Images, labels and students are drawn anew for every seed, as the grader draws them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import partial
from statistics import fmean, stdev

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from course_lib import data, distill, models, plot, train
from course_lib.results import Table
from experiments import _distilling as distilling
from experiments.runner import Job, Row

KEY = ("training", "seed")
SPREAD = {"validation_accuracy": 0.02}
TRAININGS = ("labels alone", "teacher's decisions", "taught")
SEEDS = range(24)
IMAGES = 2000
LABELLED = 100
HIDDEN = 16
BATCH = 100
RATE = 0.005
EPOCHS = 10
EPOCHS_ALONE = 200  # as many steps on 100 images as EPOCHS on all of them
TEMPERATURE = 4.0
THRESHOLDS = (0.81, 0.85)  # of the assignment's two test cells


def jobs(quick: bool) -> list[Job]:
    """One student per job; quick: three seeds."""
    return [
        Job({"training": training, "seed": seed}, partial(_work, training, seed))
        for seed in (range(3) if quick else SEEDS)
        for training in TRAININGS
    ]


def _work(training: str, seed: int) -> Iterable[Row]:
    mnist = data.load("mnist")
    rows = torch.tensor(random.Random(seed).sample(range(len(mnist.train)), IMAGES))
    images, labels = mnist.train.inputs(rows), mnist.train.labels[rows[:LABELLED]]
    with torch.no_grad():
        beliefs = models.pretrained("lenet_300_100").eval()(images)
    alone = training == "labels alone"
    if alone:
        student = learn(images[:LABELLED], labels, seed, EPOCHS_ALONE)
    elif training == "taught":
        student = learn(images, beliefs, seed, EPOCHS)
    else:
        student = learn(images, beliefs.argmax(1), seed, EPOCHS)
    yield {
        "validation_accuracy": train.evaluate(student, mnist.validation).accuracy,
        "images": LABELLED if alone else IMAGES,
        "labels": 0 if not alone else LABELLED,
        "epochs": EPOCHS_ALONE if alone else EPOCHS,
    }


def learn(images: Tensor, targets: Tensor, seed: int, epochs: int) -> nn.Module:
    """Train the student of `seed`, in eval mode, as the assignment's model answer does.

    images: [N, 1, 28, 28]. targets: labels, int64 [N], or a teacher's logits, float [N, 10].
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        student = models.mlp((HIDDEN,))
    optimizer = torch.optim.Adam(student.parameters(), lr=RATE)
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(images), generator=order).split(BATCH):
            loss = _loss(student(images[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return student.eval()


def _loss(answers: Tensor, targets: Tensor) -> Tensor:
    if targets.is_floating_point():
        return distill.distillation_loss(answers, targets, None, TEMPERATURE, 0.0, 1.0)
    return F.cross_entropy(answers, targets)


def _groups(table: Table) -> dict[str, list[float]]:
    """Accuracies in per cent by training, in the order of the figure."""
    return {
        training: [
            100 * value
            for value in distilling.column(table, "validation_accuracy", training=training)
        ]
        for training in TRAININGS
    }


def reading(table: Table) -> str:
    """What the table says."""
    groups = _groups(table)
    alone, decided, taught = (groups[training] for training in TRAININGS)
    low, high = (100 * threshold for threshold in THRESHOLDS)
    return (
        f"Right on validation images in per cent, {distilling.over(alone)}: "
        f"{distilling.around(alone, 1)} on {LABELLED} labels alone (the best {max(alone):.1f}), "
        f"{distilling.around(taught, 1)} taught on {IMAGES} images (the worst {min(taught):.1f}), "
        f"{distilling.around(decided, 1)} on the teacher's decisions about the same images. "
        f"The assignment asks for {low:g} %, {(low - fmean(alone)) / stdev(alone):.1f} standard "
        f"deviations above a student without a teacher, and for {high:g} %, "
        f"{(fmean(taught) - high) / stdev(taught):.1f} below a taught one. Every seed has images, "
        "first weights and batches of its own. The three trainings take the same number of "
        "batches. What was not shown: whether doubts (soft targets) help beyond decisions where "
        "the two differ by less than their spread, and that no better training without the "
        "teacher exists: rates and epochs were not tuned."
    )


def figure(table: Table) -> tuple[Figure, str]:
    """Accuracy of every seed by kind of training, with the assignment's thresholds."""
    groups = _groups(table)
    fig, axes = plot.subplots(size=(6.5, 4.0))
    distilling.dots(axes, groups)
    for threshold in THRESHOLDS:
        axes.axhline(100 * threshold, color="grey", linestyle="--", linewidth=1)
    axes.set(ylabel="right on validation images (%)", ylim=(50, 100))
    axes.set_xlabel("dots: seeds; bars: means; dashed: the assignment's thresholds")
    means = ", ".join(f"{name} {fmean(values):.1f} %" for name, values in groups.items())
    return fig, f"Right on validation images: {means}; every seed a dot."
