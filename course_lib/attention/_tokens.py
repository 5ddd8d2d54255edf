"""The check of token numbers that the language models share."""

from __future__ import annotations

import torch
from torch import Tensor

from course_lib._validate import check_tensor


def check_tokens(name: str, tokens: object, vocabulary: int, ndim: int = 2) -> Tensor:
    """Return `tokens` if it is an integer tensor of numbers in 0..vocabulary - 1, or raise."""
    checked = check_tensor(name, tokens, ndim=ndim)
    if checked.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"{name} must hold int64 token numbers, got {checked.dtype}.")
    # Values cannot be read while a model is compiled or counted, and would stall an accelerator.
    if torch.compiler.is_compiling() or checked.device.type != "cpu" or checked.numel() == 0:
        return checked
    low, high = (int(extreme) for extreme in checked.aminmax())
    if low < 0 or high >= vocabulary:
        raise ValueError(f"{name} must be in 0..{vocabulary - 1}, got {low} to {high}.")
    return checked
