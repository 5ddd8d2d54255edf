"""Cut channels out of a network, or silence them in place.

A channel is removed from all that writes it (filters and biases; scale, shift and running
statistics of batch norm) and from all that reads it (the slice along axis 1 of each follower, all
positions of it where a linear layer reads a flattened map; a group of a depthwise convolution).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from course_lib._validate import check_fraction, check_tensor
from course_lib.models import PadShortcut
from course_lib.surgery.channels import ChannelMap, trace_channels
from course_lib.surgery.operations import tensors_in

Inputs = Tensor | tuple[Tensor, ...]
Channels = Mapping[str, Sequence[int] | Tensor]


def remove_channels(model: nn.Module, inputs: Inputs, channels: Channels) -> nn.Module:
    """Return a smaller copy of `model` without the given output channels and those tied to them.

    `channels` maps names of layers to indices of output channels, counted in `model`. The result
    has the same class, the same layer names, and in evaluation mode the outputs that
    `mask_channels` gives with the same arguments, up to floating-point summation. `inputs` is an
    example batch to trace with (see `trace_channels`). ValueError if a channel is an input or
    output of the network, if a layer would lose all its channels, or if the model's code fixes
    sizes that would have to change.

    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> remove_channels(net, torch.zeros(1, 4), {"0": [1]})
    Sequential(
      (0): Linear(in_features=4, out_features=2, bias=True)
      (1): ReLU()
      (2): Linear(in_features=2, out_features=2, bias=True)
    )
    """
    kept = _kept(trace_channels(model, inputs), channels)
    copy = deepcopy(model)
    for name, (kept_inputs, kept_outputs) in kept.items():
        _cut(copy.get_submodule(name), kept_inputs, kept_outputs)
    _check_equal(copy, _masked(model, kept), inputs)
    return copy


def mask_channels(model: nn.Module, inputs: Inputs, channels: Channels) -> nn.Module:
    """Return a copy of `model`, as large as before, in which the given channels are silent.

    Every number that writes or reads one of the channels, or a channel tied to it, is zero:
    filters, biases and batch-norm scale, shift and mean (the variance is 1) of the channel, and
    the followers' weights for it. Arguments and errors are those of `remove_channels`.
    """
    return _masked(model, _kept(trace_channels(model, inputs), channels))


def weakest_channels(
    model: nn.Module, inputs: Inputs, scores: Mapping[str, Tensor], fraction: float
) -> dict[str, list[int]]:
    """Choose the `fraction` of lowest score in every set of layers, for `remove_channels`.

    `scores` maps names of weights to [C_out, ...] as `prune.score_model` returns; a channel's
    score is the mean over its filter, and tied channels are ranked by the mean of theirs. Layers
    whose channels are tied to the same layers are ranked together and lose round(fraction * n)
    of n sets, but never the last. Layers without scores are left alone.
    """
    check_fraction("fraction", fraction)
    means = {
        name.removesuffix("weight").removesuffix("."): score.detach().flatten(1).double().mean(1)
        for name, score in scores.items()
        if check_tensor(f"scores[{name!r}]", score, floating=True, finite=True).ndim > 1
    }
    chosen: dict[str, list[int]] = {}
    for layers, sets in trace_channels(model, inputs).groups().items():
        scored = [layer for layer in layers if layer in means]
        if not scored:
            continue
        value = lambda members, scored=scored: sum(
            float(means[layer][members[layer]].mean()) for layer in scored
        )
        count = min(round(fraction * len(sets)), len(sets) - 1)
        for members in sorted(sets, key=value)[:count]:
            chosen.setdefault(layers[0], []).extend(members[layers[0]])
    return {layer: sorted(indices) for layer, indices in chosen.items()}


def _kept(channel_map: ChannelMap, channels: Channels) -> dict[str, tuple[Tensor, Tensor]]:
    """Which input and output channels each layer keeps: name -> bool [C_in], bool [C_out]."""
    removed = _numbers(channel_map, channels)
    kept = {}
    for name, layer in channel_map.layers.items():
        ends = [[n not in removed for n in side] for side in (layer.inputs, layer.outputs)]
        for side, values in zip(("input", "output"), ends, strict=True):
            if not any(values):
                raise ValueError(
                    f"channels must leave each layer at least one channel, but the {side} of "
                    f"{name!r} would lose all {len(values)}."
                )
        kept[name] = torch.tensor(ends[0]), torch.tensor(ends[1])
    return kept


def _numbers(channel_map: ChannelMap, channels: Channels) -> set[int]:
    """The numbers, in the map, of the channels to remove."""
    removed = set()
    for name, indices in channels.items():
        if name not in channel_map.layers:
            known = ", ".join(channel_map.layers)
            raise ValueError(f"channels must name layers among {known}; got {name!r}.")
        outputs = channel_map.layers[name].outputs
        for index in _indices(name, indices):
            if not 0 <= index < len(outputs):
                raise ValueError(
                    f"channels[{name!r}] must be indices in 0..{len(outputs) - 1}, got {index}."
                )
            if outputs[index] in channel_map.fixed:
                raise ValueError(
                    f"channel {index} of {name!r} cannot be removed: it is, or is tied to, an "
                    "input or output of the network."
                )
            removed.add(outputs[index])
    return removed


def _indices(name: str, indices: Sequence[int] | Tensor) -> list[int]:
    values: Any = indices.tolist() if isinstance(indices, Tensor) else indices
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"channels[{name!r}] must be a list of indices, got {indices!r}.")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"channels[{name!r}] must hold integers, got {value!r}.")
    return list(values)


@torch.no_grad()
def _cut(module: nn.Module, inputs: Tensor, outputs: Tensor) -> None:
    """Shrink one layer in place."""
    sizes = int(inputs.sum()), int(outputs.sum())
    if isinstance(module, PadShortcut):
        module.extra_channels = sizes[1] - sizes[0]
        return
    for key in ("weight", "bias", "running_mean", "running_var"):
        value = getattr(module, key, None)
        if not isinstance(value, Tensor):
            continue
        smaller = value[outputs.to(value.device)]
        if value.ndim > 1:
            smaller = smaller[:, _of_group(inputs, value.shape[1]).to(value.device)]
        if isinstance(value, nn.Parameter):
            smaller = nn.Parameter(smaller, requires_grad=value.requires_grad)
        setattr(module, key, smaller)
    if isinstance(module, nn.Linear):
        module.in_features, module.out_features = sizes
    elif isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        if module.groups == len(inputs):  # depthwise: a group is a channel
            module.groups = sizes[0]
        module.in_channels, module.out_channels = sizes
    else:
        module.num_features = sizes[1]  # type: ignore[assignment]


@torch.no_grad()
def _masked(model: nn.Module, kept: Mapping[str, tuple[Tensor, Tensor]]) -> nn.Module:
    copy = deepcopy(model)
    for name, (inputs, outputs) in kept.items():
        module = copy.get_submodule(name)
        for key in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(module, key, None)
            if isinstance(value, Tensor):
                silent = 1 if key == "running_var" else 0
                value[~outputs.to(value.device)] = silent
                if value.ndim > 1:
                    value[:, ~_of_group(inputs, value.shape[1]).to(value.device)] = silent
    return copy


def _of_group(inputs: Tensor, size: int) -> Tensor:
    """The part of a layer's inputs that one filter reads; tracing made all groups equal."""
    return inputs[:size] if size > 1 or len(inputs) == 1 else torch.ones(1, dtype=torch.bool)


@torch.no_grad()
def _check_equal(smaller: nn.Module, masked: nn.Module, inputs: Inputs) -> None:
    """Run both; code that fixes a size (`x.view(-1, 800)`) shows here, not at the first use."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    try:
        outputs = tensors_in(deepcopy(smaller).eval()(*inputs))
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"model fixes a size in its code that surgery would have to change: {error}"
        ) from error
    for output, expected in zip(outputs, tensors_in(masked.eval()(*inputs)), strict=True):
        tolerance = torch.finfo(output.dtype).eps ** 0.5
        scale = float(expected.abs().max().nan_to_num())
        close = output.shape == expected.shape and torch.allclose(
            output, expected, rtol=tolerance, atol=tolerance * scale, equal_nan=True
        )
        if not close:
            raise ValueError(
                "model depends on its number of channels in a way surgery cannot see."
            )
