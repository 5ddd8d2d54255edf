"""Devices against the published table, and verdicts against sums by hand."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from course_lib import devices, published
from course_lib.cost import ModelCost, count, energy_j

KB = 1024


@pytest.fixture(scope="module")
def mlp() -> ModelCost:
    """101,770 parameters, 101,632 MACs; the peak is the input and the first hidden layer."""
    return count(nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)), (1, 784))


def test_devices_are_the_published_ones_from_small_to_large():
    found = devices.all_devices()
    assert [(d.name, d.dmips, d.memory_bytes) for d in found] == [
        ("Cortex-M0", 50, 32 * KB),
        ("Cortex-M4", 200, 128 * KB),
        ("Cortex-M7", 850, 384 * KB),
        ("Raspberry Pi Zero", 1250, 512 * KB**2),
        ("Raspberry Pi 3", 11000, KB**3),
        ("Smartphone", 50000, 4 * KB**3),
    ]
    assert len(found) == len(published.table("devices"))
    assert all(devices.device(d.name) == d for d in found)


def test_an_unknown_device_is_refused_with_the_known_names():
    with pytest.raises(ValueError, match="name must be one of Cortex-M0, Cortex-M4"):
        devices.device("Cortex-M9")


def test_devices_are_frozen():
    with pytest.raises(FrozenInstanceError):
        devices.device("Cortex-M0").memory_bytes = 1


@pytest.mark.parametrize(
    ("params", "bits", "sparsity", "expected"),
    [
        (0, 32, 0.0, 0),
        (1, 1, 0.0, 1),
        (9, 1, 0.0, 2),
        (1000, 32, 0.0, 4000),
        (1000, 8, 0.0, 1000),
        (1000, 32, 0.5, 125 + 2000),
        (1000, 8, 0.9, 125 + 100),
        (1000, 32, 1.0, 125),
        (1000, 32, 0.01, 4000),  # the mask would cost more than it saves
        (1000, 1, 0.9, 125),  # one bit per weight is what the mask alone costs
        (100, 8, 0.29, 84),  # 29 zeros, although 100 * 0.29 is just below 29 in binary
    ],
)
def test_stored_weights_take_the_smaller_of_dense_and_bitmask(params, bits, sparsity, expected):
    assert devices.stored_weight_bytes(params, bits=bits, sparsity=sparsity) == expected


@given(
    params=st.integers(0, 10**9),
    bits=st.integers(1, 64),
    sparsity=st.floats(0, 1),
    more=st.floats(0, 1),
)
def test_more_zeros_never_take_more_memory(params, bits, sparsity, more):
    low, high = sorted((sparsity, more))
    fewer_zeros = devices.stored_weight_bytes(params, bits=bits, sparsity=low)
    more_zeros = devices.stored_weight_bytes(params, bits=bits, sparsity=high)
    assert more_zeros <= fewer_zeros <= -(-params * bits // 8)


def test_sparsity_given_in_percent_is_refused_with_a_hint():
    with pytest.raises(ValueError, match=r"sparsity.*write 0\.9"):
        devices.stored_weight_bytes(10, sparsity=90)


def test_needed_memory_is_weights_once_and_activations_for_every_input(mlp):
    weights, peak = 4 * mlp.params, 4 * (784 + 128)
    assert devices.needed_bytes(mlp) == weights + peak
    assert devices.needed_bytes(mlp, batch=7) == weights + 7 * peak
    assert devices.needed_bytes(mlp, bits=8) == mlp.params + peak
    assert devices.needed_bytes(mlp, activation_bits=8) == weights + peak // 4
    assert devices.needed_bytes(mlp, bits=1, activation_bits=1) == -(-mlp.params // 8) + 114


def test_needed_memory_agrees_with_counting_the_batch(mlp):
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    assert devices.needed_bytes(mlp, batch=5) == devices.needed_bytes(count(model, (5, 784)))


def test_a_model_fits_if_it_fills_the_memory_to_the_last_byte():
    small = devices.device("Cortex-M0")
    assert devices.fits(small, 32 * KB)
    assert not devices.fits(small, 32 * KB + 1)
    assert devices.fits(small, 0)


def test_predicted_latency_follows_from_instructions():
    board = devices.device("Cortex-M4")  # 200 million instructions per second
    assert devices.predicted_latency_s(board, 50_000_000) == 1.0
    assert devices.predicted_latency_s(board, 50_000_000, instructions_per_mac=0.5) == 0.125
    assert devices.predicted_latency_s(board, 0) == 0.0


def test_verdicts_put_the_parts_together(mlp):
    found = devices.verdicts(mlp, bits=8, sparsity=0.5, batch=3, instructions_per_mac=2)
    assert [verdict.device for verdict in found] == list(devices.all_devices())
    weights = devices.stored_weight_bytes(mlp.params, bits=8, sparsity=0.5)
    for verdict in found:
        assert verdict.needed_bytes == weights + 3 * mlp.peak_activation_bytes
        assert verdict.fits == (verdict.needed_bytes <= verdict.device.memory_bytes)
        expected_s = 3 * mlp.macs * 2 / (verdict.device.dmips * 1e6)
        assert verdict.latency_s == pytest.approx(expected_s)
        assert verdict.energy_j == pytest.approx(energy_j(3 * mlp.macs, weights))


def test_which_devices_hold_a_network_depends_on_its_bits(mlp):
    def holders(**options):
        return {v.device.name for v in devices.verdicts(mlp, **options) if v.fits}

    everywhere = {device.name for device in devices.all_devices()}
    assert holders() == everywhere - {"Cortex-M0", "Cortex-M4", "Cortex-M7"}  # 401 KB
    assert holders(bits=8) == everywhere - {"Cortex-M0"}  # 103 KB
    assert holders(bits=2, activation_bits=8) == everywhere  # 26 KB


def test_precision_changes_the_energy_and_nothing_else(mlp):
    floats, integers = (
        devices.verdicts(mlp, bits=8),
        devices.verdicts(mlp, bits=8, precision="int8"),
    )
    for before, after in zip(floats, integers, strict=True):
        assert after.energy_j < before.energy_j
        assert replace(after, energy_j=before.energy_j) == before


def test_batching_shares_the_weights_between_inputs(mlp):
    (one, *_), (many, *_) = devices.verdicts(mlp), devices.verdicts(mlp, batch=100)
    assert many.energy_j < 100 * one.energy_j
    assert many.latency_s == pytest.approx(100 * one.latency_s)


def test_numbers_stay_exact_for_networks_larger_than_any_device():
    huge = count(lambda: nn.Linear(10**6, 10**6, bias=False), (1, 10**6))
    (verdict, *_) = devices.verdicts(huge, bits=4, batch=np.int32(10**6))
    assert verdict.needed_bytes == 10**12 // 2 + 10**6 * 8 * 10**6
    assert not verdict.fits
    assert verdict.latency_s == pytest.approx(10**6 * 10**12 * 4 / 50e6)


def test_a_model_without_parameters_needs_its_activations_alone():
    (verdict, *_) = devices.verdicts(count(nn.ReLU(), (1, 100)))
    assert (verdict.needed_bytes, verdict.latency_s, verdict.energy_j) == (800, 0.0, 0.0)


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"bits": 0}, ValueError, "bits"),
        ({"bits": 8.0}, TypeError, "bits"),
        ({"batch": 0}, ValueError, "batch"),
        ({"activation_bits": 0}, ValueError, "activation_bits"),
        ({"sparsity": -0.1}, ValueError, "sparsity"),
        ({"sparsity": float("nan")}, ValueError, "sparsity"),
        ({"instructions_per_mac": -1}, ValueError, "instructions_per_mac"),
        ({"precision": "fp8"}, ValueError, "precision"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(mlp, options, error, name):
    with pytest.raises(error, match=name):
        devices.verdicts(mlp, **options)
