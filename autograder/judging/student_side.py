"""The student's end: answers in the kernel what a test asks of the student's functions.

This runs in the sandboxed process that it must not be trusted with: the student may change any
of it, and only spoils his own answers. No expected value and no test source ever comes here;
functions of a test come as callbacks that can be called and tell nothing else.
"""

from __future__ import annotations

import copy
import signal
import socket
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from torch import nn

from autograder.judging import library
from autograder.judging.errors import ChannelClosed, CodecError, describe
from autograder.judging.gradients import Graph
from autograder.judging.peer import Peer
from autograder.judging.wire import Wire

_peers: dict[int, StudentPeer] = {}  # one per channel: handles outlive a test cell


def serve(channel: socket.socket, namespace: dict[str, Any]) -> bool:
    """Answer requests until the trusted side says that it is done; False if the channel closed."""
    peer = _peers.get(channel.fileno())
    if peer is None or peer.namespace is not namespace:
        peer = _peers[channel.fileno()] = StudentPeer(channel, namespace)
    with suppress(ChannelClosed):
        peer.serve()
        return True
    return False


class Callback:
    """A function of the test, which runs in the grader when it is called."""

    def __init__(self, peer: StudentPeer, number: int, name: str) -> None:
        self._peer, self._number = peer, number
        self.__name__ = self.__qualname__ = name

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._peer.request("call", self, arguments, options)

    def __repr__(self) -> str:
        return f"<function {self.__name__} of the test>"


class StudentPeer(Peer):
    """Lets the trusted side do whatever it asks with the names of one namespace."""

    interrupts = (BaseException,)

    def __init__(self, channel: socket.socket, namespace: dict[str, Any]) -> None:
        super().__init__(Wire(channel))
        self.namespace = namespace
        self.declared: list[str] = []
        self._callbacks: weakref.WeakValueDictionary[int, Callback] = weakref.WeakValueDictionary()
        self._interruptible = self._interrupted = False
        self.operations |= {
            "name": self._name,
            "declare": self._declare,
            "bind": self.namespace.__setitem__,
            "unbind": lambda name: self.namespace.pop(name, None),
            "getattr": getattr,
            "setattr": setattr,
            "getitem": lambda value, key: value[key],
            "setitem": lambda value, key, new: value.__setitem__(key, new),
            "len": len,
            "iter": iter,
            "next": lambda iterator: [*_first(iterator)],
            "deepcopy": copy.deepcopy,
        }

    def serve(self) -> None:
        """Answer until "done", and on if the next test has asked already."""
        with self._own_interrupts():
            while True:
                header, buffers = self.wire.receive()
                if header.get("op") != "done":
                    self.answer(header, buffers)
                elif not self.wire.has_more:
                    return

    def run(self, operation: Any, arguments: tuple[Any, ...]) -> Any:
        """Do it, and let Ctrl-C end it."""
        self._interruptible = True
        try:
            if self._interrupted:
                raise KeyboardInterrupt
            return operation(*arguments)
        finally:
            self._interruptible = self._interrupted = False

    def request(self, operation: str, *arguments: Any) -> Any:
        """Ask the test's side; Ctrl-C waits, for half a frame would spoil the channel."""
        self._interruptible = False
        try:
            return super().request(operation, *arguments)
        finally:
            self._interruptible = True
            if self._interrupted:
                self._interrupted = False
                raise KeyboardInterrupt

    def classes(self) -> Mapping[str, Any]:
        """Classes of the set-up cells, as they are here."""
        return {name: self.namespace[name] for name in self.declared if name in self.namespace}

    def foreign(self, value: Any) -> list[Any]:
        """Send a handle to anything that is no data."""
        if isinstance(value, Callback):
            return ["yours", value._number]
        if isinstance(value, Graph):
            raise CodecError("it is part of the grader.")
        kind = type(value)
        bases = [base for base in kind.__mro__ if issubclass(base, nn.Module)]
        names = [library.class_name(base, {}, strict=True) for base in bases]
        claim = next((list(name) for name in names if name), None)
        if bases and claim is None:
            claim = ["torch.nn.modules.module", "Module"]
        return ["mine", self.export(value), str(kind.__name__)[:80], callable(value), claim]

    def stand_in(self, said: list[Any]) -> Callback:
        """Return a function that calls the test's function."""
        _, number, name, *_ = said
        callback = self._callbacks.get(number)
        if callback is None:
            callback = self._callbacks[number] = Callback(self, number, name)
        return callback

    def failure(self, error: BaseException) -> dict[str, Any]:
        """Describe an exception; one that came from the test says which one it was."""
        return {"error": describe(error), "token": getattr(error, "grader_token", None)}

    def raised(self, answer: dict[str, Any]) -> BaseException:
        """Return the exception of a callback, marked so that the test finds its own again."""
        error = super().raised(answer)
        error.grader_token = answer.get("token")  # type: ignore[attr-defined]
        return error

    def _name(self, name: str) -> Any:
        if name not in self.namespace:
            raise NameError(f"name {name!r} is not defined")
        return self.namespace[name]

    def _declare(self, names: list[str], imports: list[str]) -> None:
        """Know the classes of the set-up cells; import what the test cell would import here."""
        self.declared = names
        for line in imports:
            with suppress(Exception):
                exec(line, self.namespace)

    @contextmanager
    def _own_interrupts(self) -> Iterator[None]:
        """Let an interrupt end the student's function, never a frame half-way."""

        def handle(*_: Any) -> None:
            self._interrupted = True
            if self._interruptible:
                raise KeyboardInterrupt

        try:
            before = signal.signal(signal.SIGINT, handle)
        except ValueError:  # not the main thread: no interrupts come here
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _first(iterator: Any) -> Iterator[Any]:
    for value in iterator:
        yield value
        return
