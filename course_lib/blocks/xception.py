"""Xception: Inception taken to its extreme, where every channel is a branch of its own.

Then a block is a stack of depthwise separable convolutions with a shortcut around it.
Paper: Chollet 2017, Figure 5.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from course_lib._validate import check_int, check_shape
from course_lib.blocks.conv import conv_norm, network
from course_lib.blocks.separable import separable_conv


class XceptionBlock(nn.Module):
    """ReLU, separable convolution, batch norm, repeated: [N, C, H, W] -> [N, C', H/s, W/s].

    `channels` lists C, the width after each convolution, and so C' at its end; (728, 728, 728,
    728) is the paper's middle block. Stride 2 is a 3 x 3 maximum at the end (H/s rounded up).
    The input is added, through a 1 x 1 convolution where the shapes differ.
    `activate_first=False` leaves out the first ReLU, in the block that follows one. Raises
    ValueError for fewer than two channel counts, a count < 1, or a stride other than 1 or 2.

    >>> import torch
    >>> XceptionBlock((8, 16, 16), stride=2)(torch.zeros(1, 8, 7, 7)).shape
    torch.Size([1, 16, 4, 4])
    """

    def __init__(self, channels: Sequence[int], stride: int = 1, *, activate_first: bool = True):
        super().__init__()
        widths = check_shape("channels", channels)
        if len(widths) < 2:
            raise ValueError(f"channels must list input and outputs, got {widths}.")
        check_int("stride", stride, 1, 2)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i, (before, after) in enumerate(pairwise(widths), start=1):
            if i > 1 or activate_first:
                layers[f"relu{i}"] = nn.ReLU()
            layers[f"separable{i}"] = separable_conv(before, after)
            layers[f"norm{i}"] = nn.BatchNorm2d(after)
        if stride == 2:
            layers["pool"] = nn.MaxPool2d(3, stride=2, padding=1)
        first, last = widths[0], widths[-1]
        same = stride == 1 and first == last
        self.body = nn.Sequential(layers)
        self.shortcut = (
            nn.Identity() if same else conv_norm(first, last, stride=stride, activation=None)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.shortcut(x)  # [N, C, H, W] -> [N, C', H/s, W/s]


def xception(num_classes: int = 1000, in_channels: int = 3) -> nn.Sequential:
    """Xception: [N, in_channels, H, W] -> logits [N, num_classes].

    22,855,952 parameters (Chollet 2017, Table 3). Unlike there the two first convolutions are
    padded, so maps are 150 and 75 wide for an image of 299, not 149 and 74.
    """
    check_int("in_channels", in_channels)
    check_int("num_classes", num_classes)
    middle = [XceptionBlock((728, 728, 728, 728)) for _ in range(8)]
    return network(
        conv1=conv_norm(in_channels, 32, kernel_size=3, stride=2),  # at 299: -> [N, 32, 150, 150]
        conv2=conv_norm(32, 64, kernel_size=3),
        block1=XceptionBlock((64, 128, 128), stride=2, activate_first=False),  # -> [., 75, 75]
        block2=XceptionBlock((128, 256, 256), stride=2),  # -> [N, 256, 38, 38]
        block3=XceptionBlock((256, 728, 728), stride=2),  # -> [N, 728, 19, 19]
        middle=nn.Sequential(*middle),
        block12=XceptionBlock((728, 728, 1024), stride=2),  # -> [N, 1024, 10, 10]
        separable3=_separable_norm(1024, 1536),
        separable4=_separable_norm(1536, 2048),
        pool=nn.AdaptiveAvgPool2d(1),  # -> [N, 2048, 1, 1]
        flatten=nn.Flatten(),
        classifier=nn.Linear(2048, num_classes),
    )


def _separable_norm(in_channels: int, out_channels: int) -> nn.Sequential:
    convolution = separable_conv(in_channels, out_channels)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU())
