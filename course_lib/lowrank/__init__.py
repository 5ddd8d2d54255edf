"""Fewer numbers for the same shape of layer: low rank, sharing, structure.

A matrix of low rank is the product of two thin ones (SVD), and a convolution splits likewise
(Tucker, CP). Weights may also be shared inside a layer (hashing) or between layers, or follow a
pattern (circulant). All give ordinary modules that cost less only below their break-even point.
"""

from course_lib.lowrank.apply import factorize
from course_lib.lowrank.circulant import CirculantLinear, circulant_matrix, circulant_product
from course_lib.lowrank.convolution import (
    cp,
    cp_params,
    split_conv_cp,
    split_conv_tucker,
    tucker2,
    tucker_params,
    tucker_ranks_for_budget,
    tucker_ranks_for_energy,
)
from course_lib.lowrank.linear import (
    break_even_rank,
    factored_params,
    rank_for_budget,
    rank_for_energy,
    split_linear,
    svd_factors,
    tail_error,
)
from course_lib.lowrank.sharing import HashedLinear, SharedStack, hash_buckets, hash_linear

__all__ = [
    "CirculantLinear",
    "HashedLinear",
    "SharedStack",
    "break_even_rank",
    "circulant_matrix",
    "circulant_product",
    "cp",
    "cp_params",
    "factored_params",
    "factorize",
    "hash_buckets",
    "hash_linear",
    "rank_for_budget",
    "rank_for_energy",
    "split_conv_cp",
    "split_conv_tucker",
    "split_linear",
    "svd_factors",
    "tail_error",
    "tucker2",
    "tucker_params",
    "tucker_ranks_for_budget",
    "tucker_ranks_for_energy",
]
