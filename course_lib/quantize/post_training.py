"""Post-training quantization: a trained model in, a quantized copy out, no training.

Weights move onto their integer grid. Activations stay float (weights only), are quantized by the
range of each batch (dynamic), or by a range fixed on calibration data (static), the form that
integer-only inference needs. The copy *simulates* the integers in floating point, so it shows
their accuracy and size, not their speed; `course_lib.integer` runs the integers themselves.
Sources: Krishnamoorthi 2018, section 3; Jacob et al. 2018, section 2.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from course_lib._evaluate import eval_mode
from course_lib._validate import check_choice, check_tensor
from course_lib.cost.stand_in import StandIn
from course_lib.quantize.affine import fake_quantize, integer_range, quantize
from course_lib.quantize.ranges import METHODS, Observer, affine_params
from course_lib.quantize.replace import Layer, replace_layers


class QuantizedLayer(nn.Module):
    """A Linear or Conv2d whose weight lies on an integer grid: what post-training returns.

    weight_scale, weight_zero_point: [] or [C_out], for `weight_bits`. activation_bits is None if
    the input stays float. observer holds the input range of a static layer; it is None where the
    range is that of each batch. The bias of a static layer lies on the grid of the accumulator,
    input scale * weight scale. `layer` is the plain layer with these weights.
    """

    weight_scale: Tensor
    weight_zero_point: Tensor

    def __init__(
        self,
        layer: Layer,
        weight_scale: Tensor,
        weight_zero_point: Tensor,
        weight_bits: int,
        activation_bits: int | None = None,
        observer: Observer | None = None,
    ) -> None:
        super().__init__()
        self.layer = layer = copy.deepcopy(layer).requires_grad_(False)
        self.weight_bits = weight_bits
        self.activation_bits = activation_bits
        self.observer = observer
        self.register_buffer("weight_scale", weight_scale)
        self.register_buffer("weight_zero_point", weight_zero_point)
        with torch.no_grad():
            layer.weight.copy_(
                fake_quantize(
                    layer.weight, weight_scale, weight_zero_point, weight_bits, dim=self.dim
                )
            )
            if observer is not None and layer.bias is not None:
                step = self.bias_scale()
                layer.bias.copy_(torch.round(layer.bias.double() / step) * step)

    @property
    def dim(self) -> int | None:
        """0 if each output channel has its own scale, None if all share one."""
        return 0 if self.weight_scale.ndim else None

    def levels(self) -> Tensor:
        """Return the weight as integers, int8 in the shape of the weight."""
        weight, zero_point = self.layer.weight, self.weight_zero_point
        return quantize(weight, self.weight_scale, zero_point, self.weight_bits, dim=self.dim)

    def input_params(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (scale, zero_point) for the input x: fixed if static, else from its range."""
        if self.observer is not None:
            return self.observer.params()
        assert self.activation_bits is not None
        return affine_params(x, self.activation_bits)

    def bias_scale(self) -> Tensor:
        """Return the step of the accumulator of a static layer, float64, [] or [C_out]."""
        if self.observer is None:
            raise ValueError("Only a static layer has one bias scale; this one has no observer.")
        return self.observer.params()[0].double() * self.weight_scale.double()

    def forward(self, x: Tensor) -> Tensor:
        if self.activation_bits is not None:
            x = fake_quantize(x, *self.input_params(x), self.activation_bits)
        y: Tensor = self.layer(x)
        return y

    def counts_as(self) -> StandIn:
        """For `course_lib.cost.count`: the MACs of the plain layer, the bytes of packed levels."""
        from course_lib.quantize.storage import size_bytes

        return StandIn(self.layer, weight_bytes=size_bytes(self))

    def plain(self) -> Layer:
        """Return an ordinary, trainable layer with these weights; its input stays float."""
        return copy.deepcopy(self.layer).requires_grad_()


def post_training_dynamic(
    model: nn.Module,
    *,
    bits: int = 8,
    activation_bits: int | None = 8,
    per_channel: bool = True,
    symmetric: bool = True,
    method: str = "min_max",
) -> nn.Module:
    """Return a copy with quantized weights; activations are quantized by the range of each batch.

    Needs no data. Every nn.Linear and nn.Conv2d becomes a QuantizedLayer; the rest stays float.
    activation_bits=None leaves activations float: weight-only quantization. per_channel gives
    each output channel its own scale; symmetric and method choose the weights' grid as in
    `affine_params`. The batch shares one range, so a prediction may depend on its neighbours.

    Raises ValueError if bits are outside 2..8, a weight is NaN or infinite, or no layer is there.

    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    >>> post_training_dynamic(model, bits=4)(torch.ones(2, 4)).shape
    torch.Size([2, 3])
    """
    if activation_bits is not None:
        integer_range(activation_bits)

    def make(_: str, layer: Layer) -> nn.Module:
        scale, zero_point = weight_params(layer, bits, per_channel, symmetric, method)
        return QuantizedLayer(layer, scale, zero_point, bits, activation_bits)

    return replace_layers(model, make).eval()


def post_training_static(
    model: nn.Module,
    calibration_batches: Iterable[Tensor],
    *,
    bits: int = 8,
    activation_bits: int = 8,
    per_channel: bool = True,
    symmetric: bool = True,
    method: str = "min_max",
    activation_method: str = "min_max",
) -> nn.Module:
    """Return a copy with quantized weights and input ranges fixed on the calibration batches.

    calibration_batches: inputs of the model, [N, ...] each; the float model runs on them in eval
    mode and an Observer per layer keeps the widest range. A few hundred samples of the training
    data usually do. Activations are affine, one grid per tensor. Other arguments as in
    `post_training_dynamic`; activation_method chooses the range within each batch.

    Raises ValueError as there, and if there is no batch or a layer never ran.
    """
    check_choice("activation_method", activation_method, METHODS)

    def observe(_: str, layer: Layer) -> nn.Module:
        return _Calibrating(layer, Observer(activation_bits, method=activation_method))

    calibrating = replace_layers(model, observe)
    with eval_mode(calibrating), torch.no_grad():
        for batch in calibration_batches:
            calibrating(check_tensor("each calibration batch", batch))

    def make(name: str, module: nn.Module) -> nn.Module:
        assert isinstance(module, _Calibrating)
        if not module.observer.has_seen:
            raise ValueError(
                f"Layer {name!r} saw no data: calibration_batches must hold at least one batch "
                "and the model must use the layer."
            )
        layer = module.layer
        scale, zero_point = weight_params(layer, bits, per_channel, symmetric, method)
        return QuantizedLayer(layer, scale, zero_point, bits, activation_bits, module.observer)

    return replace_layers(calibrating, make, (_Calibrating,)).eval()


def half_precision(model: nn.Module, dtype: torch.dtype = torch.float16) -> nn.Module:
    """Return a copy that stores and computes in float16 or bfloat16: half the bytes.

    Takes and returns float32; inputs are cast on the way in. float16 has 11 significant bits and
    ends at 65504 (above: infinity; below 6e-8: zero); bfloat16 has float32's range and 8 bits.
    Raises ValueError if a weight would become infinite, or for another dtype.

    >>> half_precision(nn.Linear(2, 1))(torch.ones(3, 2)).dtype
    torch.float32
    """
    if dtype not in (torch.float16, torch.bfloat16):
        raise ValueError(f"dtype must be torch.float16 or torch.bfloat16, got {dtype}.")
    half = copy.deepcopy(model)
    for name, value in [*half.named_parameters(), *half.named_buffers()]:
        check_tensor(name, value, finite=True)
        if value.is_floating_point() and not bool(torch.isfinite(value.to(dtype)).all()):
            limit = torch.finfo(dtype).max
            raise ValueError(
                f"{name} has values beyond {limit:g}, the end of {dtype}: use torch.bfloat16."
            )
    return HalfPrecision(half.to(dtype)).eval()


class HalfPrecision(nn.Module):
    """A model in a 16-bit type that takes and returns float32; see `half_precision`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x.to(next(self.model.parameters()).dtype))
        return y.float()


class _Calibrating(nn.Module):
    """A float layer that watches its input."""

    def __init__(self, layer: Layer, observer: Observer) -> None:
        super().__init__()
        self.layer = layer
        self.observer = observer

    def forward(self, x: Tensor) -> Tensor:
        self.observer.update(x)
        y: Tensor = self.layer(x)
        return y


def weight_params(
    layer: Layer, bits: int, per_channel: bool, symmetric: bool, method: str
) -> tuple[Tensor, Tensor]:
    """Return (scale, zero_point) of a layer's weight, [C_out] if per_channel, else []."""
    dim = 0 if per_channel else None
    scale, zero_point = affine_params(
        layer.weight, bits, symmetric=symmetric, dim=dim, method=method
    )
    used = layer.weight.detach().flatten(1).any(dim=1)
    if per_channel and bool(used.any()):
        # Any scale suits a pruned channel; a coarse one would coarsen its bias and the logits.
        scale = scale.where(used, scale[used].max())
    return scale, zero_point
