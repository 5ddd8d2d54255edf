"""Blocks compute what torchvision's do, and networks of them have the published sizes."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from course_lib import blocks, models, quantize, surgery
from course_lib.cost import count, depthwise_separable_macs, depthwise_separable_params

torchvision = pytest.importorskip("torchvision")
tv = torchvision.models
SqueezeExcitation = torchvision.ops.SqueezeExcitation


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def randomize(model: nn.Module) -> nn.Module:
    """Batch norms that have seen data, so that no scale, shift or statistic can go unnoticed."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
            ):
                nn.init.uniform_(tensor, low, high)
    return model


def copy_in_order(source: nn.Module, target: nn.Module) -> None:
    """Give `target` the tensors of `source`, whatever they are called there."""
    ours, theirs = target.state_dict(), source.state_dict()
    assert [t.shape for t in ours.values()] == [t.shape for t in theirs.values()]
    target.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))


def assert_same_function(ours: nn.Module, theirs: nn.Module, shape: tuple[int, ...]) -> None:
    """Outputs, gradients and updated statistics, in evaluation and in training mode."""
    copy_in_order(randomize(theirs), ours)
    close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-5)
    for training in (False, True):
        ours.train(training)
        theirs.train(training)
        x = torch.randn(shape, requires_grad=True)
        twin = x.detach().clone().requires_grad_()
        y, expected = ours(x), theirs(twin)
        close(y, expected)
        direction = torch.randn_like(y) / math.sqrt(y.numel())
        y.backward(direction)
        expected.backward(direction)
        close(x.grad, twin.grad)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            close(a.grad, b.grad)
        for a, b in zip(ours.buffers(), theirs.buffers(), strict=True):
            close(a, b)


def mobilenet_v3_block(*config) -> nn.Module:
    settings = tv.mobilenetv3.InvertedResidualConfig(*config, 1, 1.0)
    return tv.mobilenetv3.InvertedResidual(settings, nn.BatchNorm2d)


def mbconv(*config) -> nn.Module:
    return tv.efficientnet.MBConv(tv.efficientnet.MBConvConfig(*config, 1), 0.0, nn.BatchNorm2d)


def googlenet_block(*channels) -> nn.Module:
    block = import_module("torchvision.models.googlenet").Inception(*channels)
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-5
    return block


V3 = partial(blocks.InvertedResidual, activation=nn.Hardswish)
V2 = tv.mobilenetv2.InvertedResidual
HARD = partial(blocks.SqueezeExcite, gate=nn.Hardsigmoid)
SOFT = partial(blocks.SqueezeExcite, activation=nn.SiLU)
MB = partial(blocks.InvertedResidual, activation=nn.SiLU)
BLOCKS = {
    "inverted_residual": (lambda: blocks.InvertedResidual(8, 48, 8), lambda: V2(8, 8, 1, 6), 8),
    "inverted_stride": (lambda: blocks.InvertedResidual(5, 15, 5, 2), lambda: V2(5, 5, 2, 3), 5),
    "inverted_wider": (lambda: blocks.InvertedResidual(6, 12, 7), lambda: V2(6, 7, 1, 2), 6),
    "not_expanded": (lambda: blocks.InvertedResidual(6, 6, 6), lambda: V2(6, 6, 1, 1), 6),
    "v3_squeezed": (
        lambda: V3(16, 64, 16, kernel_size=5, squeeze_excite=HARD(64, 16)),
        lambda: mobilenet_v3_block(16, 5, 64, 16, True, "HS", 1),
        16,
    ),
    "v3_relu_stride": (
        lambda: blocks.InvertedResidual(8, 24, 16, 2, activation=nn.ReLU),
        lambda: mobilenet_v3_block(8, 3, 24, 16, False, "RE", 2),
        8,
    ),
    "mbconv": (
        lambda: MB(8, 48, 8, kernel_size=5, squeeze_excite=SOFT(48, 2)),
        lambda: mbconv(6, 5, 1, 8, 8, 1),
        8,
    ),
    "squeeze_excite": (lambda: blocks.SqueezeExcite(9, 3), lambda: SqueezeExcitation(9, 3), 9),
    "shuffle_same": (
        lambda: blocks.ShuffleUnitV2(12, 12),
        lambda: tv.shufflenetv2.InvertedResidual(12, 12, 1),
        12,
    ),
    "shuffle_stride": (
        lambda: blocks.ShuffleUnitV2(7, 10, 2),
        lambda: tv.shufflenetv2.InvertedResidual(7, 10, 2),
        7,
    ),
    "fire": (
        lambda: blocks.Fire(6, 3, 4, 5),
        lambda: tv.squeezenet.Fire(6, 3, 4, 5),
        6,
    ),
    "inception": (
        lambda: blocks.Inception(6, 2, 3, 4, 5, 6, 7, large_kernel=3),
        lambda: googlenet_block(6, 2, 3, 4, 5, 6, 7),
        6,
    ),
    "separable": (
        lambda: blocks.DepthwiseSeparable(6, 9, 2),
        lambda: models.DepthwiseSeparable(6, 9, 2),
        6,
    ),
}


@pytest.mark.parametrize("size", [(7, 9), (8, 8)])
@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_equals_torchvisions_with_the_same_weights(name, size):
    ours, theirs, channels = BLOCKS[name]
    assert_same_function(ours(), theirs(), (3, channels, *size))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "mobilenet_v2": (blocks.mobilenet_v2, 224),
    "mobilenet_v3_large": (blocks.mobilenet_v3, 224),
    "mobilenet_v3_small": (lambda: blocks.mobilenet_v3("small"), 224),
    "shufflenet_v2_x0_5": (lambda: blocks.shufflenet_v2(0.5), 224),
    "shufflenet_v2_x1_0": (blocks.shufflenet_v2, 224),
    "shufflenet_v2_x1_5": (lambda: blocks.shufflenet_v2(1.5), 224),
    "shufflenet_v2_x2_0": (lambda: blocks.shufflenet_v2(2.0), 224),
    "squeezenet1_0": (lambda: blocks.squeezenet("1.0"), 224),
    "squeezenet1_1": (blocks.squeezenet, 224),
} | {
    f"efficientnet_{b}": (partial(blocks.efficientnet, b), size)
    for b, size in zip(blocks.EFFICIENTNETS, (224, 240, 288, 300, 380, 456, 528, 600), strict=True)
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_torchvisions_layers_parameters_and_macs(name):
    """Its MACs are published in 10^9 to three decimals, so within 0.0005."""
    build, size = NETWORKS[name]
    published = tv.get_model_weights(name).IMAGENET1K_V1.meta
    with torch.device("meta"):
        ours, theirs = build(), tv.get_model(name, weights=None)
    cost = count(ours, (1, 3, size, size))
    assert cost.params == published["num_params"]
    assert abs(cost.macs / 1e9 - published["_ops"]) <= 0.0005 + 1e-9
    assert [t.shape for t in ours.state_dict().values()] == [
        t.shape for t in theirs.state_dict().values()
    ]
    constants = [
        [
            (layer.eps, layer.momentum) if isinstance(layer, nn.BatchNorm2d) else layer.p
            for layer in model.modules()
            if isinstance(layer, (nn.BatchNorm2d, nn.Dropout))
        ]
        for model in (ours, theirs)
    ]
    assert constants[0] == constants[1]


SMALL = {
    "mobilenet_v2": (
        lambda: blocks.mobilenet_v2(0.35, 7),
        lambda: tv.mobilenet_v2(width_mult=0.35, num_classes=7),
    ),
    "mobilenet_v3_large": (
        lambda: blocks.mobilenet_v3("large", 0.5, 7),
        lambda: tv.mobilenet_v3_large(width_mult=0.5, num_classes=7),
    ),
    "mobilenet_v3_small": (
        lambda: blocks.mobilenet_v3("small", 0.75, 7),
        lambda: tv.mobilenet_v3_small(width_mult=0.75, num_classes=7),
    ),
    "shufflenet_v2": (
        lambda: blocks.shufflenet_v2(0.5, 7),
        lambda: tv.shufflenet_v2_x0_5(num_classes=7),
    ),
    "squeezenet1_0": (
        lambda: blocks.squeezenet("1.0", 7),
        lambda: tv.squeezenet1_0(num_classes=7),
    ),
    "squeezenet1_1": (
        lambda: blocks.squeezenet("1.1", 7),
        lambda: tv.squeezenet1_1(num_classes=7),
    ),
    "efficientnet_b0": (
        lambda: blocks.efficientnet("b0", 7),
        lambda: tv.efficientnet_b0(num_classes=7),
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_whole_network_computes_torchvisions_logits(name):
    ours, theirs = (build().eval() for build in SMALL[name])
    copy_in_order(randomize(theirs), ours)
    x = torch.randn(2, 3, 65, 48)
    with torch.no_grad():
        expected = theirs(x)
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(ours(x) / scale, expected / scale, rtol=0, atol=1e-5)
    assert expected.shape == (2, 7)
    assert expected.std() > 0


@pytest.mark.parametrize(
    ("groups", "millions"), [(1, 143), (2, 140), (3, 137), (4, 133), (8, 137)]
)
def test_shufflenet_v1_costs_what_its_table_1_says(groups, millions):
    cost = count(lambda: blocks.shufflenet_v1(groups), (1, 3, 224, 224))
    classifier = next(layer.macs for layer in cost.layers if layer.name == "classifier")
    assert round((cost.macs - classifier) / 1e6) == millions


def test_xception_has_the_parameters_of_its_table_3():
    assert count(blocks.xception, (1, 3, 299, 299)).params == 22_855_952


def test_networks_take_other_classes_channels_and_image_sizes():
    for build in (
        partial(blocks.mobilenet_v2, 0.25),
        partial(blocks.mobilenet_v3, "small", 0.25),
        partial(blocks.shufflenet_v1, 8),
        partial(blocks.shufflenet_v2, 0.5),
        partial(blocks.squeezenet, "1.0"),
        partial(blocks.efficientnet, blocks.Scaling(depth=0.3, width=0.25)),
    ):
        model = build(num_classes=3, in_channels=1).eval()
        with torch.no_grad():
            assert model(torch.zeros(2, 1, 33, 41)).shape == (2, 3)


@pytest.mark.parametrize(("version", "side"), [("1.0", 21), ("1.1", 17)])
def test_squeezenet_takes_images_as_small_as_it_says(version, side):
    model = blocks.squeezenet(version, 2).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, side, side)).shape == (1, 2)
        with pytest.raises(RuntimeError):
            model(torch.zeros(1, 3, side - 1, side - 1))


# Blocks without a twin in torchvision: each against its formula, written with functions.


def normalized(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    statistics = norm.running_mean, norm.running_var
    return F.batch_norm(x, *statistics, norm.weight, norm.bias, eps=norm.eps)


def test_mixing_channels_first_filters_the_new_channels():
    block = randomize(blocks.DepthwiseSeparable(6, 10, 2, kernel_size=5, order="pointwise_first"))
    x = torch.randn(2, 6, 9, 7)
    mixed = F.conv2d(x, block.pointwise.conv.weight)
    mixed = F.relu(normalized(mixed, block.pointwise.norm))
    y = F.conv2d(mixed, block.depthwise.conv.weight, stride=2, padding=2, groups=10)
    y = F.relu(normalized(y, block.depthwise.norm))
    torch.testing.assert_close(block.eval()(x), y, rtol=0, atol=1e-5)


@pytest.mark.parametrize("order", ["spatial_first", "pointwise_first"])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize(("channels", "stride"), [((8, 16), 1), ((3, 7), 2)])
def test_a_separable_block_costs_what_the_formula_says(channels, stride, kernel, order):
    block = blocks.DepthwiseSeparable(*channels, stride, kernel_size=kernel, order=order)
    cost = count(block, (1, channels[0], 9, 10))
    settings = {"stride": stride, "padding": kernel // 2, "order": order}
    assert cost.macs == depthwise_separable_macs(*channels, kernel, (9, 10), **settings)
    norms = 4 * channels[1] if order == "pointwise_first" else 2 * sum(channels)
    assert cost.params == depthwise_separable_params(*channels, kernel, order=order) + norms


@pytest.mark.parametrize("activate_first", [True, False])
@pytest.mark.parametrize(("channels", "stride"), [((6, 8, 5), 2), ((6, 6, 6, 6), 1), ((6, 4), 1)])
def test_the_xception_block_is_separable_convolutions_with_a_shortcut(
    channels, stride, activate_first
):
    block = randomize(blocks.XceptionBlock(channels, stride, activate_first=activate_first))
    x = torch.randn(2, 6, 9, 8)
    y = x
    for i in range(1, len(channels)):
        conv, norm = getattr(block.body, f"separable{i}"), getattr(block.body, f"norm{i}")
        y = F.relu(y) if i > 1 or activate_first else y
        y = F.conv2d(y, conv.depthwise.weight, padding=1, groups=channels[i - 1])
        y = normalized(F.conv2d(y, conv.pointwise.weight), norm)
    shortcut = x
    if stride == 2:
        y = F.max_pool2d(y, 3, 2, 1)
    if stride == 2 or channels[-1] != 6:
        convolved = F.conv2d(x, block.shortcut.conv.weight, stride=stride)
        shortcut = normalized(convolved, block.shortcut.norm)
    torch.testing.assert_close(block.eval()(x), y + shortcut, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "stride", "groups", "grouped"),
    [((24, 24), 1, 3, True), ((6, 24), 2, 3, True), ((4, 40), 2, 2, False), ((5, 8), 2, 1, True)],
)
def test_the_first_shuffle_unit_is_grouped_shuffled_and_shortcut(
    channels, stride, groups, grouped
):
    block = randomize(
        blocks.ShuffleUnitV1(*channels, stride, groups=groups, grouped_input=grouped)
    )
    x = torch.randn(2, channels[0], 9, 8)
    y = F.conv2d(x, block.reduce.conv.weight, groups=groups if grouped else 1)
    y = F.channel_shuffle(F.relu(normalized(y, block.reduce.norm)), groups)
    middle = channels[1] // 4
    y = F.conv2d(y, block.depthwise.conv.weight, stride=stride, padding=1, groups=middle)
    y = normalized(y, block.depthwise.norm)
    y = normalized(F.conv2d(y, block.expand.conv.weight, groups=groups), block.expand.norm)
    y = x + y if stride == 1 else torch.cat([F.avg_pool2d(x, 3, 2, 1), y], 1)
    torch.testing.assert_close(block.eval()(x), F.relu(y), rtol=0, atol=1e-5)


def test_inception_has_filters_of_five_by_default_as_in_the_paper():
    """3a of GoogLeNet's Table 1: 159 K parameters, and 128 M operations at 28 x 28."""
    block = blocks.Inception(192, 64, 96, 128, 16, 32, 32)
    cost = count(block, (1, 192, 28, 28))
    assert round(cost.macs / 1e6) == 128
    assert cost.macs // 28**2 // 1024 == 159


# Activations and the channel shuffle.


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(blocks.hard_swish, nn.Hardswish()), (blocks.hard_sigmoid, nn.Hardsigmoid())],
)
def test_hard_activations_equal_pytorchs(ours, theirs, dtype):
    edges = [-3.0, 3.0, 0.0, -0.0, 1e-8, 6e4, -6e4, math.inf, -math.inf, math.nan]
    x = torch.cat([torch.linspace(-8, 8, 4001, dtype=torch.float64), torch.tensor(edges)])
    x = x.to(dtype)
    y, exact = ours(x).double(), theirs(x.double())
    assert torch.equal(y.isnan(), exact.isnan())
    assert torch.equal(y.isinf(), exact.isinf())
    finite = exact.isfinite()
    rounding = torch.finfo(dtype).eps / 2 * exact.abs() + torch.finfo(dtype).smallest_normal
    assert bool(((y - exact).abs() <= 3.01 * rounding)[finite].all())  # of x + 3, / 6 and x *
    assert ours(x[:0]).shape == (0,)
    assert ours(x[5]).shape == ()


def test_hard_swish_has_pytorchs_gradient_away_from_its_corners():
    x = torch.linspace(-5, 5, 1000, dtype=torch.float64).requires_grad_()
    ours, theirs = (
        torch.autograd.grad(f(x).sum(), x)[0] for f in (blocks.hard_swish, F.hardswish)
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    "shape", [(2, 12, 3, 5), (1, 12), (0, 12, 4, 4), (2, 12, 0, 3), (3, 12, 4)]
)
@pytest.mark.parametrize("groups", [1, 2, 3, 4, 6, 12])
def test_channel_shuffle_equals_pytorchs_and_undoes_itself(shape, groups):
    x = torch.randn(shape)
    y = blocks.channel_shuffle(x, groups)
    assert torch.equal(blocks.channel_shuffle(y, 12 // groups), x)
    for i, j in itertools.product(range(groups), range(12 // groups)):
        assert torch.equal(y[:, j * groups + i], x[:, i * (12 // groups) + j])
    if x.ndim > 2 and x.numel():
        assert torch.equal(y, F.channel_shuffle(x, groups))


def test_channel_shuffle_of_integers_and_of_slices():
    x = torch.arange(2 * 8 * 3).view(2, 3, 8).transpose(1, 2)
    assert torch.equal(blocks.channel_shuffle(x, 4), F.channel_shuffle(x.float(), 4).long())


# What makes a block good to work with.

EVERY = {name: (ours, channels) for name, (ours, _, channels) in BLOCKS.items()} | {
    "channels_first": (lambda: blocks.DepthwiseSeparable(6, 8, order="pointwise_first"), 6),
    "inception_5x5": (lambda: blocks.Inception(6, 2, 3, 4, 5, 6, 7), 6),
    "shuffle_v1": (lambda: blocks.ShuffleUnitV1(12, 12, groups=3), 12),
    "shuffle_v1_stride": (lambda: blocks.ShuffleUnitV1(6, 24, 2, groups=3), 6),
    "xception": (lambda: blocks.XceptionBlock((6, 8, 9), 2), 6),
    "xception_middle": (lambda: blocks.XceptionBlock((6, 6, 6)), 6),
}


def in_network(name: str) -> tuple[nn.Module, Tensor]:
    """The block between a stem and a classifier, with an input."""
    build, channels = EVERY[name]
    block = build().eval()
    with torch.no_grad():
        outputs = block(torch.zeros(1, channels, 8, 8)).shape[1]
    stem = blocks.conv_norm(3, channels, 3)
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(outputs, 4)
    return randomize(nn.Sequential(stem, block, *head)).eval(), torch.randn(2, 3, 9, 9)


@pytest.mark.parametrize("name", EVERY)
def test_torch_fx_traces_every_block_and_other_sizes_still_fit(name):
    model, _ = in_network(name)
    traced = fx.symbolic_trace(model)
    for shape in ((1, 3, 8, 8), (3, 3, 11, 7)):
        x = torch.randn(shape)
        assert torch.equal(traced(x), model(x))


@pytest.mark.parametrize("name", EVERY)
def test_channels_can_be_cut_out_of_every_block(name):
    model, x = in_network(name)
    rng = random.Random(0)
    chosen: dict[str, list[int]] = {}
    for sets in surgery.trace_channels(model, x).groups().values():
        for members in rng.sample(sets, len(sets) // 2):
            layer = next(iter(members))
            chosen.setdefault(layer, []).extend(members[layer])
    smaller = surgery.remove_channels(model, x, chosen)
    masked = surgery.mask_channels(model, x, chosen)
    with torch.no_grad():
        torch.testing.assert_close(smaller(x), masked(x), rtol=0, atol=1e-5)
    sizes = [sum(p.numel() for p in m.parameters()) for m in (smaller, model)]
    assert (sizes[0] < sizes[1]) == bool(chosen)
    assert chosen or name == "shuffle_v1"  # whose shuffle and shortcut tie all 12 together


@pytest.mark.parametrize("name", EVERY)
def test_every_convolution_of_a_block_can_be_quantized(name):
    model, x = in_network(name)
    quantized = quantize.post_training_dynamic(model)
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    replaced = [m for m in quantized.modules() if isinstance(m, quantize.QuantizedLayer)]
    assert len(replaced) == len(layers)
    with torch.no_grad():
        assert quantized(x).shape == model(x).shape


@pytest.mark.parametrize("name", EVERY)
def test_a_block_leaves_its_input_alone_and_shares_no_layer(name):
    build, channels = EVERY[name]
    block, x = build(), torch.randn(2, channels, 8, 8)
    before = x.clone()
    block(x).sum().backward()
    assert torch.equal(x, before)
    assert all(p.grad is not None for p in block.parameters())
    unique, every = (
        [
            m
            for _, m in block.named_modules(remove_duplicate=flag)
            if not isinstance(m, nn.Identity)
        ]
        for flag in (True, False)
    )
    assert len(unique) == len(every)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (16, 16)])
def test_stride_halves_and_rounds_up_at_any_size_and_precision(name, size):
    build, channels = EVERY[name]
    block = build().eval().double()
    y = block(torch.randn(1, channels, *size, dtype=torch.float64))
    stride = 2 if "stride" in name or name in ("separable", "xception") else 1
    assert y.shape[2:] == tuple(math.ceil(side / stride) for side in size)
    assert y.dtype == torch.float64


def test_the_bottleneck_is_linear_and_added_only_where_shapes_allow():
    for stride, out, residual in ((1, 8, True), (2, 8, False), (1, 16, False)):
        block = blocks.InvertedResidual(8, 48, out, stride)
        assert block.residual == residual
        assert [type(layer) for layer in block.project] == [nn.Conv2d, nn.BatchNorm2d]
    assert bool((blocks.InvertedResidual(8, 48, 16)(torch.randn(4, 8, 6, 6)) < 0).any())


def test_squeeze_excite_weighs_channels_not_positions():
    block = blocks.SqueezeExcite(5, 2)
    x = torch.rand(3, 5, 4, 6) + 0.1
    factors = block(x) / x
    torch.testing.assert_close(factors, factors[:, :, :1, :1].expand_as(x))
    assert bool(((factors > 0) & (factors < 1)).all())
    assert factors[0, :, 0, 0].unique().numel() == 5


def test_networks_start_with_the_variance_that_relu_keeps():
    """He et al. 2015, eq. 10. SqueezeNet has no batch norm to repair another start."""
    for layer in blocks.squeezenet().modules():
        if isinstance(layer, nn.Conv2d):
            weight = layer.weight.detach()
            fan_in, deviations = weight[0].numel(), 5 / math.sqrt(2 * weight.numel())
            assert abs(float(weight.std()) * math.sqrt(fan_in / 2) - 1) < deviations
            assert not bool(layer.bias.any())


# Scaling.


@pytest.mark.parametrize("width", [0.25, 0.35, 0.5, 0.75, 1.0, 1.1, 1.4, 2.0])
def test_scaled_widths_are_multiples_of_8_and_never_below_90_percent(width):
    for channels in range(1, 400):
        scaled = blocks.scale_width(channels, width)
        assert scaled % 8 == 0
        assert scaled >= 0.9 * channels * width
        assert scaled == tv._utils._make_divisible(channels * width, 8)


def test_depth_rounds_up_without_the_errors_of_floats():
    for layers, tenths in itertools.product(range(1, 60), range(1, 40)):
        assert blocks.scale_depth(layers, tenths / 10) == -(-layers * tenths // 10)


def test_resolution_rounds_to_the_nearest_pixel():
    assert [blocks.scale_resolution(224, r) for r in (1, 0.5, 0.001, 1.5 / 224)] == [
        224,
        112,
        1,
        2,
    ]


def test_published_variants_are_scalings_of_b0():
    sizes = [blocks.scale_resolution(224, s.resolution) for s in blocks.EFFICIENTNETS.values()]
    assert sizes == [224, 240, 260, 300, 380, 456, 528, 600]
    with torch.device("meta"):
        b2, ours = (blocks.efficientnet(v) for v in ("b2", blocks.Scaling(depth=1.2, width=1.1)))
    assert [p.shape for p in ours.parameters()] == [p.shape for p in b2.parameters()]


def test_compound_scaling_multiplies_macs_by_the_same_factor_per_phi():
    one = blocks.compound_scaling(1)
    assert (one.depth, one.width, one.resolution) == (1.2, 1.1, 1.15)
    assert one.macs_factor == pytest.approx(1.2 * 1.1**2 * 1.15**2)
    assert abs(one.macs_factor - 2) < 0.1
    for phi in (-2.0, 0, 0.5, 3, 7):
        scaling = blocks.compound_scaling(phi)
        assert scaling.macs_factor == pytest.approx(one.macs_factor**phi)
        assert blocks.phi_for_ratio(scaling.macs_factor) == pytest.approx(phi, abs=1e-12)
    assert blocks.compound_scaling(0) == blocks.Scaling()
    assert blocks.phi_for_ratio(8, alpha=2, beta=1, gamma=1) == pytest.approx(3)


def mobile_macs(scaling: blocks.Scaling) -> int:
    """Of a small network that is rounded as the real ones are."""
    pixels = blocks.scale_resolution(32, scaling.resolution) ** 2
    return (
        pixels * blocks.scale_width(40, scaling.width) ** 2 * blocks.scale_depth(3, scaling.depth)
    )


@pytest.mark.parametrize("step", [0.1, 0.25, 1, 3])
@pytest.mark.parametrize("budget", [mobile_macs(blocks.Scaling()), 7e6, 2e7, 1e8, 5e8, 1e12])
def test_phi_under_budget_is_the_largest_that_fits(budget, step):
    candidates = [round(i * step, 10) for i in range(int(8 / step + 1e-9) + 1)]
    fitting = [p for p in candidates if mobile_macs(blocks.compound_scaling(p)) <= budget]
    assert blocks.phi_under_budget(mobile_macs, budget, step=step) == max(fitting)


def test_a_real_network_stays_under_its_budget():
    def macs(scaling: blocks.Scaling) -> int:
        width, side = (
            blocks.scale_width(16, scaling.width),
            blocks.scale_resolution(32, scaling.resolution),
        )
        layers = blocks.scale_depth(2, scaling.depth)
        network = [blocks.InvertedResidual(width, 4 * width, width) for _ in range(layers)]
        return count(nn.Sequential(*network), (1, width, side, side)).macs

    budget = 3 * macs(blocks.Scaling())
    phi = blocks.phi_under_budget(macs, budget, step=1)
    assert macs(blocks.compound_scaling(phi)) <= budget < macs(blocks.compound_scaling(phi + 1))


# Bad arguments.


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: blocks.DepthwiseSeparable(0, 8), "in_channels must be an integer >= 1, got 0"),
        (lambda: blocks.DepthwiseSeparable(8, 8, 3), r"stride must be .* 1\.\.2, got 3"),
        (lambda: blocks.DepthwiseSeparable(8, 8, kernel_size=4), "kernel_size must be odd"),
        (lambda: blocks.DepthwiseSeparable(8, 8, order="both"), "order must be one of pointwise"),
        (lambda: blocks.separable_conv(8, -1), "out_channels .* got -1"),
        (lambda: blocks.conv_norm(8, 9, groups=4), "groups must divide out_channels, but 9"),
        (lambda: blocks.conv_norm(9, 8, groups=4), "groups must divide in_channels, but 9"),
        (lambda: blocks.conv_norm(8, 8, groups=0), "groups must be an integer >= 1"),
        (lambda: blocks.InvertedResidual(8, 0, 8), "expanded_channels .* got 0"),
        (lambda: blocks.InvertedResidual(8, 48, 8, 0), "stride"),
        (
            lambda: blocks.InvertedResidual(8, 48, 8, squeeze_excite=blocks.SqueezeExcite(8, 2)),
            "squeeze_excite must have the 48 expanded channels",
        ),
        (lambda: blocks.SqueezeExcite(8, 0), "squeezed_channels .* got 0"),
        (lambda: blocks.channel_shuffle(torch.zeros(1, 5), 2), "groups must divide C, but 5"),
        (lambda: blocks.channel_shuffle(torch.zeros(4), 2), r"x must have the shape \[N, C"),
        (lambda: blocks.channel_shuffle(torch.zeros(1, 4), 0), "groups must be an integer >= 1"),
        (lambda: blocks.ShuffleUnitV1(24, 48), "out_channels must equal in_channels at stride 1"),
        (lambda: blocks.ShuffleUnitV1(24, 24, 2), "out_channels must exceed in_channels"),
        (lambda: blocks.ShuffleUnitV1(24, 26, 2), "multiple of 4, got 26"),
        (lambda: blocks.ShuffleUnitV1(20, 20, groups=3), "groups must divide bottleneck_channels"),
        (lambda: blocks.ShuffleUnitV1(7, 12, 2), "groups must divide in_channels, but 7"),
        (lambda: blocks.ShuffleUnitV2(8, 10), "out_channels must equal in_channels at stride 1"),
        (lambda: blocks.ShuffleUnitV2(8, 9, 2), "out_channels must be even"),
        (lambda: blocks.ShuffleUnitV2(8, 8, 3), "stride"),
        (lambda: blocks.Fire(8, 0, 4, 4), "squeeze must be an integer >= 1, got 0"),
        (lambda: blocks.Inception(8, 1, 1, 1, 1, 0, 1), "large must be an integer >= 1, got 0"),
        (lambda: blocks.Inception(8, 1, 1, 1, 1, 1, 1, large_kernel=2), "large_kernel .* odd"),
        (lambda: blocks.XceptionBlock((8,)), "channels must list input and outputs"),
        (lambda: blocks.XceptionBlock((8, 0)), r"channels\[1\] must be"),
        (lambda: blocks.XceptionBlock((8, 8), 4), "stride"),
        (lambda: blocks.mobilenet_v2(0), "width must be above 0"),
        (lambda: blocks.mobilenet_v2(math.nan), "width must be a finite number"),
        (lambda: blocks.mobilenet_v2(num_classes=0), "num_classes"),
        (lambda: blocks.mobilenet_v3("medium"), "size must be one of large, small"),
        (lambda: blocks.shufflenet_v1(5), "groups must be one of 1, 2, 3, 4, 8, got 5"),
        (lambda: blocks.shufflenet_v2(0.7), "width must be one of 0.5, 1.0, 1.5, 2.0, got 0.7"),
        (lambda: blocks.squeezenet(1.1), 'version must be "1.0" or "1.1", got 1.1'),
        (lambda: blocks.efficientnet("b8"), "variant must be one of b0"),
        (lambda: blocks.xception(in_channels=0), "in_channels"),
        (lambda: blocks.Scaling(depth=0), "depth must be above 0"),
        (lambda: blocks.Scaling(width=-1), "width"),
        (lambda: blocks.Scaling(resolution=math.inf), "resolution"),
        (lambda: blocks.scale_depth(0, 1.0), "layers"),
        (lambda: blocks.scale_width(8, -1.0), "width"),
        (lambda: blocks.scale_resolution(0, 1.0), "pixels"),
        (lambda: blocks.compound_scaling(math.nan), "phi must be a finite number"),
        (lambda: blocks.compound_scaling(1e6), "phi must leave the factors finite"),
        (lambda: blocks.compound_scaling(1, alpha=0.9), "alpha"),
        (lambda: blocks.phi_for_ratio(0), "macs_ratio must be above 0"),
        (lambda: blocks.phi_for_ratio(2, 1, 1, 1), "must not all be 1"),
        (lambda: blocks.phi_under_budget(mobile_macs, 10), "without scaling, which needs 4,9"),
        (lambda: blocks.phi_under_budget(mobile_macs, 1e9, step=0), "step must be above 0"),
    ],
)  # fmt: skip
def test_impossible_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: blocks.Fire(8.0, 4, 4, 4), "in_channels must be an integer"),
        (lambda: blocks.conv_norm(8, 8, activation=nn.ReLU()), "activation must be a class"),
        (lambda: blocks.conv_norm(8, 8, activation="relu"), "activation must be a class"),
        (lambda: blocks.SqueezeExcite(8, 2, gate=nn.Sigmoid()), "gate must be a class"),
        (lambda: blocks.SqueezeExcite(8, 2, gate=dict), "gate must make a layer"),
        (lambda: blocks.InvertedResidual(8, 8, 8, squeeze_excite=nn.ReLU()), "squeeze_excite"),
        (lambda: blocks.hard_swish(torch.tensor([1])), "x must hold floating-point numbers"),
        (lambda: blocks.hard_sigmoid([1.0]), "x must be a torch.Tensor"),
        (lambda: blocks.channel_shuffle([1.0], 1), "x must be a torch.Tensor"),
        (lambda: blocks.XceptionBlock(8), "channels must be a shape"),
        (lambda: blocks.phi_under_budget(5, 1e9), "macs must be a function"),
        (lambda: blocks.Scaling(depth="deep"), "depth must be a finite number"),
    ],
)
def test_arguments_of_another_kind_are_named(call, words):
    with pytest.raises(TypeError, match=words):
        call()
