"""What several of the networks are made of."""

from __future__ import annotations

from torch import nn


def conv(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Convolution that keeps H and W at stride 1; no bias, for batch normalization follows."""
    shape = in_channels, out_channels, kernel_size, stride
    return nn.Conv2d(*shape, padding=kernel_size // 2, groups=groups, bias=False)


def initialized(model: nn.Sequential) -> nn.Sequential:
    """Draw the convolutions so that ReLU keeps the signal's variance (He et al. 2015, eq. 10)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return model
