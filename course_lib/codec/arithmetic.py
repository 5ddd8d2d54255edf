"""Adaptive binary arithmetic coding: a decision of probability p costs log2(1 / p) bits.

A Huffman code needs a table of lengths and whole bits per symbol, which hurts where a layer has a
few hundred weights left. Here every number is a series of yes-or-no decisions, each with a context
of its own that has counted the answers so far; the decoder counts along, so no table is stored.
Sources: Rissanen and Langdon 1979 (coder); Krichevsky and Trofimov 1981 (estimate of p);
Wiedemann et al. 2020, "DeepCABAC" (for weights of neural networks).

Writer and Reader have the same methods, so that one function describes both directions: it passes
what it would write, and goes on with what comes back, which for a Reader is what was written. Both
allow `most` decisions, as a few bytes can stand for many, and raise ValueError beyond that.
"""

from __future__ import annotations

from collections.abc import Hashable
from math import log2

_TOP = (1 << 32) - 1  # the interval that is divided has 32 bits
_MOST = 1 << 10  # answers remembered per context; then both counts are halved
_LARGEST_LENGTH = 33  # bits of value + 1 in `number`


class _Coder:
    """The interval low..high, the counts of the contexts, and the decisions that are left."""

    def __init__(self, most: int) -> None:
        self.low, self.high = 0, _TOP
        self.left, self.shifted = most, 0
        self.counts: dict[Hashable, list[int]] = {}

    def bit(self, context: Hashable, value: int = 0) -> int:
        """Code one decision, 0 or 1, in a context; return it."""
        self.left -= 1
        if self.left < 0:
            raise ValueError("the code stands for more decisions than are allowed")
        counts = self.counts.get(context)
        if counts is None:
            counts = self.counts[context] = [1, 1]  # twice the count plus one half
        zeros, ones = counts
        middle = self.low + (self.high - self.low) * ones // (zeros + ones)
        value = self._decide(middle, value)
        if value:
            self.high = middle
        else:
            self.low = middle + 1
        counts[value] += 2
        if zeros + ones > 2 * _MOST:
            counts[:] = (counts[0] >> 1) | 1, (counts[1] >> 1) | 1
        while not (self.low ^ self.high) >> 24:  # the first byte is settled
            self._shift()
            self.shifted += 8
            self.low = self.low << 8 & _TOP
            self.high = self.high << 8 & _TOP | 0xFF
        return value

    def number(self, context: Hashable, value: int = 0) -> int:
        """Code an integer >= 0, below 2^32: the length of value + 1, then its bits (Elias)."""
        length = 1
        while self.bit((context, length), length < (value + 1).bit_length()):
            length += 1
            if length > _LARGEST_LENGTH:
                raise ValueError("a number has more than 32 bits")
        return (1 << length - 1 | self.bits((context, length, 0), length - 1, value + 1)) - 1

    def bits(self, context: Hashable, count: int, value: int = 0) -> int:
        """Code the lowest `count` bits of an integer, each in the context of its place."""
        result = 0
        for place in reversed(range(count)):
            result = result << 1 | self.bit((context, place), value >> place & 1)
        return result

    def symbol(self, context: Hashable, count: int, value: int = 0) -> int:
        """Code one of 2^count symbols, each bit in the context of all bits before it."""
        node = 1
        for place in reversed(range(count)):
            node = node << 1 | self.bit((context, node), value >> place & 1)
        return node - (1 << count)

    def spent(self) -> float:
        """Return the bits of all decisions so far."""
        return self.shifted + 32 - log2(self.high - self.low + 1)

    def _tail(self) -> bytes:
        """The shortest bytes that, with zeros behind, lie in the interval."""
        for count in range(4):
            unit = 1 << 32 - 8 * count
            value = -(-self.low // unit) * unit
            if value <= self.high:
                return value.to_bytes(4, "big")[:count]
        return self.low.to_bytes(4, "big")

    def _decide(self, middle: int, value: int) -> int:
        raise NotImplementedError

    def _shift(self) -> None:
        raise NotImplementedError


class Writer(_Coder):
    """Turns decisions into bytes; `finish` returns them."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.data = bytearray()

    def finish(self) -> bytes:
        """Return the bytes of all decisions."""
        return bytes(self.data) + self._tail()

    def _decide(self, middle: int, value: int) -> int:
        return int(value)

    def _shift(self) -> None:
        self.data.append(self.low >> 24)


class Reader(_Coder):
    """Turns bytes that a Writer wrote back into the decisions; the bytes may be hostile.

    `finish` raises ValueError if the bytes are not exactly those that the decisions need.
    """

    def __init__(self, data: bytes, most: int) -> None:
        super().__init__(most)
        self.data = data
        self.code = int.from_bytes(data[:4].ljust(4, b"\0"), "big")
        self.at = 4

    def finish(self) -> None:
        """Raise ValueError unless the bytes end as a Writer would end them."""
        if self.data[self.at - 4 :] != self._tail():
            raise ValueError(f"{len(self.data)} bytes are not the code of these decisions")

    def _decide(self, middle: int, value: int) -> int:
        return int(self.code <= middle)

    def _shift(self) -> None:
        byte = self.data[self.at] if self.at < len(self.data) else 0
        self.code = self.code << 8 & _TOP | byte
        self.at += 1
