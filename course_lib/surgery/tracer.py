"""Follows channels through the operations of a forward pass.

Beside each activation travels an integer tensor of the same shape: for every value the number of
the channel it belongs to. Operations that move values (flatten, concatenation, padding, shuffle)
are applied to the numbers as well; where values are added or multiplied, their channels must
stay or go together and are united (union-find). Nothing has to be known of a network's
structure, only of the operations it is made of; one that is not known is named in the error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from course_lib.models import PadShortcut
from course_lib.surgery.operations import (
    ADDITIONS,
    CONVOLUTIONS,
    MOVES,
    MULTIPLICATIONS,
    NORMALIZED,
    POINTWISE,
    POOLING,
    REDUCTIONS,
    argument,
    map_tensors,
    tensors_in,
)

ZERO = 0  # the channel of constant zeros, as padding makes them
INPUT = 1  # the channel of all values that are given to the network
LAYERS = nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.modules.batchnorm._BatchNorm


class Tracer(TorchFunctionMode):
    """While active, carries channel numbers along as the attribute `_channels` of activations.

    `records` maps layers to the numbers they read and write; `find` says which number stands for
    all that are united with it; `fixed` numbers must stay.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.parents = [ZERO, INPUT]
        self.fixed = {ZERO, INPUT}
        self.records: dict[str, tuple[Tensor, Tensor]] = {}
        self.weighted: set[str] = set()
        self.owners: dict[int, tuple[str, nn.Module]] = {}
        for name, module in model.named_modules():
            if isinstance(module, LAYERS):
                for value in (module.weight, getattr(module, "running_mean", None)):
                    self.owners.setdefault(id(value), (name, module))
            if isinstance(module, PadShortcut):
                module.register_forward_hook(self._pad_hook(name))
        self.owners.pop(id(None), None)

    def given(self, value: Tensor) -> Tensor:
        """A copy of an input of the network, whose channels are fixed."""
        return _mark(value.clone(), torch.full(value.shape, INPUT, device=value.device))

    def numbers(self, value: Any, reader: str) -> Tensor:
        """The channel numbers of a tensor; a constant has some only if it is all zeros."""
        if hasattr(value, "_channels"):
            return value._channels
        if bool((value == 0).all()):
            return torch.full(value.shape, ZERO, device=value.device)
        raise ValueError(f"surgery cannot follow the constant tensor that {reader} reads.")

    def fix(self, numbers: Tensor) -> None:
        self.fixed.update(numbers.unique().tolist())

    def find(self, number: int) -> int:
        while self.parents[number] != number:
            self.parents[number] = self.parents[self.parents[number]]
            number = self.parents[number]
        return number

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tracked = [t for t in tensors_in((args, kwargs)) if hasattr(t, "_channels")]
        result = func(*args, **kwargs)
        outputs = tensors_in(result)
        if tracked and outputs:
            name = getattr(func, "__name__", str(func))
            marks = tensors_in(self._follow(name, func, args, kwargs, tracked, outputs[0]))
            for output, mark in zip(outputs, marks, strict=True):
                _mark(output, mark)
        return result

    def _follow(
        self, name: str, func: Any, args: tuple, kwargs: dict, tracked: list, output: Tensor
    ) -> Any:
        """The channel numbers of what `func` returned, by the kind of operation it is."""
        numbers = tracked[0]._channels
        if name in CONVOLUTIONS or name == "linear":
            return self._layer(name, args, kwargs, numbers, output)
        if name == "batch_norm":
            return self._batch_norm(args, kwargs, numbers, output)
        if name in POOLING or _is_spatial_pad(name, args, kwargs):
            return _along(_vector(numbers, 1, name), output, 1)
        if name in ADDITIONS or name in MULTIPLICATIONS:
            return self._combine(name, args, kwargs, tracked)
        if name in MOVES:
            return self._move(name, func, args, kwargs)
        if name in REDUCTIONS:
            return _reduce(name, args, kwargs, numbers)
        if name in NORMALIZED:  # one channel less would change all others, so none may go
            self.fix(numbers)
        elif name not in POINTWISE:
            raise ValueError(f"surgery does not support the operation {name!r}.")
        return numbers

    def _layer(
        self, name: str, args: tuple, kwargs: dict, numbers: Tensor, output: Tensor
    ) -> Tensor:
        layer, module = self._owner(name, [argument(args, kwargs, 1, "weight")])
        axis = -1 if name == "linear" else 1
        inputs = _vector(numbers, axis, layer)
        if layer in self.records:  # called before
            self._unite(inputs, self.records[layer][0])
        else:
            self.records[layer] = inputs, self._new(output.shape[axis])
            self.weighted.add(layer)
            self._tie_groups(getattr(module, "groups", 1), *self.records[layer])
        return _along(self.records[layer][1], output, axis)

    def _tie_groups(self, groups: int, inputs: Tensor, outputs: Tensor) -> None:
        """Groups must stay equal: depthwise, in goes with out; else position k of every group."""
        if groups == 1:
            return
        if len(inputs) == groups:
            self._unite(inputs.repeat_interleave(len(outputs) // groups), outputs)
        else:
            self._tie_parts(inputs.view(groups, -1))
            self._tie_parts(outputs.view(groups, -1))

    def _tie_parts(self, parts: Tensor) -> None:
        """[parts, ...]: unite each position with that of the first part."""
        self._unite(parts[:1].expand_as(parts), parts)

    def _batch_norm(self, args: tuple, kwargs: dict, numbers: Tensor, output: Tensor) -> Tensor:
        layer, _ = self._owner("batch_norm", [*args[1:], *kwargs.values()])
        inputs = _vector(numbers, 1, layer)
        if bool((inputs == ZERO).any()):
            raise ValueError(f"surgery does not support batch norm of padded channels ({layer}).")
        self._unite(inputs, self.records.setdefault(layer, (inputs, inputs))[0])
        return _along(inputs, output, 1)

    def _owner(self, name: str, values: list) -> tuple[str, nn.Module]:
        for value in values:
            if id(value) in self.owners:
                return self.owners[id(value)]
        raise ValueError(
            f"surgery needs each {name} to read a parameter of a Linear, Conv or BatchNorm "
            "module; remove parametrizations and call modules instead of functions."
        )

    def _combine(self, name: str, args: tuple, kwargs: dict, tracked: list) -> Tensor:
        first = tracked[0]._channels
        if len(tracked) == 1:
            constants = [t for t in tensors_in((args, kwargs)) if t is not tracked[0]]
            changes = not self.fixed.issuperset(first.unique().tolist())
            if changes and any(t.numel() > 1 for t in constants):
                raise ValueError(f"surgery cannot follow {name!r} with a tensor no layer made.")
            return first
        a, b = torch.broadcast_tensors(first, tracked[1]._channels)
        both = (a != ZERO) & (b != ZERO)
        self._unite(a[both], b[both])
        return torch.where(a == ZERO, b, a) if name in ADDITIONS else torch.where(both, a, ZERO)

    def _move(self, name: str, func: Any, args: tuple, kwargs: dict) -> Any:
        def follow(value: Tensor) -> Tensor:  # integers are indices
            return self.numbers(value, repr(name)) if value.is_floating_point() else value

        if name == "pad" and kwargs.get("value") not in (None, 0):
            raise ValueError("surgery does not support padding channels with anything but zeros.")
        moved = (Tensor.reshape if name == "view" else func)(
            *map_tensors(follow, args), **map_tensors(follow, kwargs)
        )
        before = args[0].shape if isinstance(args[0], Tensor) else ()
        if name == "channel_shuffle":
            groups = argument(args, kwargs, 1, "groups")
            self._tie_parts(follow(args[0]).transpose(0, 1).unflatten(0, (groups, -1)))
        elif name in ("chunk", "split") and len({part.shape for part in moved}) == 1:
            self._tie_parts(torch.stack(list(moved)))
        elif isinstance(moved, Tensor) and _splits_channels(before, moved.shape):
            self._tie_parts(moved.transpose(0, 1))
        return moved

    def _pad_hook(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
            inputs, outputs = (_vector(self.numbers(t, name), 1, name) for t in (args[0], output))
            padded = outputs == ZERO  # these can go, so they get numbers of their own
            outputs = outputs.masked_scatter(padded, self._new(int(padded.sum())))
            self.records[name] = inputs, outputs
            _mark(output, _along(outputs, output, 1))

        return hook

    def _new(self, count: int) -> Tensor:
        """Numbers of `count` new channels, [count]."""
        first = len(self.parents)
        self.parents.extend(range(first, first + count))
        return torch.arange(first, first + count)

    def _unite(self, a: Tensor, b: Tensor) -> None:
        pairs = torch.stack([a.flatten(), b.flatten()])
        for one, other in pairs.unique(dim=1).t().tolist():
            low, high = sorted((self.find(one), self.find(other)))
            self.parents[high] = low


def _mark(value: Tensor, numbers: Tensor) -> Tensor:
    value._channels = numbers.contiguous()  # type: ignore[attr-defined]
    return value


def _vector(numbers: Tensor, axis: int, reader: str) -> Tensor:
    """Channel numbers along one axis, [N, C, ...] -> [C], on the CPU."""
    rows = numbers.transpose(0, axis).flatten(1)
    if not bool((rows == rows[:, :1]).all()):
        raise ValueError(f"surgery cannot follow {reader}: it reads several channels as one.")
    return rows[:, 0].cpu()


def _along(vector: Tensor, output: Tensor, axis: int) -> Tensor:
    """[C] -> the shape of `output`, C along `axis`."""
    shape = [1] * output.ndim
    shape[axis] = len(vector)
    return vector.to(output.device).view(shape).expand(output.shape)


def _is_spatial_pad(name: str, args: tuple, kwargs: dict) -> bool:
    """Whether this is a padding of the axes after the channels, [N, C, ...]."""
    return name == "pad" and len(argument(args, kwargs, 1, "pad")) <= 2 * (args[0].ndim - 2)


def _splits_channels(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether a view makes [N, groups, C / groups, ...] of [N, C, ...]."""
    split = len(before) > 1 and len(after) > 2 and after[1] * after[2] == before[1]
    return split and before[1] != after[1]


def _reduce(name: str, args: tuple, kwargs: dict, numbers: Tensor) -> Tensor:
    """Sums and means over positions keep a channel a channel; over channels they mix them."""
    dim = argument(args, kwargs, 1, "dim", tuple(range(numbers.ndim)))
    keepdim = argument(args, kwargs, 2, "keepdim", False)
    low, high = numbers.amin(dim, keepdim), numbers.amax(dim, keepdim)
    if not torch.equal(low, high):
        raise ValueError(f"surgery does not support {name!r} over channels.")
    return low
