"""What a call did to its arguments: found where it ran, carried home, done to the originals.

A function may fill a list, apply a mask in place or train a model, and a test may want to see
that, or to see that it did not happen. After each call every argument with an identity is
compared with what it was, and only what changed is sent back.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autograder.judging import layers, pack, raw
from autograder.judging.errors import CodecError
from autograder.judging.pack import Packer
from autograder.judging.unpack import Unpacker


class Snapshot:
    """The state of the arguments before a call, next to the arguments themselves."""

    def __init__(self, arrived: Unpacker) -> None:
        self.objects = arrived.objects
        self._sources = arrived.sources
        self._before = [_state(value) for value in self.objects]

    def changes(self, packer: Packer) -> list[list[Any]]:
        """Return [number, packed new state] of every argument that is not what it was."""
        found = []
        for number, value in enumerate(self.objects):
            if self._same(number, value):
                continue
            for base, pack_change in _PACK:
                if isinstance(value, base):
                    found.append([number, pack_change(packer, value)])
                    break
        return found

    def _same(self, number: int, value: Any) -> bool:
        before, now = self._before[number], _state(value)
        if len(before) != len(now) or any(map(_differ, before, now)):
            return False
        source = self._sources.get(number)
        return source is None or _same_bytes(value, source)


def apply(unpacker: Unpacker, originals: Sequence[Any], changes: Any) -> None:
    """Do to the originals what `Snapshot.changes` found; CodecError if that can't be."""
    try:
        for number, said in changes:
            if type(number) is not int or not 0 <= number < len(originals):
                raise CodecError("there is no such argument.")
            original = originals[number]
            for base, change in _APPLY:
                if isinstance(original, base):
                    change(unpacker, original, said)
                    break
    except CodecError:
        raise
    except Exception as error:
        raise CodecError(f"the change could not be read ({type(error).__name__}).") from error


def _state(value: Any) -> tuple[Any, ...]:
    """Return what to compare: parts by identity, and values of immutable kinds."""
    if isinstance(value, list | set):
        return tuple(value)
    if isinstance(value, dict):
        return tuple(part for pair in value.items() for part in pair)
    if isinstance(value, Tensor):
        grad = value.grad if value.is_leaf else None
        return value.dtype, tuple(value.shape), value.requires_grad, grad
    if isinstance(value, np.ndarray):
        parts = tuple(value.ravel()) if value.dtype.kind == "O" else ()
        return (value.dtype.str, value.shape, *parts)
    if isinstance(value, nn.Module):
        return _layer_state(value)
    if isinstance(value, bytearray):
        return (bytes(value),)
    if isinstance(value, random.Random):
        return (value.getstate(),)
    if isinstance(value, torch.Generator):
        return (bytes(raw.tensor_bytes(value.get_state())),)
    if isinstance(value, np.random.Generator):
        return (repr(value.bit_generator.state),)
    return ()


def _layer_state(module: nn.Module) -> tuple[Any, ...]:
    tables = (module._parameters, module._buffers, module._modules, dict(layers.plain(module)))
    parts = [part for table in tables for pair in table.items() for part in (*pair, None)]
    return (module.training, tuple(layers.hook_counts(module)), *parts)


_VALUES = (str, bytes, tuple, torch.dtype)


def _differ(before: Any, now: Any) -> bool:
    """Only what can't be lied about is compared by value; all else is the same or is not."""
    if before is now:
        return False
    return not (type(before) is type(now) and type(now) in _VALUES and _equal(before, now))


def _equal(before: Any, now: Any) -> bool:
    if type(now) is tuple:
        return len(before) == len(now) and not any(map(_differ, before, now))
    return before == now


def _same_bytes(value: Any, source: memoryview) -> bool:
    now = raw.tensor_bytes(value) if isinstance(value, Tensor) else value.tobytes()
    return len(now) == len(source) and np.array_equal(
        np.frombuffer(now, np.uint8), np.frombuffer(source, np.uint8)
    )


def _pack_layer(packer: Packer, module: nn.Module) -> list[Any]:
    attributes = []
    for name, value in layers.plain(module):
        packed = packer.attempt(value) if layers.is_free(module, name) else None
        if packed is not None:
            attributes.append([name, packed[0]])
    return [layers.hook_counts(module), layers.state(packer, module, attributes)]


_PACK: tuple[tuple[Any, Any], ...] = (*pack.OBJECTS, (nn.Module, _pack_layer))


def _apply_tensor(unpacker: Unpacker, original: Tensor, said: Any) -> None:
    _, name, shape, where, _, requires_grad, grad = said
    new_grad = unpacker.unpack(grad)
    with torch.no_grad():
        if where is not None:
            new = raw.read_tensor(name, shape, unpacker.buffer(where))
            if new.shape == original.shape and new.dtype == original.dtype:
                original.data.copy_(new)
            else:
                original.data = new
    if original.is_leaf:
        original.requires_grad_(requires_grad is True)
        original.grad = new_grad


def _apply_array(unpacker: Unpacker, original: np.ndarray, said: Any) -> None:
    new = unpacker.leaf(said)
    if new.shape != original.shape or new.dtype != original.dtype:
        raise CodecError("it changed the shape or the dtype of an array.")
    original[...] = new


def _apply_list(unpacker: Unpacker, original: list[Any], said: Any) -> None:
    original[:] = unpacker.all(said[1:])


def _apply_set(unpacker: Unpacker, original: set[Any], said: Any) -> None:
    new = unpacker.all(said[1:])
    original.clear()
    original.update(new)


def _apply_dict(unpacker: Unpacker, original: dict[Any, Any], said: Any) -> None:
    parts = unpacker.all(said[1:])
    original.clear()
    original.update(zip(parts[::2], parts[1::2], strict=True))


def _apply_layer(unpacker: Unpacker, original: nn.Module, said: Any) -> None:
    hooks, state = said
    unpacker.fill_layer(original, state)
    layers.leave_hooks(original, hooks)


def _apply_random(unpacker: Unpacker, original: random.Random, said: Any) -> None:
    original.setstate(unpacker.leaf(said).getstate())


def _apply_generator(unpacker: Unpacker, original: torch.Generator, said: Any) -> None:
    original.set_state(unpacker.leaf(said).get_state())


def _apply_numpy_generator(unpacker: Unpacker, original: np.random.Generator, said: Any) -> None:
    original.bit_generator.state = unpacker.leaf(said).bit_generator.state


def _apply_bytearray(unpacker: Unpacker, original: bytearray, said: Any) -> None:
    original[:] = unpacker.buffer(said[1])


_APPLY: tuple[tuple[Any, Any], ...] = (
    (list, _apply_list),
    (dict, _apply_dict),
    (set, _apply_set),
    (Tensor, _apply_tensor),
    (np.ndarray, _apply_array),
    (bytearray, _apply_bytearray),
    (random.Random, _apply_random),
    (torch.Generator, _apply_generator),
    (np.random.Generator, _apply_numpy_generator),
    (nn.Module, _apply_layer),
)
