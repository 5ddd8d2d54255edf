"""Deep Compression: every stage of it on two LeNets, in the bytes of files that were read back

A dense network is trained, and for every point of the curve pruned further (cubic schedule,
magnitude relative to its layer, distillation from the dense network), then given codebooks
whose entries are trained and chosen with an eye on the bytes (`_compress_sharing`). The stages
"prune", "codebook" and "Huffman" are those of Han et al. 2016; "arithmetic" replaces the last one.
Files hold the whole network: units that no weight is left for are zeros in it. `kept` is the
number of weights that the pruning aims at. The last weights of a training count, none is selected.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from course_lib import codec, cost, data, models, plot, prune, published
from course_lib.results import Table
from course_lib.train import evaluate
from experiments._compress_sharing import SharedWeights
from experiments._compress_training import Shifts, steps_of, train
from experiments._compress_units import (
    kept_weights,
    padded,
    strongest_units,
    take_units,
    without_dead_units,
)
from experiments.runner import Job, Row

KEY = ("network", "seed", "kept", "stage")
SPREAD = {"test_error_percent": 0.15, "size_bytes": 300, "params": 0}
SEEDS = (0, 1, 2)
STAGES = {  # and what the file may use
    "prune": ("sparse",),
    "codebook": ("half", "sparse", "codebook"),
    "Huffman": codec.DEEP_COMPRESSION,
    "arithmetic": codec.TECHNIQUES,
}
DENSE, DENSE_LONGER = "dense", "dense, trained as long"
ALLOWED_POINTS = 0.1  # of error above the dense network: "no loss"
PRUNING_SHARE = 0.6  # of a retraining: then the zeros stand
BIAS_BITS = 4


@dataclass(frozen=True)
class Point:
    """Where to prune to; `units` per hidden layer are chosen first, with `adapting` epochs."""

    kept: int
    units: tuple[int, ...]
    epochs: int
    adapting: int = 0
    sharing: int = 5  # epochs with codebooks
    bits: int = 3
    price: float = 0.005  # of a bit, in squared error relative to the mean square of a layer


@dataclass(frozen=True)
class Plan:
    """How a network is trained, and the points of its curve, each from the one before."""

    network: str
    pixels: int  # of random shift, in all trainings
    epochs: int
    learning_rate: float
    weight_decay: float
    retraining_rate: float
    points: tuple[Point, ...]
    images: int | None = None  # None: the whole training split

    def quick(self) -> Plan:
        """The same with few images, in one epoch each."""
        points = tuple(replace(p, epochs=2, adapting=min(p.adapting, 1), sharing=1) for p in self.points)
        return replace(self, points=points[:2], epochs=3, images=4096, pixels=1)


PLANS = {
    "lenet_300_100": Plan(
        "lenet_300_100", 1, 40, 2e-3, 0.01, 2e-3,
        (
            Point(17_000, (300, 100), 50),
            Point(9_000, (300, 100), 30),
            Point(5_000, (200, 60), 30),
        ),
    ),
    "lenet_5": Plan(
        "lenet_5", 2, 16, 1e-3, 0.01, 3e-3,
        (
            Point(6_500, (14, 28, 80), 10, adapting=3),
            Point(2_800, (10, 20, 50), 14, adapting=3),
            Point(1_400, (8, 16, 40), 16, adapting=2),
        ),
    ),
}  # fmt: skip


def jobs(quick: bool) -> list[Job]:
    """One per network and seed: the dense training and the whole curve."""
    seeds = SEEDS[:1] if quick else SEEDS
    return [
        Job(
            {"network": name, "seed": seed},
            partial(_curve, plan.quick() if quick else plan, seed),
        )
        for name, plan in PLANS.items()
        for seed in seeds
    ]


def _curve(plan: Plan, seed: int) -> Iterator[Row]:
    dataset = data.load("mnist")
    split = dataset.train if plan.images is None else dataset.train.head(plan.images)
    images = Shifts(split, plan.pixels)
    dense = trained(plan, images, seed)
    measured = partial(measure_file, plan.network, dataset, seed)
    yield measured(dense, DENSE, (), epochs=plan.epochs)

    images = images.taught_by(dense)
    first = plan.points[0]
    longer = take_units(dense, [torch.arange(n) for n in _hidden(dense)])
    extra = first.adapting + first.epochs + first.sharing
    train(longer, images, epochs=extra, learning_rate=plan.retraining_rate, seed=seed)
    yield measured(longer, DENSE_LONGER, (), epochs=plan.epochs + extra)

    model, epochs = dense, plan.epochs
    for point in plan.points:
        model = pruned(model, point, images, plan.retraining_rate, seed)
        epochs += point.adapting + point.epochs
        row = partial(measured, kept=point.kept, bits=point.bits)
        yield row(model, "prune", STAGES["prune"], epochs=epochs, bits=32)
        shared = with_codebooks(model, point, images, seed)
        for stage in ("codebook", "Huffman", "arithmetic"):
            yield row(shared, stage, STAGES[stage], epochs=epochs + point.sharing)


def trained(plan: Plan, images: Shifts, seed: int) -> nn.Module:
    """Return the dense network of a seed."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = models.by_name(plan.network).to(memory_format=torch.channels_last)
    settings = {"learning_rate": plan.learning_rate, "weight_decay": plan.weight_decay}
    train(model, images, epochs=plan.epochs, seed=seed, **settings)
    return model


def pruned(
    model: nn.Module, point: Point, images: Shifts, learning_rate: float, seed: int
) -> nn.Module:
    """Return the network with about `point.kept` weights, retrained, without its dead units."""
    model = take_units(model, strongest_units(model, point.units))
    if point.adapting:
        train(model, images, epochs=point.adapting, learning_rate=learning_rate / 2, seed=seed,
              after_step=prune.KeepZeros(_masks(model)))  # fmt: skip
    total = sum(weight.numel() for weight in prune.prunable_weights(model).values())
    schedule = partial(
        prune.cubic,
        initial=1 - kept_weights(model) / total,
        final=max(1 - point.kept / total, 1 - kept_weights(model) / total),
        end=max(1, round(PRUNING_SHARE * steps_of(images, point.epochs))),
        every=20,
    )
    pruner = prune.GradualPruner(schedule, score=relative_magnitude)
    train(
        model,
        images,
        epochs=point.epochs,
        learning_rate=learning_rate,
        seed=seed,
        after_step=pruner,
    )
    return without_dead_units(model)


def with_codebooks(model: nn.Module, point: Point, images: Shifts, seed: int) -> nn.Module:
    """Return the network with shared weights, without the units that this leaves dead."""
    shared = SharedWeights(take_units(model, [torch.arange(n) for n in _hidden(model)]),
                           point.bits, BIAS_BITS, point.price)  # fmt: skip
    train(
        shared.model,
        images,
        epochs=point.sharing,
        learning_rate=5e-4,
        seed=seed,
        forward=shared,
        after_step=shared.after_step,
    )
    return without_dead_units(shared.plain())


def relative_magnitude(weight: Tensor) -> Tensor:
    """Return |w| in units of the root mean square of the layer's weights that are left."""
    left = weight[weight != 0]
    return weight.abs() / left.square().mean().sqrt() if len(left) else weight.abs()


def _masks(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach() != 0 for name, weight in prune.prunable_weights(model).items()}


def _hidden(model: nn.Module) -> list[int]:
    return [len(weight) for weight in prune.prunable_weights(model).values()][:-1]


def measure_file(
    network: str,
    dataset: data.Dataset,
    seed: int,
    model: nn.Module,
    stage: str,
    techniques: tuple[str, ...],
    *,
    epochs: int,
    kept: int | None = None,
    bits: int = 32,
) -> Row:
    """Write a file of the whole network, read it back, and say what it is and what it can do."""
    whole = models.by_name(network)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        size = codec.save(padded(model, whole), path, techniques=techniques)
        loaded = codec.load(path, whole)
    test = dataset.open_test(f"error of {network} after {stage}, seed {seed}, {kept} weights kept")
    params = sum(p.numel() for p in whole.parameters())
    spent = ("weight_bytes", "index_bytes", "codebook_bytes", "header_bytes")
    return {
        "kept": params if kept is None else kept,
        "stage": stage,
        "size_bytes": size.total_bytes,
        "compression_times": 4 * params / size.total_bytes,
        "test_error_percent": 100 * (1 - evaluate(loaded, test).accuracy),
        "validation_error_percent": 100 * (1 - evaluate(loaded, dataset.validation).accuracy),
        "weights": kept_weights(loaded),
        "weight_bits": bits,
        "params": params,
        "macs": cost.count(model, torch.zeros(1, 1, 28, 28)).macs,
        "units": " ".join(map(str, _hidden(model))),
        "epochs": epochs,
        **{name: getattr(size, name) for name in spent},
    }
