"""What the quantization table says, in a paragraph and a figure."""

from __future__ import annotations

from itertools import product
from typing import Any

from matplotlib.figure import Figure

from course_lib import plot
from course_lib.results import Table
from experiments import _spread
from experiments._nets import EFFICIENT, REDUNDANT
from experiments._spread import Rows, compare, drops, points, where

NAMES = {REDUNDANT: "LeNet-300-100", EFFICIENT: "MobileNet"}


def chosen(table: Table, net: str, bits: int, whole: bool, **wanted: Any) -> Rows:
    """The rows of a network; `whole`: activations have the same bits, else stay float.

    Without other wishes: after training, symmetric, per channel, min-max, batch norm as it is.
    """
    usual = {"method": "ptq", "scheme": "symmetric", "granularity": "channel", "range": "min_max"}
    activations = bits if whole else 32
    rows = where(table, **(usual | wanted), net=net, bits=bits, activation_bits=activations)
    return [row for row in rows if "batch_norm" in wanted or row["batch_norm"] != "folded"]


def losses(table: Table, net: str, bits: int, whole: bool, **wanted: Any) -> list[float]:
    """Test accuracy lost by each seed."""
    return drops(chosen(table, net, bits, whole, **wanted), where(table, method="none"))


def reading(table: Table) -> str:
    """What the table shows, and what it does not."""
    return " ".join(
        [
            _setting(table),
            _after_training(table),
            _claim(table),
            _remedies(table),
            _in_the_loop(table),
            _checkpoints(table),
            _not_shown(),
        ]
    )


def _setting(table: Table) -> str:
    said = []
    for net, name in NAMES.items():
        rows = where(table, net=net, method="none")
        said.append(
            f"{name} ({rows[0]['params']:,} parameters, {rows[0]['size_bytes']:,} bytes, "
            f"{points(_accuracies(rows))} % of the test images right)"
        )
    return (
        f"{len(table)} rows, every size that of a file whose content was evaluated: "
        f"{' and '.join(said)}, both trained on the training images of {rows[0]['dataset']} and "
        f"evaluated on {_images(table, EFFICIENT)}. Losses are percentage points against the "
        f"float network of a seed (±: {_deviation(table)}). {_spread.COMPARISONS}"
    )


def _images(table: Table, net: str) -> str:
    """On what a network was evaluated."""
    row = where(table, net=net)[0]
    return f"{row['test_images']:,} test images of {row['dataset']}"


def _deviation(table: Table) -> str:
    return _spread.deviation(row for row in table.rows if row["net"] in NAMES)


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
    pairs = {}
    for bits, granularity in product((8, 4, 3, 2), ("tensor", "channel")):
        efficient, redundant = (
            chosen(table, net, bits, True, granularity=granularity)
            for net in (EFFICIENT, REDUNDANT)
        )
        pairs[f"{bits} bits per {granularity}"] = (efficient, redundant)
    found = _spread.verdicts(pairs, where(table, method="none"))
    return f"The MobileNet against LeNet-300-100, weights and activations: {found}."


def _remedies(table: Table) -> str:
    pair = [losses(table, EFFICIENT, 4, True, granularity=g) for g in ("tensor", "channel")]
    said = (
        "One scale per tensor instead of per channel costs the MobileNet at 4 bits "
        f"{compare(*pair)}"
    )
    folded = losses(table, EFFICIENT, 4, True, granularity="tensor", batch_norm="folded")
    if folded:
        compared = compare(folded, pair[0])
        said += f"; folding batch norm into those tensors first costs {compared}"
    return f"{said}."


def trained_against_not(table: Table, net: str) -> dict[int, tuple[Rows, Rows]]:
    """By bits: the rows trained in the loop, and those quantized after training."""
    return {
        bits: (chosen(table, net, bits, True, method="qat"), chosen(table, net, bits, True))
        for bits in _bits(table)
    }


def _in_the_loop(table: Table) -> str:
    """Does quantization-aware training lose less?"""
    float_rows, said = where(table, method="none"), []
    pairs: dict[str, tuple[Rows, Rows]] = {}
    for net, name in NAMES.items():
        both = trained_against_not(table, net)
        pairs |= {f"{name} at {b} bits": both[b] for b in (8, 4, 3, 2) if b in both}
        lost = [
            f"{points(drops(both[bits][0], float_rows))} at {bits}"
            for bits in (8, 4, 2)
            if bits in both and both[bits][0]
        ]
        control = where(table, net=net, method="finetuned")
        if control:
            lost.append(f"{points(drops(control, float_rows))} after the same training in float")
        said.append(f"{name} {', '.join(lost)}")
    return (
        "With training in the loop (QAT; symmetric, per channel, weights and activations) the "
        f"losses are {'; '.join(said)}. Against quantizing after training: "
        f"{_spread.verdicts(pairs, float_rows)}."
    )


def _checkpoints(table: Table) -> str:
    """Networks with one seed, by the images on which they were evaluated."""
    by_images: dict[str, list[str]] = {}
    for net in sorted({row["net"] for row in where(table)} - NAMES.keys()):
        lost = [
            f"{points(losses(table, net, bits, True))} at {bits}"
            for bits in (8, 4)
            if losses(table, net, bits, True)
        ]
        images = f"the same {_images(table, net)}"
        if _images(table, net) != _images(table, EFFICIENT):
            one = 100 / where(table, net=net)[0]["test_images"]
            images = f"the first {_images(table, net)}, where one image is {one:.2f} points"
        by_images.setdefault(images, []).append(f"{net} {' and '.join(lost)} bits")
    said = [f"on {images}: {', '.join(lost)}" for images, lost in by_images.items()]
    found = f"Checkpoints with one seed, weights and activations, {'; '.join(said)}."
    return found if said else ""


def _not_shown() -> str:
    return (
        "Not shown: speed (grids are simulated in float), other pairs of networks (this redundant "
        "one is fully connected and has no batch norm, so width is not all that differs), learned "
        "ranges, mixed precision, and what more training than these few epochs would do. The "
        "names and scales in a file weigh more in the small network: its bytes fall by less than "
        "its bits."
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
            wanted = {"method": method, "granularity": granularity}
            found = {
                bits: [100 * loss for loss in losses(table, net, bits, whole, **wanted)]
                for bits in _bits(table)
            }
            _spread.draw_means(axes, found, label=label, **plot.look(index))
        axes.set(xlabel="bits", xticks=_bits(table), yscale="symlog")
        axes.set_title("weights and activations" if whole else "weights alone")
    bars = f"error bars: {_deviation(table)}"
    panels[0].set_ylabel(f"test accuracy lost (points)\n{bars}")
    panels[1].legend(fontsize=8)
    return fig, (
        "Points of accuracy lost against bits, for a redundant and an efficient network: losses "
        f"grow as bits fall. Where activations are quantized too, training in the loop "
        f"{_gains(table)}; {bars}"
    )


def _gains(table: Table) -> str:
    """Where training in the loop loses less than quantizing after training, beyond noise."""
    said = []
    for net, name in NAMES.items():
        shown = [
            str(bits)
            for bits, pair in trained_against_not(table, net).items()
            if _spread.verdicts({"": pair}, where(table, method="none")).startswith("less lost")
        ]
        said.append(f"for {name} {'at ' + ' and '.join(shown) + ' bits' if shown else 'nowhere'}")
    return f"loses less than quantizing after it, beyond the noise of seeds, {' and '.join(said)}"
