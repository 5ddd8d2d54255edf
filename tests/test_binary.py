"""Binary layers held to float products of signs, XNOR-Net's formulas and the bytes of a file."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from course_lib import binary, data, models, train
from course_lib.binary import signs as packed_signs

METHODS = ["connect", "bwn", "xnor"]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def float_product(x: Tensor, y: Tensor) -> Tensor:
    plus_minus = [torch.where(t >= 0, 1.0, -1.0).double() for t in (x, y)]
    return plus_minus[0] @ plus_minus[1].T


# Signs and their gradient


def test_the_sign_of_zero_is_plus_one() -> None:
    x = torch.tensor([-0.0, 0.0, -1e-45, 1e-45, -math.inf, math.inf])
    assert binary.binarize(x).tolist() == [1, 1, -1, 1, -1, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_gradient_is_that_of_hardtanh(dtype: torch.dtype) -> None:
    x = torch.tensor([-1.5, -1.0, -0.2, 0.0, 0.7, 1.0, 1.01, 30.0], dtype=dtype)
    x.requires_grad_()
    upstream = torch.arange(1, 9).to(dtype)
    y = binary.binarize(x)
    assert y.dtype == dtype
    y.backward(upstream)
    inside = torch.tensor([0, 1, 1, 1, 1, 1, 0, 0]).to(dtype)
    assert torch.equal(x.grad, upstream * inside)
    assert binary.binarize(torch.zeros(0)).shape == (0,)
    with pytest.raises(TypeError, match="floating"):
        binary.binarize(torch.arange(3))


@pytest.mark.parametrize("shape", [(5, 7), (4, 3, 2, 2), (1, 1)])
def test_alpha_minimises_the_error_of_the_binary_weight(shape: tuple[int, ...]) -> None:
    w = normal(*shape, dtype=torch.float64)
    alpha = binary.filter_scale(w)
    assert alpha.shape == (shape[0],)
    signs = binary.binarize(w)
    for i in range(shape[0]):  # least squares: alpha = <w, sign> / <sign, sign>
        best = (w[i] * signs[i]).sum() / signs[i].square().sum()
        torch.testing.assert_close(alpha[i], best)
        torch.testing.assert_close(binary.binary_weight(w)[i], alpha[i] * signs[i])


def test_gradient_of_the_binary_weight_follows_xnor_net() -> None:
    """dL/dw_i = g_i alpha 1[|w_i| <= 1] + sign(w_i) / n * sum_j g_j sign(w_j), per filter."""
    w = (normal(3, 8, dtype=torch.float64) * 1.5).requires_grad_()
    upstream = normal(3, 8, seed=1, dtype=torch.float64)
    binary.binary_weight(w).backward(upstream)
    values = w.detach()
    sign = values.sign()
    through = upstream * values.abs().mean(1, keepdim=True) * (values.abs() <= 1)
    scale = sign / 8 * (upstream * sign).sum(1, keepdim=True)
    torch.testing.assert_close(w.grad, through + scale)


def test_scale_refuses_weights_without_filters() -> None:
    with pytest.raises(ValueError, match=r"shape \[F"):
        binary.filter_scale(torch.ones(3))
    with pytest.raises(ValueError, match="empty"):
        binary.filter_scale(torch.ones(3, 0))


# Packing and the packed product


@pytest.mark.parametrize("k", [1, 7, 8, 9, 63, 64, 65, 1000])
@pytest.mark.parametrize("lead", [(), (1,), (3,), (2, 5), (0,)])
def test_packing_is_reversible_and_takes_one_bit_per_value(k: int, lead: tuple[int, ...]) -> None:
    x = normal(*lead, k)
    packed = binary.pack_signs(x)
    assert packed.dtype == torch.uint8
    assert packed.shape == (*lead, math.ceil(k / 8))
    assert torch.equal(binary.unpack_signs(packed, k), binary.binarize(x))


def test_packing_refuses_nan_and_wrong_lengths() -> None:
    with pytest.raises(ValueError, match="NaN has no sign"):
        binary.pack_signs(torch.tensor([1.0, math.nan]))
    with pytest.raises(ValueError, match="at least one dimension"):
        binary.pack_signs(torch.tensor(1.0))
    packed = binary.pack_signs(torch.ones(2, 9))
    with pytest.raises(ValueError, match="3 bytes per row for 17"):
        binary.unpack_signs(packed, 17)
    with pytest.raises(TypeError, match="uint8"):
        binary.unpack_signs(packed.int(), 9)
    with pytest.raises(ValueError, match="spare bits"):
        binary.unpack_signs(packed + 1, 9)
    with pytest.raises(ValueError, match="count must be"):
        binary.unpack_signs(packed, -1)


@pytest.mark.parametrize("k", [1, 8, 25, 63, 64, 65, 500, 800, 4096, 4097, 70_001])
@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 50), (33, 2), (5, 5)])
def test_packed_product_equals_the_float_product_exactly(m: int, n: int, k: int) -> None:
    x, y = normal(m, k), normal(n, k, seed=1)
    product = binary.xnor_product(binary.pack_signs(x), binary.pack_signs(y), k)
    assert product.dtype == torch.int32
    assert torch.equal(product.double(), float_product(x, y))


@pytest.mark.parametrize(("m", "n", "k"), [(700, 1300, 130), (2000, 3, 25), (3, 2000, 4096)])
@pytest.mark.parametrize("threads", [1, 2])
def test_many_blocks_on_any_number_of_threads(m: int, n: int, k: int, threads: int) -> None:
    x, y = normal(m, k), normal(n, k, seed=1)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        product = binary.xnor_product(binary.pack_signs(x), binary.pack_signs(y), k)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(product.double(), float_product(x, y))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 200), st.integers(0, 99))
def test_packed_product_of_any_shape(m: int, n: int, k: int, seed: int) -> None:
    x, y = normal(m, k, seed=seed), normal(n, k, seed=seed + 1)
    product = binary.xnor_product(binary.pack_signs(x), binary.pack_signs(y), k)
    assert torch.equal(product.double(), float_product(x, y))


def test_extreme_rows_do_not_overflow_a_counter() -> None:
    k = 100_000
    x = torch.ones(1, k)
    a, b = binary.pack_signs(x), binary.pack_signs(-x)
    assert binary.xnor_product(a, a, k).tolist() == [[k]]
    assert binary.xnor_product(a, b, k).tolist() == [[-k]]


def test_packed_product_refuses_what_does_not_fit() -> None:
    a = binary.pack_signs(torch.ones(2, 20))
    with pytest.raises(ValueError, match="b must have 3 bytes"):
        binary.xnor_product(a, binary.pack_signs(torch.ones(2, 30)), 20)
    with pytest.raises(ValueError, match="a must have 2 dimensions"):
        binary.xnor_product(a[0], a, 20)
    with pytest.raises(TypeError, match="a must be uint8"):
        binary.xnor_product(a.float(), a, 20)
    with pytest.raises(ValueError, match="spare bits"):
        binary.xnor_product(a | 1, a, 20)
    with pytest.raises(TypeError, match="count must be"):
        binary.xnor_product(a, a, 20.0)


# Layers


def xnor_conv_by_loops(x: Tensor, conv: binary.BinaryConv2d) -> Tensor:
    """XNOR-Net's convolution one output at a time, in float64."""
    (sh, sw), (ph, pw), (dh, dw) = conv.stride, conv.padding, conv.dilation
    kh, kw = conv.kernel_size
    x = F.pad(x.double(), (pw, pw, ph, ph))
    weight = conv.weight.detach().double()
    depth, per_group = weight.shape[1], conv.out_channels // conv.groups
    height = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1
    width = (x.shape[3] - dw * (kw - 1) - 1) // sw + 1
    y = torch.zeros(len(x), conv.out_channels, height, width, dtype=torch.float64)
    for f in range(conv.out_channels):
        first = f // per_group * depth
        w = weight[f]
        for i in range(height):
            for j in range(width):
                rows = slice(i * sh, i * sh + dh * (kh - 1) + 1, dh)
                columns = slice(j * sw, j * sw + dw * (kw - 1) + 1, dw)
                patch = x[:, first : first + depth, rows, columns]
                dot = (torch.where(patch >= 0, 1, -1) * torch.where(w >= 0, 1, -1)).sum((1, 2, 3))
                y[:, f, i, j] = dot * w.abs().mean() * patch.abs().mean((1, 2, 3))
    return y if conv.bias is None else y + conv.bias.detach().double().reshape(-1, 1, 1)


CONVOLUTIONS = [
    {"in_channels": 1, "out_channels": 3, "kernel_size": 5},
    {"in_channels": 3, "out_channels": 4, "kernel_size": 3, "padding": 1, "bias": False},
    {"in_channels": 4, "out_channels": 6, "kernel_size": (3, 2), "stride": (2, 1), "groups": 2},
    {"in_channels": 2, "out_channels": 2, "kernel_size": 3, "dilation": 2, "padding": (2, 1)},
    {"in_channels": 5, "out_channels": 5, "kernel_size": 3, "groups": 5, "padding": 1},
    {"in_channels": 8, "out_channels": 9, "kernel_size": 1},
]


@pytest.mark.parametrize("options", CONVOLUTIONS)
def test_xnor_convolution_follows_the_paper(options: dict) -> None:
    conv = binary.BinaryConv2d(**options, method="xnor")
    x = normal(2, options["in_channels"], 7, 6)
    torch.testing.assert_close(conv(x).double(), xnor_conv_by_loops(x, conv), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", CONVOLUTIONS)
@pytest.mark.parametrize("method", ["connect", "bwn"])
def test_binary_weight_convolution_is_a_convolution_with_binary_weights(
    options: dict, method: str
) -> None:
    conv = binary.BinaryConv2d(**options, method=method)
    x = normal(2, options["in_channels"], 7, 6)
    weight = binary.binary_weight(conv.weight) if method == "bwn" else conv.weight.sign()
    expected = F.conv2d(
        x, weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups
    )
    torch.testing.assert_close(conv(x), expected)


def test_binary_linear_layers_follow_their_formulas() -> None:
    x = normal(4, 3, 20)
    for method in METHODS:
        layer = binary.BinaryLinear(20, 6, method=method)
        sign, alpha = layer.weight.sign(), layer.weight.abs().mean(1)
        if method == "connect":
            expected = x @ sign.T
        elif method == "bwn":
            expected = x @ (sign * alpha[:, None]).T
        else:
            expected = (x.sign() @ sign.T) * alpha * x.abs().mean(-1, keepdim=True)
        torch.testing.assert_close(layer(x), expected + layer.bias)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", CONVOLUTIONS)
def test_packed_convolution_equals_the_layer_bit_for_bit(options: dict, method: str) -> None:
    conv = binary.BinaryConv2d(**options, method=method)
    x = normal(3, options["in_channels"], 7, 6)
    x[0, 0, 0] = 0  # the sign of 0 and of padding is +1 in both
    assert torch.equal(binary.PackedLayer(conv)(x), conv(x))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("features", [(1, 1), (25, 3), (800, 50), (65, 129)])
@pytest.mark.parametrize("lead", [(), (1,), (7,), (2, 3), (0,)])
def test_packed_linear_equals_the_layer_bit_for_bit(
    features: tuple[int, int], method: str, lead: tuple[int, ...]
) -> None:
    layer = binary.BinaryLinear(*features, method=method)
    x = normal(*lead, features[0])
    assert torch.equal(binary.PackedLayer(layer)(x), layer(x))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("shape", [(1, 16, 4, 4), (2, 3, 5, 1), (1, 1, 1, 1), (3, 72, 2, 3)])
def test_packed_convolution_takes_any_memory_order(
    memory_format: torch.memory_format, kernel_size: int, shape: tuple[int, ...]
) -> None:
    conv = binary.BinaryConv2d(shape[1], 5, kernel_size, padding=kernel_size // 2, method="xnor")
    x = normal(*shape).contiguous(memory_format=memory_format)
    assert torch.equal(binary.PackedLayer(conv)(x), conv(x))


@pytest.mark.parametrize("count", [1, 8, 64, 65])
def test_words_of_rows_do_not_depend_on_their_memory_order(count: int) -> None:
    packed = binary.pack_signs(normal(9, count))
    turned = packed.T.contiguous().T  # the same rows, a column at a time
    assert torch.equal(
        binary.xnor_product(turned, turned, count), binary.xnor_product(packed, packed, count)
    )


def test_wrong_methods_and_paddings_are_refused() -> None:
    with pytest.raises(ValueError, match="method must be one of"):
        binary.BinaryLinear(3, 2, method="ternary")
    for options in ({"padding": "same"}, {"padding_mode": "reflect", "padding": 1}):
        with pytest.raises(ValueError, match="zero padding"):
            binary.BinaryConv2d(3, 2, 3, **options)
    layer = binary.BinaryLinear(2, 2)
    nn.init.constant_(layer.weight, math.nan)
    with pytest.raises(ValueError, match="NaN has no sign"):
        binary.PackedLayer(layer)


# Models


def test_binary_model_copies_the_weights_and_keeps_what_it_is_told_to() -> None:
    model = models.lenet_5()
    before = copy.deepcopy(model.state_dict())
    result = binary.binary_model(model, "xnor", keep=["conv1", "fc2"])
    kinds = [type(result.get_submodule(name)) for name in ("conv1", "conv2", "fc1", "fc2")]
    assert kinds == [nn.Conv2d, binary.BinaryConv2d, binary.BinaryLinear, nn.Linear]
    assert all(torch.equal(value, before[name]) for name, value in result.state_dict().items())
    assert type(model.conv2) is nn.Conv2d
    assert result(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    with torch.no_grad():
        result.conv2.weight.zero_()
    assert torch.equal(model.conv2.weight, before["conv2.weight"])
    for bad in (["conv3"], "conv1"):
        with pytest.raises(ValueError, match="keep must list names"):
            binary.binary_model(model, keep=bad)
    with pytest.raises(ValueError, match="method must be one of"):
        binary.binary_model(model, "none")
    with pytest.raises(ValueError, match="no Linear or Conv2d"):
        binary.binary_model(nn.ReLU())
    with pytest.raises(ValueError, match="no BinaryLinear or BinaryConv2d"):
        binary.pack_model(model)


def test_every_geometry_survives_the_conversion() -> None:
    conv = nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    result = binary.binary_model(nn.Sequential(conv), "connect")[0]
    x = normal(2, 4, 9, 8)
    expected = F.conv2d(x, conv.weight.sign(), conv.bias, (2, 1), (1, 0), (1, 2), 2)
    torch.testing.assert_close(result(x), expected)
    assert binary.binary_model(nn.Sequential(nn.Linear(3, 2, bias=False)))[0].bias is None


@pytest.mark.parametrize("method", METHODS)
def test_training_through_the_sign_learns(method: str) -> None:
    """A linear rule with noise inputs: 50 % by chance; the float layer reaches 100 %."""
    x = normal(600, 40)
    rule = torch.where(normal(40, 2, seed=1) >= 0, 1.0, -1.0)
    labels = (x @ rule).argmax(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(40, 64), nn.BatchNorm1d(64), nn.Tanh(), nn.Linear(64, 2))
    net = binary.binary_model(net, method).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(100):
        loss = F.cross_entropy(net(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        binary.clip_weights(net)
    assert all(net[i].weight.abs().max() <= 1 for i in (0, 3))
    net.eval()
    accuracy = (net(x).argmax(1) == labels).double().mean().item()
    # Chance, 1/2, lies 12 standard errors below 3/4 for 600 samples.
    assert accuracy > 0.75
    with torch.no_grad():
        assert torch.equal(binary.pack_model(net)(x), net(x))


def test_clipping_touches_binary_layers_only() -> None:
    net = binary.binary_model(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), keep=["1"])
    for layer in net:
        nn.init.constant_(layer.weight, -5.0)
    binary.clip_weights(net)
    assert bool((net[0].weight == -1).all())
    assert bool((net[1].weight == -5).all())


def test_fit_trains_binary_models() -> None:
    images = torch.randint(256, (64, 1, 2, 3), generator=torch.Generator().manual_seed(0))
    split = data.Split(images.to(torch.uint8), torch.arange(64) % 2, (0.5,), (0.3,))
    dataset = data.Dataset("noise", ("0", "1"), (0.5,), (0.3,), split, split, split)
    net = binary.binary_model(nn.Sequential(nn.Flatten(), nn.Linear(6, 2)), "xnor")
    result = train.fit(
        net, dataset, epochs=2, after_step=binary.clip_weights, progress=False, learning_rate=0.5
    )
    assert isinstance(result.model[1], binary.BinaryLinear)
    assert result.model[1].weight.abs().max() <= 1
    assert not torch.equal(result.model[1].weight, net[1].weight)


@pytest.mark.parametrize("method", METHODS)
def test_the_file_is_32_times_smaller(method: str, tmp_path) -> None:
    """LeNet-300-100: scales and biases are float32 and counted, rows end on whole bytes."""
    net = binary.binary_model(models.lenet_300_100(), method)
    packed = binary.pack_model(net)
    save_file(net.state_dict(), tmp_path / "float.safetensors")
    save_file(packed.state_dict(), tmp_path / "packed.safetensors")
    header = lambda path: 8 + int.from_bytes(path.read_bytes()[:8], "little")
    sizes = {}
    for name in ("float", "packed"):
        path = tmp_path / f"{name}.safetensors"
        sizes[name] = path.stat().st_size - header(path)
    rows, filters = [(300, 784), (100, 300), (10, 100)], 410
    weights = sum(f * k for f, k in rows)
    signs = sum(f * math.ceil(k / 8) for f, k in rows)
    scales = 0 if method == "connect" else 4 * filters
    assert sizes["float"] == 4 * weights + 4 * filters
    assert sizes["packed"] == signs + scales + 4 * filters
    assert 4 * weights / signs > 31.9

    other = binary.pack_model(binary.binary_model(models.lenet_300_100(), method))
    x = normal(5, 1, 28, 28)
    assert not torch.equal(other(x), packed(x))
    other.load_state_dict(load_file(tmp_path / "packed.safetensors"))
    assert torch.equal(other(x), packed(x))
    assert torch.equal(copy.deepcopy(other)(x), packed(x))


def test_a_layer_without_bias_is_exactly_32_times_smaller(tmp_path) -> None:
    layer = binary.BinaryLinear(4096, 64, bias=False, method="connect")
    path = tmp_path / "layer.safetensors"
    save_file(binary.pack_model(layer).state_dict(), path)
    body = path.stat().st_size - 8 - int.from_bytes(path.read_bytes()[:8], "little")
    assert body * 32 == layer.weight.nbytes


def test_whole_networks_predict_the_same_packed() -> None:
    images = normal(20, 1, 28, 28)
    for method in METHODS:
        net = binary.binary_model(models.lenet_5(), method, keep=["conv1", "fc2"]).eval()
        assert torch.equal(binary.pack_model(net)(images), net(images))


def test_blocks_count_at_most_what_their_counter_holds() -> None:
    assert packed_signs.BLOCK_WORDS * 64 < 2**16
