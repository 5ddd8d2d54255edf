"""The names of a test cell: trusted ones first, then the student's, fetched when they are used.

A name means what the last cell before the test that binds it made of it, by the instructor's
notebook. So nothing that a student rebinds (torch, equal, a built-in) reaches a test, and a name
that only an answer cell binds is asked of the kernel. What was fetched is kept until the cell
ends, so that `model.eval()` and `model(x)` in one test are about the same model. A test that
takes a student's name away, or puts a function in its place, does so in the kernel too: that is
how one finds out whether an answer uses another.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import Any

from autograder.judging.errors import StudentError
from autograder.judging.handles import Handle, TestGlobals
from autograder.judging.library import NOTEBOOK, is_data_class
from autograder.judging.names import Answers, imported_names
from autograder.judging.peer import Peer

_ABSENT = object()


class Namespace(TestGlobals):
    """The globals of the trusted side; a dict whose missing names are the student's."""

    def __init__(self, peer: Peer, answers: Answers) -> None:
        super().__init__(__name__=NOTEBOOK, __builtins__=vars(builtins))
        self._peer = peer
        self._students = {name for each in answers.values() for name in each["names"]}
        self._imports = {
            name: line
            for each in answers.values()
            for line in each["imports"]
            for name in imported_names(line)
        }
        self._fetched: set[str] = set()
        self._told: dict[str, Any] = {}  # what the student's names are here, as the kernel knows
        self._telling = False

    def __missing__(self, name: str) -> Any:
        if name not in self._students:
            if hasattr(builtins, name) or name.startswith("__"):
                raise KeyError(name)  # Python looks for a built-in next
            if name in self._imports:
                exec(self._imports[name], self)
                return self[name]
        try:
            value = self._peer.request("name", name)
        except NameError:
            raise KeyError(name) from None
        if isinstance(value, BaseException):
            raise StudentError(f"{name} is no value.")
        self._fetched.add(name)
        self[name] = self._told[name] = value
        return value

    def __delitem__(self, name: str) -> None:
        """Take a name away; a student's that was not used yet is fetched for it."""
        if name not in self:
            raise KeyError(name)
        super().__delitem__(name)

    def begin_cell(self) -> None:
        """From here on, what becomes of the student's names is the test's doing."""
        self._told = {name: self.get(name, _ABSENT) for name in self._students}

    def tell_changes(self) -> None:
        """Delete or replace in the kernel what the test deleted or replaced here.

        Only functions and the student's own things are sent: a number may be what a test expects.
        """
        if self._telling:
            return
        self._telling = True
        try:
            for name, told in self._told.items():
                here = self.get(name, _ABSENT)
                if here is told:
                    continue
                self._told[name] = here
                if here is _ABSENT:
                    self._peer.request("unbind", name)
                elif isinstance(here, Handle | FunctionType):
                    self._peer.request("bind", name, here)
        finally:
            self._telling = False

    def __contains__(self, name: object) -> bool:
        if super().__contains__(name) or name not in self._students:
            return super().__contains__(name)
        try:
            self[name]
        except KeyError:
            return False
        return True

    def forget_fetched(self, answered: Iterable[str] = ()) -> None:
        """Ask again for what came from the kernel, and for what answer cells bind anew."""
        for name in {*self._fetched, *answered}:
            self.pop(name, None)
        self._fetched.clear()
        self._told.clear()  # that was no doing of a test

    def bound_by_a_cell(self, names: Iterable[str]) -> None:
        """Keep names that the cell which just ran bound itself, though it also fetched them."""
        self._fetched -= set(names)

    def classes(self, names: Iterable[str]) -> Mapping[str, type]:
        """Return those of the names that are classes of layers or results."""
        found = {name: self.get(name) for name in names}
        return {n: v for n, v in found.items() if isinstance(v, type) and is_data_class(v)}
