"""What quantized networks are compared with, and the table's numbers as smaller tables."""

from __future__ import annotations

from itertools import product
from typing import Any

from course_lib.results import Table
from experiments import _spread
from experiments._nets import EFFICIENT, REDUNDANT
from experiments._spread import Comparison, Rows, comparison_table, drops, points, section, where

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
    return drops(chosen(table, net, bits, whole, **wanted), unquantized(table))


def unquantized(table: Table) -> Rows:
    """The float networks."""
    return where(table, method="none")


def all_bits(table: Table) -> list[int]:
    """The widths of symmetric grids, the largest first."""
    return sorted({row["bits"] for row in where(table, scheme="symmetric")}, reverse=True)


def deviation(table: Table) -> str:
    """What ± is for the networks that have several seeds."""
    return _spread.deviation(row for row in table.rows if row["net"] in NAMES)


# What is compared


def networks(table: Table) -> list[Comparison]:
    """Do efficient networks lose more?"""
    both = f"{NAMES[EFFICIENT]} against {NAMES[REDUNDANT]}"
    pairs = {}
    for granularity, bits in product(("tensor", "channel"), all_bits(table)):
        efficient, redundant = (
            chosen(table, net, bits, True, granularity=granularity)
            for net in (EFFICIENT, REDUNDANT)
        )
        pairs[both, f"scales per {granularity}", f"{bits} bits"] = (efficient, redundant)
    return _spread.compared(pairs, unquantized(table))


def scales(table: Table) -> list[Comparison]:
    """What coarse scales cost the efficient network at 4 bits, and batch norm folded before."""
    per_tensor = {"granularity": "tensor"}
    fine, coarse, folded = (
        chosen(table, EFFICIENT, 4, True, **wanted)
        for wanted in ({}, per_tensor, per_tensor | {"batch_norm": "folded"})
    )
    name = NAMES[EFFICIENT]
    pairs = {
        (name, "scales per tensor instead of channel", "4 bits"): (coarse, fine),
        (name, "batch norm folded before per-tensor scales", "4 bits"): (folded, coarse),
    }
    return _spread.compared(pairs, unquantized(table))


def trained_against_not(table: Table, net: str) -> list[Comparison]:
    """Does a network lose less if it is trained in the loop than quantized after training?"""
    pairs = {
        (NAMES[net], "QAT", f"{bits} bits"): (
            chosen(table, net, bits, True, method="qat"),
            chosen(table, net, bits, True),
        )
        for bits in all_bits(table)
    }
    return _spread.compared(pairs, unquantized(table))


# Tables


def details(table: Table) -> str:
    """The numbers of the reading in full."""
    whole = "Symmetric grids, weights and activations"
    trained = [one for net in NAMES for one in trained_against_not(table, net)]
    tables = [
        _networks(table),
        _losses(table),
        _spread.legend(deviation(table), "float"),
        comparison_table(
            "The efficient network against the redundant one",
            f"{whole}, quantized after training.",
            ("networks", "scales", "bits", "lost by the first", "lost by the second"),
            networks(table),
        ),
        comparison_table(
            "Coarse scales and folded batch norm",
            f"{whole}, quantized after training: one scale per tensor against one per channel, "
            "and with one per tensor, batch norm folded into the convolutions first against kept.",
            ("network", "change", "bits", "lost with it", "lost without"),
            scales(table),
        ),
        comparison_table(
            "Training in the loop against quantizing after training",
            f"{whole}, one scale per channel: quantization-aware training (QAT) against "
            "post-training quantization (PTQ).",
            ("network", "method", "bits", "lost by QAT", "lost by PTQ"),
            trained,
        ),
        _checkpoints(table),
    ]
    return "\n\n".join(filter(None, tables))


def _networks(table: Table) -> str:
    rows = []
    for net, name in NAMES.items():
        before = where(table, net=net, method="none")
        again = where(table, net=net, method="finetuned")
        counts = [f"{before[0][column]:,}" for column in ("params", "size_bytes")]
        right = points([row["accuracy"] for row in before])
        rows.append(
            [name, *counts, f"{before[0]['test_images']:,}", right, points(drops(again, before))]
        )
    mine = sum(row["net"] in NAMES for row in table.rows)
    caption = (
        f"{mine} of the {len(table)} rows are about these, trained on the training images of "
        f"{before[0]['dataset']}: test images right, in percent, and what the same training as in "
        f"the loop loses in float, in points (±: {deviation(table)})."
    )
    head = (
        "network",
        "parameters",
        "bytes",
        "test images",
        "right (%)",
        "lost by training in float",
    )
    return section("## The networks", caption, head, rows)


def _losses(table: Table) -> str:
    rows = []
    for net, bits in product(NAMES, all_bits(table)):
        after, whole = chosen(table, net, bits, False), chosen(table, net, bits, True)
        trained = chosen(table, net, bits, True, method="qat")
        unchanged = where(table, net=net, method="none")
        cells = [points(drops(found, unchanged)) for found in (after, whole, trained)]
        size = whole[0]["size_bytes"]
        times = f"{unchanged[0]['size_bytes'] / size:.1f}"
        rows.append([NAMES[net], str(bits), *cells, f"{size:,}", times])
    caption = (
        "Percentage points of test accuracy lost against the float network of the same seed "
        f"(±: {deviation(table)}), with symmetric grids and one scale per channel, quantized "
        "after training (PTQ) or trained in the loop (QAT); bytes are of the file with weights "
        "and activations quantized, whose content was evaluated."
    )
    lost = ("weights alone, PTQ", "with activations, PTQ", "with activations, QAT")
    head = ("network", "bits", *lost, "bytes", "times smaller")
    return section("## Accuracy lost and bytes", caption, head, rows)


def checkpoint_names(table: Table) -> list[str]:
    """The networks with one seed."""
    return sorted({row["net"] for row in where(table)} - NAMES.keys())


def _checkpoints(table: Table) -> str:
    names = checkpoint_names(table)
    levels = [b for b in all_bits(table) if any(chosen(table, net, b, True) for net in names)]
    rows = []
    for net in names:
        row = where(table, net=net)[0]
        cells = [points(losses(table, net, bits, True)) for bits in levels]
        one = f"{100 / row['test_images']:.2f}"
        rows.append([net, row["dataset"], f"{row['test_images']:,}", one, *cells])
    caption = (
        "Percentage points of test accuracy lost by checkpoints of one seed, so without a ±, "
        "with weights and activations quantized after training (symmetric, one scale per "
        "channel), on the first test images of their dataset; one image is so many points."
    )
    head = ("network", "dataset", "test images", "one image", *(f"{b} bits" for b in levels))
    return section("## Checkpoints", caption, head, rows) if rows else ""
