"""What `count` returns: the cost of a model, layer by layer, and a table to read it in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from course_lib._validate import check_int


@dataclass(frozen=True)
class LayerCost:
    """One layer, summed over its calls in one forward pass.

    Shapes are those of the first tensor of the first call, None if the layer was never called.
    `activation_bytes` is what the layer returned, whether or not it shares memory with its input.
    A parameter shared by several layers is counted in the first. Of a layer with a `StandIn`,
    `weight_bytes` is all it stores: packed levels, scales, indices, which are then no buffers.
    """

    name: str
    kind: str
    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None
    calls: int
    macs: int
    params: int
    weight_bytes: int
    activation_bytes: int


@dataclass(frozen=True)
class Uncounted:
    """A layer some of whose multiply-adds may be missing from `macs`.

    Either `params` of its parameters met the input in `operations` that have no MAC formula, or
    the operations are transforms without one (FFT, say; then `params` is 0). `elements` counts
    what they put out: for an elementwise product, exactly the multiplications left out.
    """

    name: str
    kind: str
    params: int
    operations: tuple[str, ...]
    elements: int

    def __str__(self) -> str:
        return (
            f"{self.name or '(model)'} ({self.kind}): {self.elements:,} elements "
            f"out of {', '.join(self.operations)} with {self.params:,} parameters"
        )


@dataclass(frozen=True, repr=False)
class ModelCost:
    """Cost of one forward pass of a model on inputs of `input_shapes` (batch included).

    macs: multiply-adds of every call of every layer; scale with the batch.
    params, weight_bytes: each parameter once, at its own dtype; never scale with the batch.
    buffer_bytes: state that is stored but not trained, such as batch norm's statistics.
    activation_bytes: the sum of what the layers returned.
    peak_activation_bytes: the most that is alive at once, input included, if every tensor is freed
        after its last use. Eager PyTorch may hold more, and kernels use scratch memory besides.
    uncounted: layers whose MACs may be missing from the count; empty means nothing is hidden.
    unused: names of parameters that this forward pass never touched.
    """

    input_shapes: tuple[tuple[int, ...], ...]
    layers: tuple[LayerCost, ...]
    macs: int
    params: int
    weight_bytes: int
    buffer_bytes: int
    activation_bytes: int
    peak_activation_bytes: int
    uncounted: tuple[Uncounted, ...]
    unused: tuple[str, ...]

    def weight_bytes_at(self, bits: int) -> int:
        """Bytes of all parameters stored with `bits` bits each, rounded up to a whole byte."""
        return -(-self.params * check_int("bits", bits) // 8)

    def __repr__(self) -> str:
        return (
            f"ModelCost(macs={self.macs:,}, params={self.params:,}, "
            f"weight_bytes={self.weight_bytes:,}, "
            f"peak_activation_bytes={self.peak_activation_bytes:,}, {len(self.layers)} layers, "
            f"{len(self.uncounted)} uncounted)"
        )

    def __str__(self) -> str:
        header = ("layer", "kind", "output", "MACs", "parameters", "activation bytes")
        body = [
            (
                layer.name or "(model)",
                layer.kind,
                "not called" if layer.output_shape is None else _times(layer.output_shape),
                f"{layer.macs:,}",
                f"{layer.params:,}",
                f"{layer.activation_bytes:,}",
            )
            for layer in self.layers
        ]
        total = (f"{self.macs:,}", f"{self.params:,}", f"{self.activation_bytes:,}")
        lines = _align([header, *body, ("total", "", "", *total)])
        lines.append(
            f"weights {self.weight_bytes:,} bytes, buffers {self.buffer_bytes:,} bytes, "
            f"peak activations {self.peak_activation_bytes:,} bytes"
        )
        lines += [f"MACs may be missing: {entry}" for entry in self.uncounted]
        if self.unused:
            lines.append(f"parameters never used: {', '.join(self.unused)}")
        return "\n".join(lines)


def _times(shape: Iterable[int]) -> str:
    return " × ".join(map(str, shape))


def _align(rows: list[tuple[str, ...]]) -> list[str]:
    """Pad the columns: text to the left, the last three (numbers) to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < 3 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
