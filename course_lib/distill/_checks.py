"""Checks that the objectives of distillation share."""

from __future__ import annotations

from torch import Tensor

from course_lib._validate import check_number, check_tensor


def check_temperature(temperature: float) -> float:
    return check_number("temperature", temperature, 1e-6)


def check_pair(
    name: str, tensor: Tensor, other: str, like: Tensor, ndim: int | None = None
) -> None:
    """Both must be finite, not empty, and of one shape."""
    for label, value in ((name, tensor), (other, like)):
        check_tensor(label, value, ndim=ndim, floating=True, finite=True, nonempty=True)
    if tensor.shape != like.shape:
        raise ValueError(
            f"{name} and {other} must have one shape, "
            f"got {tuple(tensor.shape)} and {tuple(like.shape)}."
        )
