"""The networks that the course makes cheap: LeNets, ResNet and VGG for CIFAR, MobileNet V1.

They are small enough to train on a laptop and have published results to compare with. Each is an
nn.Sequential of named layers: every weight sits in an nn.Linear, nn.Conv2d or nn.BatchNorm2d
and every activation is an nn.ReLU of its own, so that pruning, quantization and hooks reach it.
`pretrained` loads the trained ones that come with the course.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from course_lib._validate import check_choice
from course_lib.models.lenet import lenet_5, lenet_300_100, mlp
from course_lib.models.mobilenet import DepthwiseSeparable, Resize, mobilenet_v1, round_channels
from course_lib.models.resnet import (
    PadShortcut,
    ResidualBlock,
    pooled_resnet,
    resnet20,
    resnet_cifar,
)
from course_lib.models.trained import Checkpoint, checkpoints, pretrained
from course_lib.models.vgg import vgg_cifar

__all__ = [
    "Checkpoint",
    "DepthwiseSeparable",
    "PadShortcut",
    "ResidualBlock",
    "Resize",
    "by_name",
    "checkpoints",
    "lenet_5",
    "lenet_300_100",
    "mlp",
    "mobilenet_v1",
    "names",
    "pooled_resnet",
    "pretrained",
    "resnet20",
    "resnet_cifar",
    "round_channels",
    "vgg_cifar",
]


def names() -> tuple[str, ...]:
    """Return the names that `by_name` knows.

    >>> "resnet20" in names()
    True
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


_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    builder.__name__: builder
    for builder in (
        lenet_300_100,
        lenet_5,
        mlp,
        mobilenet_v1,
        pooled_resnet,
        resnet20,
        resnet_cifar,
        vgg_cifar,
    )
}
