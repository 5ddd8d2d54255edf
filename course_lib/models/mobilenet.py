"""MobileNet V1 with its width and resolution multipliers (Howard et al. 2017)."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from course_lib._validate import check_fraction, check_int, check_number
from course_lib.models._parts import conv, initialized


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
            conv1=conv(in_channels, channels[0], 3, strides[0]),  # at 224: -> [N, 32, 112, 112]
            bn1=nn.BatchNorm2d(channels[0]),
            relu1=nn.ReLU(),
            blocks=nn.Sequential(*blocks),  # -> [N, 1024, 7, 7]
            pool=nn.AdaptiveAvgPool2d(1),  # -> [N, 1024, 1, 1]
            flatten=nn.Flatten(),  # -> [N, 1024]
            classifier=nn.Linear(channels[-1], num_classes),  # -> [N, num_classes]
        )
    )
    return initialized(model)


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


class DepthwiseSeparable(nn.Module):
    """One 3 x 3 filter per channel, then a 1 x 1 mix: [N, C, H, W] -> [N, C', H/s, W/s]."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.depthwise = conv(in_channels, in_channels, 3, stride, groups=in_channels)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.pointwise = conv(in_channels, out_channels, 1)
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
