"""Which temperature suits a small student, and one of few bits

Students of two hidden layers learn from the 2 x 1200 teacher of `distillation_mnist` at several
temperatures, or from the labels alone. Those of BITS_HIDDEN units are then trained on with
quantized weights (8-bit activations) by the same lesson.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from statistics import fmean, stdev
from typing import Any

import torch
from matplotlib.figure import Figure

from course_lib import cost, plot, quantize
from course_lib.results import Table
from experiments import _distilling as distilling
from experiments.distillation_mnist import recipes
from experiments.recipes import Recipe
from experiments.runner import Job, Row

KEY = ("hidden", "bits", "temperature", "seed")
SPREAD = {"errors_count": 60, "validation_errors_count": 40, "size_bytes": 0, "params": 0}
TEMPERATURES = (1.0, 2.0, 4.0, 20.0)
BITS = (8, 4, 3, 2)
FLOAT = 32
HIDDEN, BITS_HIDDEN = (10, 30, 300), 30
SEEDS = {10: 3, 30: 5, 300: 3}  # how many of each size
TEACHER_SEED = 0  # one teacher for all
STUDENT = Recipe("mlp", "mnist", epochs=15, learning_rate=2e-3, batch_size=256)
TUNING = replace(STUDENT, epochs=5, learning_rate=5e-4)


def jobs(quick: bool) -> list[Job]:
    """One student per job and its quantized forms; quick: two temperatures, two widths."""
    if quick:
        widths: dict[int, int] = {10: 1, BITS_HIDDEN: 1}
        heats: list[float | None] = [None, 1.0, 20.0]
    else:
        widths, heats = SEEDS, [None, *TEMPERATURES]
    return [
        Job(
            {"hidden": hidden, "temperature": temperature, "seed": seed},
            partial(_work, hidden, temperature, seed, quick),
        )
        for hidden, count in widths.items()
        for seed in range(count)
        for temperature in heats
    ]


def _work(hidden: int, temperature: float | None, seed: int, quick: bool) -> Iterable[Row]:
    dataset, teacher_recipe, _ = recipes(quick)
    logits = None
    if temperature is not None:
        teacher = distilling.teacher(teacher_recipe, dataset, TEACHER_SEED).model
        logits = distilling.logits_of(teacher, dataset.train)
    recipe = replace(
        STUDENT, arguments={"hidden": (hidden, hidden)}, bfloat16=hidden >= 300 and not quick
    )
    student = distilling.learn(recipe, dataset, logits, temperature, seed).model
    heat = "from labels" if temperature is None else f"at temperature {temperature:g}"
    test = dataset.open_test(f"errors of students of {hidden} units {heat}, seed {seed}")
    counted = cost.count(student, torch.zeros(1, *dataset.train.images.shape[1:]))
    shared = {"params": counted.params, "macs": counted.macs}
    bits = ((4, 2) if quick else BITS) if hidden == BITS_HIDDEN else ()
    for width in (FLOAT, *bits):
        model, tuning = student, ""
        if width != FLOAT:
            aware = quantize.quantization_aware(student, bits=width)
            tuned = distilling.learn(TUNING, dataset, logits, temperature, seed, aware).model
            model, tuning = quantize.freeze(tuned), TUNING.says
        size, model = distilling.through_file(model)
        row = {"bits": width, **distilling.scores(model, dataset, test), "size_bytes": size}
        yield row | shared | {"recipe": recipe.says, "tuning": tuning}


def best_temperatures(rows: Iterable[dict[str, Any]]) -> tuple[float, set[float]]:
    """Return the temperature of fewest mean validation errors, and all those it does not beat.

    It does not beat those whose mean is less than two standard errors of the difference away.
    """
    groups: dict[float, list[float]] = {}
    for row in rows:
        if row["temperature"] is not None:
            groups.setdefault(row["temperature"], []).append(row["validation_errors_count"])
    best = min(groups, key=lambda heat: fmean(groups[heat]))
    ties = {
        heat
        for heat, values in groups.items()
        if fmean(values) - fmean(groups[best]) <= 2 * _standard_error(values, groups[best])
    }
    return best, ties


def _standard_error(a: list[float], b: list[float]) -> float:
    """Of the difference of two means; infinite where one seed says nothing about it."""
    if min(len(a), len(b)) < 2:
        return float("inf")
    return float((stdev(a) ** 2 / len(a) + stdev(b) ** 2 / len(b)) ** 0.5)


def reading(table: Table) -> str:
    """What the table says."""
    rows = distilling.rows_of(table)

    def at(**wanted: Any) -> list[float]:
        return distilling.column(table, "errors_count", **wanted)

    heats = sorted({row["temperature"] for row in rows if row["temperature"] is not None})
    bits = sorted({row["bits"] for row in rows}, reverse=True)
    widths = sorted({row["hidden"] for row in rows})
    hot, count = heats[-1], distilling.test_images(table)
    harm = "; ".join(
        f"{_bits(b)}: {distilling.around(at(hidden=BITS_HIDDEN, bits=b, temperature=None))} from "
        f"labels, {distilling.around(at(hidden=BITS_HIDDEN, bits=b, temperature=heats[0]))} at "
        f"T = {heats[0]:g}, {distilling.around(at(hidden=BITS_HIDDEN, bits=b, temperature=hot))} "
        f"at T = {hot:g}"
        for b in bits
    )

    def favourite(**wanted: Any) -> str:
        chosen = [row for row in rows if all(row[k] == v for k, v in wanted.items())]
        best, ties = best_temperatures(chosen)
        rest = sorted(ties - {best})
        also = f" (not beating {', '.join(f'{t:g}' for t in rest)})" if rest else ""
        return f"{best:g}{also}"

    by_bits = "; ".join(f"{_bits(b)} {favourite(hidden=BITS_HIDDEN, bits=b)}" for b in bits)
    by_width = "; ".join(f"2 x {h} {favourite(hidden=h, bits=FLOAT)}" for h in widths)
    change = ", ".join(f"{_bits(b)} {_rise(rows, b, hot):+.0f}" for b in bits)
    seeds = distilling.over(at(hidden=BITS_HIDDEN, bits=FLOAT, temperature=None))
    return (
        f"Errors on {count} test images of the 2 x {BITS_HIDDEN} student, {seeds}: {harm}. "
        f"Against the best temperature of the same bits, chosen on validation, T = {hot:g} "
        f"costs: {change} errors. Best temperature by bits: {by_bits}. By size, in float: "
        f"{by_width}. Two temperatures count as different here when their mean validation "
        "errors lie two standard errors apart. "
        "What was not shown: activations of fewer than 8 bits, a temperature for the quantized "
        "training other than that of the float training, weights of labels and teacher other "
        f"than {distilling.ALPHA:g} and {distilling.BETA:g}, and any other data; all students "
        "have one and the same teacher, so its chance is not in the spread."
    )


def _rise(rows: Iterable[dict[str, Any]], bits: int, hot: float) -> float:
    """Mean test errors at the hottest temperature less those at the best on validation."""
    chosen = [row for row in rows if row["hidden"] == BITS_HIDDEN and row["bits"] == bits]
    best, _ = best_temperatures(chosen)
    hottest, coolest = (
        fmean(row["errors_count"] for row in chosen if row["temperature"] == heat)
        for heat in (hot, best)
    )
    return hottest - coolest


def _bits(bits: int) -> str:
    return "float" if bits == FLOAT else f"{bits} bits"


def figure(table: Table) -> tuple[Figure, str]:
    """Errors against temperature: by bits on the left, by size on the right."""
    fig, panels = plot.subplots(1, 2, size=(9.0, 4.2))
    rows = distilling.rows_of(table)
    bits = sorted({row["bits"] for row in rows}, reverse=True)
    widths = sorted({row["hidden"] for row in rows})
    heats = sorted({row["temperature"] or 0.0 for row in rows})
    by_bits = {_bits(b): {"hidden": BITS_HIDDEN, "bits": b} for b in bits}
    by_width = {f"2 x {h}": {"hidden": h, "bits": FLOAT} for h in widths}
    for axes, groups in zip(panels, (by_bits, by_width), strict=True):
        for i, (name, wanted) in enumerate(groups.items()):
            _line(axes, table, heats, wanted, label=name, **plot.look(i))
        axes.set_xticks(range(len(heats)), [f"{t:g}" if t else "labels" for t in heats])
        axes.set(xlabel="temperature of the lesson", yscale="log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.legend(loc="upper center", fontsize=8)
    panels[0].set_ylabel(f"errors on {distilling.test_images(table)} test images")
    panels[0].set_title(f"2 x {BITS_HIDDEN} units, by bits of the weights")
    panels[1].set_title("float, by hidden units")
    return fig, (
        "Mean test errors of small students against the temperature of their lesson, from labels "
        "alone at the left end: one line per number of bits, and one per number of hidden units."
    )


def _line(
    axes: Any, table: Table, heats: list[float], wanted: dict[str, Any], **look: Any
) -> None:
    """One series: the mean of every temperature, with the seeds' standard deviation as a bar."""
    groups = [
        distilling.column(table, "errors_count", temperature=heat or None, **wanted)
        for heat in heats
    ]
    means = [fmean(values) for values in groups]
    bars = [stdev(values) if len(values) > 1 else 0.0 for values in groups]
    axes.errorbar(range(len(heats)), means, bars, capsize=3, **look)
