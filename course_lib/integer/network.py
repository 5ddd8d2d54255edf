"""Whole networks in integers: int8 from layer to layer, no float between input and logits.

A quantized chain needs nothing else: each layer's requantization moves its result to the grid of
the next, ReLU is a clamp at the zero point, and max pooling does no arithmetic at all.
Source: Jacob et al. 2018, section 2.4.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from course_lib.cost.stand_in import StandIn, plain_layer, stored_bytes
from course_lib.integer.arithmetic import (
    conv2d_folded,
    fixed_point,
    fold_bias,
    linear_folded,
    quantize_bias,
    requantize,
)
from course_lib.quantize import QuantizedLayer, quantize


class IntegerLayer(nn.Module):
    """One layer of an integer network: int8 in, int8 (or int32, if it is the last) out.

    Buffers: weight int8, bias int32 with the zero point folded in, multiplier and shift int32.
    """

    weight: Tensor
    bias: Tensor
    multiplier: Tensor
    shift: Tensor

    def __init__(
        self, quantized: QuantizedLayer, output_scale: Tensor, output_zero_point: int, bits: int
    ) -> None:
        super().__init__()
        plain, (input_scale, zero_point) = quantized.layer, _input_params(quantized)
        self.input_zero_point = int(zero_point)
        self.output_zero_point, self.output_bits = output_zero_point, bits
        bias = plain.bias
        if bias is not None:
            bias = quantize_bias(bias, input_scale, quantized.weight_scale)
        weight = quantized.levels()
        factor = quantized.bias_scale() / output_scale.double()
        multiplier, shift = fixed_point(factor)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", fold_bias(weight, bias, self.input_zero_point))
        self.register_buffer("multiplier", multiplier)
        self.register_buffer("shift", shift)
        self.convolution: tuple = ()
        if isinstance(plain, nn.Conv2d):
            if plain.padding_mode != "zeros" or isinstance(plain.padding, str):
                raise ValueError(
                    "An integer convolution needs zero padding given in numbers, got "
                    f"padding={plain.padding!r}, padding_mode={plain.padding_mode!r}."
                )
            self.convolution = (plain.stride, plain.padding, plain.dilation, plain.groups)

    def forward(self, x: Tensor) -> Tensor:
        if self.convolution:
            y = conv2d_folded(x, self.weight, self.bias, self.input_zero_point, *self.convolution)
        else:
            y = linear_folded(x, self.weight, self.bias)
        return requantize(
            y,
            self.multiplier,
            self.shift,
            self.output_zero_point,
            self.output_bits,
            dim=(1 if self.convolution else -1) if self.multiplier.ndim else None,
        )

    def counts_as(self) -> StandIn:
        """For `course_lib.cost.count`: the MACs of the float layer, the bytes of the integers."""
        layer = plain_layer(self.weight.shape, bias=True, convolution=self.convolution or None)
        return StandIn(layer, weight_bytes=stored_bytes(self))


class IntegerNetwork(nn.Module):
    """A chain of integer layers: float images in, float logits out, integers in between.

    forward = quantize_input, then `integers` (int8 -> int32), then one multiplication by
    `output_scale`, which no prediction depends on.
    """

    input_scale: Tensor
    output_scale: Tensor

    def __init__(
        self, steps: list[nn.Module], first: QuantizedLayer, output_scale: Tensor
    ) -> None:
        super().__init__()
        self.steps = nn.Sequential(*steps)
        input_scale, zero_point = _input_params(first)
        self.input_zero_point = int(zero_point)
        self.input_bits = first.observer.bits if first.observer else 8
        self.register_buffer("input_scale", input_scale)
        self.register_buffer("output_scale", output_scale)

    def quantize_input(self, x: Tensor) -> Tensor:
        """Return the int8 levels of float inputs of any shape."""
        return quantize(x, self.input_scale, self.input_zero_point, self.input_bits)

    def integers(self, levels: Tensor) -> Tensor:
        """Return the int32 logits [N, K] of int8 inputs."""
        logits: Tensor = self.steps(levels)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.integers(self.quantize_input(x)) * self.output_scale

    def counts_as(self) -> StandIn:
        """For `course_lib.cost.count`: the steps in float, and the two scales."""
        scales = self.input_scale.nbytes + self.output_scale.nbytes
        return StandIn(nn.Sequential(OrderedDict(steps=self.steps)), weight_bytes=scales)


def integer_network(model: nn.Module) -> IntegerNetwork:
    """Return the integers-only form of a `post_training_static` (or frozen aware) nn.Sequential.

    Allowed are QuantizedLayers, ReLU, MaxPool2d, Flatten, Dropout and Identity, in nested
    nn.Sequentials. The output of each layer goes to the grid on which the next one expects its
    input; the last one keeps 32 bits, on the coarsest of its channels' grids.

    Raises ValueError if a module is of another kind, a layer is not static, or its weights have a
    zero point (quantize with symmetric=True).
    """
    modules = _chain(model)
    layers = [module for module in modules if isinstance(module, QuantizedLayer)]
    if not layers:
        raise ValueError("model has no QuantizedLayer: call post_training_static first.")
    inputs = [_input_params(layer) for layer in layers]
    output_scale = layers[-1].bias_scale().max()
    outputs = [
        (*params, layer.activation_bits)
        for params, layer in zip(inputs[1:], layers[1:], strict=True)
    ]
    outputs.append((output_scale, torch.tensor(0), 32))
    steps: list[nn.Module] = []
    zero_point = int(inputs[0][1])
    for module in modules:
        if isinstance(module, QuantizedLayer):
            scale, zero, bits = outputs.pop(0)
            zero_point = int(zero)
            steps.append(IntegerLayer(module, scale, zero_point, bits or 8))
        elif isinstance(module, nn.ReLU):
            steps.append(_ClampBelow(zero_point))
        elif isinstance(module, nn.MaxPool2d):
            steps.append(_MaxPool(module))
        elif isinstance(module, nn.Flatten):
            steps.append(module)
    return IntegerNetwork(steps, layers[0], output_scale.float()).eval()


class _ClampBelow(nn.Module):
    """ReLU on levels: the zero point is the level of the real number 0."""

    def __init__(self, minimum: int) -> None:
        super().__init__()
        self.minimum = minimum

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=self.minimum)


class _MaxPool(nn.Module):
    """Max pooling through int32: torch's int8 kernel also keeps its positions in int8."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pool(x.int())
        return y.to(x.dtype)

    def counts_as(self) -> StandIn:
        """For `course_lib.cost.count`: the pooling, without the copies in int32."""
        return StandIn(self.pool)


def _chain(model: nn.Module) -> list[nn.Module]:
    if isinstance(model, nn.Sequential):
        return [module for child in model for module in _chain(child)]
    allowed = (QuantizedLayer, nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Dropout, nn.Identity)
    if not isinstance(model, allowed):
        names = ", ".join(kind.__name__ for kind in allowed)
        raise ValueError(
            f"An integer network is an nn.Sequential of {names}; got {type(model).__name__}."
        )
    return [model]


def _input_params(layer: QuantizedLayer) -> tuple[Tensor, Tensor]:
    if layer.observer is None or bool(layer.weight_zero_point.any()):
        raise ValueError(
            "An integer network needs fixed input ranges and weights without a zero point: use "
            "post_training_static(model, calibration_batches, symmetric=True)."
        )
    return layer.observer.params()
