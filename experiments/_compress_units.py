"""Hidden units of a chain of layers: choose, sort, drop and pad them.

A network computes the same whatever the order of its hidden units. Units that are used come first
and the fullest first of all, so that a file says "from here on nothing" once; training goes on
without the others, and they come back as zeros in the file, which holds the whole network.
"""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn

Layer = nn.Linear | nn.Conv2d


def layers_of(model: nn.Module) -> list[Layer]:
    """Return the layers with weights, in the order in which the data meets them."""
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]


def kept_weights(model: nn.Module) -> int:
    """Return how many weights (not biases) are not zero."""
    return sum(int(layer.weight.count_nonzero()) for layer in layers_of(model))


def hidden_units(model: nn.Module) -> list[int]:
    """Return the number of units of each hidden layer."""
    return [len(layer.weight) for layer in layers_of(model)][:-1]


@torch.no_grad()
def strongest_units(model: nn.Module, counts: tuple[int, ...]) -> list[Tensor]:
    """Return for each hidden layer the `counts` units of largest |weights in| * |weights out|."""
    chosen = []
    for count, (layer, after) in zip(counts, pairwise(layers_of(model)), strict=True):
        strength = layer.weight.flatten(1).norm(dim=1) * _by_input(after, layer).norm(dim=(0, 2))
        chosen.append(strength.topk(min(count, len(strength))).indices.sort().values)
    return chosen


@torch.no_grad()
def used_units(model: nn.Module) -> list[Tensor]:
    """Return for each hidden layer the units with weights in and out, those with most first."""
    chosen = []
    for layer, after in pairwise(layers_of(model)):
        into = layer.weight.flatten(1).count_nonzero(dim=1)
        out_of = _by_input(after, layer).count_nonzero(dim=(0, 2))
        weights = torch.where((into > 0) & (out_of > 0), into + out_of, 0)
        order = weights.argsort(descending=True, stable=True)
        chosen.append(order[: max(1, int(weights.count_nonzero()))])
    return chosen


@torch.no_grad()
def take_units(model: nn.Module, units: list[Tensor]) -> nn.Module:
    """Return a copy of the model whose hidden layers have these units, in this order."""
    model = copy.deepcopy(model)
    layers = layers_of(model)
    before: Tensor | None = None
    inputs = [None, *(_by_input(after, layer) for layer, after in pairwise(layers))]
    outputs = [*units, torch.arange(layers[-1].weight.shape[0])]
    for layer, by_input, after in zip(layers, inputs, outputs, strict=True):
        weight, shape = layer.weight, layer.weight.shape[2:]
        if by_input is not None and before is not None:
            weight = by_input[:, before].reshape(len(weight), -1, *shape)
        layer.weight = nn.Parameter(weight[after].contiguous())
        assert layer.bias is not None  # every layer of these networks has one
        layer.bias = nn.Parameter(layer.bias[after].clone())
        before = after
    return _with_true_sizes(model)


@torch.no_grad()
def without_dead_units(model: nn.Module) -> nn.Module:
    """Return the model without units that have no weight in or none out, sorted by weights.

    A unit without weights out changes nothing. One without weights in is a constant, which the
    training that follows makes good.
    """
    while True:
        units = used_units(model)
        smaller = take_units(model, units)
        if hidden_units(smaller) == hidden_units(model):
            return smaller
        model = smaller


@torch.no_grad()
def padded(model: nn.Module, whole: nn.Module) -> nn.Module:
    """Return a copy of the network `whole` with the units of `model` first and zeros after."""
    result = copy.deepcopy(whole)
    small, large = layers_of(model), layers_of(result)
    for part, layer in zip(small, large, strict=True):
        rows, columns = part.weight.shape[:2]
        assert layer.bias is not None
        assert part.bias is not None
        layer.weight.zero_()[:rows, :columns] = part.weight
        layer.bias.zero_()[:rows] = part.bias
    return result


def _by_input(layer: Layer, before: Layer) -> Tensor:
    """Weights [outputs, units of the layer before, weights for each]: flattening keeps a unit's
    positions together."""
    return layer.weight.reshape(len(layer.weight), len(before.weight), -1)


def _with_true_sizes(model: nn.Module) -> nn.Module:
    """Correct what the layers say of their own size."""
    for layer in layers_of(model):
        outputs, inputs = layer.weight.shape[:2]
        if isinstance(layer, nn.Linear):
            layer.in_features, layer.out_features = inputs, outputs
        else:
            layer.in_channels, layer.out_channels = inputs, outputs
    return model
