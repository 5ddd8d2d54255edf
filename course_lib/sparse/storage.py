"""Sparse tensors as bytes and back, exactly as long as the formulas of `sizes` say.

The streams follow one another, little-endian, each padded with zero bits to a whole byte:
bitmask: mask, values; csr: row starts, columns, values; relative: gaps, values.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from course_lib._validate import check_choice, check_int, check_tensor
from course_lib.sparse.sizes import (
    FORMATS,
    bitmask_bytes,
    check_index_bits,
    csr_bytes,
    gaps_before,
    matrix_shape,
    relative_bytes,
)


def encode(tensor: Tensor, format: str, *, index_bits: int | None = None) -> bytes:
    """Return the nonzeros of `tensor` and their positions, in one of FORMATS.

    Values keep their dtype. `index_bits` is 32 (8, 16, 32 or 64) for "csr" and 4 (1 to 16) for
    "relative". Negative zeros count as zeros; NaN is stored. ValueError if a column or row start
    does not fit into `index_bits`, TypeError for bool and complex tensors.

    >>> len(encode(torch.eye(8), "bitmask")), len(encode(torch.eye(8), "csr", index_bits=8))
    (40, 49)
    """
    check_choice("format", format, FORMATS)
    _check_dtype("tensor", check_tensor("tensor", tensor).dtype)
    width = check_index_bits(format, index_bits)
    flat = tensor.detach().cpu().flatten()
    positions = flat.nonzero().flatten()
    if format == "bitmask":
        return _pack((flat != 0).numpy()) + _value_bytes(flat[positions])
    if format == "csr":
        rows, columns = matrix_shape(tensor.shape)
        starts = torch.searchsorted(positions, torch.arange(rows + 1) * columns)
        indices = torch.cat([starts, positions % max(columns, 1)]).numpy()
        if indices.size and int(indices.max()) >= 2**width:
            raise ValueError(f"index_bits = {width} cannot hold {int(indices.max())}; take more.")
        return indices.astype(f"<u{width // 8}").tobytes() + _value_bytes(flat[positions])
    return _encode_relative(flat, positions, width)


def decode(
    data: bytes,
    format: str,
    shape: tuple[int, ...],
    dtype: torch.dtype = torch.float32,
    *,
    index_bits: int | None = None,
) -> Tensor:
    """Return the tensor of `shape` and `dtype` that `encode` wrote with the same arguments.

    ValueError if the length of `data` is not that of its positions, or these do not fit the
    shape. "relative" does not say how many entries it has: cut between two of them, the rest
    reads as zeros, so a file should keep a checksum (as course_lib.codec does).
    """
    check_choice("format", format, FORMATS)
    _check_dtype("dtype", dtype)
    width = check_index_bits(format, index_bits)
    shape = tuple(check_int("shape", length, 0) for length in shape)
    size = torch.Size(shape).numel()
    read = {"bitmask": _bitmask_positions, "csr": _csr_positions, "relative": _gap_positions}
    positions, start, length = read[format](data, shape, dtype.itemsize, width)
    if len(data) != length:
        raise ValueError(f"data must be {length} bytes by its positions, got {len(data)}.")
    if len(positions) and not 0 <= int(positions[-1]) < size:
        raise ValueError(f"data has a value at {int(positions[-1])}, outside of shape {shape}.")
    flat = torch.zeros(size, dtype=dtype)
    if len(positions):
        values = torch.frombuffer(bytearray(data[start:]), dtype=dtype)
        flat[torch.from_numpy(positions)] = values
    return flat.view(shape)


def _encode_relative(flat: Tensor, positions: Tensor, width: int) -> bytes:
    """Each nonzero takes its fillers with it: entries of value 0 that skip 2^width - 1 zeros."""
    gaps = gaps_before(positions)
    last = torch.cumsum((gaps >> width) + 1, 0) - 1  # where each nonzero comes to stand
    entries = int(last[-1]) + 1 if len(last) else 0
    stored_gaps = torch.full((entries,), 2**width - 1)
    stored_gaps[last] = gaps % 2**width
    values = flat.new_zeros(entries)
    values[last] = flat[positions]
    bits = (stored_gaps.numpy()[:, None] >> np.arange(width)) & 1
    return _pack(bits) + _value_bytes(values)


def _bitmask_positions(
    data: bytes, shape: tuple[int, ...], itemsize: int, width: int
) -> tuple[np.ndarray, int, int]:
    """The positions in the data, where the values start, how long the data should be."""
    size = torch.Size(shape).numel()
    start = bitmask_bytes(size, 0)
    positions = np.flatnonzero(_unpack(data[:start], size))
    return positions, start, bitmask_bytes(size, len(positions), 8 * itemsize)


def _csr_positions(
    data: bytes, shape: tuple[int, ...], itemsize: int, width: int
) -> tuple[np.ndarray, int, int]:
    rows, columns = matrix_shape(shape)
    head = csr_bytes(rows, 0, index_bits=width)
    starts = _integers(data[:head], width, rows + 1)
    nonzeros = int(starts[-1])
    if starts[0] != 0 or (np.diff(starts) < 0).any() or nonzeros > rows * columns:
        raise ValueError(f"data has row starts that do not fit shape {shape}.")
    start = head + nonzeros * width // 8
    column = _integers(data[head:start], width, nonzeros)
    positions = np.repeat(np.arange(rows), np.diff(starts)) * columns + column
    if (column < 0).any() or (column >= columns).any() or (np.diff(positions) <= 0).any():
        raise ValueError(f"data has columns that do not fit shape {shape}.")
    return positions, start, csr_bytes(rows, nonzeros, 8 * itemsize, width)


def _gap_positions(
    data: bytes, shape: tuple[int, ...], itemsize: int, width: int
) -> tuple[np.ndarray, int, int]:
    entries = 8 * len(data) // (width + 8 * itemsize)  # the only count of this length
    start = -(-entries * width // 8)
    bits = _unpack(data[:start], entries * width).reshape(entries, width)
    gaps = bits.astype(np.int64) @ (1 << np.arange(width, dtype=np.int64))
    return np.cumsum(gaps + 1) - 1, start, relative_bytes(entries, 8 * itemsize, width)


def _pack(bits: np.ndarray) -> bytes:
    return np.packbits(bits.astype(np.uint8).reshape(-1), bitorder="little").tobytes()


def _unpack(data: bytes, count: int) -> np.ndarray:
    if 8 * len(data) < count:
        raise ValueError(f"data must hold {count} bits of positions, got {8 * len(data)}.")
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little")
    if bits[count:].any():
        raise ValueError("data must be padded with zero bits: it is damaged, or not this format.")
    return bits[:count]


def _integers(data: bytes, width: int, count: int) -> np.ndarray:
    if len(data) < count * width // 8:
        raise ValueError(f"data must hold {count} indices of {width} bits, it is too short.")
    return np.frombuffer(data, dtype=f"<u{width // 8}", count=count).astype(np.int64)


def _value_bytes(values: Tensor) -> bytes:
    return values.contiguous().view(torch.uint8).numpy().tobytes() if len(values) else b""


def _check_dtype(name: str, dtype: torch.dtype) -> None:
    if dtype == torch.bool or dtype.is_complex:
        raise TypeError(f"{name} must be real numbers, got {dtype}.")
