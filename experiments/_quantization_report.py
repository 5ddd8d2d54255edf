"""What the quantization table says, in a paragraph and a figure."""

from __future__ import annotations

from itertools import product
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib import plot
from course_lib.results import Table
from experiments._nets import EFFICIENT, REDUNDANT
from experiments._spread import Rows, compare, drops, mean_and_spread, points, where

NAMES = {REDUNDANT: "LeNet-300-100", EFFICIENT: "MobileNet"}


def losses(table: Table, net: str, bits: int, whole: bool, **wanted: Any) -> list[float]:
    """Test accuracy lost by each seed; `whole`: activations have the same bits, else stay float.

    Without other wishes: after training, symmetric, per channel, min-max, batch norm as it is.
    """
    usual = {"method": "ptq", "scheme": "symmetric", "granularity": "channel", "range": "min_max"}
    activations = bits if whole else 32
    rows = where(table, **(usual | wanted), net=net, bits=bits, activation_bits=activations)
    if "batch_norm" not in wanted:
        rows = [row for row in rows if row["batch_norm"] != "folded"]
    return drops(rows, where(table, method="none"))


def reading(table: Table) -> str:
    """What the table shows, and what it does not."""
    return " ".join(
        [_setting(table), _after_training(table), _claim(table), _remedies(table), _rest(table)]
    )


def _setting(table: Table) -> str:
    said = []
    for net, name in NAMES.items():
        rows = where(table, net=net, method="none")
        said.append(
            f"{name} ({rows[0]['params']:,} parameters, {rows[0]['size_bytes']:,} bytes, "
            f"{points(_accuracies(rows))} % of the test images right)"
        )
    seeds = len(where(table, net=EFFICIENT, method="none"))
    return (
        f"{len(table)} rows, every size that of a file whose content was evaluated: "
        f"{' and '.join(said)}, trained on MNIST, seeds: {seeds}; ± is the standard deviation "
        "over them, and losses are percentage points against the float network of a seed."
    )


def _accuracies(rows: Rows) -> list[float]:
    return [row["accuracy"] for row in rows]


def _bits(table: Table) -> list[int]:
    return sorted({row["bits"] for row in where(table, scheme="symmetric")}, reverse=True)


def _after_training(table: Table) -> str:
    said = []
    for whole, what in ((False, "weights alone"), (True, "weights and activations")):
        parts = [
            f"{points(losses(table, REDUNDANT, bits, whole))} and "
            f"{points(losses(table, EFFICIENT, bits, whole))} at {bits} bits"
            for bits in _bits(table)
            if bits in (8, 4, 3, 2)
        ]
        said.append(f"{what} lose {', '.join(parts)}")
    return f"Quantized after training (symmetric, per channel), {'; '.join(said)}."


def _claim(table: Table) -> str:
    """Do efficient networks lose more?"""
    said = []
    for bits, granularity in product((8, 4, 3, 2), ("tensor", "channel")):
        chosen = {"granularity": granularity}
        pair = [losses(table, net, bits, True, **chosen) for net in (EFFICIENT, REDUNDANT)]
        if all(pair):
            said.append(f"{bits} bits per {granularity} {compare(*pair)}")
    return (
        "That efficient networks lose more, as the loss of the MobileNet less that of "
        f"LeNet-300-100, weights and activations: {'; '.join(said)}."
    )


def _remedies(table: Table) -> str:
    said = []
    pair = [losses(table, EFFICIENT, 4, True, granularity=g) for g in ("tensor", "channel")]
    said.append(f"one scale per tensor instead of per channel costs the MobileNet at 4 bits "
                f"{compare(*pair)}")  # fmt: skip
    folded = [
        losses(table, EFFICIENT, 4, True, granularity="tensor", batch_norm="folded"),
        pair[0],
    ]
    if all(folded):
        said.append(f"folding batch norm into those tensors first costs {compare(*folded)}")
    for net, name in NAMES.items():
        for bits in (4, 2):
            trained = losses(table, net, bits, True, method="qat")
            if trained:
                said.append(f"with training in the loop {name} loses {points(trained)} at {bits}")
        control = where(table, net=net, method="finetuned")
        if control:
            same = drops(control, where(table, method="none"))
            said.append(f"{points(same)} after the same training in float")
    return f"What helps: {'; '.join(said)}."


def _rest(table: Table) -> str:
    others = sorted({row["net"] for row in where(table)} - NAMES.keys())
    said = []
    for net in others:
        lost = [
            f"{points(losses(table, net, bits, True))} at {bits}"
            for bits in (8, 4)
            if losses(table, net, bits, True)
        ]
        said.append(f"{net} {' and '.join(lost)}")
    one_seed = (
        f"Checkpoints with one seed, weights and activations: {'; '.join(said)} bits. "
        if said
        else ""
    )
    return (
        one_seed + "Not shown: speed (grids are simulated in float), other pairs of networks "
        "(this redundant one is fully connected and has no batch norm, so width is not all that "
        "differs), learned ranges, mixed precision, and what more training than these few epochs "
        "would do. The names and scales in a file weigh more in the small network: its bytes "
        "fall by less than its bits."
    )


def figure(table: Table) -> tuple[Figure, str]:
    """Accuracy lost against bits: weights alone, and weights with activations."""
    fig, panels = plot.subplots(1, 2, size=(9.5, 4.4), sharey=True)
    series = [
        (net, method, granularity)
        for method, granularity in (("ptq", "tensor"), ("ptq", "channel"), ("qat", "channel"))
        for net in NAMES
    ]
    for axes, whole in zip(panels, (False, True), strict=True):
        for index, (net, method, granularity) in enumerate(series):
            label = f"{NAMES[net]}, {method.upper()} per {granularity}"
            _draw(axes, table, plot.look(index), label, net, whole, method, granularity)
        axes.set(xlabel="bits", xticks=_bits(table), yscale="symlog")
        axes.set_title("weights and activations" if whole else "weights alone")
    panels[0].set_ylabel("test accuracy lost (points)")
    panels[1].legend(fontsize=8)
    return fig, (
        "Points of accuracy lost against bits, for a redundant and an efficient network: losses "
        "grow as bits fall, and training with quantization takes back part of them"
    )


def _draw(
    axes: Axes,
    table: Table,
    look: dict[str, Any],
    label: str,
    net: str,
    whole: bool,
    method: str,
    granularity: str,
) -> None:
    chosen = {"method": method, "granularity": granularity}
    found = {bits: losses(table, net, bits, whole, **chosen) for bits in _bits(table)}
    drawn = {bits: mean_and_spread(lost) for bits, lost in found.items() if lost}
    if drawn:
        means, spreads = zip(*drawn.values(), strict=True)
        axes.errorbar(
            list(drawn),
            [100 * mean for mean in means],
            [0 if spread != spread else 100 * spread for spread in spreads],
            capsize=3,
            label=label,
            **look,
        )
