"""How many bytes a sparse tensor takes, by format.

"bitmask": one bit per weight says whether it is there. "csr" (compressed sparse rows): the column
of each nonzero, and per row where it starts. "relative" (Han et al. 2016, section 2): the number
of zeros before each nonzero in a few bits; a gap too long for them is bridged by stored zeros.
Each stream (positions, values) starts at a whole byte. Shape and dtype are not counted: a dense
file needs them as well.
"""

from __future__ import annotations

import torch
from torch import Tensor

from course_lib._validate import check_choice, check_int, check_shape, check_tensor

FORMATS = ("bitmask", "csr", "relative")
INDEX_BITS = {"bitmask": 1, "csr": 32, "relative": 4}  # defaults; PyTorch's CSR has 32 or 64
CSR_WIDTHS = (8, 16, 32, 64)


def dense_bytes(size: int, value_bits: int = 32) -> int:
    """Return the bytes of `size` values, ceil(size * value_bits / 8).

    >>> dense_bytes(300, value_bits=5)
    188
    """
    return _whole_bytes(check_int("size", size, 0) * check_int("value_bits", value_bits))


def bitmask_bytes(size: int, nonzeros: int, value_bits: int = 32) -> int:
    """Return ceil(size / 8) + ceil(nonzeros * value_bits / 8) bytes.

    >>> bitmask_bytes(1000, nonzeros=100)
    525
    """
    check_int("nonzeros", nonzeros, 0, check_int("size", size, 0))
    return _whole_bytes(size) + dense_bytes(nonzeros, value_bits)


def csr_bytes(rows: int, nonzeros: int, value_bits: int = 32, index_bits: int = 32) -> int:
    """Return the bytes of compressed sparse rows.

    (rows + 1 + nonzeros) indices of index_bits (8, 16, 32 or 64: row starts, then columns), and
    ceil(nonzeros * value_bits / 8) bytes of values.

    >>> csr_bytes(rows=10, nonzeros=100)
    844
    """
    check_int("nonzeros", nonzeros, 0)
    width = check_index_bits("csr", index_bits)
    indices = check_int("rows", rows, 0) + 1 + nonzeros
    return indices * width // 8 + dense_bytes(nonzeros, value_bits)


def relative_bytes(entries: int, value_bits: int = 32, index_bits: int = 4) -> int:
    """Return ceil(entries * index_bits / 8) + ceil(entries * value_bits / 8) bytes.

    `entries` counts the nonzeros and the stored zeros of long gaps: see `relative_entries`.

    >>> relative_bytes(100)
    450
    """
    width = check_index_bits("relative", index_bits)
    return _whole_bytes(check_int("entries", entries, 0) * width) + dense_bytes(
        entries, value_bits
    )


def relative_entries(tensor: Tensor, index_bits: int = 4) -> int:
    """Return how many entries the relative format stores: nonzeros and fillers.

    With b bits an entry can skip up to 2^b - 1 zeros, so a gap of g zeros before a nonzero takes
    floor(g / 2^b) fillers. Zeros after the last nonzero take none.

    >>> relative_entries(torch.tensor([0.0, 3.4, 0, 0, 0.9] + 10 * [0] + [1.7]), index_bits=3)
    4
    """
    check_tensor("tensor", tensor)
    gaps = gaps_before(tensor.flatten().nonzero().flatten())
    return len(gaps) + int((gaps >> check_index_bits("relative", index_bits)).sum())


def stored_bytes(
    tensor: Tensor, format: str, *, value_bits: int | None = None, index_bits: int | None = None
) -> int:
    """Return the bytes of `tensor` in one of FORMATS; equals len(encode(tensor, format)).

    `value_bits` is by default the width of the dtype (a codebook takes fewer), `index_bits` is 32
    for "csr" and 4 for "relative". A tensor of more than two dimensions is a matrix
    [shape[0], rest] to "csr", and one row after the other to the others.
    """
    check_choice("format", format, FORMATS)
    value_bits = (
        8 * check_tensor("tensor", tensor).element_size() if value_bits is None else value_bits
    )
    index_bits = check_index_bits(format, index_bits)
    nonzeros = int((tensor != 0).sum())
    if format == "bitmask":
        return bitmask_bytes(tensor.numel(), nonzeros, value_bits)
    if format == "csr":
        return csr_bytes(matrix_shape(tensor.shape)[0], nonzeros, value_bits, index_bits)
    return relative_bytes(relative_entries(tensor, index_bits), value_bits, index_bits)


def break_even_sparsity(
    format: str, shape: tuple[int, ...], *, value_bits: int = 32, index_bits: int | None = None
) -> float:
    """Return the sparsity (a fraction) above which `format` is smaller than dense values.

    With v bits per value, i per index, n = prod(shape) and R = shape[0]:
    bitmask 1 / v; csr (i / (i + v)) (n + R + 1) / n; relative i / (i + v), if no gap needs a
    filler. The formulas leave out the rounding to whole bytes. Above 1: the format never pays.

    >>> break_even_sparsity("bitmask", (300, 784)), break_even_sparsity("csr", (1000, 1000))
    (0.03125, 0.5005005)
    """
    check_choice("format", format, FORMATS)
    rows, columns = matrix_shape(check_shape("shape", shape))
    check_int("value_bits", value_bits)
    index_bits = check_index_bits(format, index_bits)
    if format == "bitmask":
        return 1 / value_bits
    share = index_bits / (index_bits + value_bits)
    if format == "relative":
        return share
    size = rows * columns
    return share * (size + rows + 1) / size


def check_index_bits(format: str, index_bits: int | None) -> int:
    """Return the width of the format's indices, the default for None; ValueError if unusable."""
    if index_bits is None:
        return INDEX_BITS[format]
    if format == "relative":
        return check_int("index_bits", index_bits, 1, 16)
    if format == "csr" and check_int("index_bits", index_bits) not in CSR_WIDTHS:
        raise ValueError(f"index_bits must be one of {CSR_WIDTHS} for csr, got {index_bits!r}.")
    if format == "bitmask" and index_bits != 1:
        raise ValueError(f"index_bits must be 1 for bitmask, got {index_bits!r}.")
    return index_bits


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """[R, ...] -> (R, product of the rest); a vector is one row."""
    if len(shape) < 2:
        shape = (1, *shape)
    return shape[0], torch.Size(shape[1:]).numel()


def gaps_before(positions: Tensor) -> Tensor:
    """The number of zeros before each of the sorted positions of nonzeros, [n] -> [n]."""
    return positions.diff(prepend=positions.new_tensor([-1])) - 1


def _whole_bytes(bits: int) -> int:
    return -(-bits // 8)
