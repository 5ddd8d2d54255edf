"""One-bit products, 64 signs per word, beside PyTorch's float32 matrix product.

Both multiply the same matrices of +1 and -1, and their results must be equal. "packed" has both
sides in bits already, as between two binary layers; "packing included" gets its input in floats,
as after a batch norm. Weights are packed beforehand: they are constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.report import Cell, Row, Table, rows_of, span
from benchmarks.timing import interleave
from course_lib.binary import binarize, pack_signs, xnor_product

FLOAT, PACKED, PACKING = "torch fp32", "xnor, packed", "xnor, packing included"
LENET_LAYERS = {  # name -> (outputs, inputs, rows per image)
    "LeNet-300-100 fc1": (300, 784, 1),
    "LeNet-300-100 fc2": (100, 300, 1),
    "LeNet-5 conv2": (50, 500, 64),
    "LeNet-5 fc1": (500, 800, 1),
}

Shape = tuple[int, int, int]  # rows, columns, signs in each dot product

QUICK: dict[str, Any] = {"square": 1024, "batches": (1, 64), "repeats": 10, "budget_s": 5.0}
FULL: dict[str, Any] = {"square": 4096, "batches": (1, 64), "repeats": 30, "budget_s": 60.0}


def measure(square: int, batches: Sequence[int], repeats: int, budget_s: float) -> Table:
    """Compare square x square matrices, and the layers of the LeNets for each batch size."""
    cases: dict[str, Shape] = {f"{square} x {square}": (square, square, square)}
    for name, (outputs, inputs, per_image) in LENET_LAYERS.items():
        for batch in batches:
            cases[f"{name}, batch {batch}"] = (batch * per_image, outputs, inputs)
    rows = [
        row for name, shape in cases.items() for row in _compare(name, shape, repeats, budget_s)
    ]
    large = [row for row in rows if row.case == f"{square} x {square}"]
    small = [row for row in rows if row not in large]
    equal = [row.extra["equal"] is True for row in rows if row.subject != FLOAT]
    return Table(
        name="binary",
        title="XNOR and popcount beside float32",
        method="[rows, K] times [columns, K]; weight bytes are those of [columns, K], in float32 "
        "and packed.",
        rows=tuple(rows),
        reading=f"Reading: time relative to float32: at {square} x {square} packed "
        f"{span(large, PACKED)}, with packing {span(large, PACKING)}; at LeNet sizes packed "
        f"{span(small, PACKED)}, with packing {span(small, PACKING)}. {sum(equal)} of "
        f"{len(equal)} results equal float32's.",
    )


def _compare(case: str, shape: Shape, repeats: int, budget_s: float) -> list[Row]:
    rows, columns, count = shape
    generator = torch.Generator().manual_seed(0)
    x = binarize(torch.randn(rows, count, generator=generator))
    weight = binarize(torch.randn(columns, count, generator=generator))
    packed_x, packed_weight = pack_signs(x), pack_signs(weight)
    runs = {
        FLOAT: lambda: x @ weight.T,
        PACKED: lambda: xnor_product(packed_x, packed_weight, count),
        PACKING: lambda: xnor_product(pack_signs(x), packed_weight, count),
    }
    expected = runs[FLOAT]()
    bytes_of = {FLOAT: weight.nbytes, PACKED: packed_weight.nbytes, PACKING: packed_weight.nbytes}
    extra = {
        name: _extra(shape, run(), expected, bytes_of[name], weight.nbytes)
        for name, run in runs.items()
    }
    return rows_of(case, interleave(runs, repeats, budget_s), FLOAT, extra)


def _extra(
    shape: Shape, result: Tensor, expected: Tensor, weight_bytes: int, float_bytes: int
) -> dict[str, Cell]:
    return {
        "rows x columns x K": " x ".join(map(str, shape)),
        "weight bytes": weight_bytes,
        "bytes ratio": weight_bytes / float_bytes,
        "equal": torch.equal(result.float(), expected),
    }
