"""The networks that the course makes cheap: two LeNets, ResNet for CIFAR, MobileNet V1.

They are small enough to train on a laptop and have published results to compare with. Each is an
nn.Sequential of named layers: every weight sits in an nn.Linear, nn.Conv2d or nn.BatchNorm2d
and every activation is an nn.ReLU of its own, so that pruning, quantization and hooks reach it.
Sources: LeCun et al. 1998; Han et al. 2016 (Deep Compression); He et al. 2016; Howard et al. 2017.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from course_lib._validate import check_choice, check_fraction, check_int, check_number, check_shape


def names() -> tuple[str, ...]:
    """Return the names that `by_name` knows.

    >>> names()
    ('lenet_300_100', 'lenet_5', 'mlp', 'mobilenet_v1', 'resnet20', 'resnet_cifar')
    """
    return tuple(sorted(_BUILDERS))


def by_name(name: str, **arguments: Any) -> nn.Module:
    """Build the model called `name`; `arguments` go to the function of that name.

    Raises ValueError for an unknown name and TypeError for an argument the model does not take.

    >>> by_name("lenet_5", num_classes=26).fc2.out_features
    26
    """
    builder = _BUILDERS[check_choice("name", name, _BUILDERS)]
    allowed = inspect.signature(builder).parameters
    for argument in arguments:
        if argument not in allowed:
            raise TypeError(f"{name} takes {', '.join(allowed)}; got {argument!r}.")
    return builder(**arguments)


def lenet_300_100(num_classes: int = 10) -> nn.Sequential:
    """LeNet-300-100, two hidden layers: [N, 1, 28, 28] -> logits [N, num_classes].

    266,610 parameters and 266,200 MACs for ten classes (LeCun et al. 1998; Deep Compression,
    Table 2).
    """
    return mlp((300, 100), num_classes)


def lenet_5(num_classes: int = 10) -> nn.Sequential:
    """LeNet-5 as Caffe defines it: [N, 1, 28, 28] -> logits [N, num_classes].

    431,080 parameters and 2,293,000 MACs for ten classes (Deep Compression, Table 3). As in
    Caffe, only fc1 is followed by a ReLU: the convolutions get their nonlinearity from the
    maximum in the pooling.

    >>> import torch
    >>> lenet_5()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    check_int("num_classes", num_classes)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 20, kernel_size=5),  # [N, 1, 28, 28] -> [N, 20, 24, 24]
            pool1=nn.MaxPool2d(2),  # -> [N, 20, 12, 12]
            conv2=nn.Conv2d(20, 50, kernel_size=5),  # -> [N, 50, 8, 8]
            pool2=nn.MaxPool2d(2),  # -> [N, 50, 4, 4]
            flatten=nn.Flatten(),  # -> [N, 800]
            fc1=nn.Linear(800, 500),  # -> [N, 500]
            relu1=nn.ReLU(),
            fc2=nn.Linear(500, num_classes),  # -> [N, num_classes]
        )
    )


def mlp(
    hidden: Sequence[int] = (1200, 1200),
    num_classes: int = 10,
    in_features: int = 784,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Fully connected network: [N, ...] with in_features values each -> logits [N, num_classes].

    One Linear and ReLU per entry of `hidden`, each followed by dropout if that is above 0; an
    empty `hidden` gives a linear classifier. The default is the teacher of Hinton et al. 2015.
    """
    sizes = (check_int("in_features", in_features), *check_shape("hidden", hidden))
    check_fraction("dropout", dropout)
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        layers[f"fc{i}"] = nn.Linear(fan_in, fan_out)
        layers[f"relu{i}"] = nn.ReLU()
        if dropout > 0:
            layers[f"dropout{i}"] = nn.Dropout(dropout)
    layers[f"fc{len(sizes)}"] = nn.Linear(sizes[-1], check_int("num_classes", num_classes))
    return nn.Sequential(layers)


def resnet20(num_classes: int = 10, in_channels: int = 3, width: int = 16) -> nn.Sequential:
    """ResNet-20: [N, in_channels, 32, 32] -> logits [N, num_classes].

    269,722 parameters (0.27 M in He et al. 2016, Table 6) and 40.6 M MACs by default.
    """
    return resnet_cifar(20, width, num_classes, in_channels)


def resnet_cifar(
    depth: int = 20, width: int = 16, num_classes: int = 10, in_channels: int = 3
) -> nn.Sequential:
    """ResNet for small images: [N, in_channels, H, W] -> logits [N, num_classes].

    `depth` is 6n + 2: n residual blocks of two layers in each of three stages of width,
    2 width and 4 width channels. Shortcuts have no parameters (option A), which is what
    He et al. 2016, section 4.2 uses on CIFAR; their 0.27 M for depth 20 depends on it.
    ValueError if `depth` is not 6n + 2 with n >= 1.
    """
    check_int("depth", depth, minimum=8)
    blocks, excess = divmod(depth - 2, 6)
    if excess:
        near = f"{depth - excess} or {depth - excess + 6}"
        raise ValueError(f"depth must be 6n + 2, got {depth!r}; the nearest are {near}.")
    check_int("width", width)
    check_int("num_classes", num_classes)
    model = nn.Sequential(
        OrderedDict(
            conv1=_conv(check_int("in_channels", in_channels), width, 3),  # -> [N, width, H, W]
            bn1=nn.BatchNorm2d(width),
            relu1=nn.ReLU(),
            stage1=_stage(blocks, width, width, stride=1),  # -> [N, width, H, W]
            stage2=_stage(blocks, width, 2 * width, stride=2),  # -> [N, 2 width, H/2, W/2]
            stage3=_stage(blocks, 2 * width, 4 * width, stride=2),  # -> [N, 4 width, H/4, W/4]
            pool=nn.AdaptiveAvgPool2d(1),  # -> [N, 4 width, 1, 1]
            flatten=nn.Flatten(),  # -> [N, 4 width]
            classifier=nn.Linear(4 * width, num_classes),  # -> [N, num_classes]
        )
    )
    return _initialized(model)


def mobilenet_v1(
    width: float = 1.0,
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    resolution: float = 1.0,
    middle_blocks: int = 5,
    small_input: bool = False,
) -> nn.Sequential:
    """MobileNet V1: [N, in_channels, H, W] -> logits [N, num_classes], any H and W.

    `width` multiplies every channel count (`round_channels` then makes it a multiple of 8).
    `resolution`, in (0, 1], resizes the input to round(H * resolution) x round(W * resolution)
    first. `middle_blocks` is how many of the 512-channel blocks of stride 1 there are: 5 in the
    paper, 0 in its "shallow MobileNet". With `small_input` the stem has stride 1, so that a
    32 x 32 image still has 2 x 2 positions at the end.

    4,231,976 parameters and 568,740,352 MACs at 224 x 224 by default (Howard et al. 2017,
    Tables 1, 4, 6 and 7). MACs go with about width^2 * resolution^2.
    """
    check_number("width", width, minimum=0.0)
    check_fraction("resolution", resolution)
    for name, factor in (("width", width), ("resolution", resolution)):
        if factor == 0:
            raise ValueError(f"{name} must be above 0, got {factor!r}.")
    check_int("num_classes", num_classes)
    check_int("in_channels", in_channels)
    check_int("middle_blocks", middle_blocks, minimum=0)
    plan = [(32, 1 if small_input else 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1)]
    plan += [(512, 2)] + [(512, 1)] * middle_blocks + [(1024, 2), (1024, 1)]
    channels, strides = [round_channels(width * c) for c, _ in plan], [s for _, s in plan]
    blocks = [
        DepthwiseSeparable(before, after, stride)
        for (before, after), stride in zip(pairwise(channels), strides[1:], strict=True)
    ]
    model = nn.Sequential(
        OrderedDict(
            resize=nn.Identity() if resolution == 1 else Resize(resolution),
            conv1=_conv(in_channels, channels[0], 3, strides[0]),  # at 224: -> [N, 32, 112, 112]
            bn1=nn.BatchNorm2d(channels[0]),
            relu1=nn.ReLU(),
            blocks=nn.Sequential(*blocks),  # -> [N, 1024, 7, 7]
            pool=nn.AdaptiveAvgPool2d(1),  # -> [N, 1024, 1, 1]
            flatten=nn.Flatten(),  # -> [N, 1024]
            classifier=nn.Linear(channels[-1], num_classes),  # -> [N, num_classes]
        )
    )
    return _initialized(model)


def round_channels(channels: float, divisor: int = 8) -> int:
    """Round a scaled channel count to a multiple of `divisor`, never below 90 % of it.

    Kernels work on whole vectors, so odd counts save MACs on paper only. This is the rule of
    the authors' own code (`_make_divisible` in TensorFlow's MobileNet).

    >>> round_channels(32 * 0.75), round_channels(32 * 0.35), round_channels(1)
    (24, 16, 8)
    """
    check_number("channels", channels, minimum=0.0)
    check_int("divisor", divisor)
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class ResidualBlock(nn.Module):
    """relu(x + f(x)), f two 3 x 3 convolutions: [N, C, H, W] -> [N, C', H/s, W/s]."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = _conv(in_channels, out_channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = _conv(out_channels, out_channels, 3)
        self.bn2 = nn.BatchNorm2d(out_channels)
        extra_channels = out_channels - in_channels
        same_shape = stride == 1 and extra_channels == 0
        self.shortcut = nn.Identity() if same_shape else PadShortcut(extra_channels, stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))  # [N, C, H, W] -> [N, C', H/s, W/s]
        y = self.bn2(self.conv2(y))
        return self.relu2(y + self.shortcut(x))


class PadShortcut(nn.Module):
    """Option A: keep every stride-th pixel, append channels of zeros. No parameters."""

    def __init__(self, extra_channels: int, stride: int):
        super().__init__()
        self.extra_channels = extra_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]  # [N, C, H, W] -> [N, C, H/s, W/s]
        return F.pad(x, (0, 0, 0, 0, 0, self.extra_channels))  # -> [N, C + extra, ...]


class DepthwiseSeparable(nn.Module):
    """One 3 x 3 filter per channel, then a 1 x 1 mix: [N, C, H, W] -> [N, C', H/s, W/s]."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.depthwise = _conv(in_channels, in_channels, 3, stride, groups=in_channels)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.pointwise = _conv(in_channels, out_channels, 1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.depthwise(x)))  # -> [N, C, H/s, W/s]
        return self.relu2(self.bn2(self.pointwise(x)))  # -> [N, C', H/s, W/s]


class Resize(nn.Module):
    """Scale images by `factor`, antialiased: [N, C, H, W] -> [N, C, round(fH), round(fW)]."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        size = [max(1, round(side * self.factor)) for side in x.shape[2:]]
        return F.interpolate(x, size, mode="bilinear", antialias=True)


def _conv(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Convolution that keeps H and W at stride 1; no bias, for batch normalization follows."""
    shape = in_channels, out_channels, kernel_size, stride
    return nn.Conv2d(*shape, padding=kernel_size // 2, groups=groups, bias=False)


def _stage(blocks: int, in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    rest = [ResidualBlock(out_channels, out_channels, stride=1) for _ in range(blocks - 1)]
    return nn.Sequential(ResidualBlock(in_channels, out_channels, stride), *rest)


def _initialized(model: nn.Sequential) -> nn.Sequential:
    """Draw the convolutions so that ReLU keeps the signal's variance (He et al. 2015, eq. 10)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return model


_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    builder.__name__: builder
    for builder in (lenet_300_100, lenet_5, mlp, mobilenet_v1, resnet20, resnet_cifar)
}
