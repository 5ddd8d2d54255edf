"""Sparse weights: what zeros save on disk, and what they save in a product.

`sizes` has the byte formulas of three formats and the sparsity from which each pays, `storage`
writes and reads exactly those bytes, `linear` multiplies with a matrix in compressed rows.
Zeros without a format or kernel that skips them save nothing.
"""

from course_lib.sparse.linear import SparseLinear, csr_linear, sparsify, to_csr
from course_lib.sparse.sizes import (
    FORMATS,
    bitmask_bytes,
    break_even_sparsity,
    csr_bytes,
    dense_bytes,
    relative_bytes,
    relative_entries,
    stored_bytes,
)
from course_lib.sparse.storage import decode, encode

__all__ = [
    "FORMATS",
    "SparseLinear",
    "bitmask_bytes",
    "break_even_sparsity",
    "csr_bytes",
    "csr_linear",
    "decode",
    "dense_bytes",
    "encode",
    "relative_bytes",
    "relative_entries",
    "sparsify",
    "stored_bytes",
    "to_csr",
]
