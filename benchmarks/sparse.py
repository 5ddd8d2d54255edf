"""What pruning saves in time: zeros alone, zeros that a sparse kernel skips, channels removed.

Every contestant of a case has about the same number of weights left: "masked" and "sparse" have
zeros in every layer at the same sparsity, the linear layers of "sparse" as compressed rows, and
"shrunken" has lost so many channels that what is left is no more. The networks are not trained:
time depends on where the zeros are, not on what the rest is worth. Each must still compute what
its definition says: sparse what masked does, shrunken what its silenced channels do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.report import Cell, Row, Table, rows_of, span
from benchmarks.timing import interleave
from course_lib import cost, models, prune, surgery
from course_lib.sparse import SparseLinear, sparsify

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "LeNet-300-100": models.lenet_300_100,
    "LeNet-5": models.lenet_5,
}
DENSE = "dense"

QUICK: dict[str, Any] = {
    "sparsities": (0.5, 0.95),
    "batches": (1, 64),
    "repeats": 10,
    "budget_s": 5.0,
}
FULL: dict[str, Any] = {
    "sparsities": (0.5, 0.75, 0.9, 0.95),
    "batches": (1, 64),
    "repeats": 50,
    "budget_s": 20.0,
}


def measure(
    sparsities: Sequence[float], batches: Sequence[int], repeats: int, budget_s: float
) -> Table:
    """Compare both LeNets at every sparsity and batch size."""
    rows: list[Row] = []
    for name, build in NETWORKS.items():
        torch.manual_seed(0)
        dense = build().eval()
        for sparsity in sparsities:
            networks = _networks(dense, sparsity)
            for batch in batches:
                case = f"{name} at {sparsity:.0%}, batch {batch}"
                rows += _compare(case, networks, batch, repeats, budget_s)
    parts = [f"{subject} {span(rows, subject)}" for subject in ("masked", "sparse", "shrunken")]
    return Table(
        name="sparse",
        title="Shrunken beside dense beside sparse",
        method='Convolutions of "sparse" stay dense: PyTorch has no sparse one. Weights: those '
        "that are not zero.\nError: largest difference from what the network stands for, relative "
        "to the largest output.",
        rows=tuple(rows),
        reading="Reading: time relative to dense, lowest to highest case: "
        + "; ".join(parts)
        + ".",
    )


def shrink(model: nn.Module, example: Tensor, sparsity: float) -> tuple[nn.Module, nn.Module]:
    """Remove the fewest channels, in steps of 1 % of each layer, that lose that share of weights.

    Returns the smaller network, and the original with the same channels silenced: its oracle.
    """
    scores = prune.score_model(model)
    allowed = (1 - sparsity) * weights(model)
    low, high = 0, 100  # percent: too few, enough
    while high - low > 1:
        middle = (low + high) // 2
        channels = surgery.weakest_channels(model, example, scores, middle / 100)
        smaller = surgery.remove_channels(model, example, channels)
        low, high = (low, middle) if weights(smaller) <= allowed else (middle, high)
    channels = surgery.weakest_channels(model, example, scores, high / 100)
    return (
        surgery.remove_channels(model, example, channels),
        surgery.mask_channels(model, example, channels),
    )


def weights(model: nn.Module) -> int:
    """Count the weights of linear and convolutional layers that are not zero; no biases."""
    total = 0
    for layer in model.modules():
        if isinstance(layer, SparseLinear):
            total += layer.values.numel()
        elif isinstance(layer, nn.Linear | nn.Conv2d):
            total += int(layer.weight.count_nonzero())
    return total


def _networks(dense: nn.Module, sparsity: float) -> dict[str, tuple[nn.Module, nn.Module]]:
    """Contestants, each with the ordinary network that it has to equal."""
    example = torch.zeros(1, 1, 28, 28)
    masked = prune.prune_model(dense, sparsity, scope="layer").model
    return {
        DENSE: (dense, dense),
        "masked": (masked, masked),
        "sparse": (sparsify(masked), masked),
        "shrunken": shrink(dense, example, sparsity),
    }


@torch.no_grad()
def _compare(
    case: str,
    networks: dict[str, tuple[nn.Module, nn.Module]],
    batch: int,
    repeats: int,
    budget_s: float,
) -> list[Row]:
    x = torch.randn(batch, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    runs = {name: partial(network, x) for name, (network, _) in networks.items()}
    extra: dict[str, dict[str, Cell]] = {}
    for name, (network, oracle) in networks.items():
        expected = oracle(x)
        error = (network(x) - expected).abs().max() / expected.abs().max()
        plain = oracle if name == "sparse" else network  # PyTorch runs no sparse layer on meta
        extra[name] = {
            "weights": weights(network),
            "dense macs": cost.count(plain, (batch, 1, 28, 28)).macs,
            "error": float(error),
        }
    return rows_of(case, interleave(runs, repeats, budget_s), DENSE, extra)
