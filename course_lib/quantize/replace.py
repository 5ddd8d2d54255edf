"""Walk a model and replace its Linear and Conv2d layers, in a copy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import nn

Layer = nn.Linear | nn.Conv2d


def replace_layers(
    model: nn.Module,
    make: Callable[[str, Any], nn.Module],
    kinds: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv2d),
) -> nn.Module:
    """Return a copy of the model in which make(name, layer) stands for each layer of `kinds`.

    `make` gets layers of the copy, which it may change. A layer used under several names is
    replaced once and stays shared. Subclasses of `kinds` (attention projections, binary or
    parametrized layers) are left alone, because they may use their weight in other ways.
    Raises ValueError if there is no layer to replace.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}.")
    done: dict[int, nn.Module] = {}
    keep: list[nn.Module] = []  # ids stay unique only while the layers live

    def visit(name: str, module: nn.Module) -> nn.Module:
        if id(module) not in done:
            keep.append(module)
            done[id(module)] = module
            if type(module) in kinds:
                done[id(module)] = make(name, module)
                replaced.append(name)
            else:
                for child_name, child in list(module._modules.items()):
                    if child is not None:
                        path = f"{name}.{child_name}" if name else child_name
                        module._modules[child_name] = visit(path, child)
        return done[id(module)]

    replaced: list[str] = []
    result = visit("", copy.deepcopy(model))
    if not replaced:
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"model has no {wanted} layer to replace.")
    return result
