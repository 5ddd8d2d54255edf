"""The inverted residual with linear bottleneck: wide inside, thin where it is stored.

A residual block of ResNet is thin in the middle. This one is the other way round: it expands,
filters each channel for itself, which is cheap, and projects back onto few channels. No
activation follows the projection: in so few dimensions a ReLU would destroy information.
Papers: Sandler et al. 2018 (MobileNet V2), sections 3.2 and 3.3; Howard et al. 2019 (V3).
"""

from __future__ import annotations

from torch import Tensor, nn

from course_lib._validate import check_int
from course_lib.blocks.conv import Activation, conv_norm
from course_lib.blocks.squeeze_excite import SqueezeExcite


class InvertedResidual(nn.Module):
    """Block of MobileNet V2, V3 and EfficientNet: [N, C, H, W] -> [N, C', H/s, W/s], rounded up.

    `expanded_channels` is the width inside: C times the expansion, 6 in V2. Where it equals C
    the expanding convolution is left out. The input is added to the output if both have the
    same shape, that is if stride is 1 and C' = C (`residual` tells). `squeeze_excite`, a
    SqueezeExcite of the expanded channels, stands between the depthwise step and the projection.
    Raises ValueError for channels < 1, a stride other than 1 or 2, an even kernel, or a
    squeeze_excite of other channels.

    >>> import torch
    >>> InvertedResidual(8, 48, 16, stride=2)(torch.zeros(1, 8, 7, 7)).shape
    torch.Size([1, 16, 4, 4])
    >>> InvertedResidual(8, 48, 8).residual, InvertedResidual(8, 48, 16).residual
    (True, False)
    """

    def __init__(
        self,
        in_channels: int,
        expanded_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        kernel_size: int = 3,
        activation: Activation = nn.ReLU6,
        squeeze_excite: SqueezeExcite | None = None,
    ):
        super().__init__()
        check_int("in_channels", in_channels)
        check_int("out_channels", out_channels)
        wide = check_int("expanded_channels", expanded_channels)
        if squeeze_excite is not None:
            _check_squeeze_excite(squeeze_excite, wide)
        self.residual = stride == 1 and in_channels == out_channels
        expands = wide != in_channels
        self.expand = (
            conv_norm(in_channels, wide, activation=activation) if expands else nn.Identity()
        )
        self.depthwise = conv_norm(wide, wide, kernel_size, stride, wide, activation)
        self.squeeze_excite = squeeze_excite or nn.Identity()
        self.project = conv_norm(wide, out_channels, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand(x)  # [N, C, H, W] -> [N, expanded, H, W]
        y = self.depthwise(y)  # -> [N, expanded, H/s, W/s]
        y = self.squeeze_excite(y)  # -> [N, expanded, H/s, W/s]
        y = self.project(y)  # -> [N, C', H/s, W/s], linear
        return x + y if self.residual else y


def _check_squeeze_excite(layer: SqueezeExcite, channels: int) -> None:
    if not isinstance(layer, SqueezeExcite):
        raise TypeError(f"squeeze_excite must be a SqueezeExcite or None, got {layer!r}.")
    if layer.reduce.in_channels != channels:
        raise ValueError(
            f"squeeze_excite must have the {channels} expanded channels, for it stands between "
            f"the depthwise step and the projection; got one of {layer.reduce.in_channels}."
        )
