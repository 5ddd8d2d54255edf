"""A plain stack of convolutions in the manner of VGG (Simonyan and Zisserman 2015)."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import nn

from course_lib._validate import check_int
from course_lib.models._parts import conv, initialized


def vgg_cifar(width: int = 48, num_classes: int = 10, in_channels: int = 3) -> nn.Sequential:
    """Six 3 x 3 convolutions: [N, in_channels, H, W] -> logits [N, num_classes], H, W >= 8.

    Channels are w, 2w, 2w, 4w, 4w, 4w, each layer with batch normalization and ReLU, with a
    2 x 2 maximum pooling after the first, third and fifth. It is the redundant network of the
    course: no shortcut and nothing separable, 3.5 times the weights of ResNet-20.
    """
    check_int("width", width)
    check_int("num_classes", num_classes)
    channels = [check_int("in_channels", in_channels), *(width * k for k in (1, 2, 2, 4, 4, 4))]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (before, after) in enumerate(pairwise(channels), start=1):
        layers[f"conv{i}"] = conv(before, after, 3)
        layers[f"bn{i}"] = nn.BatchNorm2d(after)
        layers[f"relu{i}"] = nn.ReLU()
        if i % 2 == 1:
            layers[f"pool{i}"] = nn.MaxPool2d(2)
    layers["pool"] = nn.AdaptiveAvgPool2d(1)  # [N, 4w, H/8, W/8] -> [N, 4w, 1, 1]
    layers["flatten"] = nn.Flatten()  # -> [N, 4w]
    layers["classifier"] = nn.Linear(channels[-1], num_classes)  # -> [N, num_classes]
    return initialized(nn.Sequential(layers))
