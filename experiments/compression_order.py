"""The order of compression: prune and then quantize, or quantize and then prune

On LeNet-300-100. Pruning removes the smallest weights of all layers together; quantizing gives
each layer a k-means codebook of 2^bits values, for the weights that are not zero. With
`retraining`, each of the two steps is followed by RETRAINING epochs with what it decided held
fixed: the zeros after pruning, the assignment of weights to values (whose centroids train on)
after quantizing. Pruning a quantized network removes whole values, and then parts of one: among
weights of equal size those that come first go. Both orders end with the same number of weights.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from statistics import mean, stdev
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.func import functional_call

from course_lib import codec, data, plot, prune
from course_lib.pareto import difference_interval
from course_lib.quantize import kmeans_codebook, nearest
from course_lib.results import Table
from experiments._compress import Plan, measure_file, trained
from experiments._compress_training import Shifts, train
from experiments._spread import deviation
from experiments.deep_compression import PLANS
from experiments.runner import Job, Row

KEY = ("seed", "sparsity", "bits", "retraining", "order")
SPREAD = {"test_error_percent": 0.3, "size_bytes": 500, "params": 0}
SEEDS = (0, 1, 2)
POINTS = ((0.8, 2), (0.8, 4), (0.95, 2), (0.95, 4))  # sparsity, bits
QUICK_POINTS = ((0.8, 2), (0.95, 4))
RETRAINING, LEARNING_RATE = 3, 5e-4  # epochs after each step
ORDERS = ("prune, quantize", "quantize, prune")


def jobs(quick: bool) -> list[Job]:
    """One per seed: a dense training, then both orders at every point."""
    plan = PLANS["lenet_300_100"].quick() if quick else PLANS["lenet_300_100"]
    points = QUICK_POINTS if quick else POINTS
    seeds = SEEDS[:1] if quick else SEEDS
    return [Job({"seed": seed}, partial(_orders, plan, points, seed)) for seed in seeds]


def _orders(plan: Plan, points: tuple[tuple[float, int], ...], seed: int) -> Iterator[Row]:
    dataset = data.load("mnist")
    split = dataset.train if plan.images is None else dataset.train.head(plan.images)
    images = Shifts(split, plan.pixels)
    dense = trained(plan, images, seed)
    measured = partial(measure_file, plan, dataset, seed)
    same = {"sparsity": 0.0, "bits": 32, "retraining": 0, "order": "dense"}
    yield same | _cells(measured(dense, "dense", (), epochs=plan.epochs))
    for sparsity, bits in points:
        for retraining in (0, RETRAINING):
            for order in ORDERS:
                model = compressed(dense, order, sparsity, bits, retraining, images, seed)
                stage = f"{order} to {sparsity:.0%} zeros and {bits} bits, {retraining} epochs"
                done = plan.epochs + 2 * retraining
                row = measured(model, stage, codec.DEEP_COMPRESSION, epochs=done)
                key = {"sparsity": sparsity, "bits": bits, "retraining": retraining}
                yield {**key, "order": order, **_cells(row)}


def _cells(row: Row) -> Row:
    return {name: row[name] for name in row if name not in ("kept", "stage", "weight_bits")}


def compressed(
    dense: nn.Module,
    order: str,
    sparsity: float,
    bits: int,
    retraining: int,
    images: Shifts,
    seed: int,
) -> nn.Module:
    """Return a copy of the network after both steps, each with `retraining` epochs."""
    if order == ORDERS[0]:
        zeros = prune.prune_model(dense, sparsity).model
        zeros = _retrained(zeros, retraining, images, seed, prune.KeepZeros(_masks(zeros)))
        return _Clusters(zeros, bits).retrained(retraining, images, seed)
    shared = _Clusters(dense, bits).retrained(retraining, images, seed)
    zeros = prune.prune_model(shared, sparsity).model
    return _Clusters(zeros, None).retrained(retraining, images, seed)


def _retrained(model: nn.Module, epochs: int, images: Shifts, seed: int, hook: Any) -> nn.Module:
    model = copy.deepcopy(model)
    if epochs:
        train(
            model,
            images,
            epochs=epochs,
            learning_rate=LEARNING_RATE,
            seed=seed,
            after_step=hook,
        )
    return model


def _masks(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach() != 0 for name, weight in prune.prunable_weights(model).items()}


class _Clusters(nn.Module):
    """A network whose weights are entries of codebooks: only these and the biases are trained.

    `bits` None takes the values that the weights have already. Zeros stay zeros.
    """

    def __init__(self, model: nn.Module, bits: int | None) -> None:
        super().__init__()
        self.model = [copy.deepcopy(model)]  # in a list: its weights are not parameters of this
        self.used = _masks(model)
        self.entries, self.indices = nn.ParameterList(), []
        for name, weight in prune.prunable_weights(model).items():
            values = weight.detach()[self.used[name]]
            if bits is None:
                codebook, indices = values.unique(return_inverse=True)
            else:
                codebook = kmeans_codebook(values, bits)[0]
                indices = nearest(values, codebook).long()
            self.entries.append(nn.Parameter(codebook.clone()))
            self.indices.append(indices)
        weights = prune.prunable_weights(model)
        biases = {n: p for n, p in model.named_parameters() if n not in weights}
        self.bias_names = list(biases)
        self.biases = nn.ParameterList(nn.Parameter(p.detach().clone()) for p in biases.values())

    def values(self) -> dict[str, Tensor]:
        """All parameters of the network by name, differentiable by entries and biases."""
        found = dict(zip(self.bias_names, self.biases, strict=True))
        for (name, used), entries, indices in zip(
            self.used.items(), self.entries, self.indices, strict=True
        ):
            weight = torch.zeros(used.shape)
            found[name] = weight.masked_scatter(used, entries[indices])
        return found

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = functional_call(self.model[0], self.values(), (inputs,))
        return logits

    def retrained(self, epochs: int, images: Shifts, seed: int) -> nn.Module:
        """Train the entries and return the plain network with these values."""
        _train = _retrained(self, epochs, images, seed, None)
        result = copy.deepcopy(self.model[0])
        assert isinstance(_train, _Clusters)
        result.load_state_dict({name: v.detach() for name, v in _train.values().items()})
        return result


def reading(table: Table) -> str:
    """What the table says, in numbers computed from it."""
    said, verdicts = [], []
    for key in _keys(table):
        first, second = (_values(table, key, order, "test_error_percent") for order in ORDERS)
        sizes = [mean(_values(table, key, order, "size_bytes")) for order in ORDERS]
        difference, verdict = _compared(second, first)
        verdicts.append(verdict)
        said.append(
            f"{_name(key)}: {mean(first):.2f} ± {_spread(first):.2f} % ({sizes[0]:,.0f} bytes) "
            f"pruning first, {mean(second):.2f} ± {_spread(second):.2f} % ({sizes[1]:,.0f} "
            f"bytes) quantizing first, difference {difference}, {verdict}"
        )
    dense = _values(table, (0, 0, 32), "dense", "test_error_percent")
    counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}
    return (
        f"The dense network has {mean(dense):.2f} ± {_spread(dense):.2f} % test error. "
        + "; ".join(said)
        + ". Of these comparisons: "
        + ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        + f". Errors are means (±: {deviation(table.rows)}); a difference counts as shown if its "
        "95 % interval (Welch), in parentheses and not corrected for many comparisons, leaves out "
        "zero. Not shown: other networks, criteria or "
        "longer retraining; one learning rate served all steps; both orders keep equally many "
        "weights, but not equally many values, so that their files differ too."
    )


def _keys(table: Table) -> list[tuple[Any, Any, Any]]:
    """Retraining, sparsity and bits of every comparison."""
    rows = (row for row in table.rows if row["order"] != "dense")
    return sorted({(row["retraining"], row["sparsity"], row["bits"]) for row in rows})


def _values(table: Table, key: tuple[Any, Any, Any], order: str, column: str) -> list[Any]:
    names = ("retraining", "sparsity", "bits")
    return [
        row[column]
        for row in table.rows
        if row["order"] == order and tuple(row[name] for name in names) == key
    ]


def _name(key: tuple[Any, Any, Any]) -> str:
    retraining, sparsity, bits = key
    trained_too = f"{retraining} + {retraining} epochs" if retraining else "no retraining"
    return f"{sparsity:.0%} zeros, {bits} bits, {trained_too}"


def _compared(second: list[float], first: list[float]) -> tuple[str, str]:
    """The difference, with its interval, and the verdict."""
    difference = f"{mean(second) - mean(first):+.2f}"
    if min(len(first), len(second)) < 2:
        return difference, "not tested with one seed"
    low, high = difference_interval(second, first)
    difference += f" ({low:.2f} to {high:.2f})"
    if low > 0:
        return difference, "pruning first is better"
    return difference, "quantizing first is better" if high < 0 else "no difference shown"


def _spread(values: list[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0


def figure(table: Table) -> tuple[Figure, str]:
    """Errors of both orders at every point, without and with retraining."""
    fig, axes = plot.subplots(1, 2, size=(10.0, 4.2))
    bars = f"error bars: {deviation(table.rows)}"
    for ax, with_retraining in zip(axes, (False, True), strict=True):
        keys = [key for key in _keys(table) if bool(key[0]) == with_retraining]
        for number, order in enumerate(ORDERS):
            errors = [_values(table, key, order, "test_error_percent") for key in keys]
            places = [place + 0.16 * number - 0.08 for place in range(len(keys))]
            style = plot.look(number) | {"linestyle": "none"}
            ax.errorbar(
                places, [mean(e) for e in errors], [_spread(e) for e in errors],
                label=order, capsize=3, **style,
            )  # fmt: skip
        ax.set_xticks(range(len(keys)), [f"{k[1]:.0%} zeros\n{k[2]} bits" for k in keys])
        title = "each step retrained" if with_retraining else "without retraining"
        ax.margins(x=0.2)
        ax.set(yscale="log", ylabel=f"test error (%)\n{bars}", title=title)
        ax.legend(fontsize=8)
    return fig, (
        "Test error of pruning before quantizing and of the reverse, for several sparsities and "
        f"bits, without retraining on the left and with it on the right; {bars}."
    )


__all__ = ["KEY", "SPREAD", "figure", "jobs", "reading"]
