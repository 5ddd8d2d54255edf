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

    It beats those from which the 95 % interval of the difference sets it apart.
    """
    groups: dict[float, list[float]] = {}
    for row in rows:
        if row["temperature"] is not None:
            groups.setdefault(row["temperature"], []).append(row["validation_errors_count"])
    best = min(groups, key=lambda heat: fmean(groups[heat]))
    ties = {
        heat
        for heat, values in groups.items()
        if heat == best or not distilling.differ(values, groups[best])
    }
    return best, ties


def reading(table: Table) -> str:
    """What the table says."""
    rows = distilling.rows_of(table)
    heats = sorted({row["temperature"] for row in rows if row["temperature"] is not None})
    cool, hot = heats[0], heats[-1]
    each = {b: _errors(table, b) for b in sorted({row["bits"] for row in rows}, reverse=True)}
    harm = "; ".join(
        f"{_bits(b)}: {distilling.around(errors[None])} from labels, "
        f"{distilling.around(errors[cool])} at T = {cool:g}, "
        f"{distilling.around(errors[hot])} at T = {hot:g}"
        for b, errors in each.items()
    )
    gain = ", ".join(
        f"{_bits(b)} {distilling.interval(errors[cool], errors[None])}"
        for b, errors in each.items()
    )
    sure = [
        _bits(b) for b, errors in each.items() if distilling.differ(errors[cool], errors[None])
    ]
    cost_of_heat = "; ".join(
        f"{_bits(b)} {distilling.difference(errors[hot], errors[_best(rows, BITS_HIDDEN, b)])}"
        for b, errors in each.items()
    )
    by_bits = "; ".join(f"{_bits(b)}: {_favourite(rows, BITS_HIDDEN, b)}" for b in each)
    by_width = "; ".join(f"2 x {h}: {_favourite(rows, h, FLOAT)}" for h in _seeds(table))
    return (
        f"Errors on {distilling.test_images(table)} test images of the 2 x {BITS_HIDDEN} "
        f"student, {distilling.over(each[FLOAT][None])}: {harm}. A lesson at T = {cool:g} "
        f"against labels: {gain}; {_shown(sure)}. Against the best temperature of the same "
        f"bits, chosen on validation, T = {hot:g} costs: {cost_of_heat}. Best temperature by "
        "bits, in brackets those that it is not shown to beat on validation: "
        f"{by_bits}. By size, in float: {by_width}. {distilling.INTERVALS} {_trainings(table)} "
        "What was not shown: activations of fewer than 8 bits, a temperature for the quantized "
        "training other than that of the float training, weights of labels and teacher other than "
        f"{distilling.ALPHA:g} and {distilling.BETA:g}, and any other data; all students have "
        "one and the same teacher, so its chance is not in the spread."
    )


def _shown(sure: list[str]) -> str:
    return f"a difference is shown for {', '.join(sure)}" if sure else "no difference is shown"


def _errors(table: Table, bits: int) -> dict[float | None, list[float]]:
    """Test errors of the students of BITS_HIDDEN units, by temperature."""
    chosen = {"hidden": BITS_HIDDEN, "bits": bits}
    return {
        heat: distilling.column(table, "errors_count", temperature=heat, **chosen)
        for heat in dict.fromkeys(row["temperature"] for row in distilling.rows_of(table))
    }


def _of(rows: Iterable[dict[str, Any]], hidden: int, bits: int) -> list[dict[str, Any]]:
    return [row for row in rows if (row["hidden"], row["bits"]) == (hidden, bits)]


def _best(rows: Iterable[dict[str, Any]], hidden: int, bits: int) -> float:
    return best_temperatures(_of(rows, hidden, bits))[0]


def _favourite(rows: Iterable[dict[str, Any]], hidden: int, bits: int) -> str:
    """The best temperature, and in brackets those that it does not beat: "1 (2, 4)"."""
    best, ties = best_temperatures(_of(rows, hidden, bits))
    rest = ", ".join(f"{heat:g}" for heat in sorted(ties - {best}))
    return f"{best:g} ({rest})" if rest else f"{best:g}"


def _seeds(table: Table) -> dict[int, list[float]]:
    """The seeds of the students of every size, from the fewest units on."""
    rows = distilling.rows_of(table)
    return {
        hidden: sorted({row["seed"] for row in rows if row["hidden"] == hidden})
        for hidden in sorted({row["hidden"] for row in rows})
    }


def _trainings(table: Table) -> str:
    """What differs between the sizes besides the size: seeds, and the arithmetic."""
    counts = ", ".join(f"2 x {h} has {distilling.seeds(s)}" for h, s in _seeds(table).items())
    rows = distilling.rows_of(table)
    half = sorted({row["hidden"] for row in rows if "bfloat16" in row["recipe"]})
    sizes = " and ".join(f"2 x {hidden}" for hidden in half)
    return f"{counts}." + (f" Only {sizes} was trained in bfloat16." if half else "")


def _bits(bits: int) -> str:
    return "float" if bits == FLOAT else f"{bits} bits"


def figure(table: Table) -> tuple[Figure, str]:
    """Errors against temperature: by bits on the left, by size on the right."""
    fig, panels = plot.subplots(1, 2, size=(9.0, 4.2))
    rows = distilling.rows_of(table)
    bits = sorted({row["bits"] for row in rows}, reverse=True)
    count = {hidden: distilling.seeds(seeds) for hidden, seeds in _seeds(table).items()}
    heats = sorted({row["temperature"] or 0.0 for row in rows})
    by_bits = {_bits(b): {"hidden": BITS_HIDDEN, "bits": b} for b in bits}
    by_width = {f"2 x {h}, {n}": {"hidden": h, "bits": FLOAT} for h, n in count.items()}
    for axes, groups in zip(panels, (by_bits, by_width), strict=True):
        for i, (name, wanted) in enumerate(groups.items()):
            _line(axes, table, heats, wanted, label=name, **plot.look(i))
        axes.set_xticks(range(len(heats)), [f"{t:g}" if t else "labels" for t in heats])
        axes.set(xlabel="temperature of the lesson", yscale="log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.legend(loc="upper center", fontsize=8)
    images = distilling.test_images(table)
    panels[0].set_ylabel(f"errors on {images} test images:\nmean, standard deviation over seeds")
    panels[0].set_title(f"2 x {BITS_HIDDEN} units, {count[BITS_HIDDEN]}, by bits of the weights")
    panels[1].set_title("float, by hidden units")
    spread = ", ".join(f"{n} for 2 x {hidden}" for hidden, n in count.items())
    return fig, (
        "Mean test errors of small students against the temperature of their lesson, from labels "
        "alone at the left end: one line per number of bits, and one per number of hidden units; "
        f"error bars are standard deviations over seeds ({spread})."
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
