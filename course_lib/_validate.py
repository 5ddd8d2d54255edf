"""Argument checks whose messages name the argument, the value and the remedy."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from numbers import Integral, Real

import torch
from torch import Tensor


def check_int(name: str, value: object, minimum: int = 1, maximum: int | None = None) -> int:
    """Return `value` as int; ValueError/TypeError unless minimum <= value <= maximum."""
    allowed = (
        f"an integer >= {minimum}" if maximum is None else f"an integer in {minimum}..{maximum}"
    )
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be {allowed}, got {value!r}.")
    number = int(value)
    if number < minimum or (maximum is not None and number > maximum):
        raise ValueError(f"{name} must be {allowed}, got {value!r}.")
    return number


def check_number(
    name: str, value: object, minimum: float = -math.inf, maximum: float = math.inf
) -> float:
    """Return `value` as a finite float in [minimum, maximum], or raise."""
    allowed = f"a finite number in [{minimum:g}, {maximum:g}]"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {allowed}, got {value!r}.")
    number = float(value)
    if not math.isfinite(number) or not minimum <= number <= maximum:
        raise ValueError(f"{name} must be {allowed}, got {value!r}.")
    return number


def check_fraction(name: str, value: object) -> float:
    """Return `value` as a float in [0, 1]; percentages get a hint."""
    if isinstance(value, Real) and not isinstance(value, bool) and 1 < float(value) <= 100:
        raise ValueError(
            f"{name} must be a fraction in [0, 1], got {value!r}. "
            f"If you meant {float(value):g} %, write {float(value) / 100:g}."
        )
    return check_number(name, value, 0.0, 1.0)


def check_choice(name: str, value: object, allowed: Collection[str]) -> str:
    """Return `value` if it is one of `allowed`, or raise a ValueError that lists them."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(sorted(allowed))}; got {value!r}.")
    return value


def check_shape(name: str, value: object) -> tuple[int, ...]:
    """Return `value` as a tuple of positive ints, such as (1, 3, 224, 224)."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a shape such as (1, 3, 224, 224), got {value!r}.")
    return tuple(check_int(f"{name}[{i}]", size) for i, size in enumerate(value))


def check_tensor(
    name: str,
    value: object,
    *,
    ndim: int | None = None,
    floating: bool = False,
    finite: bool = False,
    nonempty: bool = False,
) -> Tensor:
    """Return `value` if it is a tensor with the wanted properties, or raise."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}.")
    if ndim is not None and value.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions, got shape {tuple(value.shape)}.")
    if floating and not value.is_floating_point():
        raise TypeError(f"{name} must hold floating-point numbers, got {value.dtype}.")
    if nonempty and value.numel() == 0:
        raise ValueError(f"{name} must not be empty, got shape {tuple(value.shape)}.")
    if finite and value.is_floating_point() and not bool(torch.isfinite(value).all()):
        bad = int((~torch.isfinite(value)).sum())
        raise ValueError(f"{name} must be finite, but {bad} of its values are NaN or infinite.")
    return value
