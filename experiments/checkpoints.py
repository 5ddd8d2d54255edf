"""Trained networks that come with the course

Each is trained once by its recipe, stored as a safetensors file with its recipe and accuracy in
the metadata, read back and then evaluated: the accuracy is the file's.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from safetensors.torch import save
from torch import Tensor, nn

from course_lib import cost, data, plot, text, train
from course_lib.attention import GPT
from course_lib.files import write_whole
from course_lib.models.trained import SUMS
from course_lib.results import Table
from experiments.recipes import CIFAR_NOTE, RECIPES, Recipe
from experiments.runner import ROOT, SCRATCH, Job, Row

KEY = ("name",)
SPREAD = {"value": 0.005, "size_bytes": 64, "params": 0, "macs": 0}
SEED = 0
BESIDE = {  # where a name stands in the figure, in points from its mark
    "mobilenet_0250": (0, -17, "center"),
    "mobilenet_0375": (-9, 3, "right"),
    "resnet20": (-10, -4, "right"),
    "vgg_cifar": (0, -21, "center"),
}
HALF = ("vgg_cifar", "pooled_resnet", "mobilenet_0500")  # stored as float16, to stay below 2 MB
ASSETS = ROOT / "course_lib" / "assets" / "checkpoints"
GPT_SHAPE = {"context": 128, "dim": 96, "heads": 4, "layers": 3}
GPT_STEPS, GPT_BATCH = 1200, 32


def jobs(quick: bool) -> list[Job]:
    """One training per checkpoint; quick: one epoch of the smallest, stored nowhere."""
    names = ("lenet_300_100",) if quick else RECIPES
    made = [
        Job(
            {"name": name},
            partial(_train, name, RECIPES[name].quick() if quick else RECIPES[name], not quick),
        )
        for name in names
    ]
    return made if quick else [*made, Job({"name": "gpt"}, _train_gpt)]


def _train(name: str, recipe: Recipe, keep: bool) -> Iterable[Row]:
    dataset = data.load(recipe.dataset)
    state = SCRATCH / "trainings" / f"{name}.state"  # a stopped training of an hour goes on
    result = recipe.train(dataset, SEED, resume=state if keep else None)
    test = dataset.open_test(f"the accuracy of the checkpoint {name}")

    def accuracy(model: nn.Module) -> float:
        return train.evaluate(model, test).accuracy

    if recipe.dataset == "mnist" and not keep:
        test = test.head(2000)
    card = {
        "builder": recipe.builder,
        "arguments": dict(recipe.arguments),
        "dataset": CIFAR_NOTE if recipe.dataset == "cifar10" else recipe.dataset,
        "recipe": recipe.says,
        "metric": "test_accuracy",
        "seed": SEED,
        "epochs": recipe.epochs,
    }
    half = name in HALF
    card["value"] = accuracy(_rounded(result.model, half))
    validation = result.history[result.best_epoch - 1].validation_accuracy
    counted = cost.count(result.model, torch.zeros(1, *dataset.train.inputs([0]).shape[1:]))
    size = _store(name, result.model, card, half) if keep else 0
    state.unlink(missing_ok=True)
    yield _row(card, size, counted.params, counted.macs) | {"validation_accuracy": validation}


def _train_gpt() -> Iterable[Row]:
    with torch.random.fork_rng([]):
        torch.manual_seed(SEED)
        model = GPT(**GPT_SHAPE)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.01)
    source, generator = text.python_source("train"), torch.Generator().manual_seed(SEED)
    for step in range(GPT_STEPS):
        for group in optimizer.param_groups:
            warm = min(1.0, (step + 1) / 100)
            group["lr"] = 2e-3 * warm * 0.5 * (1 + math.cos(math.pi * step / GPT_STEPS))
        optimizer.zero_grad()
        _nats(model, text.windows(source, 129, GPT_BATCH, generator)).backward()
        optimizer.step()
    validation, test = (_bits_per_byte(model, split) for split in ("validation", "test"))
    card = {
        "builder": "gpt",
        "arguments": GPT_SHAPE,
        "dataset": "source of the Python standard library",
        "recipe": f"{GPT_STEPS} steps of AdamW, learning rate 0.002 after 100 steps of warm-up "
        f"with a cosine to 0, weight decay 0.01, {GPT_BATCH} windows of 128 bytes",
        "metric": "bits_per_byte",
        "value": test,
        "seed": SEED,
        "epochs": 0,
    }
    counted = cost.count(model, torch.zeros(1, 128, dtype=torch.int64))
    size = _store("gpt", model, card, half=False)
    yield _row(card, size, counted.params, counted.macs) | {"validation_bits_per_byte": validation}


def _nats(model: nn.Module, tokens: Tensor) -> Tensor:
    return F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())


@torch.no_grad()
def _bits_per_byte(model: nn.Module, split: str) -> float:
    generator = torch.Generator().manual_seed(SEED)
    batches = text.windows(text.python_source(split), 129, 512, generator).split(64)
    return sum(_nats(model.eval(), batch).item() for batch in batches) / len(batches) / math.log(2)


def _rounded(model: nn.Module, half: bool) -> nn.Module:
    """The model as it comes back from a file."""
    import copy

    return copy.deepcopy(model).half().float() if half else model


def _store(name: str, model: nn.Module, card: dict[str, Any], half: bool) -> int:
    """Write the file by way of a temporary one, list its hash, return its size in bytes."""
    weights = {
        key: (tensor.half() if half and tensor.is_floating_point() else tensor).contiguous()
        for key, tensor in model.state_dict().items()
    }
    weights = {key: tensor.clone() for key, tensor in weights.items()}
    path = ASSETS / f"{name}.safetensors"
    write_whole(path, save(weights, {"course_lib": json.dumps(card, sort_keys=True)}))
    _list_hashes(ASSETS)
    return path.stat().st_size


def _list_hashes(folder: Path) -> None:
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.glob("*.safetensors"))
    ]
    write_whole(folder / SUMS, "".join(lines).encode())


def _row(card: dict[str, Any], size: int, params: int, macs: int) -> Row:
    row = {**card, "size_bytes": size, "params": params, "macs": macs}
    row["arguments"] = json.dumps(card["arguments"], sort_keys=True)
    return row


def reading(table: Table) -> str:
    """What the table says."""
    rows: list[Row] = [dict(row) for row in table.rows]
    total = sum(row["size_bytes"] for row in rows) / 1e6
    accuracies = [row for row in rows if row["metric"] == "test_accuracy"]
    said = ", ".join(f"{row['name']} {row['value']:.2%}" for row in accuracies)
    other = "".join(
        f"; {row['name']} needs {row['value']:.2f} {str(row['metric']).replace('_', ' ')}"
        for row in rows
        if row not in accuracies
    )
    return (
        f"{len(table)} files of together {total:.1f} MB. Test accuracy of the weights as read "
        f"back: {said}{other}. Each was trained with one seed, so differences of a few tenths of "
        "a point between two of them show nothing. The recipes were chosen by hand; some were "
        "lengthened after their test accuracy had been seen and missed a goal, which makes it a "
        "little optimistic. No network was trained until more epochs stopped helping: what each "
        "could reach is not shown. The CIFAR-10 networks saw JPEG-compressed copies of the "
        "images, so their accuracies are not those of the original data."
    )


def figure(table: Table) -> tuple[Figure, str]:
    """Accuracy against multiply-adds, area by file size."""
    rows: list[Row] = [dict(row) for row in table.rows if row["metric"] == "test_accuracy"]
    datasets = dict.fromkeys(row["dataset"] for row in rows)
    fig, panels = plot.subplots(1, len(datasets), size=(9.0, 4.0), squeeze=False)
    for axes, dataset in zip(panels[0], datasets, strict=True):
        own = sorted((r for r in rows if r["dataset"] == dataset), key=lambda r: r["macs"])
        for row in own:
            place = (row["macs"] / 1e6, 100 * row["value"])
            axes.scatter(*place, s=row["size_bytes"] / 1e4, color=plot.look(0)["color"])
            *beside, side = BESIDE.get(row["name"], (0, 11, "center"))
            axes.annotate(row["name"], place, beside, textcoords="offset points", ha=side)
        axes.set(xscale="log", xlabel="million multiply-adds", title=dataset)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(0.3)
    panels[0][0].set_ylabel("test accuracy (%)")
    return fig, (
        "Test accuracy against multiply-adds of every image classifier; area: bytes of the file"
    )


__all__ = ["KEY", "SPREAD", "figure", "jobs", "reading"]
