"""Which range of real numbers the levels should cover: the choice that decides accuracy.

A wide range clips nothing and has coarse steps; a narrow one has fine steps and clips the tails.
Min-max never clips, percentile ignores outliers, MSE searches for the best compromise. An Observer
follows the range of an activation over many batches. Sources: Krishnamoorthi 2018; Nagel et al.
2021, "A White Paper on Neural Network Quantization", section 3.1.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from course_lib._validate import (
    check_choice,
    check_fraction,
    check_int,
    check_number,
    check_tensor,
)
from course_lib.quantize.affine import (
    check_dim,
    fake_quantize,
    integer_range,
    params_from_range,
)

METHODS = ("min_max", "mse", "percentile")


def min_max(w: Tensor, dim: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest value, each [], or [C] for the C indices of `dim`.

    Raises TypeError / ValueError if w is empty, not floating or not finite.

    >>> min_max(torch.tensor([[1.0, -2.0], [3.0, 4.0]]), dim=0)
    (tensor([-2.,  3.]), tensor([1., 4.]))
    """
    rows = _rows(w, dim)
    return _unrow(rows.amin(dim=1), dim), _unrow(rows.amax(dim=1), dim)


def percentile(
    w: Tensor, dim: int | None = None, *, coverage: float = 0.999
) -> tuple[Tensor, Tensor]:
    """Return the range that holds the central `coverage` fraction of the values, [] or [C].

    (1 - coverage) / 2 of the values lie beyond each end; between two values the end is
    interpolated linearly, as numpy.quantile does. coverage=1 is `min_max`. Errors as there, and
    ValueError for a coverage outside 0..1.

    >>> percentile(torch.arange(101.0), coverage=0.98)
    (tensor(1.), tensor(99.))
    """
    tail = (1 - check_fraction("coverage", coverage)) / 2
    rows = _rows(w, dim)
    ends = np.quantile(rows.cpu().double().numpy(), [tail, 1 - tail], axis=1)
    low, high = torch.from_numpy(ends).to(rows)
    return _unrow(low, dim), _unrow(high, dim)


def mse(
    w: Tensor,
    dim: int | None = None,
    *,
    bits: int = 8,
    symmetric: bool = False,
    signed: bool = True,
    candidates: int = 100,
) -> tuple[Tensor, Tensor]:
    """Return the shrunken min-max range whose grid has the least squared error, [] or [C].

    Tries `candidates` equal fractions of the min-max range of each channel, the whole of it
    included: the result is never worse than min-max. Few bits gain most. Errors as `min_max`.
    Source: Nagel et al. 2021, eq. 2.
    """
    check_int("candidates", candidates)
    rows = _rows(w, dim)
    lowest, highest = rows.amin(dim=1).clamp(max=0), rows.amax(dim=1).clamp(min=0)
    best_error = torch.full_like(lowest, torch.inf, dtype=torch.float64)
    best = torch.ones_like(lowest)
    for step in range(candidates, 0, -1):
        fraction = step / candidates
        params = params_from_range(
            lowest * fraction, highest * fraction, bits, symmetric=symmetric, signed=signed
        )
        noise = fake_quantize(rows, *params, bits, signed=signed, dim=0) - rows
        error = noise.double().square().sum(dim=1)
        best = torch.where(error < best_error, fraction, best)
        best_error = torch.minimum(error, best_error)
    return _unrow(lowest * best, dim), _unrow(highest * best, dim)


def choose_range(
    w: Tensor,
    method: str = "min_max",
    *,
    bits: int = 8,
    symmetric: bool = False,
    signed: bool = True,
    dim: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return (low, high) by "min_max", "percentile" (coverage 0.999) or "mse", [] or [C]."""
    check_choice("method", method, METHODS)
    if method == "mse":
        return mse(w, dim, bits=bits, symmetric=symmetric, signed=signed)
    return percentile(w, dim) if method == "percentile" else min_max(w, dim)


def affine_params(
    w: Tensor,
    bits: int = 8,
    *,
    symmetric: bool = False,
    signed: bool = True,
    dim: int | None = None,
    method: str = "min_max",
) -> tuple[Tensor, Tensor]:
    """Return (scale, zero_point) to quantize w with: what most callers want.

    One pair for the whole tensor, or one per index of `dim` (0 for the output channels of
    nn.Linear and nn.Conv2d): tensors [] or [C], scale floating, zero_point int32.
    The range comes from `choose_range(w, method)`, the pair from `params_from_range`; a constant
    tensor c gets the range 0..c, an all-zero one scale 1.

    Raises TypeError / ValueError if w is empty, not floating or holds NaN or infinity; if bits
    is not in 2..8; if dim or method does not exist.

    >>> affine_params(torch.tensor([-1.0, 0.5, 1.55]))
    (tensor(0.0100), tensor(-28, dtype=torch.int32))
    >>> affine_params(torch.tensor([[-1.27, 0.5], [0.0, 2.54]]), symmetric=True, dim=0)
    (tensor([0.0100, 0.0200]), tensor([0, 0], dtype=torch.int32))
    """
    integer_range(bits, signed)
    low, high = choose_range(w, method, bits=bits, symmetric=symmetric, signed=signed, dim=dim)
    return params_from_range(low, high, bits, symmetric=symmetric, signed=signed)


class Observer(nn.Module):
    """Follows the range of one tensor over many batches and turns it into (scale, zero_point).

    momentum=None keeps the widest range seen (post-training calibration); momentum=0.9 keeps a
    moving average, low <- 0.9 low + 0.1 new low, that forgets early batches (quantization-aware
    training; Jacob et al. 2018, section 3.1). The range of each batch comes from `choose_range`.

    >>> observer = Observer(bits=8)
    >>> observer.update(torch.tensor([0.0, 1.0]))
    >>> observer.update(torch.tensor([-1.0, 1.55]))
    >>> observer.params()
    (tensor(0.0100), tensor(-28, dtype=torch.int32))
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        bits: int = 8,
        *,
        symmetric: bool = False,
        signed: bool = True,
        method: str = "min_max",
        momentum: float | None = None,
    ) -> None:
        super().__init__()
        integer_range(bits, signed)
        self.bits, self.symmetric, self.signed = bits, symmetric, signed
        self.method = check_choice("method", method, METHODS)
        if momentum is not None:
            check_number("momentum", momentum, 0.0, 1.0)
        self.momentum = momentum
        self.register_buffer("low", torch.tensor(torch.inf))
        self.register_buffer("high", torch.tensor(-torch.inf))

    def update(self, x: Tensor) -> None:
        """Take one batch of any shape into account; raises as `min_max` does."""
        low, high = choose_range(
            x, self.method, bits=self.bits, symmetric=self.symmetric, signed=self.signed
        )
        low, high = low.to(self.low), high.to(self.high)
        if self.momentum is not None and self.has_seen:
            low = torch.lerp(low, self.low, self.momentum)
            high = torch.lerp(high, self.high, self.momentum)
        elif self.momentum is None:
            low, high = torch.minimum(low, self.low), torch.maximum(high, self.high)
        self.low.copy_(low)
        self.high.copy_(high)

    @property
    def has_seen(self) -> bool:
        """Whether `update` was called at least once."""
        return bool(self.low <= self.high)

    def range(self) -> tuple[Tensor, Tensor]:
        """Return (low, high), each []; ValueError before the first `update`."""
        if not self.has_seen:
            raise ValueError("This Observer has seen no data: call update(batch) first.")
        return self.low.clone(), self.high.clone()

    def params(self) -> tuple[Tensor, Tensor]:
        """Return (scale, zero_point) of the range; ValueError before the first `update`."""
        low, high = self.range()
        return params_from_range(
            low, high, self.bits, symmetric=self.symmetric, signed=self.signed
        )


def _rows(w: Tensor, dim: int | None) -> Tensor:
    """View w as [C, everything else], or [1, everything]."""
    check_tensor("w", w, floating=True, finite=True, nonempty=True)
    w = w.detach()
    if w.dtype in (torch.float16, torch.bfloat16):
        w = w.float()
    dim = check_dim(w, dim)
    return w.reshape(1, -1) if dim is None else w.movedim(dim, 0).reshape(w.shape[dim], -1)


def _unrow(values: Tensor, dim: int | None) -> Tensor:
    return values.reshape(()) if dim is None else values
