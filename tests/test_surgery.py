"""Surgery: the smaller network computes what the masked one does, whatever is removed."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import blocks, models, prune, surgery


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only wait for the other threads, for minutes on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Fire(nn.Module):
    """SqueezeNet: two convolutions side by side, concatenated."""

    def __init__(self, inputs: int, squeeze: int, expand: int):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3 = nn.Conv2d(squeeze, expand + 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x), inplace=True)
        return torch.cat([F.relu(self.expand1(x)), F.relu(self.expand3(x))], 1)


class DenseBlock(nn.Module):
    """DenseNet: batch norm reads everything concatenated so far."""

    def __init__(self, inputs: int, growth: int, layers: int):
        super().__init__()
        sizes = [inputs + i * growth for i in range(layers)]
        self.norms = nn.ModuleList(nn.BatchNorm2d(size) for size in sizes)
        self.convs = nn.ModuleList(nn.Conv2d(size, growth, 3, padding=1) for size in sizes)

    def forward(self, x: Tensor) -> Tensor:
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = torch.cat((x, conv(F.relu(norm(x)))), dim=1)
        return x


class Gate(nn.Module):
    """Squeeze-and-excite: a channel multiplied by a function of all channels."""

    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.down, self.up = nn.Linear(channels, inner), nn.Linear(inner, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


class ShuffleUnit(nn.Module):
    """ShuffleNet V1: grouped convolutions, channels shuffled by a view in between."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.groups = groups
        self.conv1 = nn.Conv2d(channels, channels, 1, groups=groups)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.conv3 = nn.Conv2d(channels, channels, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv1(x))
        n, c, h, w = y.shape
        y = y.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)
        return F.relu(x + self.conv3(self.conv2(y)))


class ViewShuffle(nn.Module):
    """A shuffle between ordinary convolutions, which do not tie channels themselves."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (3, -1)).transpose(1, 2).flatten(1, 2)


class PadBy(nn.Module):
    """A shortcut whose padding follows from the layers, on either side of the sum."""

    def __init__(self, pad_first: bool):
        super().__init__()
        self.a, self.b, self.pad_first = nn.Conv2d(5, 4, 1), nn.Conv2d(4, 9, 1), pad_first

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        extra = self.b.out_channels - self.a.out_channels
        y, padded = self.b(x), F.pad(x, (0, 0, 0, 0, 0, extra))
        return padded + y if self.pad_first else y + padded


class SplitUnit(nn.Module):
    """ShuffleNet V2: half of the channels pass by."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels // 2, channels // 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=1)
        return F.channel_shuffle(torch.cat([left, F.hardswish(self.conv(right))], 1), 2)


def head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 4)]


def stem(channels: int) -> list[nn.Module]:
    return [nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()]


def course_blocks() -> nn.Sequential:
    return nn.Sequential(
        *stem(6),
        blocks.Fire(6, 3, 4, 5),
        blocks.Inception(9, 3, 2, 4, 2, 3, 2),
        blocks.InvertedResidual(12, 18, 12, squeeze_excite=blocks.SqueezeExcite(18, 5)),
        blocks.XceptionBlock([12, 10, 16], stride=2),
        blocks.ShuffleUnitV2(16, 16),
        blocks.ShuffleUnitV1(16, 24, 2, groups=2),
        blocks.DepthwiseSeparable(24, 7, order="pointwise_first"),
        *head(7),
    )


def awkward() -> nn.Sequential:
    """Odd sizes, strides and dilation, batch norm on features, activations with f(0) != 0."""
    return nn.Sequential(
        *(
            nn.Conv2d(3, 7, 3, stride=2, dilation=2, padding=3, padding_mode="reflect"),
            nn.Sigmoid(),
        ),
        *(nn.BatchNorm2d(7, affine=False), nn.ZeroPad2d(1), nn.Conv2d(7, 14, 3, groups=7)),
        *(nn.Softplus(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(14 * 4, 9)),
        *(nn.BatchNorm1d(9), nn.Dropout(0.3), nn.GELU(), nn.Linear(9, 3, bias=False)),
    )


IMAGE, DIGIT = (2, 3, 8, 8), (2, 1, 28, 28)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "lenet_300_100": (models.lenet_300_100, DIGIT),
    "lenet_5": (models.lenet_5, DIGIT),
    "resnet20": (models.resnet20, IMAGE),
    "pooled_resnet": (lambda: models.pooled_resnet(10), IMAGE),
    "resnet8_odd_width": (lambda: models.resnet_cifar(8, width=5), IMAGE),
    "mobilenet_v1": (lambda: models.mobilenet_v1(0.25, 10, small_input=True), IMAGE),
    "fire": (lambda: nn.Sequential(*stem(6), Fire(6, 5, 4), Fire(9, 3, 6), *head(13)), IMAGE),
    "dense": (lambda: nn.Sequential(*stem(6), DenseBlock(6, 3, 3), *head(15)), IMAGE),
    "gate": (lambda: nn.Sequential(*stem(9), Gate(9, 4), *head(9)), IMAGE),
    "shuffle": (lambda: nn.Sequential(*stem(12), ShuffleUnit(12, 3), *head(12)), IMAGE),
    "split": (lambda: nn.Sequential(*stem(12), SplitUnit(12), SplitUnit(12), *head(12)), IMAGE),
    "view_shuffle": (
        lambda: nn.Sequential(*stem(9), ViewShuffle(), nn.Conv2d(9, 5, 1), nn.ReLU(), *head(5)),
        IMAGE,
    ),
    "pad_first": (lambda: nn.Sequential(*stem(5), PadBy(True), *head(9)), IMAGE),
    "pad_last": (lambda: nn.Sequential(*stem(5), PadBy(False), *head(9)), IMAGE),
    "course_blocks": (course_blocks, IMAGE),
    "awkward": (awkward, IMAGE),
}


def build(name: str, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """A network in evaluation mode whose batch norms have seen data, and a batch for it."""
    make, shape = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make().eval()
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                for tensor, low, high in (
                    (module.running_mean, -0.5, 0.5),
                    (module.running_var, 0.5, 2.0),
                    (module.weight, 0.5, 1.5),
                    (module.bias, -0.5, 0.5),
                ):
                    if tensor is not None:
                        nn.init.uniform_(tensor, low, high)
        return model, torch.randn(shape)


def random_subset(groups: dict, rng: random.Random) -> dict[str, list[int]]:
    """Any number of the removable sets, but never all that one group of layers has."""
    chosen: dict[str, list[int]] = {}
    for sets in groups.values():
        for members in rng.sample(sets, rng.randint(0, len(sets) - 1)):
            layer = rng.choice(list(members))
            chosen.setdefault(layer, []).extend(members[layer])
    return chosen


def state(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", NETWORKS)
def test_any_subset_of_channels_leaves_the_masked_networks_function(name, seed):
    model, inputs = build(name, seed)
    before = state(model)
    groups = surgery.trace_channels(model, inputs[:1]).groups()
    channels = random_subset(groups, random.Random(seed))
    smaller = surgery.remove_channels(model, inputs[:1], channels)
    masked = surgery.mask_channels(model, inputs[:1], channels)
    with torch.no_grad():
        torch.testing.assert_close(smaller(inputs), masked(inputs), rtol=0, atol=1e-5)
    assert type(smaller) is type(model)
    assert [n for n, _ in smaller.named_modules()] == [n for n, _ in model.named_modules()]
    assert same(before, state(model))
    sizes = [sum(p.numel() for p in m.parameters()) for m in (smaller, masked, model)]
    assert sizes[1] == sizes[2]
    assert (sizes[0] < sizes[2]) == any(channels.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_masking_is_what_zeros_at_every_consumer_do(name):
    """An oracle of its own: forward hooks zero the channels wherever a layer reads them."""
    model, inputs = build(name, seed=7)
    channel_map = surgery.trace_channels(model, inputs)
    channels = random_subset(channel_map.groups(), random.Random(7))
    removed = {channel_map.layers[n].outputs[c] for n, cs in channels.items() for c in cs}

    def zero_inputs(kept: Tensor, axis: int) -> Callable:
        def hook(module: nn.Module, args: tuple[Tensor]) -> Tensor:
            shape = [1] * args[0].ndim
            shape[axis] = len(kept)
            return args[0] * kept.view(shape)

        return hook

    for layer in channel_map.weighted:
        module = model.get_submodule(layer)
        kept = torch.tensor([float(n not in removed) for n in channel_map.layers[layer].inputs])
        axis = -1 if isinstance(module, nn.Linear) else 1
        module.register_forward_pre_hook(zero_inputs(kept, axis))
    with torch.no_grad():
        expected = model(inputs)
        masked = surgery.mask_channels(build(name, seed=7)[0], inputs, channels)(inputs)
    torch.testing.assert_close(masked, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_channel_can_go_alone(name):
    """One set of each group; and the layers that read none of its channels keep their weights."""
    model, inputs = build(name, seed=3)
    for sets in surgery.trace_channels(model, inputs[:1]).groups().values():
        if len(sets) == 1:
            with pytest.raises(ValueError, match="at least one channel"):
                surgery.remove_channels(model, inputs, sets[0])
            continue
        smaller = surgery.remove_channels(model, inputs, sets[len(sets) // 2])
        masked = surgery.mask_channels(model, inputs, sets[len(sets) // 2])
        with torch.no_grad():
            torch.testing.assert_close(smaller(inputs), masked(inputs), rtol=0, atol=1e-5)


def test_removing_nothing_changes_nothing():
    model, inputs = build("resnet20")
    assert same(state(surgery.remove_channels(model, inputs, {})), state(model))
    assert same(state(surgery.mask_channels(model, inputs, {"conv1": []})), state(model))


def test_the_kept_weights_are_the_very_same_numbers():
    model, inputs = build("lenet_5")
    smaller = surgery.remove_channels(model, inputs, {"conv2": [0, 49], "fc1": [7]})
    conv = [i for i in range(50) if i not in (0, 49)]
    features = [16 * c + position for c in conv for position in range(16)]
    hidden = [i for i in range(500) if i != 7]
    assert torch.equal(smaller.conv1.weight, model.conv1.weight)
    assert torch.equal(smaller.conv2.weight, model.conv2.weight[conv])
    assert torch.equal(smaller.conv2.bias, model.conv2.bias[conv])
    assert torch.equal(smaller.fc1.weight, model.fc1.weight[hidden][:, features])
    assert torch.equal(smaller.fc2.weight, model.fc2.weight[:, hidden])
    assert torch.equal(smaller.fc2.bias, model.fc2.bias)
    assert (smaller.fc1.in_features, smaller.fc1.out_features) == (768, 499)


def test_batch_norm_loses_the_statistics_of_removed_channels():
    model, inputs = build("resnet8_odd_width")
    smaller = surgery.remove_channels(model, inputs, {"stage2.0.conv1": [0, 3]})
    old, new = model.stage2[0].bn1, smaller.stage2[0].bn1
    kept = [c for c in range(10) if c not in (0, 3)]
    for key in ("weight", "bias", "running_mean", "running_var"):
        assert torch.equal(getattr(new, key), getattr(old, key)[kept])
    assert new.num_features == 8
    assert new.num_batches_tracked == old.num_batches_tracked


def test_depthwise_convolutions_lose_the_group_with_the_channel():
    model, inputs = build("mobilenet_v1")
    smaller = surgery.remove_channels(model, inputs, {"conv1": [2]})
    depthwise, pointwise = smaller.blocks[0].depthwise, smaller.blocks[0].pointwise
    assert depthwise.in_channels == depthwise.out_channels == depthwise.groups == 7
    assert pointwise.weight.shape == (16, 7, 1, 1)
    kept = [0, 1, 3, 4, 5, 6, 7]
    assert torch.equal(depthwise.weight, model.blocks[0].depthwise.weight[kept])


def test_shortcuts_tie_channels_through_all_stages_of_a_resnet():
    model, inputs = build("resnet8_odd_width")
    channel_map = surgery.trace_channels(model, inputs)
    stream = {"conv1", "stage1.0.conv2", "stage2.0.conv2", "stage3.0.conv2"}
    assert set(channel_map.tied("stage1.0.conv2", 4)) == {(layer, 4) for layer in stream}
    assert channel_map.tied("stage3.0.conv2", 19) == (("stage3.0.conv2", 19),)
    assert channel_map.tied("stage1.0.conv1", 1) == (("stage1.0.conv1", 1),)
    smaller = surgery.remove_channels(model, inputs, {"stage2.0.conv2": [1, 9]})
    assert smaller.conv1.out_channels == 4
    assert smaller.stage2[0].shortcut.extra_channels == 4
    assert smaller.stage3[0].conv2.out_channels == 18


def test_groups_lists_each_removable_channel_once():
    model, inputs = build("lenet_300_100")
    groups = surgery.trace_channels(model, inputs).groups()
    assert {layers: len(sets) for layers, sets in groups.items()} == {("fc1",): 300, ("fc2",): 100}
    assert groups["fc2",][5] == {"fc2": [5]}


def test_concatenated_layers_stay_independent():
    model, inputs = build("fire")
    groups = surgery.trace_channels(model, inputs).groups()
    assert len(groups["3.expand1",]) == 4
    assert len(groups["3.expand3",]) == 5


def test_a_shrunken_network_trains_and_can_be_cut_again():
    model, inputs = build("resnet8_odd_width")
    once = surgery.remove_channels(model, inputs, {"conv1": [0]}).train()
    once(inputs).square().sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in once.parameters())
    twice = surgery.remove_channels(once, inputs, {"conv1": [0]})
    direct = surgery.remove_channels(model, inputs, {"conv1": [0, 1]})
    assert twice.training
    shapes = lambda m: {n: p.shape for n, p in m.named_parameters()}
    assert shapes(twice) == shapes(direct)


def test_training_mode_frozen_weights_dtype_and_random_state_are_kept():
    model, inputs = build("lenet_5")
    model.double().train().conv1.weight.requires_grad_(False)
    random_state = torch.get_rng_state()
    smaller = surgery.remove_channels(model, inputs.double(), {"conv1": torch.tensor([3, 3])})
    assert torch.equal(random_state, torch.get_rng_state())
    assert smaller.training
    assert model.training
    assert not smaller.conv1.weight.requires_grad
    assert smaller.conv1.bias.requires_grad
    assert smaller.conv1.weight.dtype == torch.float64
    assert smaller.conv1.out_channels == 19


def test_a_layer_used_twice_keeps_one_set_of_channels():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.first(x))
            return self.last(torch.tanh(self.again(torch.tanh(self.again(x)))))

    model, inputs = Twice(), torch.randn(3, 4)
    smaller = surgery.remove_channels(model, inputs, {"first": [1, 4]})
    masked = surgery.mask_channels(model, inputs, {"first": [1, 4]})
    assert smaller.again.weight.shape == (4, 4)
    torch.testing.assert_close(smaller(inputs), masked(inputs))


def test_networks_of_several_inputs_and_outputs():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c, self.d = (nn.Linear(3, n) for n in (5, 5, 2, 2))
            self.c, self.d = nn.Linear(5, 2), nn.Linear(5, 3)

        def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
            z = (self.a(x) - self.b(y)) / 2
            return {"c": self.c(z), "d": 1 - self.d(z)}

    model, inputs = Two(), (torch.randn(2, 3), torch.randn(2, 3))
    smaller = surgery.remove_channels(model, inputs, {"a": [0, 4]})
    masked = surgery.mask_channels(model, inputs, {"b": [0, 4]})
    assert smaller.b.out_features == 3
    for key, value in smaller(*inputs).items():
        torch.testing.assert_close(value, masked(*inputs)[key])


def residual_by(forward: Callable[[nn.Module, Tensor], Tensor]) -> nn.Module:
    class Custom(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 1)
            self.norm, self.last = nn.LayerNorm(8), nn.Linear(8, 2)
            self.scale = nn.Parameter(torch.ones(4, 1, 1))
            self.weight = nn.Parameter(torch.ones(4, 4, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.last(forward(self, x).mean((2, 3)))

    return Custom()


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda m, x: m.norm(m.b(m.a(x)).mT).mT, "'layer_norm'|'__get__'"),
        (lambda m, x: m.b(m.a(x).cumsum(1)), "operation 'cumsum'"),
        (lambda m, x: m.b(m.a(x) * m.scale), "'mul' with a tensor no layer made"),
        (lambda m, x: m.b(F.conv2d(m.a(x), m.weight)), "conv2d to read a parameter"),
        (lambda m, x: m.b(m.a(x)) + m.a(x).sum(1, keepdim=True), "'sum' over channels"),
        (lambda m, x: m.b(F.pad(m.a(x)[:, :2], (0, 0, 0, 0, 1, 1), value=1.0)), "but zeros"),
        (lambda m, x: m.b(torch.cat([m.a(x)[:, :2], torch.ones(2, 2, 8, 8)], 1)), "constant"),
        (lambda m, x: m.b(m.a(x).transpose(1, 2)[:, :4]), "several channels as one"),
    ],
)
def test_unsupported_operations_are_named(forward, message):
    model = residual_by(forward)
    with pytest.raises(ValueError, match=message):
        surgery.trace_channels(model, torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("forward", "channels"),
    [
        (lambda m, x: m.b(m.a(x).view(2, 4, 8, 8)), {"a": [0]}),
        (lambda m, x: m.b(torch.cat(m.a(x).split([1, 3], 1), 1)), {"a": [0]}),
        (lambda m, x: m.b(m.a(x) * m.a.out_channels), {"a": [0]}),
        (lambda m, x: m.b(m.a(x)) + F.pad(m.a(x), (0, 0, 0, 0, 0, 4)), {"b": [7]}),
    ],
)
def test_sizes_fixed_in_the_code_are_reported(forward, channels):
    with pytest.raises(ValueError, match=r"model fixes a size|model depends on"):
        surgery.remove_channels(residual_by(forward), torch.randn(2, 3, 8, 8), channels)


def test_normalized_outputs_keep_all_their_channels():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5), nn.Softmax(-1), nn.Linear(5, 2))
    channel_map = surgery.trace_channels(model, torch.zeros(1, 3))
    assert list(channel_map.groups()) == [("0",)]


@pytest.mark.parametrize(
    ("channels", "error", "message"),
    [
        ({"conv1": range(20)}, ValueError, "at least one channel, but the .* of 'conv"),
        ({"fc2": [0]}, ValueError, "channel 0 of 'fc2' cannot be removed"),
        ({"conv3": [0]}, ValueError, "must name layers among conv1, conv2"),
        ({"conv1": [20]}, ValueError, r"indices in 0\.\.19, got 20"),
        ({"conv1": [-1]}, ValueError, r"indices in 0\.\.19, got -1"),
        ({"conv1": [True]}, TypeError, "must hold integers, got True"),
        ({"conv1": [0.5]}, TypeError, "must hold integers, got 0.5"),
        ({"conv1": 3}, TypeError, "must be a list of indices, got 3"),
        ({"conv1": torch.tensor([True])}, TypeError, "must hold integers"),
    ],
)
@pytest.mark.parametrize("operate", [surgery.remove_channels, surgery.mask_channels])
def test_bad_channels_are_named(operate, channels, error, message):
    model, inputs = build("lenet_5")
    with pytest.raises(error, match=message):
        operate(model, inputs, channels)


def test_bad_models_and_inputs_are_named():
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module"):
        surgery.trace_channels("model", torch.zeros(1))
    with pytest.raises(ValueError, match="inputs must be tensors"):
        surgery.trace_channels(nn.Linear(2, 2), torch.zeros(0, 2))
    with pytest.raises(ValueError, match="inputs must be tensors"):
        surgery.trace_channels(nn.Linear(2, 2), None)


def test_weakest_channels_are_those_of_lowest_mean_score():
    model, inputs = build("lenet_5")
    chosen = surgery.weakest_channels(model, inputs, prune.score_model(model), 0.5)
    assert {layer: len(indices) for layer, indices in chosen.items()} == {
        "conv1": 10,
        "conv2": 25,
        "fc1": 250,
    }
    norms = model.conv2.weight.detach().abs().mean((1, 2, 3))
    assert set(chosen["conv2"]) == set(norms.argsort()[:25].tolist())


def test_weakest_channels_of_tied_layers_are_ranked_together():
    model, inputs = build("resnet8_odd_width")
    scores = {name: torch.ones_like(s) for name, s in prune.score_model(model).items()}
    for name in ("conv1", "stage1.0.conv2", "stage2.0.conv2", "stage3.0.conv2"):
        scores[f"{name}.weight"][3] = 0.9
    scores["conv1.weight"][1] = 0.7  # lower in one layer, not in the mean of four
    chosen = surgery.weakest_channels(model, inputs, scores, 0.2)
    assert chosen["conv1"] == [3]
    smaller = surgery.remove_channels(model, inputs, chosen)
    assert smaller.conv1.out_channels == 4


def test_weakest_channels_never_empty_a_layer_and_skip_unscored_ones():
    model, inputs = build("lenet_5")
    scores = {"fc1.weight": prune.magnitude(model.fc1.weight)}
    chosen = surgery.weakest_channels(model, inputs, scores, 1.0)
    assert list(chosen) == ["fc1"]
    assert len(chosen["fc1"]) == 499
    assert surgery.remove_channels(model, inputs, chosen).fc1.out_features == 1
    assert surgery.weakest_channels(model, inputs, scores, 0.0) == {}
