"""The fire module and SqueezeNet: AlexNet's accuracy with a fiftieth of its parameters.

Squeeze onto few channels with 1 x 1 filters, then expand with 1 x 1 and 3 x 3 filters side by
side: the dear 3 x 3 filters are half as many, and read few channels.
Paper: Iandola et al. 2016, sections 3.1 to 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from course_lib._validate import check_int
from course_lib.blocks.conv import network


class Fire(nn.Module):
    """Squeeze, then expand in two ways: [N, C, H, W] -> [N, expand1x1 + expand3x3, H, W].

    The arguments are channel counts: s1x1, e1x1 and e3x3 of the paper. There is no batch norm;
    the convolutions have biases. Raises ValueError for a count < 1.

    >>> Fire(96, 16, 64, 64)(torch.zeros(1, 96, 7, 7)).shape
    torch.Size([1, 128, 7, 7])
    """

    def __init__(self, in_channels: int, squeeze: int, expand1x1: int, expand3x3: int):
        super().__init__()
        check_int("in_channels", in_channels)
        check_int("squeeze", squeeze)
        check_int("expand1x1", expand1x1)
        check_int("expand3x3", expand3x3)
        self.squeeze = nn.Conv2d(in_channels, squeeze, 1)
        self.squeeze_relu = nn.ReLU()
        self.expand1x1 = nn.Conv2d(squeeze, expand1x1, 1)
        self.expand1x1_relu = nn.ReLU()
        self.expand3x3 = nn.Conv2d(squeeze, expand3x3, 3, padding=1)
        self.expand3x3_relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze_relu(self.squeeze(x))  # [N, C, H, W] -> [N, squeeze, H, W]
        points = self.expand1x1_relu(self.expand1x1(x))  # -> [N, expand1x1, H, W]
        areas = self.expand3x3_relu(self.expand3x3(x))  # -> [N, expand3x3, H, W]
        return torch.cat((points, areas), dim=1)  # -> [N, expand1x1 + expand3x3, H, W]


def squeezenet(
    version: str = "1.1", num_classes: int = 1000, in_channels: int = 3
) -> nn.Sequential:
    """SqueezeNet: [N, in_channels, H, W] -> logits [N, num_classes]; H and W at least 17 or 21.

    1,248,424 parameters for version "1.0", that of the paper; 1,235,496 and 2.4 times fewer
    MACs for "1.1", which pools earlier. ValueError for another version.
    """
    if version not in ("1.0", "1.1"):
        raise ValueError(f'version must be "1.0" or "1.1", got {version!r}.')
    check_int("in_channels", in_channels)
    early = version == "1.1"
    channels = 64 if early else 96
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(in_channels, channels, kernel_size=3 if early else 7, stride=2),
        "relu1": nn.ReLU(),
        "pool1": _pool(),
    }
    for number, (squeeze, expand) in enumerate(_FIRES, start=2):
        layers[f"fire{number}"] = Fire(channels, squeeze, expand, expand)
        channels = 2 * expand
        if number in _POOLED_AFTER[version]:
            layers[f"pool{number}"] = _pool()
    return network(
        **layers,  # -> [N, 512, H/16, W/16]
        dropout=nn.Dropout(0.5),
        conv10=nn.Conv2d(channels, check_int("num_classes", num_classes), 1),
        relu10=nn.ReLU(),  # the paper has it, so no logit is below 0
        pool10=nn.AdaptiveAvgPool2d(1),  # -> [N, num_classes, 1, 1]
        flatten=nn.Flatten(),
    )


# Channels of fire2 to fire9, (squeeze, each expand), and the fires that a pooling follows.
_FIRES = (16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)
_POOLED_AFTER = {"1.0": (4, 8), "1.1": (3, 5)}


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)
