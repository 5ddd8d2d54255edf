"""From counts to time and energy: the roofline, and joules per operation.

A machine can multiply-add at some peak rate and move bytes at some bandwidth; whichever takes
longer bounds the time (Williams, Waterman and Patterson 2009, doi:10.1145/1498765.1498785).
Energy per operation is Horowitz's table for 45 nm (ISSCC 2014, doi:10.1109/ISSCC.2014.6757323):
to fetch a number from DRAM costs over a hundred times what it costs to multiply it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from course_lib import published
from course_lib._validate import check_choice, check_number

Precision = Literal["fp32", "fp16", "int32", "int8"]


def arithmetic_intensity(macs: float, bytes_moved: float) -> float:
    """MACs done per byte moved between memory and processor (double it for FLOPs per byte).

    >>> arithmetic_intensity(4096, 1024)
    4.0
    """
    return check_number("macs", macs, 0.0) / _positive("bytes_moved", bytes_moved)


def roofline_time_s(
    macs: float, bytes_moved: float, peak_macs_per_s: float, bandwidth_bytes_per_s: float
) -> float:
    """Seconds that a roofline machine needs at least: the longer of computing and moving.

    >>> roofline_time_s(2e9, 1e6, peak_macs_per_s=1e9, bandwidth_bytes_per_s=1e9)
    2.0
    """
    return Roofline(peak_macs_per_s, bandwidth_bytes_per_s).time_s(macs, bytes_moved)


@dataclass(frozen=True)
class Roofline:
    """A machine as two numbers, both above zero: MACs per second and bytes per second."""

    peak_macs_per_s: float
    bandwidth_bytes_per_s: float

    def __post_init__(self) -> None:
        _positive("peak_macs_per_s", self.peak_macs_per_s)
        _positive("bandwidth_bytes_per_s", self.bandwidth_bytes_per_s)

    @property
    def ridge_point(self) -> float:
        """MACs per byte where the two bounds meet: below, memory is the limit."""
        return self.peak_macs_per_s / self.bandwidth_bytes_per_s

    def attainable(self, intensity: float) -> float:
        """MACs per second within reach at an arithmetic intensity in MACs per byte."""
        reachable = check_number("intensity", intensity, 0.0) * self.bandwidth_bytes_per_s
        return min(self.peak_macs_per_s, reachable)

    def time_s(self, macs: float, bytes_moved: float) -> float:
        """Seconds for `macs` multiply-adds and `bytes_moved` bytes, perfectly overlapped."""
        computing = check_number("macs", macs, 0.0) / self.peak_macs_per_s
        moving = check_number("bytes_moved", bytes_moved, 0.0) / self.bandwidth_bytes_per_s
        return max(computing, moving)


def energy_j(macs: float, dram_bytes: float = 0.0, *, precision: Precision = "fp32") -> float:
    """Joules for `macs` multiply-adds and for reading `dram_bytes` bytes from DRAM, at 45 nm.

    A MAC is one multiplication and one addition at `precision`; int8 products are accumulated in
    int32. Control, caches and leakage are left out, so a real chip takes more.

    >>> round(energy_j(macs=0, dram_bytes=4) / energy_j(macs=1))
    139
    """
    check_choice("precision", precision, ("fp32", "fp16", "int32", "int8"))
    table = published.table("energy")
    joules = {row["operation"]: 1e-12 * cast(float, row["energy_pj"]) for row in table.rows}
    accumulator = "int32" if precision == "int8" else precision
    per_mac = joules[f"{precision} mul"] + joules[f"{accumulator} add"]
    per_byte = joules["DRAM read"] / 4  # a read fetches 32 bits
    computing = check_number("macs", macs, 0.0) * per_mac
    return computing + check_number("dram_bytes", dram_bytes, 0.0) * per_byte


def _positive(name: str, value: float) -> float:
    if check_number(name, value) <= 0:
        raise ValueError(f"{name} must be above 0, got {value!r}.")
    return float(value)
