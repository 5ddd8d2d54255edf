"""A search space: the choices that make an architecture, each with its options.

An architecture is a plain dictionary, such as {"depth": 2, "kernel": 3}. Its code, the position
of each option, is a tuple of small integers: a key for a table, an input for a controller.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib._validate import check_int

Architecture = dict[str, Any]


@dataclass(frozen=True)
class SearchSpace:
    """Named choices, in order, and the options of each: {"depth": [1, 2], "kernel": [3, 5]}.

    Raises ValueError for no choices, a choice without options, or an option given twice.

    >>> space = SearchSpace({"depth": [1, 2, 3], "kernel": [3, 5]})
    >>> space.size, space.encode({"depth": 3, "kernel": 5})
    (6, (2, 1))
    """

    choices: Mapping[str, Sequence[Any]]

    def __post_init__(self) -> None:
        if not isinstance(self.choices, Mapping):
            raise TypeError(f"choices must map names to options, got {self.choices!r}.")
        if not self.choices:
            raise ValueError("choices must name at least one choice, got none.")
        checked = {name: _options(name, options) for name, options in self.choices.items()}
        object.__setattr__(self, "choices", checked)

    @property
    def size(self) -> int:
        """The number of architectures, exactly."""
        return math.prod(len(options) for options in self.choices.values())

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw one architecture; each is equally likely."""
        return self.decode([int(rng.integers(len(o))) for o in self.choices.values()])

    def encode(self, architecture: Mapping[str, Any]) -> tuple[int, ...]:
        """Return the position of the architecture's option in each choice.

        Raises ValueError if a choice is missing, unknown, or has another option.
        """
        if not isinstance(architecture, Mapping):
            raise TypeError(f"architecture must be a dictionary, got {architecture!r}.")
        if set(architecture) != set(self.choices):
            raise ValueError(
                f"architecture must choose {', '.join(self.choices)}; got {architecture!r}."
            )
        return tuple(
            _position(name, architecture[name], options) for name, options in self.choices.items()
        )

    def decode(self, code: Sequence[int]) -> Architecture:
        """Return the architecture with this code; ValueError if none has it."""
        if len(code) != len(self.choices):
            raise ValueError(f"code must have {len(self.choices)} numbers, got {tuple(code)}.")
        return {
            name: options[check_int(f"the code of {name}", index, 0, len(options) - 1)]
            for index, (name, options) in zip(code, self.choices.items(), strict=True)
        }

    def enumerate(self) -> Iterator[Architecture]:
        """Yield every architecture once, the last choice varying fastest."""
        for options in itertools.product(*self.choices.values()):
            yield dict(zip(self.choices, options, strict=True))

    def neighbours(self, architecture: Mapping[str, Any]) -> list[Architecture]:
        """Return the architectures that differ from this one in exactly one choice."""
        code = self.encode(architecture)
        return [
            self.decode((*code[:i], option, *code[i + 1 :]))
            for i, options in enumerate(self.choices.values())
            for option in range(len(options))
            if option != code[i]
        ]

    def mutate(self, architecture: Mapping[str, Any], rng: np.random.Generator) -> Architecture:
        """Return a copy with one choice, drawn at random, changed to another option of it.

        Choices with one option are never drawn. Raises ValueError if all have but one.
        """
        code = list(self.encode(architecture))
        sizes = [len(options) for options in self.choices.values()]
        mutable = [i for i, size in enumerate(sizes) if size > 1]
        if not mutable:
            raise ValueError("The space has one architecture, so there is nothing to mutate.")
        i = mutable[int(rng.integers(len(mutable)))]
        code[i] = (code[i] + int(rng.integers(1, sizes[i]))) % sizes[i]
        return self.decode(code)


def _options(name: object, options: object) -> tuple[Any, ...]:
    if not isinstance(name, str):
        raise TypeError(f"choices must have strings for names, got {name!r}.")
    if isinstance(options, (str, bytes)) or not isinstance(options, Sequence):
        raise TypeError(f"choices[{name!r}] must be a list of options, got {options!r}.")
    if not options:
        raise ValueError(f"choices[{name!r}] must have at least one option, got none.")
    for i, option in enumerate(options):
        if option in options[:i]:
            raise ValueError(f"choices[{name!r}] must not repeat an option, got {option!r} twice.")
    return tuple(options)


def _position(name: str, option: object, options: Sequence[Any]) -> int:
    if option not in options:
        raise ValueError(f"architecture[{name!r}] must be one of {options}, got {option!r}.")
    return options.index(option)
