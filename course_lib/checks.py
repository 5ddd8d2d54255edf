"""Compare an answer with the right one and say in a sentence what went wrong.

The tests of every assignment call these functions, so that a failing test teaches: the message
names the likely mistake. An answer is first turned into plain numbers, text and lists by methods
of the built-in types alone, so an object whose `__eq__`, `__float__` or `__array__` lies is
rejected, not believed. Failures are raised, never asserted: `python -O` cannot drop them.
Hidden tests draw their inputs with `fresh_rng` and pass `hidden=True`: then the message names
the kind of mistake and shows no values.
"""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

MAX_VALUES = 1_000_000  # an answer with more values than this is not compared
MAX_DEPTH = 8  # lists inside lists: one that contains itself has no bottom
MAX_BITS = 1000  # the longest integer that still converts to float
RTOL = 2.0**-20  # eight roundings to float32, each of at most 2**-23

NOTHING = "returned nothing (None): did you forget `return`, or a value in it?"

Same = Callable[[object, object], bool]


def equal(
    actual: object,
    expected: object,
    what: str,
    *,
    key: str | None = None,
    mistakes: Mapping[str, object] | None = None,
    hidden: bool = False,
) -> None:
    """Raise AssertionError, with a sentence, unless `actual` is exactly `expected`.

    A number may come as int, float, numpy scalar or 0-d tensor: 5, 5.0 and `torch.tensor(5)`
    are one answer. Where `expected` is a list or tuple, a list, tuple, array or tensor of the
    same shape will do; where it is a set, so will a list or tuple in any order.

    what: names the answer in the message, such as "linear_cost(3, 2)".
    key: where the answer is a dict, the entry to compare.
    mistakes: for each likely mistake a phrase that names it -> the value that it leads to.
    hidden: name the mistake, but show neither the expected nor the actual value.

    >>> equal(12.0, 12, "macs")
    >>> equal(24, 12, "macs", mistakes={"MACs doubled to FLOPs": 24})
    Traceback (most recent call last):
    AssertionError: macs: expected 12, got 24. Likely mistake: MACs doubled to FLOPs.
    """
    __tracebackhide__ = True
    _compare(actual, expected, what, key, mistakes, hidden, lambda a, b: a == b)


def close(
    actual: object,
    expected: object,
    what: str,
    *,
    rtol: float = RTOL,
    atol: float = 0.0,
    key: str | None = None,
    mistakes: Mapping[str, object] | None = None,
    hidden: bool = False,
) -> None:
    """Raise AssertionError unless |actual - expected| <= atol + rtol * |expected| everywhere.

    The default `rtol` leaves room for eight roundings to float32. Where a bound follows from
    the question, such as scale / 2 for a quantizer, pass it as `atol` with `rtol=0`. The other
    arguments are those of `equal`.

    >>> close(0.1 + 0.2, 0.3, "energy_j")
    """
    __tracebackhide__ = True

    def same(a: object, b: object) -> bool:
        if isinstance(a, int | float) and isinstance(b, int | float):
            return a == b or abs(a - b) <= atol + rtol * abs(b)
        return a == b

    _compare(actual, expected, what, key, mistakes, hidden, same)


def fresh_rng() -> random.Random:
    """Return a generator seeded by the operating system, whatever was seeded before.

    >>> fresh_rng().random() != fresh_rng().random()
    True
    """
    return random.Random(secrets.randbits(128))


def _compare(
    actual: object,
    expected: object,
    what: str,
    key: str | None,
    mistakes: Mapping[str, object] | None,
    hidden: bool,
    same: Same,
) -> None:
    __tracebackhide__ = True
    where = what if key is None else f"{what}[{key!r}]"
    right = _plain(expected)
    try:
        answer = _plain(actual if key is None else _entry(actual, key))
    except _Rejected as reason:
        raise AssertionError(f"{where}: {reason}") from None
    found = _difference(answer, right, same)
    if found is None:
        return
    named = []
    for phrase, value in (mistakes or {}).items():
        wrong = _plain(value)
        # A mistake that happens to lead to the right value on these inputs can't be told.
        if _difference(wrong, right, same) and not _difference(answer, wrong, same):
            named.append(phrase)
    raise AssertionError(f"{where}: {_explain(found, named, hidden)}")


class _Rejected(Exception):
    """The answer is not something that can be compared; the message says why."""


class _Difference(NamedTuple):
    answer: object
    right: object
    place: str  # "" or where in a list or dict, such as "[1]"


def _difference(answer: object, right: object, same: Same, place: str = "") -> _Difference | None:
    """Return the first difference between two plain values, or None."""
    if isinstance(right, frozenset) and isinstance(answer, list):
        answer = frozenset(part for part in answer if not isinstance(part, list | dict))
    here = _Difference(answer, right, place)
    if isinstance(answer, list) and isinstance(right, list):
        keys: Any = range(len(right)) if len(answer) == len(right) else None
    elif isinstance(answer, dict) and isinstance(right, dict):
        keys = list(right) if answer.keys() == right.keys() else None
    else:
        agree = _kind(answer) == _kind(right) and same(answer, right)
        return None if agree else here
    if keys is None:
        return here
    parts = (_difference(answer[k], right[k], same, f"{place}[{k!r}]") for k in keys)
    return next(filter(None, parts), None)


def _explain(found: _Difference, named: list[str], hidden: bool) -> str:
    answer, right, place = found
    if _kind(answer) != _kind(right):
        return f"expected {_kind(right)}, got {_kind(answer)}."
    if hidden:
        said = "wrong on inputs drawn at random."
    else:
        said = f"expected {_show(right)}, got {_show(answer)}{place and f' at {place}'}."
    if isinstance(answer, float) and not math.isfinite(answer):
        said += f" The answer is {answer}: look for a division by zero or an overflow."
    elif named:
        said += f" Likely mistake: {', or '.join(named)}."
    elif hidden:
        said += " Work a small case by hand and compare."
    return said


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict):
        return "a dict"
    return "a set" if isinstance(value, frozenset) else "a list of values"


def _show(value: object) -> str:
    if isinstance(value, int):
        text = f"{value:,}"
    elif isinstance(value, float):
        text = f"{value:,.10g}"
    elif isinstance(value, frozenset):
        text = "{" + ", ".join(sorted(repr(part) for part in value)) + "}"
    else:
        text = repr(value)
    return text if len(text) <= 200 else text[:200] + " ..."


def _entry(result: object, key: str) -> object:
    """Return result[key] of a real dict, or reject it."""
    if result is None:
        raise _Rejected(NOTHING)
    if not issubclass(type(result), dict):
        raise _Rejected(f"expected a dict with the key {key!r}, got {_type_name(result)}.")
    entries: Any = dict.items(cast(dict, result))
    for name, value in entries:
        if type(name) is str and name == key:
            return value
    raise _Rejected(f"the dict has no key {key!r}.")


def _plain(value: object) -> object:
    """Return `value` as bool, int, float, str, list, dict or frozenset, or reject it."""
    try:
        return _convert(value, MAX_DEPTH, [MAX_VALUES])
    except _Rejected:
        raise
    except Exception:
        raise _Rejected(f"{_type_name(value)} came back that could not be read.") from None


def _convert(value: Any, depth: int, room: list[int]) -> object:
    """Convert by unbound methods of the built-in types, which no subclass can override."""
    kind = type(value)
    room[0] -= 1
    if depth < 0 or room[0] < 0:
        raise _Rejected("the answer is far too big, or contains itself.")
    if value is None:
        raise _Rejected(NOTHING)
    if kind is bool:
        return value
    if issubclass(kind, int):
        number = int.__int__(value)
        if number.bit_length() > MAX_BITS:
            raise _Rejected(f"the answer is a number of more than {MAX_BITS} bits.")
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
    raise _Rejected(f"{_type_name(value)} came back: return the value itself.")


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
        raise _Rejected(f"the answer holds {count:,} values, far too many to compare.")


def _type_name(value: object) -> str:
    """Name the type as it was defined, whatever its metaclass claims."""
    name = type.__dict__["__name__"].__get__(type(value))
    return f"a value of type {name}" if name.isidentifier() else "a value of an odd type"
