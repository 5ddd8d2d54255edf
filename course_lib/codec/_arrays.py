"""What the codecs accept as symbols, counts and lengths: arrays, tensors or lists, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Integers = npt.NDArray[np.int64]


def integer_array(name: str, value: Any, minimum: int, maximum: int) -> Integers:
    """Return `value` flattened to int64; raise unless it holds integers in minimum..maximum."""
    array = _as_numpy(value)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got values of type {array.dtype}.")
    low, high = int(array.min()), int(array.max())
    if low < minimum or high > maximum:
        wrong = low if low < minimum else high
        raise ValueError(f"{name} must lie in {minimum}..{maximum}, got {wrong}.")
    return array.astype(np.int64).reshape(-1)


def weight_array(name: str, value: Any) -> npt.NDArray[np.float64]:
    """Return `value` flattened to float64; raise unless it holds finite numbers >= 0."""
    array = _as_numpy(value)
    if array.size and array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold numbers, got values of type {array.dtype}.")
    weights = array.astype(np.float64).reshape(-1)
    if not np.all(np.isfinite(weights)) or np.any(weights < 0):
        wrong = weights[~(np.isfinite(weights) & (weights >= 0))][0]
        raise ValueError(f"{name} must be finite and not negative, got {wrong:g}.")
    if not np.isfinite(weights.sum()):
        raise ValueError(f"{name} must have a finite sum, but it exceeds {weights.max():g}.")
    return weights


def _as_numpy(value: Any) -> npt.NDArray[Any]:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    return np.asarray(value)
