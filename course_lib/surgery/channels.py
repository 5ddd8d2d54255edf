"""Which channels of a network belong together, found by running it once.

Positions of layers get numbers; those that must stay or go together get the same one. How the
numbers are found is the business of `tracer.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.surgery.operations import tensors_in
from course_lib.surgery.tracer import Tracer


@dataclass(frozen=True)
class LayerChannels:
    """The channel numbers that a layer reads ([C_in]) and writes ([C_out]), in order."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class ChannelMap:
    """Every layer's channels; positions with the same number stay or go together.

    `layers` maps the names of Linear, Conv, BatchNorm and PadShortcut modules to their channels;
    `fixed` holds the numbers that cannot go, for they are inputs or outputs of the network;
    `weighted` names the Linear and Conv layers.
    """

    layers: Mapping[str, LayerChannels]
    fixed: frozenset[int]
    weighted: frozenset[str]

    def tied(self, layer: str, channel: int) -> tuple[tuple[str, int], ...]:
        """Return all (layer, output channel) pairs that go when this output channel goes."""
        number = self.layers[layer].outputs[channel]
        return tuple((n, c) for n, c, other in self._writers() if other == number)

    def groups(self) -> dict[tuple[str, ...], list[dict[str, list[int]]]]:
        """Return the removable channels, by the layers that write them.

        The keys are tuples of layer names. Each entry of a value is one set of channels that go
        together, as layer -> output channels, which `remove_channels` accepts as it is.
        """
        sets: dict[int, dict[str, list[int]]] = {}
        for layer, channel, number in self._writers():
            if number not in self.fixed:
                sets.setdefault(number, {}).setdefault(layer, []).append(channel)
        groups: dict[tuple[str, ...], list[dict[str, list[int]]]] = {}
        for members in sets.values():
            groups.setdefault(tuple(members), []).append(members)
        return groups

    def _writers(self) -> list[tuple[str, int, int]]:
        return [
            (name, channel, number)
            for name, layer in self.layers.items()
            if name in self.weighted
            for channel, number in enumerate(layer.outputs)
        ]


@torch.no_grad()
def trace_channels(model: nn.Module, inputs: Tensor | tuple[Tensor, ...]) -> ChannelMap:
    """Run `model` on `inputs` and return which of its channels are tied.

    `inputs` is a batch of the shape the network takes; one example is enough, and values do not
    matter. The model runs in evaluation mode and is not changed. ValueError names the first
    operation that is not supported (layer norm, attention, weights outside of Linear, Conv and
    BatchNorm modules, ...).

    >>> net = nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 3))
    >>> trace_channels(net, torch.zeros(1, 4)).groups()
    {('0',): [{'0': [0]}, {'0': [1]}]}
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}.")
    examples = inputs if isinstance(inputs, tuple) else (inputs,)
    for value in examples:
        if not isinstance(value, Tensor) or value.numel() == 0:
            raise ValueError(f"inputs must be tensors with at least one example, got {value!r}.")
    copy = deepcopy(model).eval()
    tracer = Tracer(copy)
    with tracer:
        outputs = copy(*(tracer.given(value) for value in examples))
    for output in tensors_in(outputs):
        tracer.fix(tracer.numbers(output, "the network's output"))
    roots = lambda numbers: tuple(tracer.find(n) for n in numbers.tolist())
    return ChannelMap(
        layers={n: LayerChannels(roots(i), roots(o)) for n, (i, o) in tracer.records.items()},
        fixed=frozenset(tracer.find(n) for n in tracer.fixed),
        weighted=frozenset(tracer.weighted),
    )
