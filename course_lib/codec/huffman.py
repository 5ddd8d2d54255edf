"""Huffman codes: the shortest prefix code, canonical, length-limited, and quick in NumPy.

Optimal lengths come from Huffman 1952; under a length limit from package-merge (Larmore and
Hirschberg 1990). Only the lengths are stored: a canonical code numbers the symbols by (length,
symbol), so a decoder rebuilds it. Decoding is sequential by nature, as one symbol tells where the
next begins; symbols are therefore written in blocks of 1024 that each start on a byte, and NumPy
decodes one symbol of every block per step.
"""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

from course_lib._validate import check_int
from course_lib.codec._arrays import Integers, integer_array, weight_array

BLOCK = 1024  # symbols; the 2-byte length of each block costs 0.016 bits per symbol
LONGEST = 32  # bits; a decoder peeks at 40 bits, of which 7 may lie before the symbol
_LONGEST_TABLE = 16  # bits; longer codes are searched for instead of looked up
_CHUNK = 1024 * BLOCK  # symbols expanded to single bits at a time


def code_lengths(counts: npt.ArrayLike, max_length: int | None = None) -> Integers:
    """Return the code length in bits of each symbol in an optimal prefix code.

    `counts`: [K] occurrences or probabilities, finite and >= 0. Returns int64 [K], 0 for a symbol
    that does not occur. A symbol that occurs alone gets 1 bit; two or more fill Kraft's sum to 1.
    `max_length` gives the best code of no longer lengths; `huffman_encode` takes up to 32, which
    a plain code exceeds only beyond 5.7 million symbols.
    Raises ValueError if `max_length` bits cannot tell the symbols apart.

    >>> code_lengths([5, 2, 1, 1]), code_lengths([8, 4, 2, 1, 1], max_length=3)
    (array([1, 2, 3, 3]), array([1, 3, 3, 3, 3]))
    """
    weights = weight_array("counts", counts)
    occurs = np.flatnonzero(weights)
    shortest = max(1, (occurs.size - 1).bit_length())
    limit = None if max_length is None else check_int("max_length", max_length, 1)
    if limit is not None and limit < shortest:
        raise ValueError(
            f"max_length must be at least {shortest} for {occurs.size} symbols, got {limit}."
        )
    lengths = np.zeros(weights.size, np.int64)
    if occurs.size == 1:
        lengths[occurs] = 1
    elif occurs.size > 1:
        lengths[occurs] = _huffman_depths(weights[occurs].tolist())
        if limit is not None and lengths.max() > limit:
            order = occurs[np.argsort(weights[occurs], kind="stable")]
            lengths[order] = _package_merge(weights[order], limit)
    return lengths


def canonical_codes(lengths: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Return the canonical code of each symbol as a number of `lengths` bits, -> uint64 [K].

    Codes count upwards in the order (length, symbol); a symbol of length 0 has none and reads 0.
    Raises ValueError if the lengths (0..63) break Kraft's inequality. Source: Schwartz 1964.

    >>> [f"{code:0{bits}b}" for code, bits in zip(canonical_codes([2, 1, 3, 3]), [2, 1, 3, 3])]
    ['10', '0', '110', '111']
    """
    bits = integer_array("lengths", lengths, 0, 63)
    symbols, starts, longest = _canonical_order(bits)
    codes = np.zeros(bits.size, np.uint64)
    codes[symbols] = starts[:-1] >> (longest - bits[symbols]).astype(np.uint64)
    return codes


def huffman_encode(symbols: npt.ArrayLike, lengths: npt.ArrayLike) -> bytes:
    """Write symbols with the canonical code of `lengths` (0..32 bits), most significant bit first.

    `symbols`: integers in 0..K-1 of any shape, read in row-major order; `lengths`: [K]. The result
    holds the byte length of every block of 1024 symbols (2 bytes, little-endian), then the blocks.
    Raises ValueError for a symbol without a code and for lengths that are no prefix code.

    >>> huffman_encode([0, 1, 2, 0], lengths=[1, 2, 2]).hex()
    '010058'
    """
    bits = integer_array("lengths", lengths, 0, LONGEST)
    codes = canonical_codes(bits)
    array = integer_array("symbols", symbols, 0, bits.size - 1)
    used = np.bincount(array, minlength=bits.size)
    if np.any(bits[used > 0] == 0):
        symbol = int(np.flatnonzero((used > 0) & (bits == 0))[0])
        raise ValueError(f"symbols must all have a code, but lengths[{symbol}] is 0.")
    chunks = [
        _encode_blocks(array[start : start + _CHUNK], bits, codes)
        for start in range(0, array.size, _CHUNK)
    ]
    return b"".join(sizes for sizes, _ in chunks) + b"".join(payload for _, payload in chunks)


def huffman_decode(data: bytes, lengths: npt.ArrayLike, count: int) -> Integers:
    """Read `count` symbols that `huffman_encode` wrote with the same `lengths`, -> int64 [count].

    Raises ValueError if the bits are not exactly what `count` symbols of this code can look like.

    >>> huffman_decode(huffman_encode([0, 1, 2, 0], [1, 2, 2]), [1, 2, 2], count=4)
    array([0, 1, 2, 0])
    """
    bits = integer_array("lengths", lengths, 0, LONGEST)
    count = check_int("count", count, 0)
    blocks = -(-count // BLOCK)
    if len(data) < 2 * blocks:
        raise ValueError(f"data ends inside the block lengths of {count} symbols.")
    sizes = np.frombuffer(data, "<u2", count=blocks).astype(np.int64)
    payload = np.frombuffer(data, np.uint8, offset=2 * blocks)
    if sizes.sum() != payload.size or count > 8 * payload.size:
        raise ValueError(
            f"data must hold {sizes.sum()} bytes of code for {count} symbols, got {payload.size}."
        )
    if count == 0:
        return np.zeros(0, np.int64)
    ends = np.cumsum(sizes) * 8
    grid, stops = _decode_blocks(payload, ends - sizes * 8, bits, count)
    decoded = grid.reshape(-1)[:count]
    # Every block must stop in its last byte, with only zeros behind.
    fill = ends - stops
    if (
        np.any(decoded < 0)
        or np.any((fill < 0) | (fill > 7))
        or np.any(payload[ends // 8 - 1] & ((1 << fill) - 1))
    ):
        raise ValueError("data is not a sequence of codes of these lengths.")
    return decoded


def _huffman_depths(weights: list[float]) -> list[int]:
    """Merge the two lightest nodes until one is left; a leaf's depth is its code length."""
    leaves = len(weights)
    heap = [(weight, node) for node, weight in enumerate(weights)]
    heapq.heapify(heap)
    parent = [0] * (2 * leaves - 1)
    for node in range(leaves, 2 * leaves - 1):
        weight_a, a = heapq.heappop(heap)
        weight_b, b = heapq.heappop(heap)
        parent[a] = parent[b] = node
        heapq.heappush(heap, (weight_a + weight_b, node))
    depth = [0] * (2 * leaves - 1)
    for node in reversed(range(2 * leaves - 2)):
        depth[node] = depth[parent[node]] + 1
    return depth[:leaves]


def _package_merge(weights: npt.NDArray[np.float64], limit: int) -> Integers:
    """Optimal lengths <= limit for weights in ascending order.

    A symbol of length l buys one coin of each value 2^-1 .. 2^-l; the cheapest coins that sum to
    n - 1 are wanted. Pairs of a level's cheapest coins compete with the coins of the next.
    """
    items, levels = weights, []
    for _ in range(limit):
        levels.append(np.argsort(items, kind="stable") < weights.size)  # which items are coins
        items = np.sort(items, kind="stable")
        packages = items[: items.size // 2 * 2].reshape(-1, 2).sum(axis=1)
        items = np.concatenate([weights, packages])
    lengths = np.zeros(weights.size, np.int64)
    take = 2 * weights.size - 2
    for is_coin in reversed(levels):
        coins = int(np.count_nonzero(is_coin[:take]))
        lengths[:coins] += 1
        take = 2 * (take - coins)
    return lengths


def _canonical_order(lengths: Integers) -> tuple[Integers, npt.NDArray[np.uint64], int]:
    """Symbols by (length, symbol) and where their codes start on a line of 2^longest points."""
    symbols = np.flatnonzero(lengths)
    symbols = symbols[np.argsort(lengths[symbols], kind="stable")]
    longest = int(lengths.max(initial=0))
    widths = np.uint64(1) << (longest - lengths[symbols]).astype(np.uint64)
    if sum(widths.tolist()) > 1 << longest:
        raise ValueError("lengths must obey Kraft's inequality; no prefix code has these lengths.")
    return symbols, np.concatenate([[np.uint64(0)], np.cumsum(widths)]), longest


def _encode_blocks(
    symbols: Integers, lengths: Integers, codes: npt.NDArray[np.uint64]
) -> tuple[bytes, bytes]:
    """The byte length of each block and all their bits, zeros filling each block's last byte."""
    blocks = -(-symbols.size // BLOCK)
    bits = np.zeros(blocks * BLOCK, np.int64)
    code = np.zeros(blocks * BLOCK, np.uint32)
    bits[: symbols.size] = lengths[symbols]
    code[: symbols.size] = codes[symbols]
    block_bits = bits.reshape(blocks, BLOCK).sum(axis=1)
    # The fill is one more "code" at the end of every block: -block_bits % 8 zeros.
    bits = np.column_stack([bits.reshape(blocks, BLOCK), -block_bits % 8]).reshape(-1)
    code = np.pad(code.reshape(blocks, BLOCK), ((0, 0), (0, 1))).reshape(-1)
    # Bit j of the output belongs to the code that ends after j; shift that bit down to the ones.
    bits_after = np.repeat(np.cumsum(bits), bits) - 1 - np.arange(bits.sum())
    ones = (np.repeat(code, bits) >> bits_after.astype(np.uint32)) & 1
    sizes = (block_bits + 7) // 8
    return sizes.astype("<u2").tobytes(), np.packbits(ones.astype(np.uint8)).tobytes()


def _decode_blocks(
    payload: npt.NDArray[np.uint8], starts: Integers, lengths: Integers, count: int
) -> tuple[Integers, Integers]:
    """Symbols [blocks, BLOCK], -1 for what is no code, and the bit at which each block stopped."""
    symbols, edges, longest = _canonical_order(lengths)
    rank_symbol = np.append(symbols, -1)
    rank_bits = np.append(lengths[symbols], 1)
    edges = edges.astype(np.int64)
    widths = np.diff(edges, append=1 << longest)  # the last one: points that belong to no code
    table = np.repeat(np.arange(widths.size), widths) if longest <= _LONGEST_TABLE else None
    window = np.zeros(payload.size + 1, np.int64)  # the 40 bits that follow each byte boundary
    padded = np.pad(payload, (0, 5))
    for byte in range(5):
        window = (window << 8) | padded[byte : byte + window.size]

    position = starts.copy()
    last_block = (count - 1) % BLOCK + 1
    grid = np.zeros((min(count, BLOCK), starts.size), np.int64)
    for step in range(len(grid)):
        at = position if step < last_block else position[:-1]
        peek = window.take(at >> 3, mode="clip") >> (40 - longest - (at & 7))
        peek &= (1 << longest) - 1
        rank = np.searchsorted(edges, peek, "right") - 1 if table is None else table.take(peek)
        grid[step, : at.size] = rank_symbol.take(rank)
        at += rank_bits.take(rank)
    return grid.T, position
