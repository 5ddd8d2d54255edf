"""Which devices hold a model, and what it would cost there.

Six devices from a microcontroller to a phone, as shown in O. Dekel's keynote at MLSys 2019 (see
`published.table("devices")`; 1 KB is 1024 bytes). Memory decides first: weights and live
activations have to fit at once. Time and energy are predictions from counts, with assumptions that
are arguments; only measuring on the device gives the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from course_lib import published
from course_lib._validate import check_choice, check_fraction, check_int, check_number
from course_lib.cost.result import ModelCost
from course_lib.cost.roofline import Precision, energy_j


@dataclass(frozen=True)
class Device:
    """A device: `dmips` is millions of Dhrystone instructions per second, over all its cores."""

    name: str
    processor: str
    dmips: float
    memory_bytes: int


@dataclass(frozen=True)
class Verdict:
    """What to expect of one batch of a model on one device."""

    device: Device
    needed_bytes: int
    fits: bool
    latency_s: float
    energy_j: float


def all_devices() -> tuple[Device, ...]:
    """The published devices, from the smallest memory to the largest.

    >>> [device.name for device in all_devices()][:2]
    ['Cortex-M0', 'Cortex-M4']
    """
    found = [
        Device(
            name=str(row["device"]),
            processor=str(row["processor"]),
            dmips=cast(float, row["performance_dmips"]),
            memory_bytes=1024 * cast(int, row["memory_kib"]),
        )
        for row in published.table("devices").rows
    ]
    return tuple(sorted(found, key=lambda device: device.memory_bytes))


def device(name: str) -> Device:
    """The published device called `name`; ValueError lists the names if there is none.

    >>> device("Cortex-M0").memory_bytes
    32768
    """
    by_name = {found.name: found for found in all_devices()}
    return by_name[check_choice("name", name, by_name)]


def stored_weight_bytes(params: int, *, bits: int = 32, sparsity: float = 0.0) -> int:
    """Bytes of `params` weights at `bits` bits, a fraction `sparsity` of which are zero.

    The smaller of two formats: all weights, or one bit per weight to mark the nonzeros and then
    the nonzeros alone. So sparsity pays above 1 / bits: 1/32 for floats, never for single bits.

    >>> stored_weight_bytes(1000), stored_weight_bytes(1000, bits=8, sparsity=0.9)
    (4000, 225)
    """
    params, bits = check_int("params", params, minimum=0), check_int("bits", bits)
    nonzeros = params - round(params * check_fraction("sparsity", sparsity))
    return -(-min(params * bits, params + nonzeros * bits) // 8)


def needed_bytes(
    cost: ModelCost,
    *,
    bits: int = 32,
    sparsity: float = 0.0,
    batch: int = 1,
    activation_bits: int = 32,
) -> int:
    """Bytes that must be in memory at once: the stored weights and the peak of the activations.

    `batch` multiplies the input that `cost` was counted on. `activation_bits` says how wide the
    activations are on the device, for a cost counted in float32. Program and scratch memory come
    on top.
    """
    peak = cost.peak_activation_bytes * check_int("batch", batch)
    activations = -(-peak * check_int("activation_bits", activation_bits) // 32)
    return stored_weight_bytes(cost.params, bits=bits, sparsity=sparsity) + activations


def fits(device: Device, needed_bytes: int) -> bool:
    """True where `needed_bytes` do not exceed the device's whole memory."""
    return check_int("needed_bytes", needed_bytes, minimum=0) <= device.memory_bytes


def predicted_latency_s(device: Device, macs: int, *, instructions_per_mac: float = 4.0) -> float:
    """Seconds for `macs` multiply-adds, if instructions were all that takes time.

    An assumption, not a measurement: 4 instructions stand for scalar code (load a weight, load an
    activation, multiply-add, step). Vector instructions bring it below 1; waiting for memory makes
    the true latency longer.

    >>> round(predicted_latency_s(device("Cortex-M7"), macs=569_000_000), 2)
    2.68
    """
    per_mac = check_number("instructions_per_mac", instructions_per_mac, 0.0)
    return check_int("macs", macs, minimum=0) * per_mac / (device.dmips * 1e6)


def verdicts(
    cost: ModelCost,
    *,
    bits: int = 32,
    sparsity: float = 0.0,
    batch: int = 1,
    activation_bits: int = 32,
    instructions_per_mac: float = 4.0,
    precision: Precision = "fp32",
) -> tuple[Verdict, ...]:
    """What one batch of a counted model needs and takes on every published device.

    Latency and energy are those of the whole batch, on dense kernels: zeros save memory, not time.
    Energy is that of the operations at 45 nm, the same on every device: the MACs at `precision`,
    and each stored weight read from DRAM once per batch.
    """
    needed = needed_bytes(
        cost, bits=bits, sparsity=sparsity, batch=batch, activation_bits=activation_bits
    )
    macs = cost.macs * int(batch)
    weights = stored_weight_bytes(cost.params, bits=bits, sparsity=sparsity)
    energy = energy_j(macs, weights, precision=precision)
    return tuple(
        Verdict(
            device=found,
            needed_bytes=needed,
            fits=fits(found, needed),
            latency_s=predicted_latency_s(found, macs, instructions_per_mac=instructions_per_mac),
            energy_j=energy,
        )
        for found in all_devices()
    )
