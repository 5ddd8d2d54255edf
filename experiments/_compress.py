"""The stages of compression: train, prune, share weights, and measure the file.

Used by `deep_compression` and `compression_order`. The last weights of a training count, so that
nothing is selected; the test split is opened for every file that was read back.
"""

from __future__ import annotations

import copy
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from course_lib import codec, cost, data, models, prune
from course_lib.train import evaluate
from experiments._compress_sharing import SharedWeights
from experiments._compress_training import Shifts, steps_of, train
from experiments._compress_units import (
    hidden_units,
    kept_weights,
    padded,
    strongest_units,
    take_units,
    without_dead_units,
)
from experiments.runner import Row

PRUNING_SHARE = 0.6  # of a retraining: then the zeros stand
SHARING_RATE = 5e-4
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
    images: int | None = None  # of the training split; None: all
    judged: int | None = None  # images of validation and test; None: all

    def quick(self) -> Plan:
        """The same with few images, in few epochs, to the first point."""
        point = replace(self.points[0], epochs=2, adapting=1, sharing=1)
        return replace(self, points=(point,), epochs=3, images=2048, pixels=1, judged=1000)


def trained(plan: Plan, images: Shifts, seed: int) -> nn.Module:
    """Return the dense network of a seed."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = models.by_name(plan.network)
    train(
        model,
        images,
        epochs=plan.epochs,
        learning_rate=plan.learning_rate,
        seed=seed,
        weight_decay=plan.weight_decay,
    )
    return model


def trained_longer(
    model: nn.Module, images: Shifts, epochs: int, learning_rate: float, seed: int
) -> nn.Module:
    """Return a copy of a network trained on, as a compressed one is but without compression."""
    model = copy.deepcopy(model)
    train(model, images, epochs=epochs, learning_rate=learning_rate, seed=seed)
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
    shared = SharedWeights(copy.deepcopy(model),
                           point.bits, BIAS_BITS, point.price)  # fmt: skip
    train(
        shared.model,
        images,
        epochs=point.sharing,
        learning_rate=SHARING_RATE,
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


def measure_file(
    plan: Plan,
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
    network = plan.network
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
        "test_error_percent": error_percent(loaded, test, plan.judged),
        "validation_error_percent": error_percent(loaded, dataset.validation, plan.judged),
        "weights": kept_weights(loaded),
        "weight_bits": bits,
        "params": params,
        "macs": cost.count(model, torch.zeros(1, 1, 28, 28)).macs,
        "units": " ".join(map(str, hidden_units(model))),
        "epochs": epochs,
        **{name: getattr(size, name) for name in spent},
    }


def error_percent(model: nn.Module, split: data.Split, images: int | None) -> float:
    """Return the errors in a hundred images of a split, of all or the first ones."""
    return 100 * (1 - evaluate(model, split if images is None else split.head(images)).accuracy)
