"""Circulant layers: n numbers stand for n x n weights, and the product runs through the FFT.

Every column of a circulant matrix is the one before it, moved down by one place, so multiplying
with it is a circular convolution: n log n operations instead of n^2 (Cheng et al. 2015).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib._validate import check_int, check_tensor


def circulant_matrix(first_column: Tensor) -> Tensor:
    """Return the matrix with entry c[(i - j) mod n] at row i, column j, [n] -> [n, n].

    >>> circulant_matrix(torch.tensor([1, 2, 3]))
    tensor([[1, 3, 2],
            [2, 1, 3],
            [3, 2, 1]])
    """
    check_tensor("first_column", first_column, ndim=1, nonempty=True)
    places = torch.arange(len(first_column), device=first_column.device)
    return first_column[(places[:, None] - places) % len(first_column)]


def circulant_product(first_column: Tensor, inputs: Tensor) -> Tensor:
    """Return the circulant matrix times every vector in `inputs`, [n], [..., n] -> [..., n].

    By the convolution theorem, irfft(rfft(c) * rfft(x)); float16 and bfloat16 are computed in
    float32. Raises ValueError if the lengths differ.
    """
    check_tensor("first_column", first_column, ndim=1, floating=True, nonempty=True)
    check_tensor("inputs", inputs, floating=True)
    size = len(first_column)
    if inputs.ndim == 0 or inputs.shape[-1] != size:
        raise ValueError(f"inputs must be [..., {size}], got {tuple(inputs.shape)}.")
    dtype = torch.promote_types(first_column.dtype, inputs.dtype)
    wide = torch.promote_types(dtype, torch.float32)
    spectrum = torch.fft.rfft(first_column.to(wide)) * torch.fft.rfft(inputs.to(wide))
    return torch.fft.irfft(spectrum, n=size).to(dtype)


class CirculantLinear(nn.Module):
    """A linear layer [..., in] -> [..., out] that stores max(in, out) weights and a bias.

    The weight is the upper left [out, in] part of a square circulant matrix: inputs are filled up
    with zeros, outputs cut off. Source: Cheng et al. 2015, section 3.
    """

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True) -> None:
        super().__init__()
        self.in_features = check_int("in_features", in_features)
        self.out_features = check_int("out_features", out_features)
        bound = 1 / math.sqrt(in_features)
        size = max(in_features, out_features)
        self.first_column = nn.Parameter(torch.empty(size).uniform_(-bound, bound))
        self.bias = (
            nn.Parameter(torch.empty(out_features).uniform_(-bound, bound)) if bias else None
        )

    @property
    def weight(self) -> Tensor:
        """The dense weights [out, in] that the layer stands for; forward never builds them."""
        return circulant_matrix(self.first_column)[: self.out_features, : self.in_features]

    def forward(self, inputs: Tensor) -> Tensor:
        filled = F.pad(inputs, (0, len(self.first_column) - self.in_features))
        outputs = circulant_product(self.first_column, filled)[..., : self.out_features]
        return outputs if self.bias is None else outputs + self.bias

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}"
