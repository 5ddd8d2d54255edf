"""How few bits a symbol can cost: entropy, and what a given code spends beside it.

A source that emits symbol i with probability p_i needs at least H = sum p_i log2(1 / p_i) bits per
symbol (Shannon 1948, theorem 9). Code lengths l_i that a decoder can tell apart obey Kraft's
inequality sum 2^-l_i <= 1, and an optimal prefix code of at least two symbols has H <= L < H + 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from course_lib.codec._arrays import integer_array, weight_array


def entropy(counts: npt.ArrayLike) -> float:
    """Return the entropy in bits per symbol of symbols that occur `counts` times.

    `counts`: [K] occurrences or probabilities, finite and >= 0; they need not sum to one.
    Without any occurrence the entropy is 0. Raises TypeError / ValueError on other input.
    Source: Shannon 1948, section 6.

    >>> entropy([1, 1, 1, 1]), entropy([7, 0, 0])
    (2.0, 0.0)
    """
    weights = weight_array("counts", counts)
    if not weights.any():
        return 0.0
    share = weights / weights.sum()
    share = share[share > 0]
    return float(0.0 - np.sum(share * np.log2(share)))


def mean_length(counts: npt.ArrayLike, lengths: npt.ArrayLike) -> float:
    """Return the bits per symbol that a code with `lengths` spends on symbols seen `counts` times.

    `counts`: [K] occurrences or probabilities; `lengths`: [K] bits, 0 where a symbol has no code.
    Raises ValueError if the shapes differ or a symbol that occurs has no code.

    >>> mean_length([2, 1, 1], [1, 2, 2])
    1.5
    """
    weights = weight_array("counts", counts)
    bits = integer_array("lengths", lengths, 0, 255)
    if weights.shape != bits.shape:
        raise ValueError(
            "counts and lengths must have one entry per symbol, "
            f"got {weights.size} and {bits.size}."
        )
    if bool(np.any((weights > 0) & (bits == 0))):
        symbol = int(np.flatnonzero((weights > 0) & (bits == 0))[0])
        raise ValueError(f"lengths must give every symbol that occurs a code, {symbol} has none.")
    return float(weights @ bits / weights.sum()) if weights.any() else 0.0


def kraft_sum(lengths: npt.ArrayLike) -> float:
    """Return sum 2^-l over the codes: 1 if complete, above 1 if no prefix code can exist.

    `lengths`: [K] bits, 0 where a symbol has no code (it adds nothing).
    Source: Kraft 1949; McMillan 1956 for every uniquely decodable code.

    >>> kraft_sum([1, 2, 2]), kraft_sum([1, 0, 2])
    (1.0, 0.75)
    """
    bits = integer_array("lengths", lengths, 0, 255)
    return float(np.sum(2.0 ** -bits[bits > 0]))
