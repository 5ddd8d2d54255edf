"""A student that never saw some digits (Hinton et al. 2015, section 3)

The transfer set lacks every 3, or holds nothing but 7 and 8. What the student knows about the
others comes from the small probabilities that the teacher gives them. Its biases for digits
that were rare in the transfer set are wrong; one number, chosen on the validation split, is then
added to them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from statistics import fmean

import torch
from matplotlib.figure import Figure
from torch import Tensor

from course_lib import plot, published, train
from course_lib.data import Dataset
from course_lib.results import Table
from experiments import _distilling as distilling
from experiments.distillation_mnist import recipes
from experiments.runner import Job, Row

KEY = ("transfer_set", "targets", "bias", "seed")
SPREAD = {"errors_count": 120, "errors_on_missing_count": 80, "missing_images_count": 0}
SEEDS = (0, 1, 2)
TEMPERATURE = 20.0
LEARNED, FIXED = "as learned", "chosen on validation"
SETS = {"all but 3": tuple(d for d in range(10) if d != 3), "only 7 and 8": (7, 8)}
SHIFTED = {"all but 3": (3,), "only 7 and 8": (7, 8)}  # whose biases are changed, together
OFFSETS = torch.arange(-400, 401, dtype=torch.float32) / 10


def jobs(quick: bool) -> list[Job]:
    """One student per job, which gives two rows; quick: one seed, fewer units and images."""
    return [
        Job(
            {"transfer_set": name, "targets": targets, "seed": seed},
            partial(_work, name, targets, seed, quick),
        )
        for seed in ((0,) if quick else SEEDS)
        for name in SETS
        for targets in ("teacher", "labels")
    ]


def _work(name: str, targets: str, seed: int, quick: bool) -> Iterable[Row]:
    dataset, teacher_recipe, recipe = recipes(quick)
    transfer = restricted(dataset, SETS[name])
    logits = None
    if targets == "teacher":
        teacher = distilling.teacher(teacher_recipe, dataset, seed).model
        logits = distilling.logits_of(teacher, transfer.train)
        recipe = distilling.taught(recipe)
    student = distilling.learn(recipe, transfer, logits, TEMPERATURE, seed).model
    size, student = distilling.through_file(student)
    answers = train.predict(student, dataset.validation)
    chosen = best_offset(answers, dataset.validation.labels, SHIFTED[name], OFFSETS)
    claim = f"errors of a student of {targets}, transfer set {name}, seed {seed}"
    test = dataset.open_test(claim)
    missing = [digit for digit in range(10) if digit not in SETS[name]]
    spoken = train.predict(student, test)
    for bias, offset in ((LEARNED, 0.0), (FIXED, chosen)):
        changed = with_offset(spoken, SHIFTED[name], offset)
        checked = with_offset(answers, SHIFTED[name], offset)
        yield {
            "bias": bias,
            "bias_change": offset,
            "changed_digits": " ".join(map(str, SHIFTED[name])),
            "temperature": TEMPERATURE if targets == "teacher" else None,
            "transfer_images_count": len(transfer.train),
            "errors_count": distilling.errors(changed, test.labels),
            "errors_on_missing_count": distilling.errors(changed, test.labels, missing),
            "missing_images_count": int(torch.isin(test.labels, torch.tensor(missing)).sum()),
            "test_images_count": len(test),
            "validation_errors_count": distilling.errors(checked, dataset.validation.labels),
            "size_bytes": size,
            "recipe": recipe.says,
        }


def restricted(dataset: Dataset, digits: Iterable[int]) -> Dataset:
    """Return the data set with these digits alone for training and for choosing the epoch."""
    wanted = torch.tensor(list(digits))
    splits = [
        distilling.only(split, torch.isin(split.labels, wanted))
        for split in (dataset.train, dataset.validation)
    ]
    return replace(dataset, train=splits[0], validation=splits[1])


def with_offset(logits: Tensor, classes: Iterable[int], offset: float) -> Tensor:
    """Return logits [N, K] with `offset` added to those of `classes`: the biases' change."""
    changed = logits.clone()
    changed[:, list(classes)] += offset
    return changed


def best_offset(logits: Tensor, labels: Tensor, classes: Iterable[int], offsets: Tensor) -> float:
    """Return the offset with the fewest errors; of several, the middle one.

    logits: [N, K]; labels: int64 [N]; offsets: [M], ascending.
    """
    counts = torch.tensor(
        [distilling.errors(with_offset(logits, classes, float(o)), labels) for o in offsets]
    )
    best = (counts == counts.min()).nonzero().flatten()
    return round(float(offsets[best[len(best) // 2]]), 3)


def reading(table: Table) -> str:
    """What the table says."""

    def said(name: str, targets: str, bias: str, column: str = "errors_count") -> list[float]:
        where = {"transfer_set": name, "targets": targets, "bias": bias}
        return distilling.column(table, column, **where)

    def both(name: str, targets: str) -> str:
        before, after = said(name, targets, LEARNED), said(name, targets, FIXED)
        missing = "errors_on_missing_count"
        lost = said(name, targets, LEARNED, missing), said(name, targets, FIXED, missing)
        around = distilling.around
        return (
            f"{around(before)} errors ({around(lost[0])} on missing digits) before and "
            f"{around(after)} ({around(lost[1])}) after "
            f"{'both biases' if len(SHIFTED[name]) > 1 else 'the bias'} changed by "
            f"{_change(said(name, targets, FIXED, 'bias_change'))}"
        )

    threes, others = "all but 3", "only 7 and 8"
    theirs = _paper()
    known = 1 - fmean(said(threes, "teacher", FIXED, "errors_on_missing_count")) / fmean(
        said(threes, "teacher", FIXED, "missing_images_count")
    )
    return (
        f"{distilling.test_images(table)} test images, "
        f"{distilling.over(said(threes, 'teacher', FIXED))}. Without any 3 in the transfer set "
        f"the student of the teacher makes {both(threes, 'teacher')}: it knows {known:.1%} of a "
        f"digit it never saw. The paper has {theirs[0]} (on 3: {theirs[1]}) and {theirs[2]} "
        f"({theirs[3]}). With labels instead of a teacher: {both(threes, 'labels')}. From 7 and 8 "
        f"alone: {both(others, 'teacher')}; with labels: {both(others, 'labels')}. The change is "
        "chosen on the validation split, which holds the missing digits (the paper chose it on "
        f"the test set); the epoch is chosen without them.{_edges(table)} What was not shown: how "
        "to choose the bias without labelled examples of the missing digits, and whether the "
        f"temperature {TEMPERATURE:g}, the only one tried, matters here."
    )


def _change(values: list[float]) -> str:
    """Mean and standard deviation with the sign of the mean: "+1.2 ± 0.3"."""
    sign = "+" if fmean(values) > 0 else ""
    return sign + distilling.around(values, 1)


def _edges(table: Table) -> str:
    """A sentence on changes that went as far as was tried, and might have gone further."""
    limit = float(OFFSETS.abs().max())
    chosen = distilling.column(table, "bias_change", bias=FIXED)
    count = sum(abs(change) >= limit - 1e-6 for change in chosen)
    if not count:
        return ""
    return (
        f" For {count} of {len(chosen)} students it is the largest that was tried "
        f"(±{limit:g}), so a larger one may be better."
    )


def _paper() -> list[int]:
    rows = distilling.rows_of(published.table("distillation_mnist"))
    left_out = [row for row in rows if "every 3 left out" in str(row["training"])]
    return [row[c] for row in left_out for c in ("errors_count", "errors_on_threes_count")]


def figure(table: Table) -> tuple[Figure, str]:
    """Errors in all and on missing digits, before and after, one panel per transfer set."""
    fig, panels = plot.subplots(1, 2, size=(8.5, 4.0), sharey=True)
    for axes, name in zip(panels, SETS, strict=True):
        for i, (targets, bias) in enumerate(
            (t, b) for t in ("teacher", "labels") for b in (LEARNED, FIXED)
        ):
            where = {"transfer_set": name, "targets": targets, "bias": bias}
            for column, shift, marker in (
                ("errors_count", -0.12, "o"),
                ("errors_on_missing_count", 0.12, "x"),
            ):
                values = distilling.column(table, column, **where)
                axes.plot([i + shift] * len(values), values, marker, color="black", mfc="none")
        names = [f"{t},\n{b}" for t in ("teacher", "labels") for b in ("learned", "fixed")]
        axes.set_xticks(range(4), names)
        axes.set(title=f"transfer set: {name}", yscale="log", xlabel="targets and bias")
    panels[0].set_ylabel(f"errors on {distilling.test_images(table)} test images")
    panels[0].plot([], [], "o", color="black", mfc="none", label="all digits")
    panels[0].plot([], [], "x", color="black", label="missing digits")
    panels[0].legend()
    return fig, (
        "Test errors of students that never saw some digits: taught by a teacher or by labels, "
        "with the biases as learned and as chosen on validation; every seed is one mark."
    )
