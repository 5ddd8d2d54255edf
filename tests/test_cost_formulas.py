"""Costs on paper against PyTorch's layers, and against counting by convolving ones with ones."""

from __future__ import annotations

import random
from itertools import pairwise, product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_lib import cost, published


def params_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def macs_of_ones(conv: nn.Conv2d, batch: int, height: int, width: int) -> int:
    """A convolution of ones with ones adds one per multiply-add: its outputs sum to the MACs.

    The padding is filled with ones too, because dense kernels multiply there.
    """
    pad_h, pad_w = conv.padding
    ones = torch.ones(batch, conv.in_channels, height + 2 * pad_h, width + 2 * pad_w).double()
    weight = torch.ones_like(conv.weight, dtype=torch.float64)
    out = F.conv2d(ones, weight, None, conv.stride, 0, conv.dilation, conv.groups)
    return round(out.sum().item())


def random_conv(rng: random.Random) -> tuple[dict, nn.Conv2d, tuple[int, int], int]:
    groups = rng.choice([1, 1, 2, 3])
    channels = {
        "in_channels": groups * rng.randint(1, 3),
        "out_channels": groups * rng.randint(1, 4),
        "kernel_size": (rng.randint(1, 4), rng.randint(1, 4)),
        "groups": groups,
    }
    window = {
        "stride": (rng.randint(1, 3), rng.randint(1, 3)),
        "padding": (rng.randint(0, 3), rng.randint(0, 3)),
        "dilation": (rng.randint(1, 2), rng.randint(1, 3)),
    }
    size = rng.randint(10, 15), rng.randint(10, 15)
    return {**channels, **window}, nn.Conv2d(**channels, **window), size, rng.randint(1, 3)


@pytest.mark.parametrize("seed", range(60))
def test_conv2d_costs_what_convolving_ones_with_ones_adds_up(seed):
    settings_, conv, size, batch = random_conv(random.Random(seed))
    assert cost.conv2d_macs(**settings_, input_size=size, batch=batch) == macs_of_ones(
        conv, batch, *size
    )


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("bias", [False, True])
def test_conv2d_has_the_parameters_and_output_size_of_the_real_layer(seed, bias):
    settings_, _, size, _ = random_conv(random.Random(seed))
    conv = nn.Conv2d(**settings_, bias=bias, device="meta")
    names = ("in_channels", "out_channels", "kernel_size", "groups")
    only = {name: settings_[name] for name in names}
    assert cost.conv2d_params(**only, bias=bias) == params_of(conv)
    window = {k: v for k, v in settings_.items() if k in ("stride", "padding", "dilation")}
    out = conv(torch.empty(1, conv.in_channels, *size, device="meta"))
    assert cost.conv2d_output_size(size, settings_["kernel_size"], **window) == out.shape[2:]


def test_conv2d_counts_every_multiply_add_of_the_nested_loops():
    macs = 0
    in_channels, out_channels, groups, height, width = 4, 6, 2, 7, 9
    for _ in product(range(out_channels), range(in_channels // groups)):
        for top in range(-1, height + 1 - 2 * 2, 2):  # padding 1, reach 2 (3 - 1) + 1, stride 2
            for left in range(0, width - 1, 3):  # no padding, reach 2, stride 3
                assert top + 4 <= height
                assert left + 1 < width
                macs += 3 * 2
    options = {"stride": (2, 3), "padding": (1, 0), "dilation": (2, 1), "groups": groups}
    assert cost.conv2d_macs(4, 6, (3, 2), (height, width), **options) == macs


@settings(max_examples=300, deadline=None)
@given(
    size=st.integers(1, 60),
    kernel=st.integers(1, 9),
    stride=st.integers(1, 7),
    padding=st.integers(0, 8),
    dilation=st.integers(1, 6),
)
def test_conv_output_size_agrees_with_pytorch_or_both_refuse(
    size, kernel, stride, padding, dilation
):
    layer = nn.Conv1d(1, 1, kernel, stride, padding, dilation, device="meta")
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    try:
        expected = layer(torch.empty(1, 1, size, device="meta")).shape[-1]
    except RuntimeError:
        with pytest.raises(ValueError, match="larger input_size or padding"):
            cost.conv_output_size(size, kernel, **options)
    else:
        assert cost.conv_output_size(size, kernel, **options) == expected


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (2, 2), (3, 2), (5, 3)])
def test_same_padding_keeps_the_size_as_in_pytorch(kernel, dilation):
    layer = nn.Conv2d(1, 1, kernel, padding="same", dilation=dilation, device="meta")
    size = cost.conv2d_output_size((7, 10), kernel, padding="same", dilation=dilation)
    assert size == layer(torch.empty(1, 1, 7, 10, device="meta")).shape[2:]
    with pytest.raises(ValueError, match="needs stride=1"):
        cost.conv2d_output_size(7, 3, stride=2, padding="same")


@pytest.mark.parametrize("order", ["spatial_first", "pointwise_first"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("cin", "cout", "kernel", "stride"), [(3, 8, 3, 1), (8, 5, (3, 5), 2)])
def test_depthwise_separable_equals_its_two_real_convolutions(
    order, bias, cin, cout, kernel, stride
):
    middle = cin if order == "spatial_first" else cout
    depthwise = nn.Conv2d(middle, middle, kernel, stride, 1, groups=middle, bias=bias)
    pointwise = nn.Conv2d(cin, cout, 1, bias=bias)
    params = cost.depthwise_separable_params(cin, cout, kernel, order=order, bias=bias)
    assert params == params_of(depthwise) + params_of(pointwise)

    out = depthwise(torch.zeros(1, middle, 13, 16)).shape[2:]
    where = out if order == "spatial_first" else (13, 16)
    macs = cost.depthwise_separable_macs(
        cin, cout, kernel, (13, 16), stride=stride, padding=1, order=order, batch=2
    )
    assert macs == macs_of_ones(depthwise, 2, 13, 16) + macs_of_ones(pointwise, 2, *where)


@pytest.mark.parametrize("cout", [1, 7, 64, 1024])
@pytest.mark.parametrize("kernel", [1, 3, (3, 5)])
def test_depthwise_separable_ratio_is_the_quotient_of_the_counts(cout, kernel):
    separable = cost.depthwise_separable_macs(32, cout, kernel, 14)
    dense = cost.conv2d_macs(32, cout, kernel, 14)
    assert cost.depthwise_separable_ratio(cout, kernel) == pytest.approx(separable / dense)


def test_the_saving_of_a_3_by_3_tends_to_nine_and_never_reaches_it():
    savings = [1 / cost.depthwise_separable_ratio(channels, 3) for channels in (32, 512, 10**6)]
    assert savings == sorted(savings)
    assert 7 < savings[0] < 8 < savings[1] < 8.999 < savings[2] < 9


@pytest.mark.parametrize("bias", [False, True])
def test_linear_matches_the_layer_and_the_matrix_product(bias):
    layer = nn.Linear(7, 3, bias=bias)
    assert cost.linear_params(7, 3, bias=bias) == params_of(layer)
    ones = torch.ones(2, 5, 7) @ torch.ones(7, 3)
    assert cost.linear_macs(7, 3, rows=2 * 5) == ones.sum().item()


@pytest.mark.parametrize(("tokens", "dim", "heads"), [(1, 4, 1), (5, 12, 3), (9, 8, 8)])
@pytest.mark.parametrize("batch", [1, 3])
def test_attention_matches_ones_multiplied_by_hand_head_by_head(tokens, dim, heads, batch):
    ones = torch.ones(batch, heads, tokens, dim // heads)
    projections = 4 * (torch.ones(batch, tokens, dim) @ torch.ones(dim, dim)).sum()
    scores = (ones @ ones.mT).sum()
    mixed = (torch.ones(batch, heads, tokens, tokens) @ ones).sum()
    macs = cost.attention_macs(tokens, dim, heads=heads, batch=batch)
    assert macs == projections + scores + mixed
    only_mixing = cost.attention_macs(tokens, dim, heads=heads, batch=batch, projections=False)
    assert only_mixing == scores + mixed


@pytest.mark.parametrize("bias", [False, True])
def test_attention_has_the_parameters_of_pytorchs_layer(bias):
    assert cost.attention_params(12, bias=bias) == params_of(
        nn.MultiheadAttention(12, 3, bias=bias)
    )


def test_attention_scores_overtake_the_projections_at_two_dim_tokens():
    def mixing(tokens):
        return cost.attention_macs(tokens, 64, projections=False)

    def projecting(tokens):
        return cost.attention_macs(tokens, 64) - mixing(tokens)

    assert mixing(128) == projecting(128)
    assert mixing(127) < projecting(127)


@pytest.mark.parametrize(("layer", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
@pytest.mark.parametrize("bias", [False, True])
def test_recurrence_matches_pytorchs_layers(layer, gates, bias):
    module = layer(6, 10, bias=bias)
    assert cost.recurrence_params(6, 10, gates=gates, bias=bias) == params_of(module)
    macs = cost.recurrence_macs(7, 6, 10, gates=gates, batch=2)
    assert macs == 7 * 2 * cost.recurrence_params(6, 10, gates=gates, bias=False)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=12))
def test_chain_peak_is_that_of_a_run_which_frees_every_input_after_use(sizes):
    alive, peak = sizes[0], sizes[0]
    for previous, current in pairwise(sizes):
        alive += current
        peak = max(peak, alive)
        alive -= previous
    assert cost.chain_peak_bytes(sizes) == peak


def test_chain_peak_of_many_equal_layers_is_two_of_them_and_not_their_sum():
    assert cost.chain_peak_bytes([100] * 50) == 200
    assert cost.chain_peak_bytes((100,)) == 100


@pytest.mark.parametrize(
    ("shape", "bits", "expected"),
    [((), 32, 4), ((3,), 1, 1), ((9,), 1, 2), ((3, 5), 4, 8), ((2, 3), 8, 6), ((7,), 64, 56)],
)
def test_tensor_bytes_rounds_bits_up_to_whole_bytes(shape, bits, expected):
    assert cost.tensor_bytes(shape, bits) == expected


def test_information_density_of_the_published_models():
    rows = {row["model"]: row for row in published.table("models").rows}
    mobilenet, vgg = rows["1.0 MobileNet-224"], rows["VGG-16"]

    def density(row):
        return cost.information_density(row["top1_percent"], int(row["params_millions"] * 1e6))

    assert density(mobilenet) == pytest.approx(70.6 / 4.2)
    assert density(mobilenet) > 30 * density(vgg)


def test_one_mac_is_two_flops():
    assert cost.flops(569_000_000) == 2 * 569_000_000


def test_counts_are_python_ints_that_do_not_overflow():
    huge = np.int32(2**30)
    for count in (
        cost.linear_macs(huge, huge, rows=huge),
        cost.linear_params(huge, huge),
        cost.conv2d_macs(huge, huge, np.int32(3), np.int32(2**15)),
        cost.attention_macs(huge, huge),
        cost.recurrence_macs(huge, huge, huge),
        cost.depthwise_separable_macs(huge, huge, 3, np.int32(2**15)),
    ):
        assert type(count) is int
        assert count > 2**59


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cost.conv2d_macs(3, 8, 3, 8, groups=2), r"groups must divide in_channels=3"),
        (lambda: cost.conv2d_params(4, 9, 3, groups=2), r"groups must divide out_channels=9"),
        (lambda: cost.conv2d_macs(3, 8, (3, 3, 3), 8), r"kernel_size must be an int or a pair"),
        (lambda: cost.conv2d_macs(3, 8, 3, 2), r"reaches over 3 positions.*has 2"),
        (lambda: cost.conv2d_macs(3, 8, 3, 8, stride=0), r"stride must be an integer >= 1"),
        (lambda: cost.conv2d_macs(3, 8, 3, 8, padding="valid"), r"padding must be one of same"),
        (lambda: cost.linear_macs(0, 3), r"in_features must be an integer >= 1, got 0"),
        (lambda: cost.attention_macs(4, 10, heads=3), r"heads must divide dim=10"),
        (lambda: cost.depthwise_separable_params(3, 8, 3, order="both"), r"order must be one of"),
        (lambda: cost.chain_peak_bytes([]), r"sizes_bytes.*got an empty sequence"),
        (lambda: cost.chain_peak_bytes([3, -1]), r"sizes_bytes\[1\] must be an integer >= 0"),
        (lambda: cost.information_density(101, 5), r"top1_percent"),
        (lambda: cost.information_density(float("nan"), 5), r"top1_percent"),
        (lambda: cost.tensor_bytes((3, 0)), r"shape\[1\] must be an integer >= 1"),
    ],
)
def test_values_out_of_range_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: cost.linear_macs(2.0, 3),
        lambda: cost.linear_params("2", 3),
        lambda: cost.conv2d_macs(3, 8, 3, 8, batch=True),
        lambda: cost.conv2d_macs(3, 8, 3.0, 8),
        lambda: cost.chain_peak_bytes(12),
        lambda: cost.tensor_bytes("abc"),
        lambda: cost.flops(1.5),
    ],
)
def test_wrong_types_are_refused(call):
    with pytest.raises(TypeError, match="must"):
        call()


def test_roofline_takes_the_longer_of_computing_and_moving():
    machine = cost.Roofline(peak_macs_per_s=8e9, bandwidth_bytes_per_s=2e9)
    assert machine.ridge_point == 4.0
    assert machine.time_s(8e9, 1) == 1.0
    assert machine.time_s(1, 2e9) == 1.0
    assert cost.roofline_time_s(8e9, 6e9, 8e9, 2e9) == 3.0
    assert machine.time_s(0, 0) == 0.0


@given(macs=st.floats(1, 1e15), moved=st.floats(1, 1e15))
def test_attainable_rate_and_time_are_two_views_of_one_roofline(macs, moved):
    machine = cost.Roofline(3e9, 7e8)
    intensity = cost.arithmetic_intensity(macs, moved)
    assert machine.time_s(macs, moved) == pytest.approx(macs / machine.attainable(intensity))
    assert machine.attainable(machine.ridge_point) == pytest.approx(3e9)


def test_roofline_refuses_what_is_no_machine():
    with pytest.raises(ValueError, match="bandwidth_bytes_per_s must be above 0, got 0"):
        cost.Roofline(1e9, 0)
    with pytest.raises(ValueError, match="peak_macs_per_s"):
        cost.roofline_time_s(1, 1, float("inf"), 1)
    with pytest.raises(ValueError, match="bytes_moved must be above 0"):
        cost.arithmetic_intensity(1, 0)
    with pytest.raises(ValueError, match="macs"):
        cost.Roofline(1e9, 1e9).time_s(-1, 1)


@pytest.mark.parametrize(
    ("precision", "picojoules"),
    [("fp32", 3.7 + 0.9), ("int32", 3.1 + 0.1), ("fp16", 1.1 + 0.4), ("int8", 0.2 + 0.1)],
)
def test_energy_of_a_mac_is_one_product_and_one_sum_of_the_published_table(precision, picojoules):
    assert cost.energy_j(10**12, precision=precision) == pytest.approx(picojoules)


def test_energy_of_dram_is_640_pj_for_every_four_bytes():
    assert cost.energy_j(0, 4e12) == pytest.approx(640)
    assert cost.energy_j(1e12, 4e12) == pytest.approx(640 + 4.6)
    with pytest.raises(ValueError, match="precision must be one of"):
        cost.energy_j(1, precision="fp64")
