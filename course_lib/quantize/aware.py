"""Quantization-aware training: the network meets its rounding errors while it can still learn.

The forward pass uses weights and activations rounded to their grids; the backward pass goes
straight through the rounding to float master weights, which keep the small steps that the grid
would swallow. After training, `freeze` leaves only the grid. Sources: Jacob et al. 2018,
section 3; Courbariaux et al. 2015 for the master weights.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.func import functional_call

from course_lib._validate import check_choice
from course_lib.cost.stand_in import StandIn
from course_lib.quantize.affine import fake_quantize, integer_range
from course_lib.quantize.post_training import QuantizedLayer, weight_params
from course_lib.quantize.ranges import METHODS, Observer
from course_lib.quantize.replace import Layer, replace_layers


class AwareLayer(nn.Module):
    """A Linear or Conv2d that rounds its input and weight in the forward pass.

    `layer` holds the float master weights, whose range is taken anew in each pass. In training
    mode the observer follows the input's range; observer is None if the input stays float.
    """

    def __init__(
        self,
        layer: Layer,
        bits: int,
        observer: Observer | None,
        *,
        per_channel: bool = True,
        symmetric: bool = True,
        method: str = "min_max",
    ) -> None:
        super().__init__()
        self.layer = layer
        self.bits = bits
        self.observer = observer
        self.per_channel = per_channel
        self.symmetric = symmetric
        self.method = method

    def weight_params(self) -> tuple[Tensor, Tensor]:
        """Return (scale, zero_point) for the master weights as they are now, [C_out] or []."""
        return weight_params(self.layer, self.bits, self.per_channel, self.symmetric, self.method)

    def forward(self, x: Tensor) -> Tensor:
        if self.observer is not None:
            if self.training:
                self.observer.update(x)
            x = fake_quantize(x, *self.observer.params(), self.observer.bits)
        dim = 0 if self.per_channel else None
        weight = fake_quantize(self.layer.weight, *self.weight_params(), self.bits, dim=dim)
        y: Tensor = functional_call(self.layer, {"weight": weight}, (x,))
        return y

    def counts_as(self) -> StandIn:
        """For `course_lib.cost.count`: the float layer, since its master weights are stored."""
        return StandIn(self.layer)


def quantization_aware(
    model: nn.Module,
    *,
    bits: int = 8,
    activation_bits: int | None = 8,
    per_channel: bool = True,
    symmetric: bool = True,
    method: str = "min_max",
    momentum: float = 0.99,
) -> nn.Module:
    """Return a copy to train as usual, in which every Linear and Conv2d is an AwareLayer.

    Start from a trained model and a small learning rate, then call `freeze`. Arguments as in
    `post_training_dynamic`; activation ranges are moving averages with `momentum`. The copy must
    see one batch in training mode before it can be used in eval mode.

    Raises ValueError if bits are outside 2..8, momentum outside 0..1 or there is no such layer.

    >>> aware = quantization_aware(nn.Sequential(nn.Linear(4, 3)), bits=4).train()
    >>> import torch
    >>> aware(torch.ones(2, 4)).sum().backward()
    >>> aware[0].layer.weight.grad.shape
    torch.Size([3, 4])
    """
    integer_range(bits)
    check_choice("method", method, METHODS)

    def make(_: str, layer: Layer) -> nn.Module:
        observer = None
        if activation_bits is not None:
            observer = Observer(activation_bits, momentum=momentum).to(layer.weight.device)
        aware = AwareLayer(
            layer, bits, observer, per_channel=per_channel, symmetric=symmetric, method=method
        )
        return aware.train(layer.training)

    return replace_layers(model, make)


def freeze(model: nn.Module) -> nn.Module:
    """Return a copy of a `quantization_aware` model whose weights have moved onto their grids.

    AwareLayers become QuantizedLayers with the outputs they had in eval mode, but for the biases,
    which are rounded to the grid of the accumulator. The master weights are gone.
    Raises ValueError if the model has no AwareLayer or one never ran in training mode.
    """

    def make(name: str, aware: AwareLayer) -> nn.Module:
        observer = aware.observer
        if observer is not None and not observer.has_seen:
            raise ValueError(f"Layer {name!r} saw no data: train the model before freezing it.")
        bits = None if observer is None else observer.bits
        return QuantizedLayer(aware.layer, *aware.weight_params(), aware.bits, bits, observer)

    return replace_layers(model, make, (AwareLayer,)).eval()
