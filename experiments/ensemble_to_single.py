"""Several networks distilled into one of the same size

Members differ by their random start alone and learn from a part of MNIST. The student has the
shape of a member and learns, without labels, what the members think of all training images: the
mean of their probabilities (Bucila et al. 2006; Hinton et al. 2015), or, to compare, one
member's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import Any

import torch
from matplotlib.figure import Figure

from course_lib import cost, data, distill, plot
from course_lib.data import Dataset, Split
from course_lib.results import Table
from experiments import _distilling as distilling
from experiments.recipes import Recipe
from experiments.runner import Job, Row

KEY = ("training", "seed")
SPREAD = {"errors_count": 40, "validation_errors_count": 30, "networks": 0, "params": 0}
SEEDS = (0, 1, 2)
MEMBERS, QUICK_MEMBERS = 5, 3
LABELLED, QUICK_LABELLED, QUICK_IMAGES = 10_000, 1500, 3000
TEMPERATURE = 4.0
MEMBER = Recipe(
    "mlp",
    "mnist",
    epochs=20,
    learning_rate=1e-3,
    arguments={"hidden": (100, 100)},
    batch_size=128,
)
ENSEMBLE = "ensemble"
KINDS = ("alone", ENSEMBLE, "distilled from one", "distilled from the ensemble")


def jobs(quick: bool) -> list[Job]:
    """One ensemble and what follows from it per job; quick: 3 members, few images."""
    return [
        Job({"seed": seed}, partial(_work, seed, quick)) for seed in ((0,) if quick else SEEDS)
    ]


def _work(seed: int, quick: bool) -> Iterable[Row]:
    dataset = data.load("mnist")
    recipe, count, labelled = MEMBER, MEMBERS, LABELLED
    if quick:
        dataset = distilling.small(dataset, QUICK_IMAGES)
        recipe = replace(MEMBER, batch_size=64)
        count, labelled = QUICK_MEMBERS, QUICK_LABELLED
    part = replace(dataset, train=dataset.train.head(labelled))
    seeds = [1000 * (seed + 1) + i for i in range(count)]
    members = [distilling.learn(recipe, part, None, None, each).model for each in seeds]
    said = [distilling.logits_of(each, dataset.train) for each in members]
    test = dataset.open_test(f"errors of an ensemble and of its student, seed {seed}")
    lessons = {
        "distilled from one": said[0],
        "distilled from the ensemble": distill.ensemble_logits(said, TEMPERATURE),
    }
    for kind in KINDS:
        if kind == ENSEMBLE:
            row = _together(members, dataset, test)
        else:
            model = members[0]
            if kind in lessons:
                logits = lessons[kind]
                model = distilling.learn(
                    recipe, dataset, logits, TEMPERATURE, seed, alpha=0.0
                ).model
            size, model = distilling.through_file(model)
            row = distilling.scores(model, dataset, test)
            row |= {"networks": 1, "size_bytes": size} | _cost([model], dataset)
            row["recipe"] = recipe.says
        heat = TEMPERATURE if kind.startswith("distilled") else None
        images = len(dataset.train) if heat else labelled
        yield {"training": kind, "temperature": heat, "train_images_count": images, **row}


def _together(members: list[torch.nn.Module], dataset: Dataset, test: Split) -> Row:
    """The row of the ensemble: the mean of the members' probabilities decides."""
    sizes, members = map(list, zip(*map(distilling.through_file, members), strict=True))
    row: Row = {}
    for prefix, split in (("", test), ("validation_", dataset.validation)):
        answers = [distilling.train.predict(each, split) for each in members]
        wrong = distilling.errors(distill.ensemble_probabilities(answers), split.labels)
        row[f"{prefix}errors_count"] = wrong
        row[f"{prefix}accuracy"] = 1 - wrong / len(split)
    row |= {"test_images_count": len(test), "networks": len(members), "size_bytes": sum(sizes)}
    return row | _cost(members, dataset) | {"recipe": f"{len(members)} networks as in 'alone'"}


def _cost(members: Iterable[torch.nn.Module], dataset: Dataset) -> dict[str, Any]:
    counts = [
        cost.count(each, torch.zeros(1, *dataset.train.images.shape[1:])) for each in members
    ]
    return {"params": sum(c.params for c in counts), "macs": sum(c.macs for c in counts)}


def reading(table: Table) -> str:
    """What the table says."""
    counts = _groups(table)
    alone, together, one, single = (counts[kind] for kind in KINDS)
    against = distilling.interval
    pairs = ((together, alone), (single, alone), (one, alone), (single, one))
    shown = sum(distilling.differ(*pair) for pair in pairs)
    worse = sum(student > member for student, member in zip(one, alone, strict=True))
    said = ", ".join(f"{kind} {distilling.around(values)}" for kind, values in counts.items())
    networks = int(max(distilling.column(table, "networks")))
    images, labelled = (f(distilling.column(table, "train_images_count")) for f in (max, min))
    return (
        f"Errors on {distilling.test_images(table)} test images, "
        f"{distilling.over(alone)}: {said}. Against one network, {networks} together change the "
        f"mean by {against(together, alone)}; their student, at 1/{networks} of their bytes and "
        f"MACs, by {against(single, alone)}; the student of one member by {against(one, alone)}. "
        f"The two students differ by {against(single, one)}. {_verdict(shown, len(pairs))} with "
        f"{distilling.seeds(alone)}. The student of the ensemble against the ensemble: "
        f"{against(single, together)}. {distilling.INTERVALS} They take the trainings as "
        "unrelated, though a student learns from members of its own seed; seed by seed the "
        f"student of one makes more errors than that member in {worse} of {len(one)}. Members "
        f"learned from {int(labelled):,} labelled images, students from all {int(images):,}, "
        f"without labels. With {_recipe(table)} for both, students take {images / labelled:.1f} "
        "times the steps, so a gain or a loss of theirs may come of images, steps and soft "
        "targets as well as of the ensemble. What was not shown: students with as many steps as "
        f"a member, other temperatures than {TEMPERATURE:g}, larger ensembles, and a student "
        "smaller than a member."
    )


def _verdict(shown: int, count: int) -> str:
    few = {0: "None", 1: "One"}.get(shown, str(shown))
    return f"{few} of these {count} differences {'are' if shown > 1 else 'is'} shown"


def _recipe(table: Table) -> str:
    """How all networks but the ensembles, which were not trained, learned."""
    rows = (row for row in distilling.rows_of(table) if row["training"] != ENSEMBLE)
    (recipe,) = {str(row["recipe"]) for row in rows}
    return recipe


def _groups(table: Table) -> dict[str, list[float]]:
    return {kind: distilling.column(table, "errors_count", training=kind) for kind in KINDS}


def figure(table: Table) -> tuple[Figure, str]:
    """Errors of every seed by kind of training."""
    groups = _groups(table)
    fig, axes = plot.subplots(size=(7.5, 4.0))
    broken = {
        kind.replace(", ", ",\n").replace("from ", "from\n"): v for kind, v in groups.items()
    }
    distilling.dots(axes, broken)
    axes.set(ylabel=f"errors on {distilling.test_images(table)} test images")
    axes.set_xlabel("training (circles: seeds, bar: their mean)")
    means = ", ".join(f"{kind} {fmean(values):.0f}" for kind, values in groups.items())
    return fig, f"Mean test errors on MNIST: {means}."
