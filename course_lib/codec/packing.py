"""Small integers into bytes: b bits for each value, and the gaps between non-zero weights.

A codebook index of 5 bits should cost 5 bits, not a byte. A sparse layer stores where its weights
are as the distance from one to the next (Han et al. 2016, figure 2). Where a distance does not
fit, they store a zero weight; here the largest symbol is an escape that skips zeros and stores no
weight.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from course_lib._validate import check_int
from course_lib.codec._arrays import Integers, integer_array

_CHUNK = 1 << 20  # values expanded to 16 bytes at a time; a multiple of 8, to end on a byte


def pack(values: npt.ArrayLike, bits: int) -> bytes:
    """Write integers in 0..2^bits - 1 with `bits` bits each, most significant bit first.

    `values`: integers of any shape, read in row-major order; `bits`: 1..16.
    The result has ceil(count * bits / 8) bytes; the last one is filled up with zero bits.
    Raises TypeError / ValueError for values that are no integers or do not fit.

    >>> pack([1, 2, 3], bits=2).hex()
    '6c'
    """
    bits = check_int("bits", bits, 1, 16)
    array = integer_array("values", values, 0, 2**bits - 1)
    return b"".join(
        _pack_chunk(array[start : start + _CHUNK], bits) for start in range(0, array.size, _CHUNK)
    )


def unpack(data: bytes, bits: int, count: int) -> Integers:
    """Read `count` integers of `bits` bits each: the inverse of `pack`, -> int64 [count].

    Raises ValueError unless `data` has the ceil(count * bits / 8) bytes that `pack` writes.

    >>> unpack(pack([1, 2, 3], bits=2), bits=2, count=3)
    array([1, 2, 3])
    """
    bits = check_int("bits", bits, 1, 16)
    count = check_int("count", count, 0)
    wanted = -(-count * bits // 8)
    if len(data) != wanted:
        raise ValueError(f"data must have {wanted} bytes for {count} values, got {len(data)}.")
    packed = np.frombuffer(data, np.uint8)
    values = np.empty(count, np.int64)
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        chunk = packed[start * bits // 8 : -(-stop * bits // 8)]
        values[start:stop] = _unpack_chunk(chunk, bits, stop - start)
    return values


def positions_to_gaps(positions: npt.ArrayLike, bits: int) -> Integers:
    """Write increasing positions as the number of zeros before each, in symbols of `bits` bits.

    `positions`: [K] strictly increasing integers >= 0; `bits`: 1..16. A symbol g < 2^bits - 1
    says "g zeros, then a weight"; the escape 2^bits - 1 says "that many zeros, no weight yet".
    With one bit this is the inverted bitmask. Returns int64 [K or more].
    Raises ValueError if positions do not increase.

    >>> positions_to_gaps([1, 2, 9], bits=2)
    array([1, 0, 3, 3, 0])
    """
    escape = 2 ** check_int("bits", bits, 1, 16) - 1
    array = integer_array("positions", positions, 0, 2**62)
    zeros = np.diff(array, prepend=-1) - 1
    if np.any(zeros < 0):
        at = int(np.flatnonzero(zeros < 0)[0])
        raise ValueError(f"positions must increase, but entry {at} is {array[at]}.")
    skips, remainder = np.divmod(zeros, escape)
    symbols = np.full(int(np.sum(skips + 1)), escape, np.int64)
    symbols[np.cumsum(skips + 1) - 1] = remainder
    return symbols


def gaps_to_positions(gaps: npt.ArrayLike, bits: int) -> Integers:
    """Return the positions that `positions_to_gaps` wrote as `gaps`, -> int64 [K].

    Raises ValueError for symbols that do not fit in `bits` bits or that end in an escape.

    >>> gaps_to_positions([1, 0, 3, 3, 0], bits=2)
    array([1, 2, 9])
    """
    escape = 2 ** check_int("bits", bits, 1, 16) - 1
    symbols = integer_array("gaps", gaps, 0, escape)
    holds_weight = symbols != escape
    if symbols.size and not holds_weight[-1]:
        raise ValueError(f"gaps must end with a weight, not with the escape {escape}.")
    return np.cumsum(symbols + holds_weight)[holds_weight] - 1


def _pack_chunk(values: Integers, bits: int) -> bytes:
    as_bits = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)
    return np.packbits(as_bits[:, 16 - bits :]).tobytes()


def _unpack_chunk(packed: npt.NDArray[np.uint8], bits: int, count: int) -> npt.NDArray[np.uint16]:
    as_bits = np.zeros((count, 16), np.uint8)
    as_bits[:, 16 - bits :] = np.unpackbits(packed, count=count * bits).reshape(count, bits)
    return np.packbits(as_bits, axis=1).view(">u2").reshape(-1)
