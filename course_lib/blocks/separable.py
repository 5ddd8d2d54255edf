"""Depthwise separable convolution: look at space and at channels in two cheap steps.

A k x k convolution costs k^2 C C' MACs per pixel. One filter per channel (k^2 C) and a 1 x 1
mix of the channels (C C') cost 1/C' + 1/k^2 of that: about a ninth for k = 3.
Papers: Sifre 2014; Howard et al. 2017 (MobileNet V1), section 3.1; Chollet 2017 (Xception).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, get_args

from torch import Tensor, nn

from course_lib._validate import check_choice, check_int
from course_lib.blocks.conv import Activation, conv_norm, same_conv

Order = Literal["spatial_first", "pointwise_first"]  # as in course_lib.cost


class DepthwiseSeparable(nn.Module):
    """MobileNet V1's block: [N, C, H, W] -> [N, C', H/s, W/s], rounded up.

    Each of the two convolutions is followed by batch norm and `activation`. In MobileNet's
    order, "spatial_first", the depthwise step has C channels; with "pointwise_first" the
    channels are mixed before, as in Inception, and it has C'. The stride is always that of the
    depthwise step, since a 1 x 1 convolution with stride would ignore three pixels of four.
    Raises ValueError for channels < 1, a stride other than 1 or 2, an even kernel, or another
    order.

    >>> import torch
    >>> DepthwiseSeparable(8, 16, stride=2)(torch.zeros(1, 8, 7, 7)).shape
    torch.Size([1, 16, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        kernel_size: int = 3,
        order: Order = "spatial_first",
        activation: Activation | None = nn.ReLU,
    ):
        super().__init__()
        check_int("in_channels", in_channels)
        check_int("out_channels", out_channels)
        check_choice("order", order, get_args(Order))
        self.order = order
        middle = in_channels if order == "spatial_first" else out_channels
        self.depthwise = conv_norm(middle, middle, kernel_size, stride, middle, activation)
        self.pointwise = conv_norm(in_channels, out_channels, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        if self.order == "spatial_first":
            x = self.depthwise(x)  # [N, C, H, W] -> [N, C, H/s, W/s]
            return self.pointwise(x)  # -> [N, C', H/s, W/s]
        x = self.pointwise(x)  # [N, C, H, W] -> [N, C', H, W]
        return self.depthwise(x)  # -> [N, C', H/s, W/s]


def separable_conv(
    in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1
) -> nn.Sequential:
    """The two bare convolutions of Xception: [N, C, H, W] -> [N, C', H/s, W/s], rounded up.

    Nothing stands between them: on these shallow maps Chollet 2017, section 4.7 found any
    activation there to hurt. Raises ValueError as DepthwiseSeparable does.

    >>> import torch
    >>> separable_conv(8, 16)(torch.zeros(1, 8, 7, 7)).shape
    torch.Size([1, 16, 7, 7])
    """
    depthwise = same_conv(in_channels, in_channels, kernel_size, stride, groups=in_channels)
    pointwise = same_conv(in_channels, out_channels)
    return nn.Sequential(OrderedDict(depthwise=depthwise, pointwise=pointwise))
