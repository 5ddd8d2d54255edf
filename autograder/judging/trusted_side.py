"""The grader's end: runs whole test cells here, with the student's names as stand-ins.

What a test sees of a submission are plain values, library layers built from numbers, and handles.
Tests are the instructor's own code and are trusted; everything that comes from the channel is not.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import math
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any

import numpy as np
from nbformat import NotebookNode
from torch import Tensor, nn

from autograder.judging import handles, library
from autograder.judging.errors import ChannelClosed, CodecError
from autograder.judging.handles import Handle
from autograder.judging.namespace import Namespace
from autograder.judging.peer import Peer
from autograder.judging.plan import Step, answers_of, key
from autograder.judging.stage import Printed, captured, own_state, readable
from autograder.judging.wire import Wire

KERNEL_EXITED = "KernelExited"
MAX_MESSAGE = 4_000


@dataclass(frozen=True)
class Verdict:
    """What became of a test cell: an error or none, the number it ended with, what it printed."""

    error_name: str | None = None
    error_message: str | None = None
    score: float | None = None
    text: str = ""


class TrustedSide:
    """Runs the set-up and test cells of one submission; see `run_test`.

    steps: the assignment's code cells, from `plan.plan`.
    channel: the socket whose other end `student_side.serve` answers.
    folder: the working directory of tests.
    """

    def __init__(self, steps: list[Step], channel: socket, folder: Path) -> None:
        self._folder = folder
        self._peer = TrustedPeer(channel)
        self._names = Namespace(self._peer, answers_of(steps))
        self._peer.before_request = self._names.tell_changes
        self._steps = steps
        self._places = {step["key"]: place for place, step in enumerate(steps)}
        self._position = -1
        self._given: set[str] = set()  # names that set-up cells bound
        self._declared: list[str] = []
        self._thread: int | None = None
        self.problems: list[str] = []

    def needs(self, cell: NotebookNode) -> bool:
        """Whether a plain code cell must run here: it is given, or binds what a test needs."""
        place = self._places.get(key(cell))
        return place is not None and self._steps[place]["here"]

    def run_setup(self, cell: NotebookNode) -> None:
        """Run an instructor's plain code cell where a test needs it; errors go to `problems`."""
        if not self.needs(cell):
            return
        step = self._step(cell)
        verdict = self._run(step)
        if verdict.error_name:
            self.problems.append(f"{verdict.error_name}: {verdict.error_message}")
        self._given |= set(step["binds"])
        self._peer.known = self._names.classes(self._given)

    def run_test(self, cell: NotebookNode) -> Verdict:
        """Run a test cell and return what became of it; raises nothing."""
        step = self._step(cell)
        return self._run(step, step["imports"])

    def stop(self) -> None:
        """End a cell that runs in another thread: it waits for the kernel, or loops here."""
        self._peer.wire.close()
        if self._thread is not None:
            raise_there = ctypes.pythonapi.PyThreadState_SetAsyncExc
            raise_there(ctypes.c_ulong(self._thread), ctypes.py_object(ChannelClosed))

    def _run(self, step: Step, imports: Sequence[str] = ()) -> Verdict:
        printed = Printed()
        error: BaseException | None = None
        score = None
        self._thread = threading.get_ident()
        try:
            with own_state(), contextlib.chdir(self._folder), captured(printed):
                self._names.forget_fetched(self._answered_before(step))
                self._declare(imports)
                self._names.begin_cell()
                score = _score(_execute(step["source"], self._names))
        except BaseException as caught:  # SystemExit too: nothing may end the worker
            error = caught
        finally:
            self._thread = None
            with contextlib.suppress(ChannelClosed, CodecError):
                self._names.tell_changes()
                self._peer.done()
            self._names.bound_by_a_cell(step["binds"])
            self._names.forget_fetched()
        if error is None:
            return Verdict(score=score, text=printed.text())
        return Verdict(*_said(error), text=printed.text())

    def _step(self, cell: NotebookNode) -> Step:
        return self._steps[self._places[key(cell)]]

    def _answered_before(self, step: Step) -> set[str]:
        """Move on to the cell; return the names that answer cells on the way bind."""
        place = self._places[step["key"]]
        passed = self._steps[max(self._position, 0) : place]
        self._position = place
        return {name for each in passed for name in each["answers"].get("names", ())}

    def _declare(self, imports: Sequence[str]) -> None:
        """Tell the kernel what it would know in a notebook: shared classes, a test's imports."""
        names = sorted(self._peer.known)
        if names != self._declared or imports:
            self._peer.request("declare", names, list(imports))
            self._declared = names


class TrustedPeer(Peer):
    """Lets the kernel call the functions that a test passed to it, and nothing else."""

    trusted = True

    def __init__(self, channel: socket) -> None:
        super().__init__(Wire(channel))
        self.known: Mapping[str, type] = {}
        self.before_request: Callable[[], None] = lambda: None
        self._handles: weakref.WeakValueDictionary[int, Handle] = weakref.WeakValueDictionary()
        self._raised: dict[int, Exception] = {}
        self.operations["call"] = self._call
        self._asked = False

    def done(self) -> None:
        """Let the kernel's `serve` return, if it was asked for anything."""
        if self._asked:
            self._asked = False
            self.wire.send({"op": "done"})

    def request(self, operation: str, *arguments: Any) -> Any:
        """Ask the kernel, once it knows what the test did to its names."""
        self.before_request()
        self._asked = True
        return super().request(operation, *arguments)

    def classes(self) -> Mapping[str, type]:
        """The classes of layers and results that set-up cells defined here."""
        return self.known

    def foreign(self, value: Any) -> list[Any]:
        """Send back a handle; send a function as a callback."""
        if issubclass(type(value), Handle):
            return ["yours", object.__getattribute__(value, "_number")]
        if not callable(value) or isinstance(value, nn.Module | type(Ellipsis)):
            raise CodecError(f"an object of type {type(value).__name__}.")
        name = getattr(value, "__name__", None) or type(value).__name__
        return ["mine", self.export(value), str(name)]

    def stand_in(self, said: list[Any]) -> Handle:
        """Return the handle for a thing in the kernel, the same one while it is in use."""
        _, number, name, called, claim = said
        handle = self._handles.get(number)
        if handle is None:
            module, class_name = claim or ("torch.nn.modules.module", "Module")
            kind = library.find(module, class_name, True, self.known)
            layer = isinstance(kind, type) and issubclass(kind, nn.Module)
            handle = handles.make(self, number, name, called, kind if claim and layer else None)
            self._handles[number] = handle
            weakref.finalize(handle, self.dropped.append, number)
        return handle

    def failure(self, error: BaseException) -> dict[str, Any]:
        """Tell the kernel the class of an error in a callback, not what the test said."""
        number = len(self._raised)
        if isinstance(error, Exception):
            self._raised[number] = error
        kind = type(error).__name__
        return {"error": {"kind": kind, "name": kind, "message": ""}, "token": number}

    def raised(self, answer: dict[str, Any]) -> BaseException:
        """Return the student's exception, or the test's own that passed through his code."""
        token = answer.get("token")
        own = self._raised.get(token) if type(token) is int else None
        return own or super().raised(answer)

    def _drops(self) -> list[int]:
        return [number for number in super()._drops() if number not in self._handles]

    def _call(self, function: Any, arguments: Any, options: Any) -> Any:
        if not any(function is each for each in self.exports.values()):
            raise CodecError("only a function of the test can be called.")
        return function(*arguments, **options)


def _execute(source: str, names: Namespace) -> Any:
    """Run a cell; return the value of the expression that it ends with, or None."""
    tree = ast.parse(source)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr) or source.rstrip().endswith(";"):
        exec(compile(tree, "<test>", "exec", dont_inherit=True), names)
        return None
    head = ast.Module(tree.body[:-1], type_ignores=tree.type_ignores)
    exec(compile(head, "<test>", "exec", dont_inherit=True), names)
    return eval(compile(ast.Expression(last.value), "<test>", "eval", dont_inherit=True), names)


def _score(value: Any) -> float | None:
    """Return the number that a test ended with, for partial credit; None for anything else."""
    numeric = type(value) in (int, float) or isinstance(value, np.number)
    try:
        return float(value) if numeric or (type(value) is Tensor and value.ndim == 0) else None
    except OverflowError:
        return math.inf
    except (TypeError, ValueError, RuntimeError):
        return None


def _said(error: BaseException) -> tuple[str, str]:
    if isinstance(error, ChannelClosed):
        return KERNEL_EXITED, str(error) or "The kernel exited while this cell ran."
    try:
        message = str(error)[:MAX_MESSAGE]
    except Exception:
        message = ""
    return type(error).__name__, readable(message)
