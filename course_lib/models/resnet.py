"""ResNets for small images: shortcuts without parameters (He et al. 2016, section 4.2)."""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from course_lib._validate import check_int
from course_lib.models._parts import conv, initialized


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
            conv1=conv(check_int("in_channels", in_channels), width, 3),  # -> [N, width, H, W]
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
    return initialized(model)


def pooled_resnet(width: int = 48, num_classes: int = 10, in_channels: int = 3) -> nn.Sequential:
    """ResNet of few, wide layers: [N, in_channels, H, W] -> logits [N, num_classes], H, W >= 8.

    Three stages of width, 2 width and 3 width channels, each a convolution, a 2 x 2 maximum
    pooling and one residual block. 760,738 parameters and 57 M MACs by default, where ResNet-20
    has 41 M in nineteen thin layers; `results/engines.csv` has the times of both, of this one
    with a width of 54, as `pretrained` has it.
    Source: the ResNet-9 of Page 2018 ("How to train your ResNet"), thinner, with a residual
    block in the middle stage, too, and an average at the end.
    """
    check_int("width", width, minimum=2)
    check_int("num_classes", num_classes)
    stem = width // 2
    model = nn.Sequential(
        OrderedDict(
            conv1=conv(check_int("in_channels", in_channels), stem, 3),  # -> [N, w/2, H, W]
            bn1=nn.BatchNorm2d(stem),
            relu1=nn.ReLU(),
            stage1=_pooled_stage(stem, width),  # -> [N, w, H/2, W/2]
            stage2=_pooled_stage(width, 2 * width),  # -> [N, 2 w, H/4, W/4]
            stage3=_pooled_stage(2 * width, 3 * width),  # -> [N, 3 w, H/8, W/8]
            pool=nn.AdaptiveAvgPool2d(1),  # -> [N, 3 w, 1, 1]
            flatten=nn.Flatten(),  # -> [N, 3 w]
            classifier=nn.Linear(3 * width, num_classes),  # -> [N, num_classes]
        )
    )
    return initialized(model)


class ResidualBlock(nn.Module):
    """relu(x + f(x)), f two 3 x 3 convolutions: [N, C, H, W] -> [N, C', H/s, W/s]."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = conv(out_channels, out_channels, 3)
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


def _stage(blocks: int, in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    rest = [ResidualBlock(out_channels, out_channels, stride=1) for _ in range(blocks - 1)]
    return nn.Sequential(ResidualBlock(in_channels, out_channels, stride), *rest)


def _pooled_stage(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=conv(in_channels, out_channels, 3),
            pool=nn.MaxPool2d(2),
            bn=nn.BatchNorm2d(out_channels),
            relu=nn.ReLU(),
            block=ResidualBlock(out_channels, out_channels, stride=1),
        )
    )
