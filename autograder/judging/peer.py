"""The conversation: either side may ask the other to do something and waits for the answer.

While it waits it answers, so a student's function may call a function of the test, which may
call back. Both sides speak the same way; they differ in what they let the other do (`operations`)
and in what they read (`trusted`: only plain data and library names that are on a list).

Every request has an unguessable id and is answered before the one around it. What breaks that
order is no honest peer: the channel is given up, and with it only this submission's own tests.
"""

from __future__ import annotations

import secrets
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from autograder.judging import effects, gradients
from autograder.judging.effects import Snapshot
from autograder.judging.errors import (
    CodecError,
    GraderError,
    StudentError,
    describe,
    rebuild,
)
from autograder.judging.gradients import Graph, Remote
from autograder.judging.pack import Packer
from autograder.judging.unpack import Unpacker
from autograder.judging.wire import Wire

MAX_NESTING = 50  # callbacks within callbacks

_UNUSABLE = "The submission returned something that the grader cannot take: "


class Peer:
    """One end of the channel; `TrustedPeer` and `StudentPeer` say what may be asked of it."""

    trusted = False
    interrupts: tuple[type[BaseException], ...] = (Exception,)  # become an answer

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.operations: dict[str, Callable[..., Any]] = {"call": _call, "backward": self._back}
        self.exports: dict[int, Any] = {}
        self.dropped: list[int] = []
        self._numbers: dict[int, int] = {}  # id of an export -> its number
        self._count = 0
        self._waiting = 0

    # What the two sides do differently

    def classes(self) -> Mapping[str, Any]:
        """Classes of the notebook that both sides know, by name."""
        return {}

    def foreign(self, value: Any) -> list[Any]:
        """Pack something that is no data: a handle, or CodecError."""
        raise NotImplementedError

    def stand_in(self, said: list[Any]) -> Any:
        """Return what stands here for a thing of the other side's, ["mine", ...]."""
        raise NotImplementedError

    def failure(self, error: BaseException) -> dict[str, Any]:
        """Describe an exception for the other side."""
        return {"error": describe(error)}

    def raised(self, answer: dict[str, Any]) -> BaseException:
        """Return the exception to raise for an answer that is an error."""
        return rebuild(answer["error"])

    def run(self, operation: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Do what was asked."""
        return operation(*arguments)

    # Asking

    def request(self, operation: str, *arguments: Any) -> Any:
        """Ask the other side and return its answer; what it raises is raised here."""
        packer = self._packer()
        try:
            packed = packer.pack(arguments)
            number = secrets.token_hex(8)
            header = {"id": number, "op": operation, "args": packed, "drop": self._drops()}
            self.wire.send(header, packer.buffers)
        except CodecError as error:
            raise self._unsendable(error) from None
        answer, buffers = self._wait(number)
        if "error" in answer:
            raise self.raised(answer)
        try:
            return self._read_answer(answer, buffers, packer)
        except CodecError as error:
            raise StudentError(f"{_UNUSABLE}{error}") from None

    def _wait(self, number: str) -> tuple[dict[str, Any], Any]:
        """Return the answer to a request, answering what is asked in the meantime."""
        self._waiting += 1
        try:
            while True:
                header, buffers = self.wire.receive()
                if header.get("re") == number:
                    return header, buffers
                if not isinstance(header.get("op"), str) or self._waiting > MAX_NESTING:
                    raise self.wire.broken()
                self.answer(header, buffers)
        finally:
            self._waiting -= 1

    def _read_answer(self, answer: dict[str, Any], buffers: Any, sent: Packer) -> Any:
        unpacker = self._unpacker(buffers, arguments=sent.objects)
        effects.apply(unpacker, sent.objects, answer.get("changed", ()))
        graph = answer.get("graph")
        if type(graph) is int:
            lives = unpacker.read(["tuple", *_listed(answer.get("lives"))])
            if not all(type(live) is Tensor and live.is_floating_point() for live in lives):
                raise CodecError("what should have a gradient can't have one.")
            remote = Remote(lambda cotangents: self.request("backward", graph, cotangents), lives)
            weakref.finalize(remote, self.dropped.append, graph)
            unpacker.lives = gradients.connect(remote, gradients.leaves(sent.objects))
        return unpacker.read(answer.get("ok"))

    # Answering

    def answer(self, header: dict[str, Any], buffers: Any) -> None:
        """Do what a request asks and send the result, or why there is none."""
        dropped = header.get("drop")
        for number in dropped if isinstance(dropped, list) else ():
            if type(number) is int and number in self.exports:
                self._numbers.pop(id(self.exports.pop(number)), None)
        name = {"re": header.get("id")}
        try:
            reply, data = self._result(header, buffers)
            self.wire.send({**name, **reply}, data)
        except CodecError as error:
            self.wire.send({**name, **self.failure(StudentError(f"{_UNUSABLE}{error}"))})
        except self.interrupts as error:
            self.wire.send({**name, **self.failure(error)})

    def _result(self, header: dict[str, Any], buffers: Any) -> tuple[dict[str, Any], Any]:
        operation = self.operations.get(header["op"])
        if operation is None:
            raise CodecError("there is no such operation.")
        unpacker = self._unpacker(buffers)
        arguments = unpacker.read(header.get("args"))
        if type(arguments) is not tuple:
            raise CodecError("a request has no arguments.")
        before, wanted = Snapshot(unpacker), gradients.leaves(unpacker.objects)
        value = self.run(operation, arguments)
        known = {id(each): ["arg", number] for number, each in enumerate(unpacker.objects)}
        packer = self._packer(known)
        changed = before.changes(packer)
        packer.lives = []
        reply = {"changed": changed, "ok": packer.pack(value)}
        outputs, packer.lives = packer.lives, None
        if outputs:
            reply["lives"] = [packer.pack(tensor.detach()) for tensor in outputs]
            reply["graph"] = self.export(Graph(outputs, wanted))
        return reply, packer.buffers

    # Things that stay where they are

    def export(self, value: Any) -> int:
        """Return the number by which the other side may refer to a thing here."""
        number = self._numbers.get(id(value))
        if number is None:
            self._count += 1
            number = self._count
            self.exports[number], self._numbers[id(value)] = value, number
        return number

    def _foreign_or_stand_in(self, said: list[Any]) -> Any:
        kind, number = said[0], said[1]
        if type(number) is not int:
            raise CodecError("a handle has no number.")
        if kind == "mine":
            return self.stand_in(said)
        if number not in self.exports or isinstance(self.exports[number], Graph):
            raise CodecError("there is no such handle any more.")
        return self.exports[number]

    def _back(self, graph: Any, cotangents: Any) -> Any:
        found = self.exports.get(graph) if type(graph) is int else None
        if not isinstance(found, Graph) or type(cotangents) is not list:
            raise CodecError("there is no such graph any more.")
        return found.backward(cotangents)

    def _drops(self) -> list[int]:
        numbers = list(dict.fromkeys(self.dropped))
        self.dropped.clear()
        return numbers

    def _unsendable(self, error: CodecError) -> Exception:
        if self.trusted:
            return GraderError(f"A test passes on what cannot leave the grader: {error}")
        return TypeError(f"This cannot be passed to a function of the test: {error}")

    def _packer(self, known: Mapping[int, Any] | None = None) -> Packer:
        to_trusted = not self.trusted
        return Packer(self.foreign, known, strict=to_trusted, classes=self.classes())

    def _unpacker(self, buffers: Any, arguments: Any = ()) -> Unpacker:
        return Unpacker(
            buffers,
            self._foreign_or_stand_in,
            strict=self.trusted,
            classes=self.classes(),
            arguments=arguments,
        )


def _listed(value: Any) -> list[Any]:
    if type(value) is not list:
        raise CodecError("a part of the answer is missing.")
    return value


def _call(function: Any, arguments: Any, options: Any) -> Any:
    return function(*arguments, **options)
