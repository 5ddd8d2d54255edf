"""Answers as plain numbers, text and lists, read so that no object can lie about its value."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

MAX_VALUES = 1_000_000  # an answer with more values than this is not compared
MAX_DEPTH = 8  # lists inside lists: one that contains itself has no bottom
MAX_BITS = 1000  # the longest integer that still converts to float

NOTHING = "returned nothing (None): did you forget `return`, or a value in it?"


class Rejected(Exception):
    """The answer is not something that can be compared; the message says why."""


def plain(value: object) -> object:
    """Return `value` as bool, int, float, str, list, dict or frozenset, or reject it."""
    try:
        return _convert(value, MAX_DEPTH, [MAX_VALUES])
    except Rejected:
        raise
    except Exception:
        raise Rejected(f"{type_name(value)} came back that could not be read.") from None


def _convert(value: Any, depth: int, room: list[int]) -> object:
    """Convert by unbound methods of the built-in types, which no subclass can override."""
    kind = type(value)
    room[0] -= 1
    if depth < 0 or room[0] < 0:
        raise Rejected("the answer is far too big, or contains itself.")
    if value is None:
        raise Rejected(NOTHING)
    if kind is bool:
        return value
    if issubclass(kind, int):
        number = int.__int__(value)
        if number.bit_length() > MAX_BITS:
            raise Rejected(f"the answer is a number of more than {MAX_BITS} bits.")
        return number
    if issubclass(kind, float):
        return float.__float__(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if kind is Fraction or kind is Decimal or kind is np.longdouble:
        return float(value)
    if issubclass(kind, Tensor | np.ndarray | np.generic):
        return _convert(_listed(value, room), depth, room)
    if issubclass(kind, dict):
        items = dict.items(value)
        return {str.__str__(name): _convert(part, depth - 1, room) for name, part in items}
    for base in (list, tuple, set, frozenset):
        if issubclass(kind, base):
            parts = [_convert(part, depth - 1, room) for part in base.__iter__(value)]
            return parts if base in (list, tuple) else frozenset(parts)
    raise Rejected(f"{type_name(value)} came back: return the value itself.")


def _listed(value: Any, room: list[int]) -> object:
    """Return the numbers of a tensor, array or numpy scalar as nested lists, or as one number."""
    if issubclass(type(value), np.generic):
        return np.generic.item(value)
    if issubclass(type(value), np.ndarray):
        _reserve(np.ndarray.size.__get__(value), room)
        return np.ndarray.tolist(value)
    with torch._C.DisableTorchFunctionSubclass():
        _reserve(Tensor.numel(value), room)
        return Tensor.tolist(value)


def _reserve(count: int, room: list[int]) -> None:
    if count > room[0]:
        raise Rejected(f"the answer holds {count:,} values, far too many to compare.")


def type_name(value: object) -> str:
    """Name the type as it was defined, whatever its metaclass claims."""
    name = type.__dict__["__name__"].__get__(type(value))
    return f"a value of type {name}" if name.isidentifier() else "a value of an odd type"


def entry(result: object, key: str) -> object:
    """Return result[key] of a real dict, or reject it."""
    if result is None:
        raise Rejected(NOTHING)
    if not issubclass(type(result), dict):
        raise Rejected(f"expected a dict with the key {key!r}, got {type_name(result)}.")
    entries: Any = dict.items(cast(dict, result))
    for name, value in entries:
        if type(name) is str and name == key:
            return value
    raise Rejected(f"the dict has no key {key!r}.")
