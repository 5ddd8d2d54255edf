"""Who is most accurate in a file of so many bytes?

Small networks of two kinds, a linear model, and the large LeNet-300-100 made small in several
ways, all on MNIST, all as files of at most 4, 8, 16 and 32 KB (1024 bytes each) that are read
back before they are evaluated. Random pruning is the baseline for pruning.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from statistics import fmean, stdev

import torch
from matplotlib.figure import Figure

from course_lib import cost, pareto, plot, train
from course_lib.results import Table
from experiments import _distilling as distilling
from experiments._contestants import (
    CONTESTANTS,
    Contest,
    DoesNotFitError,
)
from experiments._small_training import SEEDS, through_file
from experiments.runner import Job, Row

KEY = ("budget_bytes", "contestant", "seed")
SPREAD = {"validation_accuracy": 0.02, "test_accuracy": 0.02, "size_bytes": 600}
BUDGETS, QUICK_BUDGETS = (4096, 8192, 16384, 32768), (8192,)
QUICK = ("linear", "small conv", "pruned", "pruned at random")


def jobs(quick: bool) -> list[Job]:
    """One job per budget, contestant and seed; quick: one budget, four contestants, one seed."""
    return [
        Job(
            {"budget_bytes": budget, "contestant": name, "seed": seed},
            partial(_enter, name, Contest(budget, seed, quick)),
        )
        for seed in (SEEDS[:1] if quick else SEEDS)  # the networks of a seed stay in memory
        for budget in (QUICK_BUDGETS if quick else BUDGETS)
        for name in (QUICK if quick else CONTESTANTS)
    ]


def _enter(name: str, contest: Contest) -> Iterable[Row]:
    try:
        entry = CONTESTANTS[name](contest)
    except DoesNotFitError:
        yield dict.fromkeys(_MEASURED) | {"says": "none is small enough"}
        return
    model, size_bytes = through_file(entry.model)
    if size_bytes > contest.budget_bytes:
        raise RuntimeError(f"{name} has {size_bytes} bytes, more than {contest.budget_bytes}.")
    images = contest.images
    test = images.open_test(f"{name} in {contest.budget_bytes} bytes, seed {contest.seed}")
    yield {
        "validation_accuracy": train.evaluate(model, images.validation).accuracy,
        "test_accuracy": train.evaluate(model, test).accuracy,
        "size_bytes": size_bytes,
        "params": sum(int(p.count_nonzero()) for p in model.parameters()),
        "macs": cost.count(model, torch.zeros(1, 1, 28, 28)).macs,
        "train_images": len(images.train),
        "epochs": contest.epochs,
        "says": entry.says,
    }


_MEASURED = (
    "validation_accuracy", "test_accuracy", "size_bytes", "params", "macs", "train_images",
    "epochs",
)  # fmt: skip


def _accuracies(table: Table) -> dict[tuple[int, str], list[float]]:
    """Test accuracies, one per seed, by budget and contestant; without those that do not fit."""
    groups: dict[tuple[int, str], list[float]] = {}
    for row in map(Row, table.rows):
        if row["test_accuracy"] is not None:
            group = groups.setdefault((row["budget_bytes"], row["contestant"]), [])
            group.append(row["test_accuracy"])
    return groups


def reading(table: Table) -> str:
    """What the table says."""
    groups = _accuracies(table)
    budgets = sorted({budget for budget, _ in groups})
    measured = next(row for row in map(Row, table.rows) if row["size_bytes"])
    images, epochs = measured["train_images"], measured["epochs"]
    seeds = len({row["seed"] for row in map(Row, table.rows)})
    missing = sorted({r["contestant"] for r in map(Row, table.rows) if not r["size_bytes"]})
    absent = (
        f"No file of {', '.join(missing)} is small enough for some budget. " if missing else ""
    )
    return f"""{" ".join(_ranking(groups, budget) for budget in budgets)} {absent}Sizes are those
    of whole files, names and header included, which weigh most in the smallest. The large
    LeNet-300-100 has 266,610 numbers, so that one bit for each takes {266_610 // 8:,} bytes:
    quantization alone fits none of these budgets, and "quantized" is a smaller network of few
    bits. All learned from {images:,} images for {epochs} epochs, those made from the large network
    in addition to its own {epochs}; ± is the standard deviation over {seeds} seeds. A difference
    is shown if its 95 % interval (Welch, not corrected for many comparisons) leaves out zero, and
    a contestant whose seeds differ much may be far from the first without that. {_taught(groups)}
    {_work_per_byte(table)} The table does not show what longer training, a better temperature,
    mixed bits or pruned convolutions would reach, and MNIST is kind to small networks."""


def _ranking(groups: dict[tuple[int, str], list[float]], budget: int) -> str:
    """The contestants of one budget, best first, and who ties with the best."""
    here = {name: values for (b, name), values in groups.items() if b == budget}
    order = sorted(here, key=lambda name: -fmean(here[name]))
    listed = ", ".join(f"{name} {_says(here[name])}" for name in order)
    ties = [name for name in order[1:] if _ties(here[order[0]], here[name])]
    tied = f" (not shown to be worse than the first: {', '.join(ties)})" if ties else ""
    return f"In {budget // 1024} KB: {listed}{tied}."


def _taught(groups: dict[tuple[int, str], list[float]]) -> str:
    """What the teacher changed for the small dense network, with intervals."""
    said = []
    for budget in sorted({budget for budget, _ in groups}):
        taught, alone = groups.get((budget, "distilled")), groups.get((budget, "small dense"))
        if taught and alone:
            a, b = ([100 * value for value in values] for values in (taught, alone))
            said.append(f"{budget // 1024} KB {distilling.difference(a, b, digits=2)}")
    return f"Points gained by the teacher (distilled minus small dense): {'; '.join(said)}."


def _work_per_byte(table: Table) -> str:
    """The dense multiply-adds of each contestant for each byte of its file."""
    rates: dict[str, list[float]] = {}
    for row in map(Row, table.rows):
        if row["size_bytes"]:
            rates.setdefault(row["contestant"], []).append(row["macs"] / row["size_bytes"])
    order = sorted(rates, key=lambda name: -max(rates[name]))
    said = ", ".join(f"{name} {min(rates[name]):.1f} to {max(rates[name]):.1f}" for name in order)
    return f"Multiply-adds of dense kernels for each byte of a file, zeros included: {said}."


def _says(values: list[float]) -> str:
    spread = f" ± {100 * stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * fmean(values):.2f}{spread} %"


def _ties(a: list[float], b: list[float]) -> bool:
    return len(a) > 1 and len(b) > 1 and pareto.difference_interval(a, b)[0] <= 0


def figure(table: Table) -> tuple[Figure, str]:
    """Test error against the budget, one line per contestant, both axes logarithmic."""
    groups = _accuracies(table)
    names = [name for name in CONTESTANTS if any(name == n for _, n in groups)]
    fig, axes = plot.subplots(size=(8.6, 5.0))
    for i, name in enumerate(names):
        points = sorted((b, values) for (b, n), values in groups.items() if n == name)
        x = [budget / 1024 for budget, _ in points]
        errors = [100 * (1 - fmean(values)) for _, values in points]
        look = plot.look(i)
        if i >= 7:  # looks repeat
            look |= {"markerfacecolor": "none", "linewidth": 0.8}
        axes.plot(x, errors, **look, label=name)
    axes.set(xscale="log", yscale="log", xlabel="file size allowed (KB of 1024 bytes)")
    axes.set_xticks(sorted({b / 1024 for b, _ in groups}))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("{x:g}" if axis is axes.yaxis else "")
    seeds = max(map(len, groups.values()))
    axes.set_ylabel(f"test error (%), mean of {seeds} seed{'s' * (seeds > 1)}")
    fig.legend(loc="outside right upper")
    return fig, (
        "Test error against the bytes that a file may have, for every way to a small file; means, "
        "whose spreads are in the text"
    )


__all__ = ["KEY", "SPREAD", "figure", "jobs", "reading"]
