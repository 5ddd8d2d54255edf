"""The Inception block: several filter sizes side by side, a 1 x 1 convolution before each.

Nobody has to choose between 1 x 1, 3 x 3 and 5 x 5: the block has them all and concatenates.
What makes that affordable are the 1 x 1 convolutions that reduce the channels beforehand.
Paper: Szegedy et al. 2015 (GoogLeNet), Figure 2b; batch norm as in Ioffe and Szegedy 2015.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from course_lib._validate import check_int
from course_lib.blocks.conv import check_kernel, conv_norm


class Inception(nn.Module):
    """Four branches, concatenated: [N, C, H, W] -> [N, point + medium + large + pooled, H, W].

    Each is a channel count, with the reduction before it: `reduce_medium` channels enter the
    3 x 3 filters, `reduce_large` the 5 x 5 ones. The fourth branch is a 3 x 3 maximum, then a
    1 x 1 convolution. Arguments stand in the order of the paper's Table 1. `large_kernel=3` is
    the block that torchvision has. Raises ValueError for a count < 1 or an even kernel.

    >>> Inception(192, 64, 96, 128, 16, 32, 32)(torch.zeros(1, 192, 7, 7)).shape
    torch.Size([1, 256, 7, 7])
    """

    def __init__(
        self,
        in_channels: int,
        point: int,
        reduce_medium: int,
        medium: int,
        reduce_large: int,
        large: int,
        pooled: int,
        *,
        large_kernel: int = 5,
    ):
        super().__init__()
        check_int("in_channels", in_channels)
        check_int("point", point)
        check_int("reduce_medium", reduce_medium)
        check_int("medium", medium)
        check_int("reduce_large", reduce_large)
        check_int("large", large)
        check_int("pooled", pooled)
        check_kernel("large_kernel", large_kernel)
        self.point = conv_norm(in_channels, point)
        self.medium = nn.Sequential(
            conv_norm(in_channels, reduce_medium), conv_norm(reduce_medium, medium, 3)
        )
        self.large = nn.Sequential(
            conv_norm(in_channels, reduce_large), conv_norm(reduce_large, large, large_kernel)
        )
        self.pooled = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), conv_norm(in_channels, pooled)
        )

    def forward(self, x: Tensor) -> Tensor:
        point = self.point(x)  # [N, C, H, W] -> [N, point, H, W]
        medium = self.medium(x)  # -> [N, medium, H, W]
        large = self.large(x)  # -> [N, large, H, W]
        pooled = self.pooled(x)  # -> [N, pooled, H, W]
        return torch.cat((point, medium, large, pooled), dim=1)
