"""What the tables on distillation share: teachers, lessons that look logits up, files, dots.

A transfer set without random changes lets the teacher speak once per image: its logits are
stored, and a lesson finds those of a batch by row number. A student then trains as fast as
without a teacher.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn

from course_lib import distill, pareto, quantize, train
from course_lib.data import Dataset, Split
from course_lib.files import write_whole
from course_lib.results import Table
from experiments import runner
from experiments.recipes import Recipe

NORM_LIMIT = 2.0  # of the weights into one unit of a teacher
ALPHA = 0.1  # weight of the labels
BETA = 1 - ALPHA  # weight of the teacher
TEACHER = Recipe(
    "mlp",
    "mnist",
    epochs=30,
    learning_rate=1e-3,
    arguments={"hidden": (1200, 1200), "dropout": 0.5},
    batch_size=256,
    shift=2,
    bfloat16=True,
)
SMALL_TEACHER = replace(  # for quick runs
    TEACHER, epochs=12, arguments={"hidden": (400, 400), "dropout": 0.2}, batch_size=128
)


@dataclass(frozen=True)
class Trained:
    """A teacher in eval mode and the seconds that its training took, now or in an earlier run."""

    model: nn.Module
    seconds: float


def teacher(recipe: Recipe, dataset: Dataset, seed: int, limit: float = NORM_LIMIT) -> Trained:
    """Train the teacher of `seed`, or read it from SCRATCH where an earlier job left it."""
    card = f"{recipe} {dataset.name} {len(dataset.train)} {limit}"
    digest = hashlib.sha256(card.encode()).hexdigest()[:10]
    path = runner.SCRATCH / f"teacher-{digest}-{seed}.safetensors"
    if not path.exists():
        begin = time.perf_counter()
        result = recipe.train(dataset, seed, after_step=partial(limit_norms, limit=limit))
        seconds = time.perf_counter() - begin
        write_whole(path, save(result.model.state_dict(), {"seconds": json.dumps(seconds)}))
    model = recipe.untrained(seed)
    model.load_state_dict(load_file(path))
    with safe_open(path, "pt") as file:
        return Trained(model.eval(), json.loads(file.metadata()["seconds"]))


@torch.no_grad()
def limit_norms(model: nn.Module, limit: float) -> None:
    """Scale down, in place, the weights into every unit whose length exceeds `limit`.

    For `train.fit(after_step=...)`. Source: Hinton et al. 2012 (arXiv:1207.0580), section 2.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            lengths = layer.weight.norm(dim=1, keepdim=True)
            layer.weight.mul_(limit / lengths.clamp_min(limit))


@torch.no_grad()
def logits_of(model: nn.Module, split: Split, batch_size: int = 1000) -> Tensor:
    """Return the logits [N, K] of `model` in eval mode, computed in bfloat16, as float32."""
    model.eval()
    with torch.autocast("cpu", torch.bfloat16):
        batches = torch.arange(len(split)).split(batch_size)
        return torch.cat([model(split.inputs(rows)).float() for rows in batches])


def only(split: Split, wanted: Tensor) -> Split:
    """Return the images of a split at which the mask or the indices `wanted` point."""
    return replace(split, images=split.images[wanted], labels=split.labels[wanted])


def small(dataset: Dataset, images: int) -> Dataset:
    """Return a data set with the first training images and a fifth as many for validation."""
    train_split, validation = dataset.train.head(images), dataset.validation.head(images // 5)
    return replace(dataset, train=train_split, validation=validation)


@dataclass(frozen=True, eq=False)
class Lesson:
    """A loss for `train.fit` on a split whose labels are row numbers, as `learn` makes it.

    labels: int64 [N]; logits: the teacher's, float [N, K], or None for the labels alone.
    """

    labels: Tensor
    logits: Tensor | None
    temperature: float | None
    bfloat16: bool = False
    alpha: float = ALPHA

    def __call__(self, model: nn.Module, inputs: Tensor, rows: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            answers = model(inputs)
        answers, labels = answers.float(), self.labels[rows]
        if self.logits is None or self.temperature is None:
            return F.cross_entropy(answers, labels)
        taught = self.logits[rows]
        shares = (self.alpha, 1 - self.alpha)
        return distill.distillation_loss(answers, taught, labels, self.temperature, *shares)


def learn(
    recipe: Recipe,
    dataset: Dataset,
    logits: Tensor | None,
    temperature: float | None,
    seed: int,
    model: nn.Module | None = None,
    alpha: float = ALPHA,
) -> train.FitResult:
    """Train the recipe's student, or a copy of `model`, from the teacher's logits [N, K].

    `logits` belong to the rows of dataset.train; None: from the labels alone. With an `alpha` of
    0 the labels have no say.
    """
    lesson = Lesson(dataset.train.labels, logits, temperature, recipe.bfloat16, alpha)
    rows = torch.arange(len(dataset.train))
    numbered = replace(dataset, train=replace(dataset.train, labels=rows))
    student = recipe.untrained(seed) if model is None else model
    return recipe.continue_training(student, numbered, seed, loss=lesson)


def taught(recipe: Recipe) -> Recipe:
    """Return the recipe with twice the epochs: a teacher's answers are hard to overfit."""
    return replace(recipe, epochs=2 * recipe.epochs)


def through_file(model: nn.Module) -> tuple[int, nn.Module]:
    """Write the model to a safetensors file; return its bytes and the model read back from it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_file(quantize.stored_tensors(model), path)
        return path.stat().st_size, quantize.from_stored(model, load_file(path)).eval()


def errors(logits: Tensor, labels: Tensor, among: Iterable[int] | None = None) -> int:
    """Count wrong answers: logits [N, K], labels [N], of all classes or those `among`."""
    wrong = logits.argmax(dim=1) != labels
    if among is not None:
        wrong &= torch.isin(labels, torch.tensor(list(among)))
    return int(wrong.sum())


def scores(model: nn.Module, dataset: Dataset, test: Split) -> dict[str, Any]:
    """Return the columns on errors and accuracy of a model, in float32, on validation and test."""
    row: dict[str, Any] = {}
    for prefix, split in (("", test), ("validation_", dataset.validation)):
        wrong = errors(train.predict(model, split), split.labels)
        row[f"{prefix}errors_count"] = wrong
        row[f"{prefix}accuracy"] = 1 - wrong / len(split)
    return row | {"test_images_count": len(test)}


def rows_of(table: Table) -> list[dict[str, Any]]:
    """Return the rows of a table; what type a cell has, the caller knows."""
    return [dict(row) for row in table.rows]


def column(table: Table, name: str, **wanted: Any) -> list[float]:
    """Return a column's numbers in the rows where every column in `wanted` has that value."""
    return [
        row[name]
        for row in rows_of(table)
        if all(row[key] == value for key, value in wanted.items())
    ]


def test_images(table: Table) -> int:
    """Return how many test images every row counts errors on."""
    (count,) = {int(row["test_images_count"]) for row in rows_of(table)}
    return count


def over(values: Sequence[float]) -> str:
    """Say of how many seeds `around` speaks."""
    if len(values) == 1:
        return "one seed"
    return f"mean ± standard deviation over {seeds(values)}"


def seeds(values: Sequence[float]) -> str:
    """Return how many seeds these are, as in "3 seeds"."""
    return f"{len(values)} seed{'s' if len(values) > 1 else ''}"


def around(values: Sequence[float], digits: int = 0) -> str:
    """Return mean and sample standard deviation as text, as in "74 ± 3"; a lone value as is."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


INTERVALS = "Intervals are 95 % ones (Welch), not corrected for many comparisons."


def difference(first: Sequence[float], second: Sequence[float], digits: int = 0) -> str:
    """Return `interval` with the words "no difference shown" where that holds zero."""
    said = interval(first, second, digits)
    enough = min(len(first), len(second)) > 1
    return said + (": no difference shown" if enough and not differ(first, second) else "")


def interval(first: Sequence[float], second: Sequence[float], digits: int = 0) -> str:
    """Return mean(first) - mean(second) with its 95 % interval: "-7 (-9 to -5)"."""
    said = f"{statistics.fmean(first) - statistics.fmean(second):+z.{digits}f}"
    if min(len(first), len(second)) < 2:
        return f"{said} (one seed, not tested)"
    low, high = pareto.difference_interval(first, second)
    return f"{said} ({low:+z.{digits}f} to {high:+z.{digits}f})"


def differ(first: Sequence[float], second: Sequence[float]) -> bool:
    """Return whether the 95 % interval of the difference of means leaves out zero."""
    if min(len(first), len(second)) < 2:
        return False
    low, high = pareto.difference_interval(first, second)
    return low > 0 or high < 0


def dots(axes: Any, groups: Mapping[str, Sequence[float]], **look: Any) -> None:
    """Draw every seed as a dot and the mean as a bar, one place on the x axis per group."""
    for place, values in enumerate(groups.values()):
        axes.plot([place] * len(values), values, "o", color="black", markersize=5, mfc="none")
        axes.hlines(statistics.fmean(values), place - 0.3, place + 0.3, color="black", **look)
    axes.set_xticks(range(len(groups)), list(groups))
