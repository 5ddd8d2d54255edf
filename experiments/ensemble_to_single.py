"""Several networks distilled into one of the same size

Members differ by their random start alone. The student has the shape of a member and learns from
the mean of the members' probabilities, or, to compare, from one member.
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
TEMPERATURE = 4.0
MEMBER = Recipe(
    "mlp",
    "mnist",
    epochs=10,
    learning_rate=1e-3,
    arguments={"hidden": (100, 100)},
    batch_size=256,
)
LONGER, ENSEMBLE = "alone, as long as a student", "ensemble"
KINDS = ("alone", LONGER, ENSEMBLE, "distilled from one", "distilled from the ensemble")


def jobs(quick: bool) -> list[Job]:
    """One ensemble and what follows from it per job; quick: 3 members, few images."""
    return [
        Job({"seed": seed}, partial(_work, seed, quick)) for seed in ((0,) if quick else SEEDS)
    ]


def _work(seed: int, quick: bool) -> Iterable[Row]:
    dataset = data.load("mnist")
    member, count = MEMBER, MEMBERS
    if quick:
        dataset, count = distilling.small(dataset, 4000), QUICK_MEMBERS
        member = replace(MEMBER, batch_size=64)
    seeds = [1000 * (seed + 1) + i for i in range(count)]
    members = [distilling.learn(member, dataset, None, None, each).model for each in seeds]
    taught = distilling.taught(member)
    said = [distilling.logits_of(each, dataset.train) for each in members]
    test = dataset.open_test(f"errors of an ensemble and of its student, seed {seed}")
    lessons = {
        "alone": (member, None),
        LONGER: (taught, None),
        "distilled from one": (taught, said[0]),
        "distilled from the ensemble": (taught, distill.ensemble_logits(said, TEMPERATURE)),
    }
    for kind in KINDS:
        if kind == ENSEMBLE:
            row = _together(members, dataset, test)
        else:
            recipe, logits = lessons[kind]
            model = (
                members[0]
                if kind == "alone"
                else distilling.learn(recipe, dataset, logits, TEMPERATURE, seed).model
            )
            size, model = distilling.through_file(model)
            row = distilling.scores(model, dataset, test)
            row |= {"networks": 1, "size_bytes": size} | _cost([model], dataset)
            row["recipe"] = recipe.says
        heat = TEMPERATURE if kind.startswith("distilled") else None
        yield {"training": kind, "temperature": heat, **row}


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
    said = ", ".join(f"{kind} {distilling.around(values)}" for kind, values in counts.items())
    networks = int(max(distilling.column(table, "networks")))
    alone, together = fmean(counts["alone"]), fmean(counts[ENSEMBLE])
    single = fmean(counts["distilled from the ensemble"])
    kept = (alone - single) / (alone - together) if alone > together else float("nan")
    return (
        f"Errors on {distilling.test_images(table)} test images, "
        f"{distilling.over(counts['alone'])}: {said}. One student keeps {kept:.0%} of "
        f"what {networks} networks gain over one, at 1/{networks} of their bytes and MACs. "
        "Two controls stand beside it: training alone for as many epochs as the student, and "
        "learning from a single member; what these gain is not the ensemble's. What was not "
        f"shown: other temperatures than {TEMPERATURE:g}, larger ensembles, and a student "
        "smaller than a member."
    )


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
