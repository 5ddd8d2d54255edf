"""Layers that compute with signs and train through them, for a network of +1 and -1.

Training keeps float master weights; the forward pass uses their signs. Three methods:
"connect" w -> sign(w) (BinaryConnect, Courbariaux et al. 2015); "bwn" w -> alpha sign(w) with
alpha = mean |w| per filter; "xnor" the same with inputs binarized too, x -> sign(x) times the mean
of |x| under each filter (XNOR-Net, Rastegari et al. 2016, eq. 11). Padding is the sign of 0, +1.
"""

from __future__ import annotations

from collections.abc import Collection
from math import prod
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib._validate import check_choice
from course_lib.binary.signs import binarize, filter_scale
from course_lib.cost.stand_in import StandIn, plain_layer
from course_lib.quantize.replace import Layer, replace_layers

METHODS = ("bwn", "connect", "xnor")


class BinaryLinear(nn.Linear):
    """nn.Linear that computes with the signs of its weight: [..., in] -> [..., out].

    method: "connect", "bwn" or "xnor", see the module. Other arguments as in nn.Linear.

    >>> BinaryLinear(100, 10, method="xnor")(torch.randn(2, 100)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self, in_features: int, out_features: int, *args: Any, method: str = "bwn", **kwargs: Any
    ) -> None:
        super().__init__(in_features, out_features, *args, **kwargs)
        self.method = check_choice("method", method, METHODS)

    def forward(self, x: Tensor) -> Tensor:
        inputs = binarize(x) if self.method == "xnor" else x
        product = F.linear(inputs, binarize(self.weight))
        return self.rescale(product, x, weight_scale(self))

    def rescale(self, product: Tensor, x: Tensor, alpha: Tensor | None) -> Tensor:
        """Return the output for the product of signs: times the scales, plus the bias."""
        if alpha is not None:
            product = product * alpha
        if self.method == "xnor":
            product = product * x.abs().mean(dim=-1, keepdim=True)
        return product if self.bias is None else product + self.bias

    def counts_as(self) -> StandIn:
        """For `course_lib.cost.count`: the float layer; bits are saved once it is packed."""
        return StandIn(_float_layer(self))


class BinaryConv2d(nn.Conv2d):
    """nn.Conv2d that computes with the signs of its weight: [N, C, H, W] -> [N, F, H', W'].

    method: "connect", "bwn" or "xnor", see the module. Other arguments as in nn.Conv2d; padding
    must be zeros given in numbers.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *args: Any,
        method: str = "bwn",
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, *args, **kwargs)
        self.method = check_choice("method", method, METHODS)
        if self.padding_mode != "zeros" or isinstance(self.padding, str):
            raise ValueError(
                "A binary convolution needs zero padding given in numbers, got "
                f"padding={self.padding!r}, padding_mode={self.padding_mode!r}."
            )

    @property
    def border(self) -> tuple[int, int]:
        """The padding along height and width."""
        return cast(tuple[int, int], self.padding)

    def forward(self, x: Tensor) -> Tensor:
        signs = binarize(self.weight)
        if self.method == "xnor":
            x = self.pad(x)  # before the sign, so that padding becomes +1
            product = self.convolve(binarize(x), signs, padding=(0, 0))
        else:
            product = self.convolve(x, signs, self.border)
        return self.rescale(product, x, weight_scale(self))

    def convolve(self, x: Tensor, signs: Tensor, padding: tuple[int, int]) -> Tensor:
        """Return the convolution of this geometry, without scale and bias."""
        return F.conv2d(x, signs, None, self.stride, padding, self.dilation, self.groups)

    def pad(self, x: Tensor) -> Tensor:
        """Return x with its border of zeros, [N, C, H + 2 pH, W + 2 pW]."""
        height, width = self.border
        return F.pad(x, (width, width, height, height))

    def rescale(self, product: Tensor, x: Tensor, alpha: Tensor | None) -> Tensor:
        """Return the output for the product of signs: times the scales, plus the bias.

        x: the input, padded if the method is "xnor".
        """
        if alpha is not None:
            product = product * alpha.reshape(-1, 1, 1)
        if self.method == "xnor":
            product = product * self.input_scale(x)
        return product if self.bias is None else product + self.bias.reshape(-1, 1, 1)

    def input_scale(self, padded: Tensor) -> Tensor:
        """Return K, the mean of |x| under each filter, [N, F, H', W']; XNOR-Net, section 3.2."""
        magnitude = padded.abs().unflatten(1, (self.groups, -1)).mean(dim=2)
        box = magnitude.new_ones(self.groups, 1, *self.kernel_size) / prod(self.kernel_size)
        means = F.conv2d(magnitude, box, None, self.stride, 0, self.dilation, self.groups)
        return means.repeat_interleave(self.out_channels // self.groups, dim=1)

    def counts_as(self) -> StandIn:
        """For `course_lib.cost.count`: the float layer; bits are saved once it is packed."""
        return StandIn(_float_layer(self))


def weight_scale(layer: BinaryLinear | BinaryConv2d) -> Tensor | None:
    """Return alpha [F] of a layer, or None if its method is "connect"."""
    return None if layer.method == "connect" else filter_scale(layer.weight)


def geometry(layer: BinaryLinear | BinaryConv2d) -> tuple | None:
    """Return (stride, padding, dilation, groups) of a convolution, None for a linear layer."""
    if isinstance(layer, BinaryLinear):
        return None
    return layer.stride, layer.padding, layer.dilation, layer.groups


def binary_model(
    model: nn.Module, method: str = "bwn", *, keep: Collection[str] = ()
) -> nn.Module:
    """Return a copy with a binary layer for each nn.Linear and nn.Conv2d, same master weights.

    keep: names of layers, as in named_modules(), that stay float; XNOR-Net keeps the first and
    the last. Train the copy as usual with `clip_weights` after each step; a batch norm before
    each "xnor" layer centres its input. ValueError for an unknown method or name.

    >>> binary_model(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), keep=["2"])
    Sequential(
      (0): BinaryLinear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
      (2): Linear(in_features=3, out_features=2, bias=True)
    )
    """
    check_choice("method", method, METHODS)
    unknown = sorted(set(keep) - {name for name, _ in model.named_modules()})
    if isinstance(keep, str) or unknown:
        raise ValueError(f"keep must list names of layers of the model, got {keep!r}.")

    def make(name: str, layer: Layer) -> nn.Module:
        return layer if name in keep else _binary(layer, method)

    return replace_layers(model, make)


def clip_weights(model: nn.Module) -> None:
    """Clip the master weights of binary layers to [-1, 1], in place, after an optimizer step.

    Beyond, a weight has no gradient and could never change its sign again. Meant for
    `course_lib.train.fit(..., after_step=clip_weights)`. Source: Courbariaux et al. 2015, 2.4.
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (BinaryLinear, BinaryConv2d)):
                module.weight.clamp_(-1, 1)


def _float_layer(layer: BinaryLinear | BinaryConv2d) -> nn.Module:
    """An ordinary layer with the very tensors of `layer`, so that shared ones stay shared."""
    plain = plain_layer(layer.weight.shape, bias=False, convolution=geometry(layer))
    del plain.weight, plain.bias
    plain.weight, plain.bias = layer.weight, layer.bias
    return plain


def _binary(layer: Layer, method: str) -> BinaryLinear | BinaryConv2d:
    has_bias = layer.bias is not None
    binary: BinaryLinear | BinaryConv2d
    if isinstance(layer, nn.Linear):
        binary = BinaryLinear(
            layer.in_features, layer.out_features, has_bias, device="meta", method=method
        )
    else:
        binary = BinaryConv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            groups=layer.groups,
            bias=has_bias,
            padding_mode=layer.padding_mode,
            device="meta",
            method=method,
        )
    binary.weight, binary.bias = layer.weight, layer.bias
    return binary.train(layer.training)
