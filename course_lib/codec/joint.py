"""All tensors of a model in one arithmetic code: what is left when nothing is spent on form.

Below some 10 kB, names, tables, byte boundaries and positions weigh as much as the weights. Here
a tensor is a matrix (axis 0 by the rest) of which only the rows and columns that hold a weight
count, as pruning kills whole units. Whether a weight of these is non-zero is asked in the context
of how full its column was so far, and of two weights before it in its row, at distances where
neighbours are found (in a layer that sees images: the pixel to the left, and the one above). Its
value is an index into a codebook, or plain bits. The same walk writes and reads, see `arithmetic`;
what it reads may be hostile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from math import prod

import numpy as np
import numpy.typing as npt
from torch import Tensor

from course_lib.codec.arithmetic import Reader, Writer
from course_lib.codec.tensors import DTYPES, as_half, bit_patterns, from_bit_patterns

MOST_VALUES = 1 << 20  # of a tensor: every one may cost a few decisions, a million a second
_MOST_DECISIONS = 1 << 23  # of a file
_LARGEST_CODEBOOK = 1 << 12
_MOST_AXES = 16
_DISTANCE_BITS = 6
_DTYPE_BITS, _NAME_BITS = 4, 8
Coder = Writer | Reader


@dataclass
class Part:
    """A tensor on its way in or out, and the bytes that its parts take.

    `rows` holds 0 for a zero and otherwise 1 + the index into the codebook; without a codebook it
    holds the bits of the value.
    """

    name: bytes = b""
    types: tuple[int, int] = (0, 0)  # of the tensor, and of the numbers that are stored
    shape: tuple[int, ...] = ()
    codebook: list[int] = field(default_factory=list)  # the bits of each value
    rows: list[list[int]] = field(default_factory=list)
    distances: tuple[int, int] = (1, 1)
    spent: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("header", "codebook", "index", "weight"), 0.0)
    )

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def width(self) -> int:
        """Bits of a stored number."""
        return 8 * DTYPES[self.types[1]].itemsize

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns; a vector is one row."""
        rows = self.shape[0] if len(self.shape) > 1 else 1
        return rows, self.size // max(rows, 1)

    @property
    def coding(self) -> set[str]:
        found = {"arithmetic"} | ({"codebook"} if self.codebook else set())
        found |= {"half"} if self.types[0] != self.types[1] else set()
        return found | ({"sparse"} if any(0 in row for row in self.rows) else set())


def encode_joint(tensors: Mapping[str, Tensor], half: bool, codebook: bool) -> bytes:
    """Return the code of CPU tensors of up to MOST_VALUES values, in the order of the mapping.

    ValueError if it takes more decisions than a reader allows.
    """
    writer, last = Writer(_MOST_DECISIONS), b""
    for name, tensor in tensors.items():
        writer.bit("more", 1)
        part = _part(name, tensor, half, codebook)
        _code(writer, part, last, tensor.nbytes)
        last = part.name
    writer.bit("more", 0)
    return writer.finish()


def decode_joint(data: bytes, max_bytes: int) -> list[tuple[Tensor, Part]]:
    """Return the tensors and what is known of them; ValueError for what no encoder writes.

    All tensors together take `max_bytes` at most, which is checked before memory is taken.
    """
    reader, last, left = Reader(data, _MOST_DECISIONS), b"", max_bytes
    decoded = []
    while reader.bit("more"):
        part = Part()
        _code(reader, part, last, left)
        tensor = _tensor(part)
        left -= tensor.nbytes
        last = part.name
        part.spent = {account: bits / 8 for account, bits in part.spent.items()}
        decoded.append((tensor, part))
    reader.finish()
    return decoded


def _part(name: str, tensor: Tensor, half: bool, codebook: bool) -> Part:
    stored = as_half(tensor) if half else tensor
    part = Part(name.encode(), (DTYPES.index(tensor.dtype), DTYPES.index(stored.dtype)))
    part.shape = tuple(tensor.shape)
    patterns = bit_patterns(stored).reshape(part.matrix)
    part.distances = _distances(patterns != 0)
    if codebook:
        values = np.unique(patterns[patterns != 0])
        if values.size <= min(_LARGEST_CODEBOOK, int(np.count_nonzero(patterns)) // 2):
            part.codebook = values.tolist()
            patterns = np.where(patterns == 0, 0, np.searchsorted(values, patterns) + 1)
    part.rows = patterns.tolist()
    return part


def _distances(used: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """The two distances within a row at which a weight most often meets another."""
    reach = min(1 << _DISTANCE_BITS, used.shape[1] - 1)
    meet = [np.mean(used[:, d:] & used[:, :-d]) for d in range(1, reach + 1)]
    first, second = (int(d) + 1 for d in [*np.argsort(meet)[::-1], 0, 0][:2])
    return first, second


def _tensor(part: Part) -> Tensor:
    dtype, stored = (DTYPES[code] for code in part.types)
    patterns = np.array(part.rows, np.dtype(f"<u{stored.itemsize}")).reshape(-1)
    if part.codebook:
        patterns = np.array([0, *part.codebook], patterns.dtype)[patterns]
    return from_bit_patterns(patterns, stored).to(dtype).reshape(part.shape)


def _code(coder: Coder, part: Part, last: bytes, max_bytes: int) -> None:
    """Write what is in `part`, or fill it with what is read."""
    begin = coder.spent()
    _code_name(coder, part, last)
    _code_form(coder, part, max_bytes)
    part.spent["header"] = coder.spent() - begin
    _code_codebook(coder, part)
    part.spent["codebook"] = coder.spent() - begin - part.spent["header"]
    if not part.rows:
        rows, columns = part.matrix
        part.rows = [[0] * columns for _ in range(rows)]
    _code_matrix(coder, part)


def _code_name(coder: Coder, part: Part, last: bytes) -> None:
    """What a name shares with the last one, then its bytes, each after the one before."""
    pairs = zip(part.name, last, strict=False)
    shared = coder.number("shared", len(list(takewhile(lambda pair: pair[0] == pair[1], pairs))))
    if shared > len(last):
        raise ValueError(f"a name shares {shared} bytes with {last!r}")
    name = bytearray(last[:shared])
    for at in range(shared, shared + coder.number("name", len(part.name) - shared)):
        known = part.name[at] if part.name else 0
        name.append(coder.symbol(("name", name[-1] if name else 0), _NAME_BITS, known))
    part.name = bytes(name)


def _code_form(coder: Coder, part: Part, max_bytes: int) -> None:
    """Types and shape, checked before any of it is believed."""
    dtype, stored = (coder.symbol("type", _DTYPE_BITS, code) for code in part.types)
    if max(dtype, stored) >= len(DTYPES):
        raise ValueError(f"types {dtype} and {stored} are unknown")
    if stored != dtype and not (stored == 1 and DTYPES[dtype].is_floating_point):
        raise ValueError(f"{DTYPES[stored]} cannot stand for {DTYPES[dtype]}")
    part.types = dtype, stored
    axes = coder.number("axes", len(part.shape))
    if axes > _MOST_AXES:
        raise ValueError(f"{axes} axes are more than {_MOST_AXES}")
    known = part.shape or (0,) * axes
    part.shape = tuple(coder.number("length", length) for length in known)
    # A length of 0 may hide others that would each take a list.
    if part.size > MOST_VALUES or max(part.shape, default=0) > MOST_VALUES:
        raise ValueError(f"a tensor of shape {part.shape} is too large")
    if part.size * DTYPES[dtype].itemsize > max_bytes:
        raise ValueError(f"a tensor of shape {part.shape} exceeds {max_bytes} bytes")


def _code_codebook(coder: Coder, part: Part) -> None:
    size = coder.number("codebook", len(part.codebook))
    if size > _LARGEST_CODEBOOK:
        raise ValueError(f"a codebook of {size} entries is not allowed")
    known = part.codebook or [0] * size
    part.codebook = [coder.bits(("value", part.types[1]), part.width, value) for value in known]


def _code_matrix(coder: Coder, part: Part) -> None:
    """Which rows and columns hold weights, where in these they are, and which."""
    used = [any(column) for column in zip(*part.rows, strict=True)]
    columns = _code_alive(coder, "column", used)
    alive = _code_alive(coder, "row", [any(row) for row in part.rows])
    near, far = (coder.symbol("distance", _DISTANCE_BITS, d - 1) + 1 for d in part.distances)
    middle = len(part.codebook) // 2 if part.codebook else 1 << part.width - 1
    in_column = dict.fromkeys(columns, 0)
    before = coder.spent()
    for number, i in enumerate(alive):
        row = part.rows[i]
        for j in columns:
            sides = _side(row, j - near, middle), _side(row, j - far, middle)
            full = _fullness(in_column[j], number)
            if coder.bit((part.name, full, sides[0] > 0, sides[1] > 0), row[j] != 0):
                between = coder.spent()
                row[j] = _code_value(coder, part, sides, row[j])
                in_column[j] += 1
                part.spent["index"] += between - before
                before = coder.spent()
                part.spent["weight"] += before - between
    part.spent["index"] += coder.spent() - before


def _code_value(coder: Coder, part: Part, sides: tuple[int, int], known: int) -> int:
    """A weight that is not 0: its place in the codebook, from 1, or its bits."""
    size = len(part.codebook)
    if not size:
        return coder.bits((part.name, "value"), part.width, known)
    index = coder.symbol((part.name, sides), (size - 1).bit_length(), known - 1)
    if index >= size:
        raise ValueError(f"index {index} lies outside the codebook of {size}")
    return 1 + index


def _side(row: list[int], j: int, middle: int) -> int:
    """0: no weight at j; 1: the lower half of the values, where positive ones are; 2: the rest."""
    value = row[j] if j >= 0 else 0
    return (value > 0) + (value > middle)


def _code_alive(coder: Coder, kind: str, alive: list[bool]) -> list[int]:
    """The numbers of the rows (or columns) that hold a weight; each in the context of the last."""
    last, numbers = 1, []
    for number, known in enumerate(alive):
        last = coder.bit((kind, last), known)
        if last:
            numbers.append(number)
    return numbers


def _fullness(count: int, seen: int) -> int:
    """How full a column was so far, in steps of the square root of two."""
    share = 1 + 64 * (5 * count + 2) // (5 * (seen + 8))  # (count + 0.4) / (seen + 8)
    return (share * share).bit_length()
