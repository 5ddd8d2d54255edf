"""What may be tried: the values on a grid, or the distributions to draw from.

A learning rate belongs on a logarithmic scale: between 1e-4 and 1e-1 a uniform draw would spend
nine of ten trials above 1e-2. A grid of k values for each of d settings has k^d points, and its
projection on the one setting that matters only k (Bergstra and Bengio 2012, figure 1).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib._validate import check_int, check_number

Config = dict[str, Any]


@dataclass(frozen=True)
class Uniform:
    """A float in [low, high], every part of it equally likely. ValueError unless low < high."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range(self, check_number("low", self.low), check_number("high", self.high))
        check_number("high - low", self.high - self.low)

    def sample(self, rng: np.random.Generator) -> float:
        return float(rng.uniform(self.low, self.high))


@dataclass(frozen=True)
class LogUniform:
    """A float in [low, high], every factor equally likely. ValueError unless 0 < low < high."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range(self, check_number("low", self.low, 0.0), check_number("high", self.high))
        if self.low == 0:
            raise ValueError("low must be above 0 for LogUniform, got 0; 1e-6 is a usual choice.")

    def sample(self, rng: np.random.Generator) -> float:
        drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(drawn, float(self.low)), float(self.high))  # exp(log(x)) may miss x


@dataclass(frozen=True)
class Integers:
    """An int from low to high, both included. ValueError unless low < high."""

    low: int
    high: int

    def __post_init__(self) -> None:
        limit = 2**62
        low = check_int("low", self.low, -limit, limit)
        _check_range(self, low, check_int("high", self.high, -limit, limit))

    def sample(self, rng: np.random.Generator) -> int:
        return int(rng.integers(self.low, self.high, endpoint=True))


@dataclass(frozen=True)
class Choice:
    """One of the options, each equally likely. ValueError if there are none."""

    options: Sequence[Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", _check_values("options", self.options))

    def sample(self, rng: np.random.Generator) -> Any:
        return self.options[int(rng.integers(len(self.options)))]


Distribution = Uniform | LogUniform | Integers | Choice
Space = Mapping[str, Distribution]


def grid_configs(grid: Mapping[str, Sequence[Any]]) -> list[Config]:
    """Return every combination of the values, the last name varying fastest.

    Raises ValueError for an empty grid or a name without values.

    >>> grid_configs({"width": [16, 32], "depth": [1, 2]})[:3]
    [{'width': 16, 'depth': 1}, {'width': 16, 'depth': 2}, {'width': 32, 'depth': 1}]
    """
    _check_names("grid", grid)
    values = [_check_values(f"grid[{name!r}]", options) for name, options in grid.items()]
    return [
        dict(zip(grid, combination, strict=True)) for combination in itertools.product(*values)
    ]


def random_configs(space: Space, count: int, seed: int = 0) -> list[Config]:
    """Return `count` independent draws; a smaller count gives the first of the same list.

    Raises ValueError for an empty space or count < 1, TypeError for what is no distribution.

    >>> random_configs({"width": Choice([16, 32]), "depth": Integers(1, 3)}, count=2)
    [{'width': 32, 'depth': 2}, {'width': 32, 'depth': 1}]
    """
    check_space(space)
    rng = np.random.default_rng(check_int("seed", seed, minimum=0))
    return [draw(space, rng) for _ in range(check_int("count", count))]


def draw(space: Space, rng: np.random.Generator) -> Config:
    """One configuration, the names in the order of the space."""
    return {name: distribution.sample(rng) for name, distribution in space.items()}


def check_space(space: Space) -> None:
    _check_names("space", space)
    for name, distribution in space.items():
        if not isinstance(distribution, Distribution):
            raise TypeError(
                f"space[{name!r}] must be Uniform, LogUniform, Integers or Choice, "
                f"got {distribution!r}."
            )


def _check_names(argument: str, mapping: object) -> None:
    if not isinstance(mapping, Mapping):
        raise TypeError(f"{argument} must map names to what may be tried, got {mapping!r}.")
    if not mapping:
        raise ValueError(f"{argument} must name at least one hyper-parameter, got none.")
    for name in mapping:
        if not isinstance(name, str):
            raise TypeError(f"{argument} must have strings for names, got {name!r}.")


def _check_values(argument: str, values: object) -> tuple[Any, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, range, np.ndarray)):
        raise TypeError(f"{argument} must be a list of values to try, got {values!r}.")
    if len(values) == 0:
        raise ValueError(f"{argument} must hold at least one value, got none.")
    return tuple(values.tolist() if isinstance(values, np.ndarray) else values)


def _check_range(distribution: object, low: float, high: float) -> None:
    if not low < high:
        raise ValueError(
            f"low must be below high in {type(distribution).__name__}, got {low!r} and {high!r}; "
            "leave a setting that does not vary out of the space."
        )
