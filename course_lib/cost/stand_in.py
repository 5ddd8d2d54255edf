"""How a layer that PyTorch cannot run without values is counted all the same.

Compressed layers read values in their forward pass (a scale, a codebook, which weights are zero),
and on the meta device there are none. Such a layer defines `counts_as(self) -> StandIn`: an
ordinary layer of the same shapes to count in its place, and what differs from it. `count` puts the
stand-in into its copy of the model and keeps the name and kind of the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class StandIn:
    """What to count in place of a layer; None means: as counted for `layer`.

    layer: takes and returns the same shapes; it is copied, never run itself. Layers inside may
        have stand-ins of their own.
    params: numbers that the layer was trained for and multiplies with.
    weight_bytes: everything that the layer stores, packed as in a file: levels or indices, scales,
        codebook, positions of nonzeros, bias. Without what layers inside `layer` count themselves.
    nonzeros: weights left to multiply with, if zeros are skipped; `layer` is then an nn.Linear or
        nn.Conv2d, and each of its products with a weight in n becomes one with a nonzero.
    """

    layer: nn.Module
    params: int | None = None
    weight_bytes: int | None = None
    nonzeros: int | None = None

    def macs(self, dense_macs: int) -> int:
        """Multiply-adds of the original, given those counted for `layer`; exact."""
        if self.nonzeros is None:
            return dense_macs
        weight = self.layer.weight
        assert isinstance(weight, Tensor)
        return dense_macs // weight.numel() * self.nonzeros  # every weight is used equally often


def plain_layer(
    weight_shape: Sequence[int],
    *,
    bias: bool,
    convolution: tuple | None = None,
    dtype: torch.dtype = torch.float32,
) -> nn.Linear | nn.Conv2d:
    """Return an nn.Linear, or nn.Conv2d if `convolution` is given, on the meta device.

    convolution: (stride, padding, dilation, groups).

    >>> plain_layer((8, 1, 3, 3), bias=False, convolution=(2, 1, 1, 8))
    Conv2d(8, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), groups=8, bias=False)
    """
    outputs, inputs, *kernel = weight_shape
    if convolution is None:
        return nn.Linear(inputs, outputs, bias, device="meta", dtype=dtype)
    stride, padding, dilation, groups = convolution
    return nn.Conv2d(
        inputs * groups,
        outputs,
        (kernel[0], kernel[1]),
        stride,
        padding,
        dilation,
        groups,
        bias,
        device="meta",
        dtype=dtype,
    )


def stored_bytes(module: nn.Module) -> int:
    """Return the bytes of the module's `state_dict`: what a file of it holds."""
    return sum(tensor.nbytes for tensor in module.state_dict().values())
