"""From values to plain JSON and raw buffers, in a form that names nothing but data.

Numbers, text and None stand for themselves; all else is a list that begins with a tag, such as
["tuple", 1, 2] or ["tensor", "float32", [2, 3], 0, ...] with its bytes in buffer 0. An object
that is met again becomes ["ref", n], so tied weights stay tied; one that contains itself is
refused. Subclasses are read with the methods of the built-in types, which they can't override.
What is no data is handed to `foreign`, which sends a handle or refuses.
"""

from __future__ import annotations

import dataclasses
import pathlib
import random
import types
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autograder.judging import layers, library, raw
from autograder.judging.errors import CodecError

MAX_PARTS = 1_000_000
MAX_DEPTH = 150
MAX_BITS = 8192
MAX_TEXT = 4 * 2**20

_NAMED = (type, types.FunctionType, types.BuiltinFunctionType, np.ufunc)
Packed = Any  # JSON


class Packer:
    """Packs the values of one message.

    foreign: called with an object that is no data; returns its packed form or raises CodecError.
    known: packed forms of objects that the receiver has already, by id.
    strict: the receiver is the trusted side, which takes fewer names.
    classes: those of the notebook that both sides know, by name.
    """

    def __init__(
        self,
        foreign: Callable[[Any], Packed],
        known: Mapping[int, Packed] | None = None,
        *,
        strict: bool,
        classes: Mapping[str, Any],
        lives: list[Tensor] | None = None,
    ) -> None:
        self.objects: list[Any] = []
        self.buffers: list[bytes | memoryview] = []
        self.strict, self.classes = strict, classes
        self.lives = lives
        self._foreign = foreign
        self._memo: dict[int, Packed] = dict(known or {})
        self._open: set[int] = set()
        self._inside_layer = False
        self._room, self._depth = MAX_PARTS, MAX_DEPTH

    def pack(self, value: Any) -> Packed:
        """Return the packed form; CodecError says why a value can't travel."""
        self._room -= 1
        self._depth -= 1
        try:
            if self._room < 0:
                raise CodecError(f"it has more than {MAX_PARTS:,} parts.")
            if self._depth < 0:
                raise CodecError(f"it is nested more than {MAX_DEPTH} deep.")
            return self._pack(value)
        finally:
            self._depth += 1

    def pack_all(self, values: Any) -> list[Packed]:
        """Pack each of the values."""
        return [self.pack(value) for value in values]

    def buffer(self, data: bytes | memoryview) -> int:
        """Add a buffer and return its number."""
        self.buffers.append(data)
        return len(self.buffers) - 1

    def _pack(self, value: Any) -> Packed:
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is int or kind is float or kind is str:
            return _PLAIN[kind](self, value)
        for base, pack in _ATOMS:
            if issubclass(kind, base):
                return pack(self, value)
        if id(value) in self._memo:
            if id(value) in self._open:
                raise CodecError("it contains itself.")
            return self._memo[id(value)]
        for base, pack in OBJECTS:
            if issubclass(kind, base):
                return self._object(value, pack)
        if issubclass(kind, nn.Module):
            return self._layer(value)
        packed = self._by_name(value)
        return self._other(value) if packed is None else packed

    def _object(self, value: Any, pack: Callable[[Packer, Any], Packed]) -> Packed:
        """Pack something with an identity; its number is its place in `objects`."""
        self._memo[id(value)] = ["ref", len(self.objects)]
        self.objects.append(value)
        self._open.add(id(value))
        try:
            return pack(self, value)
        finally:
            self._open.discard(id(value))

    def _layer(self, module: nn.Module) -> Packed:
        """Describe a layer that the receiver can build; send a handle to any other."""
        if not self.strict or self._inside_layer:
            return self._object(module, layers.describe)
        packed = self.attempt(module)
        return self._foreign(module) if packed is None else packed[0]

    def attempt(self, value: Any) -> tuple[Packed] | None:
        """Pack what must be data to the last part; None, and nothing done, if it is more."""
        counts, memo = (len(self.objects), len(self.buffers)), dict(self._memo)
        outer, self._inside_layer = self._inside_layer, True
        try:
            return (self.pack(value),)
        except CodecError:
            del self.objects[counts[0] :], self.buffers[counts[1] :]
            self._memo = memo
            return None
        finally:
            self._inside_layer = outer

    def _other(self, value: Any) -> Packed:
        if self._inside_layer:
            raise CodecError("a layer holds something that is no data.")
        return self._foreign(value)

    def _by_name(self, value: Any) -> Packed | None:
        """Results of the course's own classes, and functions and classes of libraries."""
        kind = type(value)
        if library.is_data_class(kind):
            name = library.class_name(kind, self.classes, self.strict)
            if name is not None:
                fields = [field.name for field in dataclasses.fields(value) if field.init]
                parts = [[field, self.pack(getattr(value, field))] for field in fields]
                return ["record", *name, parts]
        if not issubclass(kind, _NAMED):
            return None
        if isinstance(value, type) and library.is_data_class(value):
            found = library.class_name(value, self.classes, self.strict)
        elif self.strict and str(getattr(value, "__module__", "")).startswith("course_lib."):
            return None  # the course's functions stay where the student put them: a handle
        else:
            found = library.name_of(value)
        if found is None or (self.strict and not library.is_safe(*found)):
            return None
        return ["global", *found]


def _int(packer: Packer, value: int) -> Packed:
    number = int.__int__(value)
    if number.bit_length() > MAX_BITS:
        raise CodecError(f"it holds a number of more than {MAX_BITS} bits.")
    return number


def _float(packer: Packer, value: float) -> Packed:
    number = float.__float__(value)
    return number if abs(number) < float("inf") else ["float", float.__repr__(number)]


def _str(packer: Packer, value: str) -> Packed:
    if str.__len__(value) > MAX_TEXT:
        raise CodecError(f"it holds a text of more than {MAX_TEXT:,} characters.")
    return str.__str__(value)


def _bytes(packer: Packer, value: bytes) -> Packed:
    return ["bytes", packer.buffer(memoryview(value).cast("B"))]


def _tuple(packer: Packer, value: tuple) -> Packed:
    parts = packer.pack_all(tuple.__iter__(value))
    kind = type(value)
    if kind is torch.Size:
        return ["size", *parts]
    if not library.is_named_tuple(kind):
        return ["tuple", *parts]
    name = library.class_name(kind, packer.classes, packer.strict)
    fields = [str(field) for field in vars(kind)["_fields"]]
    return ["named", list(name) if name else None, fields, parts]


def _tensor(packer: Packer, tensor: Tensor) -> Packed:
    if packer.lives is not None and tensor.requires_grad and tensor.grad_fn is not None:
        packer.lives.append(tensor)
        return ["live", len(packer.lives) - 1]
    grad = tensor.grad if tensor.is_leaf else None
    flags = [isinstance(tensor, nn.Parameter), bool(tensor.requires_grad)]
    if tensor.layout is not torch.strided:
        return _sparse(packer, tensor, flags)
    where = None if tensor.device.type == "meta" else packer.buffer(raw.tensor_bytes(tensor))
    name = raw.dtype_name(tensor.dtype)
    return ["tensor", name, list(tensor.shape), where, *flags, packer.pack(grad)]


def _sparse(packer: Packer, tensor: Tensor, flags: list[bool]) -> Packed:
    layout = str(tensor.layout).removeprefix("torch.")
    plain = tensor.detach()
    if layout == "sparse_coo":
        plain = plain.coalesce()
        parts = [plain.indices(), plain.values()]
    elif layout == "sparse_csr":
        parts = [plain.crow_indices(), plain.col_indices(), plain.values()]
    else:
        raise CodecError(f"it is a tensor in the layout {layout}, which the grader cannot read.")
    return ["sparse", layout, list(plain.shape), *flags, packer.pack_all(parts)]


def _array(packer: Packer, array: np.ndarray) -> Packed:
    if array.dtype.kind == "O":
        items = packer.pack_all(np.ndarray.ravel(array).tolist())
        return ["objects", list(array.shape), items]
    name, data = raw.array_bytes(array)
    return ["array", name, list(array.shape), packer.buffer(data)]


def _scalar(packer: Packer, value: np.generic) -> Packed:
    name, data = raw.array_bytes(np.asarray(value))
    return ["scalar", name, packer.buffer(data)]


def _dict(packer: Packer, value: dict) -> Packed:
    return ["dict", *(packer.pack(part) for pair in dict.items(value) for part in pair)]


def _generator(packer: Packer, value: torch.Generator) -> Packed:
    return ["generator", packer.buffer(raw.tensor_bytes(value.get_state()))]


def _numpy_generator(packer: Packer, value: np.random.Generator) -> Packed:
    state = value.bit_generator.state
    if state["bit_generator"] != "PCG64":
        raise CodecError("it is a NumPy generator of a kind that the grader cannot read.")
    return ["pcg64", state["state"]["state"], state["state"]["inc"]]


_Pack = Callable[[Packer, Any], Packed]
_PLAIN: dict[type, _Pack] = {int: _int, float: _float, str: _str}
_ATOMS: tuple[tuple[Any, _Pack], ...] = (
    (np.generic, _scalar),  # before float: np.float64 is one
    (int, _int),
    (float, _float),
    (str, _str),
    (bytes, _bytes),
    (complex, lambda p, v: ["complex", _float(p, v.real), _float(p, v.imag)]),
    (tuple, _tuple),
    (slice, lambda p, v: ["slice", *p.pack_all((v.start, v.stop, v.step))]),
    (range, lambda p, v: ["range", *p.pack_all((v.start, v.stop, v.step))]),
    (type(Ellipsis), lambda p, v: ["ellipsis"]),
    (Fraction, lambda p, v: ["fraction", *p.pack_all((v.numerator, v.denominator))]),
    (Decimal, lambda p, v: ["decimal", str(v)]),
    (torch.dtype, lambda p, v: ["dtype", raw.dtype_name(v)]),
    (torch.device, lambda p, v: ["device", str(v)]),
    (pathlib.PurePath, lambda p, v: ["path", str(v)]),
    (frozenset, lambda p, v: ["frozenset", *p.pack_all(frozenset.__iter__(v))]),
)
OBJECTS: tuple[tuple[Any, _Pack], ...] = (
    (list, lambda p, v: ["list", *p.pack_all(list.__iter__(v))]),
    (dict, _dict),
    (set, lambda p, v: ["set", *p.pack_all(set.__iter__(v))]),
    (Tensor, _tensor),
    (np.ndarray, _array),
    (bytearray, lambda p, v: ["bytearray", p.buffer(bytes(v))]),
    (random.Random, lambda p, v: ["random", p.pack(random.Random.getstate(v))]),
    (torch.Generator, _generator),
    (np.random.Generator, _numpy_generator),
)
