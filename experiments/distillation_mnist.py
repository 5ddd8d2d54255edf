"""What a large network teaches a smaller one on MNIST (Hinton et al. 2015, section 3)

The teacher, 2 x 1200 units, saw shifted images, dropout and limited weight norms. The student,
2 x 800 units, sees the plain images without any regularization: alone, or asked to match the
teacher's softened outputs as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import Any

import torch
from matplotlib.figure import Figure

from course_lib import cost, data, plot, published
from course_lib.results import Table
from experiments import _distilling as distilling
from experiments.recipes import Recipe
from experiments.runner import Job, Row

KEY = ("training", "temperature", "seed")
SPREAD = {"errors_count": 30, "validation_errors_count": 25, "size_bytes": 0, "params": 0}
SEEDS = (0, 1, 2)
TEMPERATURES = (1.0, 4.0, 20.0)
STUDENT = Recipe(
    "mlp",
    "mnist",
    epochs=15,
    learning_rate=1e-3,
    arguments={"hidden": (800, 800)},
    batch_size=256,
    bfloat16=True,
)
SMALL_STUDENT = replace(STUDENT, epochs=12, arguments={"hidden": (200, 200)}, batch_size=128)
QUICK_IMAGES = 4000


def jobs(quick: bool) -> list[Job]:
    """One training per job; quick: one seed, fewer units, 4000 training images."""
    kinds: list[tuple[str, float | None]] = [("teacher", None), ("alone", None)]
    kinds += [("distilled", t) for t in ((4.0, 20.0) if quick else TEMPERATURES)]
    return [
        Job(
            {"training": training, "temperature": temperature, "seed": seed},
            partial(_work, training, temperature, seed, quick),
        )
        for seed in ((0,) if quick else SEEDS)
        for training, temperature in kinds
    ]


def recipes(quick: bool) -> tuple[data.Dataset, Recipe, Recipe]:
    """Return data set, teacher's recipe, student's recipe."""
    dataset = data.load("mnist")
    if quick:
        small = distilling.small(dataset, QUICK_IMAGES)
        return small, distilling.SMALL_TEACHER, SMALL_STUDENT
    return dataset, distilling.TEACHER, STUDENT


def _work(training: str, temperature: float | None, seed: int, quick: bool) -> Iterable[Row]:
    dataset, teacher_recipe, recipe = recipes(quick)
    extra: dict[str, Any] = {}
    if training == "teacher":
        recipe = teacher_recipe
        trained = distilling.teacher(recipe, dataset, seed)
        model, extra["seconds"] = trained.model, round(trained.seconds, 3)
    else:
        logits = None
        if training == "distilled":
            teacher = distilling.teacher(teacher_recipe, dataset, seed).model
            logits = distilling.logits_of(teacher, dataset.train)
            recipe = distilling.taught(recipe)
        result = distilling.learn(recipe, dataset, logits, temperature, seed)
        model, extra["best_epoch"] = result.model, result.best_epoch
    size, model = distilling.through_file(model)
    heat = "" if temperature is None else f" at temperature {temperature:g}"
    test = dataset.open_test(f"errors on MNIST of the {training} network{heat}, seed {seed}")
    counted = cost.count(model, torch.zeros(1, *dataset.train.images.shape[1:]))
    yield {
        "model": " x ".join(["2", str(recipe.arguments["hidden"][0])]),
        **distilling.scores(model, dataset, test),
        "size_bytes": size,
        "params": counted.params,
        "macs": counted.macs,
        "recipe": _says(recipe, training),
        "epochs": recipe.epochs,
        **extra,
    }


def _says(recipe: Recipe, training: str) -> str:
    if training == "teacher":
        dropout, limit = recipe.arguments["dropout"], distilling.NORM_LIMIT
        return f"{recipe.says}, dropout {dropout:g}, weights into a unit of length <= {limit:g}"
    if training == "distilled":
        return f"{recipe.says}, {distilling.ALPHA:g} labels + {distilling.BETA:g} teacher"
    return recipe.says


def reading(table: Table) -> str:
    """What the table says."""
    counts = _groups(table)
    teacher, alone = counts.pop("teacher"), counts.pop("alone")
    checked = _groups(table, "validation_errors_count")
    best = min(counts, key=lambda name: fmean(checked[name]))
    said = ", ".join(f"{distilling.around(v)} at {name}" for name, v in counts.items())
    gap = fmean(alone) - fmean(teacher)
    closed = (fmean(alone) - fmean(counts[best])) / gap if gap > 0 else float("nan")
    paper = _paper()
    images = distilling.test_images(table)
    return (
        f"Errors on {images} test images, {distilling.over(alone)}: "
        f"teacher {distilling.around(teacher)}, student alone {distilling.around(alone)}, "
        f"distilled {said}. At {best}, the best on validation, distillation closes {closed:.0%} "
        "of the gap between student and teacher, though the transfer set holds none of the "
        "shifted images that the teacher learned from. The paper has "
        f"{paper['teacher']}, {paper['alone']} and, at T = 20, {paper['T = 20']} errors, with a "
        "training of its own (60,000 images; ours keeps 5,000 for validation). The student alone "
        "trains half as long as a taught one; validation picks the epoch of either. What was not "
        "shown: which of the temperatures is best where they differ by less than the spread; what "
        "shifts would have given the student directly; and whether the weights of labels "
        f"({distilling.ALPHA:g}) and teacher ({distilling.BETA:g}), which were not tuned, matter. "
        "Seed n of a student has the teacher of seed n, so the spread is that of both."
    )


def _groups(table: Table, column: str = "errors_count") -> dict[str, list[float]]:
    """Errors by kind of training, in the order of the figure."""
    groups: dict[str, list[float]] = {"teacher": [], "alone": []}
    for row in sorted(distilling.rows_of(table), key=lambda row: row["temperature"] or 0):
        name = f"T = {row['temperature']:g}" if row["temperature"] else str(row["training"])
        groups.setdefault(name, []).append(row[column])
    return groups


def _paper() -> dict[str, int]:
    rows = distilling.rows_of(published.table("distillation_mnist"))
    by_training = {str(row["training"]): row["errors_count"] for row in rows}
    return {
        "teacher": by_training["teacher, with dropout"],
        "alone": by_training["student alone"],
        "T = 20": by_training["distilled"],
    }


def figure(table: Table) -> tuple[Figure, str]:
    """Errors of every seed by kind of training, beside the paper's."""
    groups, paper = _groups(table), _paper()
    count = distilling.test_images(table)
    fig, axes = plot.subplots(size=(6.5, 4.0))
    distilling.dots(axes, groups)
    places = {name: place for place, name in enumerate(groups)}
    theirs = {name: errors * count / 10_000 for name, errors in paper.items() if name in places}
    axes.plot(
        [places[name] for name in theirs],
        list(theirs.values()),
        "x",
        color="grey",
        markersize=9,
        label="Hinton et al. 2015",
    )
    axes.plot([], [], "o", color="black", mfc="none", label="one seed; bar: mean")
    axes.set(
        ylabel=f"errors on {count} test images",
        ylim=(0, None),
    )
    shapes = {row["training"]: row["model"] for row in distilling.rows_of(table)}
    axes.set_xlabel(
        f"{shapes['teacher']} teacher, {shapes['alone']} student alone and distilled at T"
    )
    axes.legend()
    means = ", ".join(f"{name} {fmean(values):.0f}" for name, values in groups.items())
    return fig, f"Mean test errors on MNIST: {means}; dots for seeds and crosses for the paper."
