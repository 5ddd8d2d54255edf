"""How to make a network larger or smaller: width, depth, resolution, or all three at once.

MACs go with depth, with width squared and with resolution squared. EfficientNet scales the three
together by powers of fixed factors, so that one number, phi, stands for the size.
Papers: Howard et al. 2017 (width, resolution); Tan and Le 2019, section 3.3, equation 3.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from course_lib._validate import check_int, check_number
from course_lib.models import round_channels

MAX_PHI = 8.0  # 4.3 times as deep, 2.1 as wide, 3.1 as fine: more than EfficientNet-B7


@dataclass(frozen=True)
class Scaling:
    """Factors on the number of layers, of channels and of pixels along each side.

    Raises ValueError unless all are finite and above 0.

    >>> Scaling(width=0.5, resolution=0.5).macs_factor
    0.0625
    """

    depth: float = 1.0
    width: float = 1.0
    resolution: float = 1.0

    def __post_init__(self) -> None:
        for name in ("depth", "width", "resolution"):
            check_factor(name, getattr(self, name))

    @property
    def macs_factor(self) -> float:
        """What the MACs are multiplied by, before rounding: depth * width^2 * resolution^2."""
        return self.depth * self.width**2 * self.resolution**2


def scale_width(channels: int, width: float) -> int:
    """Channels times `width`, rounded to a multiple of 8, never below 90 % of it.

    >>> [scale_width(c, 1.1) for c in (16, 24, 320)]
    [16, 24, 352]
    """
    return round_channels(check_int("channels", channels) * check_factor("width", width))


def scale_depth(layers: int, depth: float) -> int:
    """Layers times `depth`, rounded up, so that no stage disappears.

    >>> [scale_depth(n, 1.1) for n in (1, 2, 10)]
    [2, 3, 11]
    """
    exact = check_int("layers", layers) * check_factor("depth", depth)
    return max(1, math.ceil(exact * (1 - 1e-12)))  # 10 * 1.1 is 11, though floats say 11.0...02


def scale_resolution(pixels: int, resolution: float) -> int:
    """Pixels along one side times `resolution`, to the nearest integer, at least 1.

    >>> scale_resolution(224, 1.15)
    258
    """
    exact = check_int("pixels", pixels) * check_factor("resolution", resolution)
    return max(1, math.floor(exact + 0.5))


def compound_scaling(
    phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15
) -> Scaling:
    """EfficientNet's rule: depth alpha^phi, width beta^phi, resolution gamma^phi.

    The factors are those that a grid search found for phi = 1 under alpha * beta^2 * gamma^2 ~ 2
    (here 1.92), so that MACs about double whenever phi grows by 1; a negative phi shrinks.
    Tan and Le 2019, equation 3. Raises ValueError for alpha, beta or gamma below 1.

    >>> compound_scaling(1)
    Scaling(depth=1.2, width=1.1, resolution=1.15)
    >>> round(compound_scaling(1).macs_factor, 3)
    1.92
    """
    check_number("phi", phi)
    for name, factor in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        check_number(name, factor, minimum=1.0)
    try:
        return Scaling(depth=alpha**phi, width=beta**phi, resolution=gamma**phi)
    except OverflowError:
        raise ValueError(f"phi must leave the factors finite, got {phi!r}.") from None


def phi_for_ratio(
    macs_ratio: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15
) -> float:
    """The phi at which the rule multiplies MACs by `macs_ratio`, rounding of layers apart.

    Raises ValueError unless macs_ratio > 0, and if all three factors are 1.

    >>> round(phi_for_ratio(1.92027), 4)
    1.0
    """
    growth = compound_scaling(1.0, alpha, beta, gamma).macs_factor
    if growth == 1:
        raise ValueError("alpha, beta and gamma must not all be 1, for then nothing grows.")
    return math.log(check_factor("macs_ratio", macs_ratio)) / math.log(growth)


def phi_under_budget(
    macs: Callable[[Scaling], float], max_macs: float, *, step: float = 0.1
) -> float:
    """The largest phi = 0, step, 2 step, ... 8 whose network costs at most `max_macs`.

    `macs` builds and counts the network that a Scaling describes; it must not decrease as phi
    grows, as widths, depths and resolutions that are rounded to integers do not. Take
    `compound_scaling` of the answer. Raises ValueError if even phi = 0 costs more.

    >>> def macs(scaling):
    ...     pixels = scale_resolution(28, scaling.resolution) ** 2
    ...     return pixels * scale_width(64, scaling.width) ** 2 * scale_depth(3, scaling.depth)
    >>> phi = phi_under_budget(macs, 40e6)
    >>> phi, macs(compound_scaling(phi)), macs(compound_scaling(phi + 0.1))
    (1.8, 33592320, 43808000)
    """
    check_number("max_macs", max_macs, minimum=0.0)
    if not callable(macs):
        raise TypeError(f"macs must be a function of a Scaling, got {macs!r}.")

    def phi(i: int) -> float:
        return round(float(i * step), 10)  # 0.3 and not 3 * 0.1 = 0.30000000000000004

    steps = math.floor(MAX_PHI / check_factor("step", step) + 1e-9)
    affordable = bisect_right(
        range(steps + 1), max_macs, key=lambda i: macs(compound_scaling(phi(i)))
    )
    if affordable == 0:
        raise ValueError(
            f"max_macs must allow the network without scaling, which needs "
            f"{macs(Scaling()):,.0f} MACs; got {max_macs!r}."
        )
    return phi(affordable - 1)


def check_factor(name: str, value: float) -> float:
    """Return `value` as a float if it is finite and above 0, or raise."""
    factor = check_number(name, value, minimum=0.0)
    if factor == 0:
        raise ValueError(f"{name} must be above 0, got {value!r}.")
    return factor
