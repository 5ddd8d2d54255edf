"""Exact and tolerant comparison, and the sentence about what differs."""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from course_lib.checks.plain import Rejected, entry, plain

RTOL = 2.0**-20  # eight roundings to float32, each of at most 2**-23

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
    right = plain(expected)
    try:
        answer = plain(actual if key is None else entry(actual, key))
    except Rejected as reason:
        raise AssertionError(f"{where}: {reason}") from None
    found = _difference(answer, right, same)
    if found is None:
        return
    named = []
    for phrase, value in (mistakes or {}).items():
        wrong = plain(value)
        # A mistake that happens to lead to the right value on these inputs can't be told.
        if _difference(wrong, right, same) and not _difference(answer, wrong, same):
            named.append(phrase)
    raise AssertionError(f"{where}: {_explain(found, named, hidden, _shapes(answer, right))}")


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


def _shapes(answer: object, right: object) -> str:
    """Say the shapes of two arrays that differ in them, of which one has several axes, or ""."""
    has, wanted = _shape(answer), _shape(right)
    if not has or not wanted or has == wanted or len(has) == len(wanted) == 1:
        return ""
    return f" (wrong shape: {list(has)}, not {list(wanted)})"


def _shape(value: object) -> tuple[int, ...] | None:
    """The shape of nested lists of numbers; () of a number, None of anything else."""
    if not isinstance(value, list):
        return () if isinstance(value, int | float) else None
    inner = {_shape(part) for part in value}
    first = inner.pop() if len(inner) == 1 else None
    return None if first is None else (len(value), *first)


def _explain(found: _Difference, named: list[str], hidden: bool, shapes: str) -> str:
    answer, right, place = found
    if _kind(answer) != _kind(right):
        return f"expected {_kind(right)}, got {_kind(answer)}{shapes}."
    if hidden:
        said = f"wrong on inputs drawn at random{shapes}."
    else:
        at = place and f" at {place}"
        said = f"expected {_show(right)}, got {_show(answer)}{at}{shapes}."
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
    if isinstance(value, bool):
        text = str(value)
    elif isinstance(value, int):
        text = f"{value:,}"
    elif isinstance(value, float):
        text = f"{value:,.10g}"
    elif isinstance(value, frozenset):
        text = "{" + ", ".join(sorted(repr(part) for part in value)) + "}"
    else:
        text = repr(value)
    return text if len(text) <= 200 else text[:200] + " ..."
