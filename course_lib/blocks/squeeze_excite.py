"""Squeeze-and-excite: let the whole picture decide how much each channel counts.

Squeeze every map to its mean, pass the C means through two small layers, and scale each channel
by the factor that comes out. A few percent more parameters, hardly any MACs.
Paper: Hu et al. 2018, equations 2 to 4.
"""

from __future__ import annotations

from torch import Tensor, nn

from course_lib._validate import check_int
from course_lib.blocks.conv import Activation, build_activation


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate in [0, 1] computed from all: [N, C, H, W] -> the same shape.

    `squeezed_channels` is the width between the two layers (C / 16 in the paper, C / 4 in
    MobileNet V3). `activation` follows the first layer and `gate` the second: nn.Sigmoid, or
    nn.Hardsigmoid in MobileNet V3. The layers are 1 x 1 convolutions, so that [N, C, 1, 1]
    needs no reshaping. Raises ValueError for channel counts < 1.

    >>> import torch
    >>> SqueezeExcite(8, 2)(torch.zeros(1, 8, 7, 7)).shape
    torch.Size([1, 8, 7, 7])
    """

    def __init__(
        self,
        channels: int,
        squeezed_channels: int,
        *,
        activation: Activation = nn.ReLU,
        gate: Activation = nn.Sigmoid,
    ):
        super().__init__()
        check_int("channels", channels)
        check_int("squeezed_channels", squeezed_channels)
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed_channels, 1)
        self.activation = build_activation("activation", activation)
        self.restore = nn.Conv2d(squeezed_channels, channels, 1)
        self.gate = build_activation("gate", gate)

    def forward(self, x: Tensor) -> Tensor:
        factors = self.squeeze(x)  # [N, C, H, W] -> [N, C, 1, 1]
        factors = self.activation(self.reduce(factors))  # -> [N, squeezed, 1, 1]
        factors = self.gate(self.restore(factors))  # -> [N, C, 1, 1], each in [0, 1]
        return x * factors  # -> [N, C, H, W]
