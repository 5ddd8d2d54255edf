from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from course_lib import models

CONVOLUTIONAL = ["resnet20", "resnet_cifar", "pooled_resnet", "mobilenet_v1", "vgg_cifar"]


def macs(model: nn.Module, *input_shape: int) -> int:
    """Multiply-adds of one image, by PyTorch's own counter (which counts each as two)."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model.eval()(torch.empty(1, *input_shape, device="meta"))
    return counter.get_total_flops() // 2


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture
def meta():
    """Build models without allocating their weights."""
    with torch.device("meta"):
        yield


@pytest.mark.parametrize(
    ("name", "shape", "expected_parameters", "expected_macs"),
    [
        ("lenet_300_100", (1, 28, 28), 266_610, 266_200),
        ("lenet_5", (1, 28, 28), 431_080, 2_293_000),
        ("mobilenet_v1", (3, 224, 224), 4_231_976, 568_740_352),
    ],
)
def test_published_models_have_exactly_their_known_cost(
    meta, name, shape, expected_parameters, expected_macs
):
    model = models.by_name(name)
    assert parameters(model) == expected_parameters
    assert macs(model, *shape) == expected_macs


@pytest.mark.parametrize(
    ("depth", "published_millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_resnet_parameters_round_to_he_2016_table_6(meta, depth, published_millions):
    digits = len(str(published_millions).split(".")[1])
    millions = parameters(models.resnet_cifar(depth)) / 1e6
    assert round(millions, digits) == published_millions


def test_the_pooled_resnet_costs_what_its_docstring_says(meta):
    model = models.pooled_resnet()
    assert parameters(model) == 760_738
    assert macs(model, 3, 32, 32) == 57_066_912
    assert round(macs(models.resnet20(), 3, 32, 32) / 1e6) == 41


@pytest.mark.parametrize("depth", [8, 20, 56])
def test_resnet_has_depth_layers_with_weights(meta, depth):
    model = models.resnet_cifar(depth)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


@pytest.mark.parametrize(
    ("width", "published_millions", "published_macs"),
    [(1.0, 4.2, 569), (0.75, 2.6, 325), (0.5, 1.3, 149), (0.25, 0.5, 41)],
)
def test_mobilenet_widths_match_howard_2017_table_6(
    meta, width, published_millions, published_macs
):
    model = models.mobilenet_v1(width)
    assert round(parameters(model) / 1e6, 1) == published_millions
    assert round(macs(model, 3, 224, 224) / 1e6) == published_macs


@pytest.mark.parametrize(
    ("side", "published_macs"), [(224, 569), (192, 418), (160, 290), (128, 186)]
)
def test_mobilenet_resolutions_match_howard_2017_table_7(meta, side, published_macs):
    model = models.mobilenet_v1(resolution=side / 224)
    scaled = macs(model, 3, 224, 224)
    assert parameters(model) == 4_231_976
    assert abs(scaled / 1e6 - published_macs) < 1  # the table cuts off as often as it rounds
    assert scaled == macs(models.mobilenet_v1(), 3, side, side)


def test_shallow_mobilenet_matches_howard_2017_table_3(meta):
    model = models.mobilenet_v1(middle_blocks=0)
    assert round(parameters(model) / 1e6, 1) == 2.9
    assert round(macs(model, 3, 224, 224) / 1e6) == 307


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("count", [1, 3])
def test_every_model_gives_logits_for_its_documented_input(name, count):
    shape = (3, 32, 32) if name in CONVOLUTIONAL else (1, 28, 28)
    model = models.by_name(name, num_classes=7).eval()
    assert model(torch.randn(count, *shape)).shape == (count, 7)


@pytest.mark.parametrize("shape", [(1, 28, 28), (2, 33, 47), (4, 9, 8)])
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional_models_take_any_channels_and_odd_sizes(name, shape):
    model = models.by_name(name, in_channels=shape[0], num_classes=1).eval()
    assert model(torch.randn(2, *shape)).shape == (2, 1)


@pytest.mark.parametrize("name", models.names())
def test_every_weight_sits_in_a_plain_layer_and_every_activation_is_one_module(name):
    model = models.by_name(name).eval()
    owners = {
        type(module)
        for module in model.modules()
        if any(True for _ in module.parameters(recurse=False))
    }
    assert owners <= {nn.Linear, nn.Conv2d, nn.BatchNorm2d}

    calls: dict[nn.Module, int] = {}
    leaves = [module for module in model.modules() if not list(module.children())]
    for leaf in leaves:
        leaf.register_forward_hook(lambda m, *_: calls.update({m: calls.get(m, 0) + 1}))
    shape = (3, 32, 32) if name in CONVOLUTIONAL else (1, 28, 28)
    model(torch.randn(1, *shape))
    assert [calls.get(leaf, 0) for leaf in leaves] == [1] * len(leaves)
    assert not any(getattr(leaf, "inplace", False) for leaf in leaves)


@pytest.mark.parametrize("name", models.names())
def test_the_random_seed_decides_the_weights(name):
    def build(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return nn.utils.parameters_to_vector(models.by_name(name).parameters())

    with torch.random.fork_rng():
        assert torch.equal(build(3), build(3))
        assert not torch.equal(build(3), build(4))


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutions_start_with_the_variance_of_he_2015(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.by_name(name)
    for weight in (m.weight for m in model.modules() if isinstance(m, nn.Conv2d)):
        fan_in = weight[0].numel()
        standard_error = (2 / weight.numel()) ** 0.5  # of a variance, relative to it
        assert weight.var().item() == pytest.approx(2 / fan_in, rel=5 * standard_error)


def test_lenet_5_has_caffes_layers_with_one_relu():
    kinds = [type(layer).__name__ for layer in models.lenet_5()]
    assert " ".join(kinds) == "Conv2d MaxPool2d Conv2d MaxPool2d Flatten Linear ReLU Linear"


@pytest.mark.parametrize("hidden", [(), (5,), (1200, 1200), [3, 4, 5]])
def test_mlp_has_one_linear_per_hidden_size_and_one_more(hidden):
    model = models.mlp(hidden, num_classes=2, in_features=6)
    sizes = [m.out_features for m in model if isinstance(m, nn.Linear)]
    assert sizes == [*hidden, 2]
    assert model(torch.randn(4, 2, 3)).shape == (4, 2)
    assert not any(isinstance(m, nn.Dropout) for m in model)


def test_mlp_drops_out_after_every_hidden_layer():
    names = [name for name, _ in models.mlp((4, 3), dropout=0.5).named_children()]
    assert " ".join(names) == "flatten fc1 relu1 dropout1 fc2 relu2 dropout2 fc3"


def test_option_a_shortcut_subsamples_and_appends_zero_channels():
    x = torch.arange(2 * 3 * 5 * 4.0).reshape(2, 3, 5, 4)
    y = models.PadShortcut(extra_channels=2, stride=2)(x)
    assert y.shape == (2, 5, 3, 2)
    assert torch.equal(y[:, :3], x[:, :, [0, 2, 4]][:, :, :, [0, 2]])
    assert not y[:, 3:].any()


@pytest.mark.parametrize("stride", [1, 2])
def test_a_residual_block_without_a_residual_is_its_shortcut(stride):
    block = models.ResidualBlock(4, 4 * stride, stride).eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.randn(2, 4, 7, 7)
    assert torch.equal(block(x), block.shortcut(x).relu())


def test_only_the_two_blocks_that_change_the_shape_have_a_shortcut_of_their_own(meta):
    names = [n for n, m in models.resnet20().named_modules() if isinstance(m, models.PadShortcut)]
    assert names == ["stage2.0.shortcut", "stage3.0.shortcut"]


@pytest.mark.parametrize(
    ("arguments", "side", "expected"),
    [
        ({}, 224, (1024, 7, 7)),
        ({"small_input": True}, 32, (1024, 2, 2)),
        ({"small_input": True}, 28, (1024, 2, 2)),
        ({"width": 0.5, "resolution": 0.5}, 224, (512, 4, 4)),
    ],
)
def test_mobilenet_feature_maps_shrink_as_documented(meta, arguments, side, expected):
    features = models.mobilenet_v1(**arguments)[:-3](torch.empty(1, 3, side, side))
    assert features.shape[1:] == expected


@pytest.mark.parametrize(
    ("factor", "before", "after"),
    [(0.857, (224, 224), (192, 192)), (0.5, (7, 9), (4, 4)), (0.01, (28, 28), (1, 1))],
)
def test_resize_rounds_both_sides_and_keeps_a_constant_image(factor, before, after):
    y = models.Resize(factor)(torch.full((2, 3, *before), 0.25))
    assert y.shape == (2, 3, *after)
    torch.testing.assert_close(y, torch.full_like(y, 0.25))


def test_channels_round_as_in_torchvision():
    from torchvision.models._utils import _make_divisible

    for hundredths in range(1, 150_000, 61):
        channels = hundredths / 100
        for divisor in (1, 4, 8, 16):
            rounded = models.round_channels(channels, divisor)
            assert rounded == _make_divisible(channels, divisor)
            assert rounded % divisor == 0
            assert rounded >= 0.9 * channels


def test_by_name_builds_what_the_function_of_that_name_builds(meta):
    for name in models.names():
        assert str(models.by_name(name)) == str(getattr(models, name)())


@pytest.mark.parametrize("name", ["resnet", "LeNet_5", "", None, 5])
def test_an_unknown_name_is_answered_with_the_known_ones(name):
    with pytest.raises(ValueError, match="name must be one of lenet_300_100, lenet_5"):
        models.by_name(name)


def test_an_argument_that_a_model_does_not_take_is_named():
    with pytest.raises(TypeError, match="lenet_5 takes num_classes; got 'width'"):
        models.by_name("lenet_5", width=2)


@pytest.mark.parametrize(
    ("build", "argument"),
    [
        (lambda: models.resnet_cifar(depth=18), "depth must be 6n . 2, got 18; .* 14 or 20"),
        (lambda: models.resnet_cifar(depth=2), "depth"),
        (lambda: models.resnet_cifar(width=0), "width"),
        (lambda: models.pooled_resnet(width=1), "width"),
        (lambda: models.resnet20(in_channels=0), "in_channels"),
        (lambda: models.lenet_5(num_classes=0), "num_classes"),
        (lambda: models.lenet_300_100(num_classes=-1), "num_classes"),
        (lambda: models.mlp((300, 0)), r"hidden\[1\]"),
        (lambda: models.mlp(dropout=50), "dropout must be a fraction.*write 0.5"),
        (lambda: models.mobilenet_v1(width=0), "width must be above 0"),
        (lambda: models.mobilenet_v1(width=float("nan")), "width"),
        (lambda: models.mobilenet_v1(width=-0.5), "width"),
        (lambda: models.mobilenet_v1(resolution=0), "resolution must be above 0"),
        (lambda: models.mobilenet_v1(resolution=160), "resolution"),
        (lambda: models.mobilenet_v1(middle_blocks=-1), "middle_blocks"),
        (lambda: models.round_channels(-8), "channels"),
        (lambda: models.round_channels(8, 0), "divisor"),
    ],
)
def test_a_value_out_of_range_is_named(build, argument):
    with pytest.raises(ValueError, match=argument):
        build()


@pytest.mark.parametrize(
    "build",
    [
        lambda: models.resnet_cifar(depth=20.0),
        lambda: models.lenet_5(num_classes="10"),
        lambda: models.mlp(300),
        lambda: models.mobilenet_v1(width="1"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(build):
    with pytest.raises(TypeError, match="must be"):
        build()
