"""Copy a model onto PyTorch's meta device, where tensors have shapes but no memory."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.cost.stand_in import StandIn
from course_lib.cost.trace import tensors_in

# The layer that a module of the copy stands in for, and what it says of its cost.
Replaced = dict[nn.Module, tuple[nn.Module, StandIn]]


def copy_to_meta(model: nn.Module) -> tuple[nn.Module, Replaced]:
    """Copy `model` in eval mode, with stand-ins for its layers that have them.

    No weight is copied on the way: deepcopy looks every object up in its memo first, and finds a
    meta twin of each tensor there, and the stand-in of each layer that counts as another.
    """
    memo: dict[int, Any] = {}
    replaced: Replaced = {}
    _place_stand_ins(model, memo, replaced)
    try:
        twin = copy.deepcopy(model, memo)
    except Exception as error:
        error.add_note("count copies the model; where that fails, pass a function that builds it.")
        raise
    twin.eval()
    return twin, replaced


def meta_twin(tensor: Tensor) -> Tensor:
    """Return a tensor or parameter like this one on the meta device."""
    twin = torch.empty_like(tensor, device="meta", requires_grad=False)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(twin, requires_grad=tensor.requires_grad)
    return twin


def _place_stand_ins(model: nn.Module, memo: dict[int, Any], replaced: Replaced) -> None:
    """Fill the memo with the meta twins of all tensors, and with the stand-ins of layers."""
    # Tensors that are plain attributes count too: pruning and weight norm keep theirs that way.
    attributes = [list(vars(module).values()) for module in model.modules()]
    for tensor in (*model.parameters(), *model.buffers(), *tensors_in(attributes)):
        if id(tensor) not in memo:
            memo[id(tensor)] = meta_twin(tensor)
    _visit(model, memo, replaced)


def _visit(layer: nn.Module, memo: dict[int, Any], replaced: Replaced) -> None:
    """Place a stand-in for `layer`, or else for its children."""
    counts_as: Any = getattr(layer, "counts_as", None)
    if id(layer) in memo:
        return
    if counts_as is None:
        for child in layer.children():
            _visit(child, memo, replaced)
        return
    stand_in = counts_as()
    if not isinstance(stand_in, StandIn):
        raise TypeError(f"{type(layer).__name__}.counts_as must return a StandIn, got {stand_in}.")
    _place_stand_ins(stand_in.layer, memo, replaced)
    memo[id(layer)] = twin = copy.deepcopy(stand_in.layer, memo)
    replaced[twin] = layer, stand_in  # held, so that no identity in the memo is used again
