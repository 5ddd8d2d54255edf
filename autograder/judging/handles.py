"""Handles: what stands in a test for a thing that stays in the student's process.

A handle runs nothing of the student's here. It can be called, read, indexed and iterated, and
each time the kernel is asked; what the test itself does with it, comparing, testing for truth,
turning into an array, is defined below, so no object can lie its way through an assert.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from autograder.judging.errors import StudentError

MAX_ITEMS = 10_000  # of one loop over a handle
_READABLE = {"__name__", "__qualname__", "__doc__"}
_OWN = ("_peer", "_number", "_claim", "__weakref__")


class TestGlobals(dict[str, Any]):
    """The globals of a test cell."""


class Handle:
    """A thing of the student's: a function, a layer of his own class, a generator."""

    __slots__ = _OWN
    __array_ufunc__ = None  # NumPy leaves comparisons to us

    def __init__(self, peer: Any, number: int, claim: type | None) -> None:
        for name, value in zip(_OWN, (peer, number, claim), strict=False):
            object.__setattr__(self, name, value)

    @property
    def __class__(self) -> type:
        """For isinstance in a test: the library class that the student's class extends.

        A library that asks gets the truth: it would weigh a model by what the model says.
        """
        asked_by_a_test = isinstance(sys._getframe(1).f_globals, TestGlobals)
        claim = object.__getattribute__(self, "_claim") if asked_by_a_test else None
        return claim or type(self)

    @__class__.setter
    def __class__(self, kind: type) -> None:
        raise TypeError("The class of a handle cannot be changed.")

    def __getattr__(self, name: str) -> Any:
        # NumPy and others look for __array_interface__ and its like, and believe what they find.
        if name.startswith("__") and name.endswith("__") and name not in _READABLE:
            raise AttributeError(f"{self!r} has no {name} that a test could use.")
        return self._peer.request("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._peer.request("setattr", self, name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._peer.request("getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._peer.request("setitem", self, key, value)

    def __len__(self) -> int:
        length = self._peer.request("len", self)
        if type(length) is not int or not 0 <= length < 2**62:
            raise StudentError(f"{self!r} has an impossible length.")
        return length

    def __iter__(self) -> Iterator[Any]:
        iterator = self._peer.request("iter", self)
        for _ in range(MAX_ITEMS):
            found = self._peer.request("next", iterator)
            if type(found) is not list or len(found) > 1:
                raise StudentError(f"{self!r} cannot be iterated.")
            if not found:
                return
            yield found[0]
        raise StudentError(f"{self!r} goes on after {MAX_ITEMS:,} items.")

    def __next__(self) -> Any:
        found = self._peer.request("next", self)
        if type(found) is not list or len(found) != 1:
            raise StopIteration
        return found[0]

    def __deepcopy__(self, memo: Any) -> Any:
        return self._peer.request("deepcopy", self)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        raise TypeError(f"{self!r} was returned, which is no value that can be compared.")

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError(f"{self!r} was returned, which is neither true nor false.")

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise TypeError(f"{self!r} was returned, which is no array.")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(f"{self!r} lives in the student's process and cannot be stored.")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of the submission>"


class CallableHandle(Handle):
    """A handle that can be called."""

    __slots__ = ()

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._peer.request("call", self, arguments, options)


def make(peer: Any, number: int, name: Any, called: Any, claim: type | None) -> Handle:
    """Return a handle whose type has the name of the student's, for messages."""
    base = CallableHandle if called is True else Handle
    plain = isinstance(name, str) and name.isidentifier() and len(name) <= 80
    kind = type(name if plain else "object", (base,), {"__slots__": ()})
    return kind(peer, number, claim)
