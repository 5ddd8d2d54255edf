"""The operations that surgery can follow, by the name that PyTorch gives the function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

CONVOLUTIONS = frozenset({"conv1d", "conv2d", "conv3d"})

# One value in, one value out, in the same place.
# fmt: off
POINTWISE = frozenset({
    "abs", "celu", "clamp", "clamp_", "clone", "contiguous", "detach", "double", "dropout",
    "dropout1d", "dropout2d", "dropout_", "elu", "exp", "feature_dropout", "float", "gelu",
    "half", "hardsigmoid", "hardswish", "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_",
    "logsigmoid", "mish", "neg", "relu", "relu6", "relu_", "selu", "sigmoid", "silu", "softplus",
    "softsign", "sqrt", "square", "tanh", "to",
})

# Positions of one channel in, one position of that channel out.
POOLING = frozenset({
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "interpolate", "lp_pool1d", "lp_pool2d", "max_pool1d", "max_pool2d", "max_pool3d",
})

# Values change place, none changes.
MOVES = frozenset({
    "__getitem__", "cat", "channel_shuffle", "chunk", "concat", "concatenate", "expand",
    "flatten", "movedim", "narrow", "pad", "permute", "repeat", "reshape", "split", "squeeze",
    "stack", "swapaxes", "transpose", "unbind", "unflatten", "unsqueeze", "view",
})
# fmt: on

ADDITIONS = frozenset({"__rsub__", "add", "add_", "rsub", "sub", "sub_"})
MULTIPLICATIONS = frozenset({"div", "div_", "mul", "mul_"})

REDUCTIONS = frozenset({"mean", "sum"})
NORMALIZED = frozenset({"log_softmax", "softmax"})


def argument(args: tuple, kwargs: dict, position: int, name: str, default: Any = None) -> Any:
    """An argument of a call, wherever it was given."""
    return args[position] if len(args) > position else kwargs.get(name, default)


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists and dicts, in order."""
    found: list[Tensor] = []
    map_tensors(found.append, value)
    return found


def map_tensors(function: Callable[[Tensor], Any], value: Any) -> Any:
    """Replace the tensors in nested tuples, lists and dicts by function(tensor)."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {key: map_tensors(function, item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        items = [map_tensors(function, item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value
