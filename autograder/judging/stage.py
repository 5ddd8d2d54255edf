"""What surrounds a test cell while it runs: its output is kept, global state put back."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Iterator

import numpy as np
import torch

MAX_TEXT = 20_000  # characters of what a test prints


def readable(text: str) -> str:
    """Return text that any file can hold: no half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode("utf-8")


class Printed(io.TextIOBase):
    """Takes what a test prints, up to MAX_TEXT characters."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._room = MAX_TEXT

    def write(self, text: str) -> int:
        if self._room > 0:
            self._parts.append(text[: self._room])
            self._room -= len(text)
        return len(text)

    def text(self) -> str:
        """All of it."""
        return readable("".join(self._parts))


@contextlib.contextmanager
def captured(printed: Printed) -> Iterator[None]:
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(Printed()):
        yield


@contextlib.contextmanager
def own_state() -> Iterator[None]:
    """Put back what a cell does to the global state of torch, NumPy and random."""
    dtype, grad, threads = (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
    )
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    torch.set_grad_enabled(True)
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        np.random.set_state(states[2])  # noqa: NPY002
