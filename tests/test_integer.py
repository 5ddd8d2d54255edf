"""Integer inference held to NumPy's int64 arithmetic and to the float network it stands for."""

from __future__ import annotations

import copy
import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import course_lib.integer.arithmetic as arithmetic
from course_lib import data, integer, models, quantize, train

INT8 = (-128, 128)


def ints(*shape: int, seed: int = 0, bounds: tuple[int, int] = INT8) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(*bounds, shape, generator=generator)


def int8(*shape: int, seed: int = 0) -> Tensor:
    return ints(*shape, seed=seed).to(torch.int8)


# A reference in NumPy int64, written for clarity and sharing no code with the library


def reference_conv(x, w, bias, zero, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    x = x.numpy().astype(np.int64) - zero
    w = w.numpy().astype(np.int64)
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    filters, depth, kh, kw = w.shape
    height = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1
    width = (x.shape[3] - dw * (kw - 1) - 1) // sw + 1
    y = np.zeros((len(x), filters, height, width), np.int64)
    for f in range(filters):
        first = f // (filters // groups) * depth
        for i in range(kh):
            for j in range(kw):
                rows = slice(i * dh, i * dh + sh * (height - 1) + 1, sh)
                columns = slice(j * dw, j * dw + sw * (width - 1) + 1, sw)
                window = x[:, first : first + depth, rows, columns]
                y[:, f] += np.einsum("nchw,c->nhw", window, w[f, :, i, j])
        if bias is not None:
            y[:, f] += int(bias[f])
    return y


def reference_linear(x, w, bias, zero):
    y = (x.numpy().astype(np.int64) - zero) @ w.numpy().astype(np.int64).T
    return y if bias is None else y + bias.numpy().astype(np.int64)


def reference_requantize(acc, factor, zero, lowest, highest):
    """Exact rational arithmetic: round half up of acc * factor, element by element."""
    levels = [math.floor(Fraction(int(a)) * factor + Fraction(1, 2)) + zero for a in acc.flatten()]
    return np.clip(np.array(levels, dtype=np.int64), lowest, highest).reshape(acc.shape)


# Accumulators


@pytest.mark.parametrize("zero", [-128, -1, 0, 37, 127])
@pytest.mark.parametrize(
    ("rows", "k", "features"),
    [(1, 1, 1), (1, 784, 300), (7, 3, 5), (64, 1000, 33), (0, 4, 2), (3, 0, 2), (2, 4, 0)],
)
def test_linear_equals_int64_bit_for_bit(rows: int, k: int, features: int, zero: int) -> None:
    x, w = int8(rows, k), int8(features, k, seed=1)
    for bias in (None, ints(features, seed=2, bounds=(-(2**24), 2**24)).to(torch.int32)):
        y = integer.integer_linear(x, w, bias, zero)
        assert y.dtype == torch.int32
        assert y.shape == (rows, features)
        assert np.array_equal(y.numpy(), reference_linear(x, w, bias, zero))


def test_linear_takes_any_leading_dimensions() -> None:
    x, w = int8(2, 3, 4, 5), int8(6, 5, seed=1)
    flat = integer.integer_linear(x.reshape(-1, 5), w, None, 9)
    assert torch.equal(integer.integer_linear(x, w, None, 9), flat.reshape(2, 3, 4, 6))
    assert integer.integer_linear(x[0, 0, 0], w).shape == (6,)


@pytest.mark.parametrize(
    ("size", "channels", "filters", "kernel", "options"),
    [
        ((1, 28, 28), 1, 20, (5, 5), {}),
        ((3, 9, 7), 20, 50, (3, 3), {"padding": (1, 2)}),
        ((2, 11, 8), 3, 4, (3, 2), {"stride": (2, 3), "padding": (2, 0)}),
        ((2, 12, 12), 6, 4, (3, 3), {"dilation": (2, 3), "groups": 2}),
        ((2, 6, 5), 7, 7, (3, 3), {"groups": 7, "padding": (1, 1)}),
        ((2, 6, 5), 3, 6, (3, 3), {"groups": 3, "stride": (2, 2), "padding": (1, 1)}),
        ((4, 5, 5), 13, 17, (1, 1), {}),
        ((1, 1, 1), 1, 1, (1, 1), {}),
        ((0, 5, 5), 2, 3, (3, 3), {}),
        ((0, 5, 5), 2, 4, (3, 3), {"groups": 2}),
    ],
)
@pytest.mark.parametrize("zero", [-128, 5])
def test_convolution_equals_int64_bit_for_bit(
    size: tuple[int, int, int],
    channels: int,
    filters: int,
    kernel: tuple[int, int],
    options: dict,
    zero: int,
) -> None:
    n, height, width = size
    x = int8(n, channels, height, width)
    w = int8(filters, channels // options.get("groups", 1), *kernel, seed=1)
    for bias in (None, ints(filters, seed=2, bounds=(-9999, 9999)).to(torch.int32)):
        y = integer.integer_conv2d(x, w, bias, zero, **options)
        assert y.dtype == torch.int32
        assert np.array_equal(y.numpy(), reference_conv(x, w, bias, zero, **options))


def test_the_int8_kernel_and_the_plain_product_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = int8(33, 257), int8(19, 257, seed=1)
    images, filters = int8(2, 3, 8, 8), int8(5, 3, 3, 3, seed=1)
    fast = integer.integer_linear(x, w), integer.integer_conv2d(images, filters)
    monkeypatch.setattr(arithmetic, "_has_exact_int8_product", lambda: False)
    plain = integer.integer_linear(x, w), integer.integer_conv2d(images, filters)
    assert torch.equal(fast[0], plain[0])
    assert torch.equal(fast[1], plain[1])


def test_the_longest_layer_that_fits_is_exact_and_one_longer_is_refused() -> None:
    # 255 * 128 * k <= 2^31 - 1 for the worst inputs: x = 127, zero point = -128, w = -128.
    k = (2**31 - 1) // (255 * 128)
    x, w = torch.full((1, k), 127, dtype=torch.int8), torch.full((1, k), -128, dtype=torch.int8)
    assert int(integer.integer_linear(x, w, None, -128)) == -255 * 128 * k
    longer = torch.full((1, k + 1), -128, dtype=torch.int8)
    with pytest.raises(ValueError, match="too long for 32-bit accumulators"):
        integer.fold_bias(longer, None, -128)
    room = 2**31 - 1 - 255 * 128 * k
    bias = torch.tensor([room], dtype=torch.int32)
    integer.fold_bias(w, bias, -128)
    with pytest.raises(ValueError, match="too long for 32-bit accumulators"):
        integer.fold_bias(w, bias + 1, -128)


def test_wrong_types_and_shapes_are_refused() -> None:
    x, w = int8(2, 4), int8(3, 4)
    for bad in (x.float(), x.int(), x.to(torch.uint8)):
        with pytest.raises(TypeError, match=r"x must be torch\.int8"):
            integer.integer_linear(bad, w)
        with pytest.raises(TypeError, match=r"weight must be torch\.int8"):
            integer.integer_linear(x, bad)
    with pytest.raises(TypeError, match=r"bias must be torch\.int32"):
        integer.integer_linear(x, w, torch.zeros(3))
    with pytest.raises(ValueError, match=r"bias must have shape \(3,\)"):
        integer.integer_linear(x, w, torch.zeros(4, dtype=torch.int32))
    with pytest.raises(ValueError, match="must have shapes"):
        integer.integer_linear(x, int8(3, 5))
    with pytest.raises(ValueError, match="input_zero_point must be"):
        integer.integer_linear(x, w, None, 128)
    images, filters = int8(1, 4, 5, 5), int8(6, 2, 3, 3)
    with pytest.raises(ValueError, match="must have shapes"):
        integer.integer_conv2d(images, filters)
    with pytest.raises(ValueError, match="groups must divide"):
        integer.integer_conv2d(int8(1, 8, 5, 5), filters, groups=4)
    for option in ({"stride": 0}, {"padding": -1}, {"dilation": (1, 0)}):
        with pytest.raises(ValueError, match=f"{next(iter(option))} must be"):
            integer.integer_conv2d(images, filters, groups=2, **option)
    with pytest.raises(ValueError, match="larger than"):
        integer.integer_conv2d(images, filters, groups=2, dilation=3)


# Requantization


@settings(max_examples=300, deadline=None)
@given(st.floats(2.0**-60, 2.0**28, allow_subnormal=False))
def test_fixed_point_is_the_nearest_of_its_precision(factor: float) -> None:
    multiplier, shift = integer.fixed_point(factor)
    assert multiplier.dtype == shift.dtype == torch.int32
    assert 0 <= int(multiplier) < 2**31
    assert 1 <= int(shift) <= 62
    error = abs(Fraction(int(multiplier), 2 ** int(shift)) - Fraction(factor))
    assert error <= Fraction(1, 2 ** (int(shift) + 1))
    if factor >= 2.0**-31:
        assert int(multiplier) >= 2**30
        assert error <= Fraction(factor) / 2**31


def test_fixed_point_at_its_edges() -> None:
    assert [int(v) for v in integer.fixed_point(1.0)] == [2**30, 30]
    assert [int(v) for v in integer.fixed_point(1 - 2**-40)] == [2**30, 30]  # rounds up to 1
    assert [int(v) for v in integer.fixed_point(2**29 - 2**-10)] == [2**30, 1]
    assert int(integer.fixed_point(1e-30)[0]) == 0
    for bad in (0.0, -1.0, math.nan, math.inf, 2.0**29):
        with pytest.raises(ValueError, match="factor must lie"):
            integer.fixed_point(bad)
    with pytest.raises(ValueError, match="factor must lie"):
        integer.fixed_point(torch.tensor([0.5, 0.0]))


@pytest.mark.parametrize("factor", [0.5, 0.25, 3e-4, 0.0371, 0.999999, 1.7, 2.0**-40])
@pytest.mark.parametrize(("bits", "zero"), [(8, 0), (8, -128), (4, 3), (2, -2), (32, 0)])
def test_requantize_equals_rational_arithmetic(factor: float, bits: int, zero: int) -> None:
    ends = torch.tensor([-(2**31), 2**31 - 1, 0, 1, -1, 2, -2, 3, -3])
    acc = torch.cat([ends, ints(500, bounds=(-(2**31), 2**31)), ints(500, bounds=(-3000, 3000))])
    acc = acc.to(torch.int32)
    multiplier, shift = integer.fixed_point(factor)
    exact = Fraction(int(multiplier), 2 ** int(shift))
    lowest, highest = (-(2**31), 2**31 - 1) if bits == 32 else quantize.integer_range(bits)
    expected = reference_requantize(acc, exact, zero, lowest, highest)
    ours = integer.requantize(acc, multiplier, shift, zero, bits)
    assert ours.dtype == (torch.int32 if bits == 32 else torch.int8)
    assert np.array_equal(ours.numpy(), expected)


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -3])
def test_requantize_per_channel_is_requantize_of_each_channel(dim: int) -> None:
    acc = ints(4, 5, 6, bounds=(-9999, 9999)).to(torch.int32)
    factors = torch.rand(acc.shape[dim], generator=torch.Generator().manual_seed(0)) * 0.1 + 1e-3
    whole = integer.requantize(acc, *integer.fixed_point(factors), 7, dim=dim)
    for i, factor in enumerate(factors):
        one = integer.requantize(acc.select(dim, i), *integer.fixed_point(factor), 7)
        assert torch.equal(whole.select(dim, i), one)


def test_requantize_refuses_what_it_cannot_do() -> None:
    acc = ints(3).to(torch.int32)
    good = integer.fixed_point(0.1)
    with pytest.raises(TypeError, match="accumulator must be"):
        integer.requantize(acc.long(), *good)
    with pytest.raises(TypeError, match="multiplier must be"):
        integer.requantize(acc, torch.tensor(0.1), good[1])
    with pytest.raises(ValueError, match="zero_point must be"):
        integer.requantize(acc, *good, 200)
    with pytest.raises(ValueError, match="bits must be"):
        integer.requantize(acc, *good, 0, 16)
    for shift in (0, 63):
        with pytest.raises(ValueError, match="shift must lie"):
            integer.requantize(acc, good[0], torch.tensor(shift, dtype=torch.int32))


def test_bias_is_in_steps_of_the_accumulator() -> None:
    bias = torch.tensor([0.5, -0.5, 0.013])
    weight_scale = torch.tensor([0.01, 0.02, 0.001])
    levels = integer.quantize_bias(bias, 0.1, weight_scale)
    assert levels.dtype == torch.int32
    assert levels.tolist() == [500, -250, 130]
    with pytest.raises(ValueError, match="bias must fit 32 bits"):
        integer.quantize_bias(bias, 1e-5, 1e-6)
    with pytest.raises(ValueError, match="must be positive"):
        integer.quantize_bias(bias, 0.0, 1.0)
    with pytest.raises(ValueError, match="NaN or infinite"):
        integer.quantize_bias(bias / 0, 1.0, 1.0)


# Whole networks


@pytest.fixture(scope="module")
def mnist() -> data.Dataset:
    return data.load("mnist")


@pytest.fixture(scope="module")
def trained(mnist: data.Dataset) -> dict[str, nn.Module]:
    part = dataclasses.replace(
        mnist, train=mnist.train.head(6_000), validation=mnist.validation.head(200)
    )
    fit = lambda model: train.fit(model, part, epochs=1, batch_size=64, progress=False).model
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {name: fit(models.by_name(name)) for name in ("lenet_300_100", "lenet_5")}


def run_reference(network: integer.IntegerNetwork, levels: Tensor) -> np.ndarray:
    """The network in NumPy int64: what its buffers say, nothing from its forward pass."""
    x = levels.numpy().astype(np.int64)
    for step in network.steps:
        if isinstance(step, integer.IntegerLayer):
            # The zero point is folded into the bias, so inputs are not shifted, but padded.
            operands = torch.from_numpy(x), step.weight, step.bias
            if step.weight.ndim == 4:
                assert step.convolution == ((1, 1), (0, 0), (1, 1), 1)
                x = reference_conv(*operands, zero=0)
            else:
                x = reference_linear(*operands, zero=0)
            shape = (-1, 1, 1) if x.ndim == 4 else (-1,)
            multiplier = step.multiplier.numpy().astype(np.int64).reshape(shape)
            shift = step.shift.numpy().astype(np.int64).reshape(shape)
            x = ((x * multiplier + (1 << (shift - 1))) >> shift) + step.output_zero_point
            if step.output_bits != 32:
                x = np.clip(x, *quantize.integer_range(step.output_bits))
        elif isinstance(step, nn.Flatten):
            x = x.reshape(len(x), -1)
        elif hasattr(step, "minimum"):
            x = np.maximum(x, step.minimum)
        else:
            n, c, height, width = x.shape
            x = x.reshape(n, c, height // 2, 2, width // 2, 2).max(axis=(3, 5))
    return x


@pytest.mark.parametrize("name", ["lenet_300_100", "lenet_5"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_networks_equal_int64_and_predict_what_their_float_simulation_predicts(
    name: str, per_channel: bool, mnist: data.Dataset, trained: dict[str, nn.Module]
) -> None:
    calibration = [mnist.train.head(500).inputs()]
    simulated = quantize.post_training_static(trained[name], calibration, per_channel=per_channel)
    network = integer.integer_network(simulated)
    test = mnist.open_test("integer networks predict what their float simulation predicts")
    if name == "lenet_5" and not per_channel:
        test = test.head(1000)  # the float network takes most of the time
    float_logits = train.predict(simulated, test)
    logits = train.predict(network, test)
    assert (logits.argmax(1) != float_logits.argmax(1)).double().mean() <= 0.001
    part = test.head(1000)
    right = (logits[:1000].argmax(1) == part.labels).double().mean()
    before = train.evaluate(trained[name], part)
    assert right >= before.accuracy - before.standard_error

    levels = network.quantize_input(test.head(20).inputs())
    assert levels.dtype == torch.int8
    assert np.array_equal(network.integers(levels).numpy(), run_reference(network, levels))


def test_four_bit_and_aware_networks_run_in_integers(
    mnist: data.Dataset, trained: dict[str, nn.Module]
) -> None:
    aware = quantize.quantization_aware(
        trained["lenet_300_100"], bits=4, activation_bits=4, momentum=0.5
    ).train()
    for start in range(0, 1000, 250):
        aware(mnist.train.inputs(slice(start, start + 250)))
    simulated = quantize.freeze(aware)
    network = integer.integer_network(simulated)
    test = mnist.open_test("a 4-bit integer network predicts what its simulation predicts")
    expected = train.predict(simulated, test).argmax(1)
    assert (train.predict(network, test).argmax(1) != expected).double().mean() <= 0.001
    levels = network.quantize_input(test.inputs(slice(0, 100)))
    assert int(levels.min()) >= -8
    assert int(levels.max()) <= 7


def little(seed: int = 0, **changes: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = {
            "conv": nn.Conv2d(3, 8, 3, stride=2, padding=1, dilation=1, groups=1),
            "relu": nn.ReLU(),
            "depthwise": nn.Conv2d(8, 8, (3, 1), padding=(1, 0), groups=8, bias=False),
            "pool": nn.MaxPool2d(3, stride=2, padding=1),
            "head": nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Identity(), nn.Linear(72, 5)),
        }
        return nn.Sequential(*(changes.get(name, layer) for name, layer in layers.items()))


def test_all_geometries_agree_with_the_simulation() -> None:
    x = torch.randn(40, 3, 11, 11, generator=torch.Generator().manual_seed(0))
    simulated = quantize.post_training_static(little(), [x])
    network = integer.integer_network(simulated)
    steps = (network(x) - simulated(x)).abs() / network.output_scale
    # One activation that rounds the other way at a tie moves a logit by |weight| <= 127 steps.
    assert (steps <= 2).double().mean() > 0.99
    assert steps.max() <= 127


def test_zero_channels_do_not_coarsen_the_logits() -> None:
    model = little()
    with torch.no_grad():
        model[4][3].weight[0] = 0
    x = torch.randn(40, 3, 11, 11, generator=torch.Generator().manual_seed(0))
    simulated = quantize.post_training_static(model, [x])
    difference = (integer.integer_network(simulated)(x) - simulated(x)).abs()
    assert difference.max() < 0.01 * simulated(x).std()


def test_channels_of_very_different_size_neither_saturate_nor_vanish() -> None:
    model = nn.Sequential(nn.Linear(100, 3))
    with torch.no_grad():
        model[0].weight.mul_(torch.tensor([[1.0], [1e-4], [1e4]]))
    x = torch.randn(50, 100, generator=torch.Generator().manual_seed(0))
    simulated = quantize.post_training_static(model, [x])
    network = integer.integer_network(simulated)
    difference = (network(x) - simulated(x)).abs()
    # Half a step for the logit, and the float network's own rounding of 100 sums.
    largest = simulated(x).abs().amax(dim=0)
    assert bool((difference <= 0.51 * network.output_scale + 100 * 2.0**-24 * largest).all())


@pytest.mark.parametrize("first", [nn.ReLU(), nn.Flatten(), nn.Identity()])
def test_a_chain_may_start_with_a_module_without_weights(first: nn.Module) -> None:
    x = torch.randn(50, 12, generator=torch.Generator().manual_seed(0))
    simulated = quantize.post_training_static(nn.Sequential(first, nn.Linear(12, 4)), [x])
    network = integer.integer_network(simulated)
    assert (network(x) - simulated(x)).abs().max() <= 2 * network.output_scale


def test_a_network_is_saved_and_restored(tmp_path) -> None:
    x = torch.randn(4, 3, 11, 11, generator=torch.Generator().manual_seed(0))
    network = integer.integer_network(quantize.post_training_static(little(), [x]))
    path = tmp_path / "integer.safetensors"
    save_file(network.state_dict(), path)
    again = copy.deepcopy(network)
    for buffer in again.buffers():
        buffer.zero_()
    again.load_state_dict(load_file(path))
    assert torch.equal(again(x), network(x))
    weights = [b for name, b in network.named_buffers() if name.endswith("weight")]
    assert all(weight.dtype == torch.int8 for weight in weights)
    assert not list(network.parameters())


def test_nothing_but_integers_passes_between_the_layers() -> None:
    x = torch.randn(4, 3, 11, 11, generator=torch.Generator().manual_seed(0))
    network = integer.integer_network(quantize.post_training_static(little(), [x]))
    seen = []
    for step in network.steps:
        step.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    network(x)
    assert all(before.dtype == torch.int8 for before, _ in seen)
    assert [after.dtype for _, after in seen][-1] == torch.int32


def test_an_empty_batch_passes() -> None:
    x = torch.randn(4, 3, 11, 11, generator=torch.Generator().manual_seed(0))
    network = integer.integer_network(quantize.post_training_static(little(), [x]))
    assert network(x[:0]).shape == (0, 5)


def test_models_without_an_integer_form_are_refused() -> None:
    x = torch.randn(4, 3, 11, 11, generator=torch.Generator().manual_seed(0))
    static = quantize.post_training_static
    for model, words in [
        (quantize.post_training_dynamic(little()), "post_training_static"),
        (static(little(), [x], symmetric=False), "symmetric=True"),
        (little(), "got Conv2d"),
        (nn.Sequential(nn.ReLU()), "no QuantizedLayer"),
        (static(little(relu=nn.Sigmoid()), [x]), "got Sigmoid"),
        (static(little(relu=nn.Conv2d(8, 8, 3, padding="same")), [x]), "padding='same'"),
    ]:
        with pytest.raises(ValueError, match=words):
            integer.integer_network(model)
