"""One tensor as bytes: the shortest lossless mix of half floats, sparsity, codebook and Huffman.

The stages of Deep Compression (Han et al. 2016) leave marks in the weights: many zeros, few
distinct values, some far more frequent than others. That is all an encoder needs to see, so it
asks nothing about the training: it tries each combination and keeps the shortest.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from course_lib.codec._arrays import Integers
from course_lib.codec.huffman import code_lengths, huffman_decode, huffman_encode
from course_lib.codec.packing import gaps_to_positions, pack, positions_to_gaps, unpack

DEEP_COMPRESSION = ("half", "sparse", "codebook", "huffman")
TECHNIQUES = (*DEEP_COMPRESSION, "arithmetic")
DTYPES = (
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint8,
    torch.bool,
)
_SPARSE, _CODEBOOK = 1, 2  # bits of the flags byte
_PACKED, _HUFFMAN = 0, 1  # how a stream of symbols is coded
_LARGEST_CODEBOOK = 1 << 16
_LONGEST_CODE, _LENGTH_BITS = 16, 5  # a stored code length lies in 0..16
_SIGNED = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

Patterns = npt.NDArray[Any]  # unsigned integers that hold the bits of floats or integers


def encode_tensor(tensor: Tensor, techniques: Collection[str]) -> bytes | None:
    """Return the shortest encoding of a CPU tensor, or None if its raw bytes are no longer.

    Exact to the bit. Layout: dtype, stored dtype, shape, flags, [gaps], [codebook], values.
    """
    stored = as_half(tensor) if "half" in techniques else tensor
    patterns = bit_patterns(stored)
    types = (DTYPES.index(tensor.dtype), DTYPES.index(stored.dtype))
    head = struct.pack(f"<BBB{tensor.ndim}I", *types, tensor.ndim, *tensor.shape)
    sparse = (False, True) if "sparse" in techniques else (False,)
    codebook = (False, True) if "codebook" in techniques else (False,)
    bodies = (
        _encode_body(patterns, is_sparse, has_codebook, "huffman" in techniques)
        for is_sparse, has_codebook in product(sparse, codebook)
    )
    shortest = head + min((body for body in bodies if body is not None), key=len)
    return shortest if len(shortest) < tensor.numel() * tensor.element_size() else None


def decode_tensor(data: bytes, max_bytes: int) -> tuple[Tensor, Reader]:
    """Return the tensor in `data`, and the reader that knows what its bytes were spent on.

    Raises ValueError for bytes that are no encoding, or whose tensor exceeds `max_bytes`. Nothing
    larger than the allowed tensor (times 8, for its indices) is allocated.
    """
    reader = Reader(data)
    dtype, stored = reader.dtype(), reader.dtype()
    if stored != dtype and not (stored == torch.float16 and dtype.is_floating_point):
        raise ValueError(f"{stored} cannot stand for {dtype}")
    shape = tuple(reader.number("I") for _ in range(reader.number("B")))
    size = prod(shape)
    if len(shape) > 16 or size * dtype.itemsize > max_bytes:
        raise ValueError(
            f"a {dtype} tensor of shape {shape} exceeds the {max_bytes} bytes allowed"
        )
    flags = reader.number("B")
    if flags > (_SPARSE | _CODEBOOK):
        raise ValueError(f"flags {flags} are unknown")
    positions = _decode_gaps(reader, size) if flags & _SPARSE else None
    patterns = _decode_values(
        reader, size if positions is None else positions.size, stored, bool(flags & _CODEBOOK)
    )
    if reader.at != len(data):
        raise ValueError(f"{len(data) - reader.at} bytes are left over")
    if positions is not None:
        reader.coding.add("sparse")
        dense = np.zeros(size, patterns.dtype)
        dense[positions] = patterns
        patterns = dense
    if stored != dtype:
        reader.coding.add("half")
    return from_bit_patterns(patterns, stored).to(dtype).reshape(shape), reader


@dataclass
class Reader:
    """Walks once through untrusted bytes; every step is checked and booked to an account."""

    data: bytes
    at: int = 0
    coding: set[str] = field(default_factory=set)
    spent: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("header", "index", "codebook", "weight"), 0)
    )

    def take(self, count: int, account: str = "header") -> bytes:
        if count > len(self.data) - self.at:
            raise ValueError(f"{count} bytes of {account} are announced, fewer are left")
        self.at += count
        self.spent[account] += count
        return self.data[self.at - count : self.at]

    def number(self, kind: str) -> int:
        layout = struct.Struct("<" + kind)
        return int(layout.unpack(self.take(layout.size))[0])

    def dtype(self) -> torch.dtype:
        code = self.number("B")
        if code >= len(DTYPES):
            raise ValueError(f"dtype code {code} is unknown")
        return DTYPES[code]


def _encode_body(
    patterns: Patterns, is_sparse: bool, has_codebook: bool, huffman: bool
) -> bytes | None:
    """Flags, gaps, codebook and values; None where the combination cannot help."""
    body = struct.pack("<B", is_sparse * _SPARSE | has_codebook * _CODEBOOK)
    if is_sparse:
        positions = np.flatnonzero(patterns)
        if positions.size == patterns.size:
            return None
        body += _encode_gaps(positions, huffman)
        patterns = patterns[positions]
    if not has_codebook:
        return body + patterns.tobytes()
    values, indices = np.unique(patterns, return_inverse=True)
    if not 0 < values.size <= min(_LARGEST_CODEBOOK, patterns.size):
        return None
    stream = _encode_stream(indices, values.size, huffman)
    return body + struct.pack("<I", values.size) + values.tobytes() + stream


def _decode_values(reader: Reader, count: int, dtype: torch.dtype, has_codebook: bool) -> Patterns:
    unsigned = np.dtype(f"<u{dtype.itemsize}")
    if not has_codebook:
        return np.frombuffer(reader.take(count * unsigned.itemsize, "weight"), unsigned)
    size = reader.number("I")
    if not 0 < size <= _LARGEST_CODEBOOK:
        raise ValueError(f"a codebook of {size} entries is not allowed")
    values = np.frombuffer(reader.take(size * unsigned.itemsize, "codebook"), unsigned)
    reader.coding.add("codebook")
    indices = _decode_stream(reader, count, size, "weight")
    if indices.size and indices.max() >= size:
        raise ValueError(f"index {indices.max()} lies outside the codebook of {size}")
    return values[indices]


def _encode_gaps(positions: Integers, huffman: bool) -> bytes:
    """The gaps in the symbol width that makes them cheapest: width, count, stream."""

    run_counts = np.bincount(np.diff(positions, prepend=-1) - 1)  # of each number of zeros
    runs = np.arange(run_counts.size)

    def cost(bits: int) -> float:
        escape = 2**bits - 1
        counts = np.bincount(runs % escape, run_counts, minlength=2**bits)
        counts[escape] = run_counts @ (runs // escape)
        packed = counts.sum() * bits
        coded = counts @ code_lengths(counts, _LONGEST_CODE) + _LENGTH_BITS * 2**bits
        return float(min(packed, coded) if huffman else packed)

    bits = min(range(1, 9), key=cost)
    gaps = positions_to_gaps(positions, bits)
    return struct.pack("<BI", bits, gaps.size) + _encode_stream(gaps, 2**bits, huffman)


def _decode_gaps(reader: Reader, size: int) -> Integers:
    bits, count = reader.number("B"), reader.number("I")
    if not 1 <= bits <= 16 or count > size:
        raise ValueError(f"{count} gaps of {bits} bits cannot describe {size} values")
    gaps = _decode_stream(reader, count, 2**bits, "index")
    positions = gaps_to_positions(gaps, bits)
    if positions.size and positions[-1] >= size:
        raise ValueError(f"a weight at position {positions[-1]} lies outside {size} values")
    return positions


def _encode_stream(symbols: Integers, alphabet: int, huffman: bool) -> bytes:
    """Coder, byte count, [code lengths], symbols: at fixed width, or by Huffman if shorter."""
    bits = (alphabet - 1).bit_length()
    packed = pack(symbols, bits) if bits else b""
    stream = struct.pack("<BI", _PACKED, len(packed)) + packed
    if huffman and symbols.size:
        lengths = code_lengths(np.bincount(symbols, minlength=alphabet), _LONGEST_CODE)
        coded = huffman_encode(symbols, lengths)
        head = struct.pack("<BI", _HUFFMAN, len(coded))
        stream = min(stream, head + pack(lengths, _LENGTH_BITS) + coded, key=len)
    return stream


def _decode_stream(reader: Reader, count: int, alphabet: int, account: str) -> Integers:
    coder, size = reader.number("B"), reader.number("I")
    if coder == _HUFFMAN:
        table = reader.take(-(-alphabet * _LENGTH_BITS // 8), "codebook")
        lengths = unpack(table, _LENGTH_BITS, alphabet)
        if lengths.max() > _LONGEST_CODE:
            raise ValueError(f"a code of {lengths.max()} bits is not allowed")
        reader.coding.add("huffman")
        return huffman_decode(reader.take(size, account), lengths, count)
    if coder != _PACKED:
        raise ValueError(f"coder {coder} is unknown")
    bits, packed = (alphabet - 1).bit_length(), reader.take(size, account)
    if bits == 0 and not packed:
        return np.broadcast_to(np.int64(0), count)  # one symbol: nothing to read, or to allocate
    return unpack(packed, max(bits, 1), count)


def as_half(tensor: Tensor) -> Tensor:
    """The tensor in float16 if that loses nothing, else as it is."""
    if tensor.dtype not in (torch.float32, torch.float64):
        return tensor
    half = tensor.to(torch.float16)
    return half if torch.equal(half.to(tensor.dtype), tensor) else tensor


def bit_patterns(tensor: Tensor) -> Patterns:
    size = tensor.element_size()
    integers = tensor.contiguous().reshape(-1).view(_SIGNED[size]).numpy()
    return integers.view(f"<u{size}")


def from_bit_patterns(patterns: Patterns, dtype: torch.dtype) -> Tensor:
    integers = np.array(patterns).view(f"<i{dtype.itemsize}")
    return torch.from_numpy(integers).view(dtype)
