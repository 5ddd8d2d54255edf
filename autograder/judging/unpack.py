"""From plain JSON and raw buffers back to values: the only way into the trusted process.

Every list is read by the reader of its tag; anything unexpected is a CodecError. Depth, number
of parts (what a ["ref", n] repeats counts again), lengths and dtypes are bounded, and the results
are exact built-in types, tensors, arrays, and objects of the course's own classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autograder.judging import layers, library, raw, readers
from autograder.judging.errors import CodecError
from autograder.judging.pack import MAX_BITS, MAX_DEPTH, MAX_PARTS, MAX_TEXT


class NamedValues(tuple):
    """A named tuple of the student's: a tuple whose parts also have names."""

    _fields: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        if name in self._fields:
            return self[self._fields.index(name)]
        raise AttributeError(f"The result has no field {name!r}; it has {self._fields}.")


class Unpacker:
    """Unpacks the values of one message.

    foreign: returns the object for ["mine", ...] or ["yours", ...].
    arguments: what ["arg", n] stands for; lives: what ["live", n] stands for.
    strict: the sender is the kernel.
    """

    def __init__(
        self,
        buffers: Sequence[memoryview],
        foreign: Callable[[list[Any]], Any],
        *,
        strict: bool,
        classes: Mapping[str, Any],
        arguments: Sequence[Any] = (),
        lives: Sequence[Tensor] = (),
    ) -> None:
        self.objects: list[Any] = []
        self.sources: dict[int, memoryview] = {}  # bytes of the tensors and arrays, by number
        self.lives = lives
        self._buffers, self._foreign, self._arguments = buffers, foreign, arguments
        self.strict, self.classes = strict, classes
        self._parts: dict[int, int] = {}  # of the objects that are complete
        self._room, self._depth = MAX_PARTS, MAX_DEPTH
        self._inside_layer = False

    def read(self, packed: Any) -> Any:
        """Return the value; CodecError, and no other error, if it can't be read."""
        try:
            return self.unpack(packed)
        except CodecError:
            raise
        except Exception as error:
            raise CodecError(f"it could not be read ({type(error).__name__}).") from error

    def unpack(self, packed: Any) -> Any:
        """As `read`, but errors of other classes may come out."""
        self._room -= 1
        self._depth -= 1
        try:
            if self._room < 0 or self._depth < 0:
                raise CodecError("it has too many parts, or is nested too deep.")
            if type(packed) is list:
                return _READERS[packed[0]](self, *packed[1:])
            return self._atom(packed)
        finally:
            self._depth += 1

    def all(self, packed: Any) -> list[Any]:
        """Unpack each."""
        return [self.unpack(each) for each in packed]

    def _atom(self, value: Any) -> Any:
        kind = type(value)
        if (kind is int and value.bit_length() > MAX_BITS) or (
            kind is str and len(value) > MAX_TEXT
        ):
            raise CodecError("a number or text is too long.")
        if kind not in (int, float, str, bool, type(None)):
            raise CodecError("it is no packed value.")
        return value

    def buffer(self, number: Any) -> memoryview:
        """Return a buffer by its number."""
        if type(number) is not int or not 0 <= number < len(self._buffers):
            raise CodecError("there is no such buffer.")
        return self._buffers[number]

    def numbered(
        self, value: Any, fill: Callable[[], Any] | None = None, data: memoryview | None = None
    ) -> Any:
        """Give an object the next number, then read what it holds; `data` are its own bytes."""
        place, room = self.reserve(), self._room
        self.objects[place] = value
        if data is not None:
            self.sources[place] = data
        if fill is not None:
            fill()
        self._parts[place] = room - self._room
        return value

    def reserve(self) -> int:
        """Take the next number for an object that is made from parts with numbers."""
        self.objects.append(None)
        return len(self.objects) - 1

    def keep(self, place: int, value: Any) -> Any:
        """Put an object in the place reserved for it."""
        self.objects[place], self._parts[place] = value, 1
        return value

    def _ref(self, number: Any) -> Any:
        if type(number) is not int or number not in self._parts:
            raise CodecError("it contains itself.")
        self._room -= self._parts[number]
        return self.objects[number]

    def _arg(self, number: Any) -> Any:
        if type(number) is not int or not 0 <= number < len(self._arguments):
            raise CodecError("there is no such argument.")
        return self._arguments[number]

    def _live(self, number: Any) -> Any:
        if type(number) is not int or not 0 <= number < len(self.lives):
            raise CodecError("there is no such tensor.")
        return self.lives[number]

    def _list(self, *parts: Any) -> list[Any]:
        value: list[Any] = []
        return self.numbered(value, lambda: value.extend(self.all(parts)))

    def _set(self, *parts: Any) -> set[Any]:
        value: set[Any] = set()
        return self.numbered(value, lambda: value.update(self.all(parts)))

    def _dict(self, *parts: Any) -> dict[Any, Any]:
        value: dict[Any, Any] = {}

        def fill() -> None:
            for key, part in zip(parts[::2], parts[1::2], strict=True):
                value[self.unpack(key)] = self.unpack(part)

        return self.numbered(value, fill)

    def _tensor(
        self, name: Any, shape: Any, where: Any, parameter: Any, requires_grad: Any, grad: Any
    ) -> Tensor:
        data = None if where is None else self.buffer(where)
        if data is None:
            sizes = raw.read_shape(shape)
            tensor = torch.empty(sizes, dtype=raw.read_dtype(name), device="meta")
        else:
            tensor = raw.read_tensor(name, shape, data)
        return self._with_flags(tensor, parameter, requires_grad, grad, data)

    def _with_flags(
        self, tensor: Tensor, parameter: Any, requires_grad: Any, grad: Any, data: Any = None
    ) -> Tensor:
        if parameter is True:
            tensor = nn.Parameter(tensor, requires_grad=requires_grad is True)
        elif requires_grad is True:
            tensor.requires_grad_()

        def fill() -> None:
            if grad is not None:
                tensor.grad = self.unpack(grad)

        return self.numbered(tensor, fill, data)

    def _named(self, name: Any, fields: Any, parts: Any) -> tuple[Any, ...]:
        values = self.all(parts)
        if name is not None:
            module, qualname = name
            kind = library.find(module, qualname, self.strict, self.classes)
            if isinstance(kind, type) and library.is_named_tuple(kind):
                return kind._make(values)  # type: ignore[attr-defined]
        if not all(isinstance(f, str) and f.isidentifier() for f in fields):
            raise CodecError("a field has no name.")
        result = NamedValues(values)
        result._fields = tuple(fields[: len(values)])
        return result

    def _record(self, module: Any, name: Any, parts: Any) -> Any:
        kind = library.find(module, name, self.strict, self.classes)
        if not isinstance(kind, type) or issubclass(kind, nn.Module):
            raise CodecError("it is no class of results.")
        return kind(**{field: self.unpack(value) for field, value in parts})

    def _layer(self, module: Any, name: Any, state: Any) -> nn.Module:
        kind = library.find(module, name, self.strict, self.classes)
        if not isinstance(kind, type) or not issubclass(kind, nn.Module):
            raise CodecError("it is no class of layers.")
        built = layers.shell(kind)
        return self.numbered(built, lambda: self.fill_layer(built, state))

    def fill_layer(self, module: nn.Module, state: Any) -> None:
        """Put a packed state, in which no handle may be, into a layer."""
        outer, self._inside_layer = self._inside_layer, True
        try:
            layers.fill(self, module, state)
        finally:
            self._inside_layer = outer

    def leaf(self, packed: Any) -> Any:
        """Unpack an object without parts, such as an array, that carries no number."""
        count = len(self.objects)
        value = self.unpack(packed)
        if len(self.objects) != count + 1:
            raise CodecError("it has parts.")
        self.objects.pop()
        self.sources.pop(count, None)
        self._parts.pop(count, None)
        return value

    def _handle(self, *said: Any) -> Any:
        if self._inside_layer and self.strict:
            raise CodecError("a layer holds something that is no data.")
        return self._foreign(list(said))

    def _global(self, module: Any, name: Any) -> Any:
        return library.find(module, name, self.strict, self.classes)


_Reader = Callable[..., Any]
_READERS: dict[str, _Reader] = {
    **readers.READERS,
    "list": Unpacker._list,
    "tuple": lambda u, *parts: tuple(u.all(parts)),
    "set": Unpacker._set,
    "frozenset": lambda u, *parts: frozenset(u.all(parts)),
    "dict": Unpacker._dict,
    "size": lambda u, *parts: torch.Size(raw.read_shape(list(parts))),
    "named": Unpacker._named,
    "bytes": lambda u, where: bytes(u.buffer(where)),
    "slice": lambda u, *parts: slice(*u.all(parts)),
    "range": lambda u, *parts: range(*u.all(parts)),
    "ellipsis": lambda u: Ellipsis,
    "tensor": Unpacker._tensor,
    "record": Unpacker._record,
    "layer": Unpacker._layer,
    "mine": lambda u, *said: u._handle("mine", *said),
    "yours": lambda u, *said: u._handle("yours", *said),
    "global": Unpacker._global,
    "ref": Unpacker._ref,
    "arg": Unpacker._arg,
    "live": Unpacker._live,
}
