"""A small convolutional student on CIFAR-10, with and without a teacher

The teacher's logits are computed once for every image and its mirror image; the student sees
these with random shifts, of which the teacher knows nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from statistics import fmean

import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file, save
from torch import Tensor, nn

from course_lib import cost, data, models, plot
from course_lib.data import Dataset
from course_lib.files import write_whole
from course_lib.results import Table
from experiments import _distilling as distilling
from experiments import runner
from experiments.recipes import CIFAR_NOTE, Recipe
from experiments.runner import Job, Row

KEY = ("training", "temperature", "seed")
SPREAD = {"accuracy": 0.02, "validation_accuracy": 0.02, "size_bytes": 0, "params": 0}
SEEDS = (0, 1, 2)
TEMPERATURES = (1.0, 4.0)
STUDENT = Recipe(
    "resnet_cifar",
    "cifar10",
    epochs=3,  # passes over images and mirror images: six over the images
    learning_rate=0.1,
    arguments={"depth": 8, "width": 8},
    optimizer="sgd",
    weight_decay=5e-4,
    shift=4,
    bfloat16=True,
)
TEACHER = "vgg_cifar"
QUICK_STUDENT = replace(
    STUDENT,
    dataset="mnist",
    epochs=2,
    arguments={"depth": 8, "width": 2, "in_channels": 1},
    shift=1,
    batch_size=64,
)
QUICK_TEACHER = "lenet_300_100"
QUICK_IMAGES = 2000


def jobs(quick: bool) -> list[Job]:
    """One training per job; quick: a checkpoint for MNIST teaches a tiny student, one seed."""
    kinds = [("alone", None), *(("distilled", heat) for heat in TEMPERATURES)]
    return [
        Job(
            {"training": training, "temperature": temperature, "seed": seed},
            partial(_work, training, temperature, seed, quick),
        )
        for training, temperature, seed in [
            ("teacher", None, 0),
            *((*kind, seed) for seed in ((0,) if quick else SEEDS) for kind in kinds),
        ]
    ]


def _work(training: str, temperature: float | None, seed: int, quick: bool) -> Iterable[Row]:
    recipe = QUICK_STUDENT if quick else STUDENT
    dataset = data.load(recipe.dataset)
    dataset = distilling.small(dataset, QUICK_IMAGES) if quick else with_mirror_images(dataset)
    name = QUICK_TEACHER if quick else TEACHER
    row: Row = {"dataset": recipe.dataset if quick else CIFAR_NOTE}
    if training == "teacher":
        model = models.pretrained(name)
        (card,) = (c for c in models.checkpoints() if c.name == name)
        row |= {"model": name, "recipe": card.recipe, "seed": card.seed}
        size = card.size_bytes
    else:
        logits = teacher_logits(name, dataset) if training == "distilled" else None
        model = distilling.learn(recipe, dataset, logits, temperature, seed).model
        size, model = distilling.through_file(model)
        both = "" if quick else ", each over all images and their mirror images"
        row |= {"model": _name(recipe), "recipe": recipe.says + both}
    heat = "" if temperature is None else f" at temperature {temperature:g}"
    test = dataset.open_test(f"accuracy of the {training} network{heat}, seed {seed}")
    test = test.head(2000) if quick else test
    counted = cost.count(model, torch.zeros(1, *dataset.train.images.shape[1:]))
    row |= {"size_bytes": size, "params": counted.params, "macs": counted.macs}
    yield row | distilling.scores(model, dataset, test)


def _name(recipe: Recipe) -> str:
    return f"ResNet-{recipe.arguments['depth']}, width {recipe.arguments['width']}"


def with_mirror_images(dataset: Dataset) -> Dataset:
    """Return the data set with every training image followed, N rows later, by its mirror."""
    split = dataset.train
    images = torch.cat([split.images, split.images.flip(3)])
    return replace(dataset, train=replace(split, images=images, labels=split.labels.repeat(2)))


def teacher_logits(name: str, dataset: Dataset) -> Tensor:
    """Return what a checkpoint says about dataset.train, [N, K]; kept in SCRATCH for all jobs."""
    model = models.pretrained(name)
    path = runner.SCRATCH / f"logits-{name}-{_digest(model)}-{len(dataset.train)}.safetensors"
    if not path.exists():
        write_whole(path, save({"logits": distilling.logits_of(model, dataset.train)}))
    return load_file(path)["logits"]


def _digest(model: nn.Module) -> str:
    """Ten digits that change with the weights."""
    sha = hashlib.sha256()
    for tensor in model.state_dict().values():
        sha.update(tensor.contiguous().numpy().tobytes())
    return sha.hexdigest()[:10]


def reading(table: Table) -> str:
    """What the table says."""
    groups = _groups(table)
    teacher, alone = groups.pop("teacher")[0], groups.pop("alone")
    rows = distilling.rows_of(table)
    student = next(row for row in rows if row["training"] == "alone")
    big = next(row for row in rows if row["training"] == "teacher")
    said = ", ".join(f"{distilling.around(v, 2)} % at {name}" for name, v in groups.items())
    gains = "; ".join(
        f"{name}: {distilling.difference(v, alone, 2)}" for name, v in groups.items()
    )
    return (
        f"Data: {student['dataset']}. Test accuracy of {student['model']} "
        f"({student['params']:,} parameters), {distilling.over(alone)}: "
        f"{distilling.around(alone, 2)} % alone, distilled {said}. The teacher, "
        f"{big['model']} with {big['params']:,} parameters, has {teacher:.2f} %. Distillation "
        f"against training alone, in points: {gains}. {distilling.INTERVALS} "
        "Both trainings are equal in everything but the loss "
        f"({student['recipe']}), and short: more epochs "
        "may raise both and change their difference. What was not shown: a teacher that "
        "sees the same shifts as the student (its logits are those of the unshifted image), one "
        "trained without smoothed labels, which are said to spoil a teacher, other teachers and "
        f"students, and labels and teacher weighted otherwise than {distilling.ALPHA:g} and "
        f"{distilling.BETA:g}. One teacher serves all seeds: its chance is not in the spread."
    )


def _groups(table: Table) -> dict[str, list[float]]:
    """Test accuracy in percent by kind of training, in the order of the figure."""
    groups: dict[str, list[float]] = {"teacher": [], "alone": []}
    for row in sorted(distilling.rows_of(table), key=lambda row: row["temperature"] or 0):
        name = f"T = {row['temperature']:g}" if row["temperature"] else str(row["training"])
        groups.setdefault(name, []).append(100 * row["accuracy"])
    return groups


def figure(table: Table) -> tuple[Figure, str]:
    """Accuracy of every seed, the teacher's as a line."""
    groups = _groups(table)
    (teacher,) = groups.pop("teacher")
    fig, axes = plot.subplots(size=(6.0, 4.0))
    distilling.dots(axes, groups)
    axes.axhline(teacher, color="grey", linestyle="--", label=f"teacher, {teacher:.1f} %")
    axes.plot([], [], "o", color="black", mfc="none", label="one seed; bar: mean")
    axes.set(ylabel="test accuracy (%)", xlabel="student alone, and distilled at temperature T")
    axes.legend(loc="center right")
    means = ", ".join(f"{name} {fmean(values):.1f} %" for name, values in groups.items())
    return fig, f"Test accuracy of a small student: {means}; its teacher {teacher:.1f} %."
