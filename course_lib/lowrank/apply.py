"""Whole models: replace chosen layers by their low-rank versions."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import nn

from course_lib.lowrank.convolution import split_conv_cp, split_conv_tucker
from course_lib.lowrank.linear import split_linear


def factorize(model: nn.Module, ranks: Mapping[str, int | tuple[int, int]]) -> nn.Module:
    """Return a copy of `model` in which the named layers are split; the others are untouched.

    `ranks` maps names as in `model.named_modules()` to ranks: a linear layer takes an integer
    (SVD), a convolution an integer (CP) or a pair (out_rank, in_rank) (Tucker-2).
    Raises ValueError for an unknown name or rank, TypeError for a layer of another kind.
    """
    smaller = copy.deepcopy(model)
    modules = dict(smaller.named_modules(remove_duplicate=False))
    for name, rank in ranks.items():
        if not name or name not in modules:
            raise ValueError(f"ranks must name layers of the model, got {name!r}.")
        split = _split(name, modules[name], rank)
        for place, module in modules.items():
            if module is modules[name]:  # a shared layer stays shared
                parent, _, attribute = place.rpartition(".")
                setattr(modules[parent], attribute, split)
    return smaller


def _split(name: str, layer: nn.Module, rank: int | tuple[int, int]) -> nn.Module:
    if isinstance(layer, nn.Linear) and not isinstance(rank, tuple):
        return split_linear(layer, rank)
    if isinstance(layer, nn.Conv2d):
        if isinstance(rank, tuple):
            return split_conv_tucker(layer, *rank)
        return split_conv_cp(layer, rank)
    raise TypeError(f"ranks[{name!r}] = {rank!r} does not fit a {type(layer).__name__} layer.")
