"""Low rank for linear layers: the best rank-r matrix, the layers it makes, and which r to take.

No matrix of rank r is nearer than the truncated singular value decomposition, and its distance is
the length of the singular values left out (Eckart and Young 1936). Two layers through r hidden
units store r (in + out) weights where one stored in * out: below the break-even rank that is less.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_lib._validate import check_fraction, check_int, check_number, check_tensor


def svd_factors(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return left [O, rank] and right [rank, I] whose product is nearest to `matrix` [O, I].

    Both factors carry the square root of each singular value, so that neither dwarfs the other.
    Computed in float64, returned in the matrix's dtype. Raises ValueError for a rank outside
    1..min(O, I) and for NaN/inf. Source: Eckart and Young 1936.
    """
    matrix = _check_matrix(matrix)
    rank = check_int("rank", rank, 1, min(matrix.shape))
    left, sizes, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    root = sizes[:rank].sqrt()
    left, right = left[:, :rank] * root, root[:, None] * right[:rank]
    return left.to(matrix.dtype), right.to(matrix.dtype)


def tail_error(matrix: Tensor, rank: int) -> float:
    """Return the least Frobenius distance of any rank-`rank` matrix: sqrt(sum of s_i^2, i > rank).

    `matrix`: [O, I]; `rank`: 0..min(O, I). Source: Eckart and Young 1936.

    >>> tail_error(torch.diag(torch.tensor([5.0, 4.0, 3.0])), rank=1)
    5.0
    """
    matrix = _check_matrix(matrix)
    rank = check_int("rank", rank, 0, min(matrix.shape))
    return float(torch.linalg.svdvals(matrix.double())[rank:].norm())


def split_linear(layer: nn.Linear, rank: int) -> nn.Sequential:
    """Return two linear layers, in -> rank -> out, that approximate `layer` best in its weight.

    The bias, if any, stays in the second. Full rank min(in, out) reproduces the layer up to
    rounding. The result is new, with the layer's dtype and device.
    """
    if not isinstance(layer, nn.Linear):
        raise TypeError(f"layer must be an nn.Linear, got {type(layer).__name__}.")
    left, right = svd_factors(layer.weight.detach(), rank)
    return nn.Sequential(_linear(right, None), _linear(left, layer.bias))


def factored_params(in_features: int, out_features: int, rank: int, *, bias: bool = True) -> int:
    """Return the parameters of in -> rank -> out: rank * (in + out), + out for the bias.

    Without the bias these are also the multiply-adds of one input row.

    >>> factored_params(800, 500, rank=10)
    13500
    """
    weights = check_int("rank", rank) * (
        check_int("in_features", in_features) + check_int("out_features", out_features)
    )
    return weights + out_features * bool(bias)


def break_even_rank(in_features: int, out_features: int) -> int:
    """Return the largest rank whose split stores fewer weights than in * out; 0 if none does.

    Multiply-adds break even at the same rank; latency, with one layer more, at a lower one.

    >>> break_even_rank(800, 500), break_even_rank(2, 2)
    (307, 0)
    """
    dense = check_int("in_features", in_features) * check_int("out_features", out_features)
    return (dense - 1) // (in_features + out_features)


def rank_for_energy(matrix: Tensor, energy: float) -> int:
    """Return the smallest rank whose squared singular values hold `energy` of their sum.

    `matrix`: [O, I]; `energy`: a fraction in [0, 1]. The relative squared error of that rank is at
    most 1 - energy. Returns at least 1, also for a matrix of zeros.

    >>> rank_for_energy(torch.diag(torch.tensor([5.0, 4.0, 3.0])), energy=0.8)
    2
    """
    energy = check_fraction("energy", energy)
    held = torch.linalg.svdvals(_check_matrix(matrix).double()).square().cumsum(0)
    return min(int(torch.searchsorted(held, energy * held[-1])) + 1, len(held))


def rank_for_budget(cost: Callable[[int], float], budget: float, max_rank: int) -> int:
    """Return the largest rank in 1..max_rank with cost(rank) <= budget.

    `cost` gives parameters, multiply-adds or seconds and must not fall as the rank rises.
    Raises ValueError if even rank 1 costs more.

    >>> rank_for_budget(lambda rank: factored_params(800, 500, rank), budget=100_000, max_rank=500)
    76
    """
    budget, high = check_number("budget", budget), check_int("max_rank", max_rank)
    if cost(1) > budget:
        raise ValueError(
            f"budget must be at least {cost(1):g}, what rank 1 costs; got {budget:g}."
        )
    low = 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if cost(middle) <= budget else (low, middle - 1)
    return low


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(
        weight.shape[1], weight.shape[0], bias is not None, weight.device, weight.dtype
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def _check_matrix(matrix: Tensor) -> Tensor:
    return check_tensor("matrix", matrix, ndim=2, floating=True, finite=True, nonempty=True)
