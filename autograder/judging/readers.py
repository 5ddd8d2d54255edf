"""Readers of numbers, arrays and generators for `unpack`, which has those of the structure."""

from __future__ import annotations

import math
import pathlib
import random
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from autograder.judging import raw
from autograder.judging.errors import CodecError

if TYPE_CHECKING:
    from autograder.judging.unpack import Unpacker


def _float(unpacker: Unpacker, name: Any) -> float:
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[name]


def _complex(unpacker: Unpacker, real: Any, imaginary: Any) -> complex:
    return complex(unpacker.unpack(real), unpacker.unpack(imaginary))


def _decimal(unpacker: Unpacker, text: Any) -> Decimal:
    number = Decimal(text) if isinstance(text, str) and len(text) < 1000 else Decimal("NaN")
    if number.is_finite() and abs(number.adjusted()) > 5000:
        raise CodecError("a number is too long.")
    return number


def _bytearray(unpacker: Unpacker, where: Any) -> bytearray:
    return unpacker.numbered(bytearray(unpacker.buffer(where)))


def _array(unpacker: Unpacker, name: Any, shape: Any, where: Any) -> np.ndarray:
    data = unpacker.buffer(where)
    return unpacker.numbered(raw.read_array(name, shape, data), data=data)


def _scalar(unpacker: Unpacker, name: Any, where: Any) -> Any:
    return raw.read_array(name, [], unpacker.buffer(where))[()]


def _objects(unpacker: Unpacker, shape: Any, items: Any) -> np.ndarray:
    sizes = raw.read_shape(shape)
    if math.prod(sizes) != len(items):
        raise CodecError("an array's items do not match its shape.")
    flat = np.empty(len(items), dtype=object)

    def fill() -> None:
        for place, item in enumerate(items):
            flat[place] = unpacker.unpack(item)

    return unpacker.numbered(flat.reshape(sizes), fill)


def _sparse(
    unpacker: Unpacker, layout: Any, shape: Any, parameter: Any, requires_grad: Any, parts: Any
) -> Tensor:
    sizes = raw.read_shape(shape)
    place = unpacker.reserve()  # the packer numbered the whole before its parts
    values = unpacker.all(parts)
    make: Any = torch.sparse_coo_tensor if layout == "sparse_coo" else torch.sparse_csr_tensor
    tensor = make(*values, sizes, check_invariants=True)
    tensor = tensor.coalesce() if layout == "sparse_coo" else tensor
    if parameter is True:
        tensor = nn.Parameter(tensor, requires_grad=requires_grad is True)
    return unpacker.keep(place, tensor)


def _random(unpacker: Unpacker, state: Any) -> random.Random:
    generator = random.Random()
    generator.setstate(unpacker.unpack(state))
    return unpacker.numbered(generator)


def _generator(unpacker: Unpacker, where: Any) -> torch.Generator:
    data = unpacker.buffer(where)
    generator = torch.Generator()
    generator.set_state(raw.read_tensor("uint8", [len(data)], data))
    return unpacker.numbered(generator)


def _pcg64(unpacker: Unpacker, state: Any, inc: Any) -> np.random.Generator:
    bits: Any = np.random.PCG64()
    inner = {"state": int(state), "inc": int(inc)}
    bits.state = {"bit_generator": "PCG64", "state": inner, "has_uint32": 0, "uinteger": 0}
    return unpacker.numbered(np.random.Generator(bits))


READERS: dict[str, Callable[..., Any]] = {
    "float": _float,
    "complex": _complex,
    "fraction": lambda u, *parts: Fraction(*u.all(parts)),
    "decimal": _decimal,
    "dtype": lambda u, name: raw.read_dtype(name),
    "device": lambda u, name: torch.device(u.unpack(name)),
    "path": lambda u, name: pathlib.Path(u.unpack(name)),
    "bytearray": _bytearray,
    "array": _array,
    "scalar": _scalar,
    "objects": _objects,
    "sparse": _sparse,
    "random": _random,
    "generator": _generator,
    "pcg64": _pcg64,
}
