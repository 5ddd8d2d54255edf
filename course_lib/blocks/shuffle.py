"""Channel shuffle: grouped convolutions stay cheap, and the groups still hear of each other.

After ResNet's spatial layer goes depthwise, most MACs are in the 1 x 1 convolutions. ShuffleNet V1
groups those; V2, which counts memory traffic too, leaves half of the channels untouched instead.
Both then interleave the parts, so that the next layer sees something of each.
Papers: Zhang et al. 2018 (V1), Figures 1 and 2; Ma et al. 2018 (V2), Figure 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from course_lib._validate import check_int, check_number, check_tensor
from course_lib.blocks.conv import check_even, check_groups, conv_norm, network


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Deal the channels of each group out to all groups in turn: [N, C, ...] -> the same shape.

    Channel j of group i, at i * C/groups + j, goes to j * groups + i. Shuffling again with
    C/groups groups brings the order back. Equals nn.ChannelShuffle (Zhang et al. 2018, Figure 1).
    Raises ValueError if groups does not divide C or x has no channel dimension.

    >>> channel_shuffle(torch.arange(6).view(1, 6), groups=2)
    tensor([[0, 3, 1, 4, 2, 5]])
    """
    if check_tensor("x", x).ndim < 2:
        raise ValueError(f"x must have the shape [N, C, ...], got {tuple(x.shape)}.")
    return _shuffle(x, check_groups(groups, C=x.shape[1]))


class ShuffleUnitV1(nn.Module):
    """ShuffleNet V1's unit: [N, C, H, W] -> [N, C', H/s, W/s], rounded up.

    Grouped 1 x 1 convolution onto C'/4 channels, shuffle, depthwise 3 x 3, grouped 1 x 1. With
    stride 1, which needs C' = C, the input is added; with stride 2 it is averaged and makes
    the first C of the C' channels, so C' must exceed C. `grouped_input=False` gives the first
    convolution one group, as in stage 2, where C is small. Raises ValueError if groups does
    not divide what it must, C' is not a multiple of 4, or the stride is not 1 or 2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        groups: int = 3,
        grouped_input: bool = True,
    ):
        super().__init__()
        check_int("in_channels", in_channels)
        check_int("out_channels", out_channels)
        check_int("stride", stride, 1, 2)
        if out_channels % 4:
            raise ValueError(f"out_channels must be a multiple of 4, got {out_channels}.")
        bottleneck = out_channels // 4
        check_groups(groups, bottleneck_channels=bottleneck)
        if stride == 1:
            _check_same(in_channels, out_channels)
        elif out_channels <= in_channels:
            raise ValueError(
                f"out_channels must exceed in_channels at stride 2, where the input is "
                f"concatenated; got {in_channels} -> {out_channels}."
            )
        added = out_channels if stride == 1 else out_channels - in_channels
        self.groups, self.stride = groups, stride
        self.reduce = conv_norm(in_channels, bottleneck, groups=groups if grouped_input else 1)
        self.depthwise = conv_norm(bottleneck, bottleneck, 3, stride, bottleneck, None)
        self.expand = conv_norm(bottleneck, added, groups=groups, activation=None)
        self.shortcut = nn.Identity() if stride == 1 else nn.AvgPool2d(3, stride=2, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = _shuffle(self.reduce(x), self.groups)  # [N, C, H, W] -> [N, C'/4, H, W]
        y = self.depthwise(y)  # -> [N, C'/4, H/s, W/s], linear
        y = self.expand(y)  # -> [N, C' or C' - C, H/s, W/s], linear
        if self.stride == 1:
            return self.relu(self.shortcut(x) + y)
        return self.relu(torch.cat((self.shortcut(x), y), dim=1))  # -> [N, C', H/2, W/2]


class ShuffleUnitV2(nn.Module):
    """ShuffleNet V2's unit: [N, C, H, W] -> [N, C', H/s, W/s], rounded up.

    With stride 1, which needs C' = C, half of the channels passes by. With stride 2 both
    branches read all channels and each makes C'/2. Then the halves are shuffled. Raises
    ValueError for odd C', a stride other than 1 or 2, or C' != C at stride 1.

    >>> ShuffleUnitV2(8, 16, stride=2)(torch.zeros(1, 8, 7, 7)).shape
    torch.Size([1, 16, 4, 4])
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        check_int("in_channels", in_channels)
        check_int("stride", stride, 1, 2)
        half = check_even("out_channels", out_channels) // 2
        if stride == 1:
            _check_same(in_channels, out_channels)
        self.stride = stride
        self.left = nn.Identity() if stride == 1 else _left_branch(in_channels, half)
        right_channels = half if stride == 1 else in_channels
        self.right = nn.Sequential(
            conv_norm(right_channels, half),  # -> [N, C'/2, H, W]
            conv_norm(half, half, 3, stride, half, None),  # -> [N, C'/2, H/s, W/s]
            conv_norm(half, half),
        )

    def forward(self, x: Tensor) -> Tensor:
        # stride 1: [N, C, H, W] -> two of [N, C/2, H, W]; stride 2: both branches read all of it
        left, right = x.chunk(2, dim=1) if self.stride == 1 else (x, x)
        x = torch.cat((self.left(left), self.right(right)), dim=1)  # -> [N, C', H/s, W/s]
        return _shuffle(x, groups=2)


def shufflenet_v1(groups: int = 3, num_classes: int = 1000, in_channels: int = 3) -> nn.Sequential:
    """ShuffleNet V1 1x: [N, in_channels, H, W] -> logits [N, num_classes].

    `groups` is 1, 2, 3, 4 or 8, with a width for each so that all cost about the same: 143, 140,
    137, 133 and 137 M MACs at 224 x 224 before the classifier (Zhang et al. 2018, Table 1).
    ValueError for another number.
    """
    if check_int("groups", groups) not in _V1_CHANNELS:
        raise ValueError(f"groups must be one of 1, 2, 3, 4, 8, got {groups!r}.")
    stages: dict[str, nn.Module] = {}
    before = 24
    for stage, units in enumerate(_UNITS):
        after = _V1_CHANNELS[groups] * 2**stage
        first = ShuffleUnitV1(before, after, 2, groups=groups, grouped_input=stage > 0)
        rest = [ShuffleUnitV1(after, after, groups=groups) for _ in range(units - 1)]
        stages[f"stage{stage + 2}"] = nn.Sequential(first, *rest)
        before = after
    return network(
        **_stem(in_channels),  # at 224: -> [N, 24, 56, 56]
        **stages,  # -> [N, C, 28, 28] -> [N, 2C, 14, 14] -> [N, 4C, 7, 7]
        **_classifier(before, num_classes),
    )


def shufflenet_v2(
    width: float = 1.0, num_classes: int = 1000, in_channels: int = 3
) -> nn.Sequential:
    """ShuffleNet V2: [N, in_channels, H, W] -> logits [N, num_classes].

    `width` is 0.5, 1.0, 1.5 or 2.0: 1,366,792, 2,278,604, 3,503,624 or 7,393,996 parameters
    (Ma et al. 2018, Table 5). ValueError for another width.
    """
    if check_number("width", width) not in _V2_CHANNELS:
        raise ValueError(f"width must be one of 0.5, 1.0, 1.5, 2.0, got {width!r}.")
    *channels, last = _V2_CHANNELS[width]
    stages: dict[str, nn.Module] = {}
    before = 24
    for stage, (units, after) in enumerate(zip(_UNITS, channels, strict=True), start=2):
        rest = [ShuffleUnitV2(after, after) for _ in range(units - 1)]
        stages[f"stage{stage}"] = nn.Sequential(ShuffleUnitV2(before, after, 2), *rest)
        before = after
    return network(
        **_stem(in_channels),  # at 224: -> [N, 24, 56, 56]
        **stages,  # at width 1.0: -> [N, 116, 28, 28] -> [N, 232, 14, 14] -> [N, 464, 7, 7]
        conv5=conv_norm(before, last),  # -> [N, 1024, 7, 7]
        **_classifier(last, num_classes),
    )


_UNITS = 4, 8, 4  # of stages 2, 3 and 4, both versions
_V1_CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}  # of stage 2; doubled in 3 and 4
_V2_CHANNELS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}


def _shuffle(x: Tensor, groups: int) -> Tensor:
    """channel_shuffle without its checks, which torch.fx could not trace."""
    parts = x.unflatten(1, (groups, x.shape[1] // groups))  # [N, C, ...] -> [N, g, C/g, ...]
    return parts.transpose(1, 2).flatten(1, 2)  # -> [N, C/g, g, ...] -> [N, C, ...]


def _left_branch(in_channels: int, out_channels: int) -> nn.Sequential:
    depthwise = conv_norm(in_channels, in_channels, 3, 2, in_channels, None)
    return nn.Sequential(depthwise, conv_norm(in_channels, out_channels))


def _check_same(in_channels: int, out_channels: int) -> None:
    if in_channels != out_channels:
        raise ValueError(
            f"out_channels must equal in_channels at stride 1, where the input passes through; "
            f"got {in_channels} -> {out_channels}. Only a unit of stride 2 changes the width."
        )


def _stem(in_channels: int) -> dict[str, nn.Module]:
    conv = conv_norm(check_int("in_channels", in_channels), 24, kernel_size=3, stride=2)
    return {"conv1": conv, "pool1": nn.MaxPool2d(3, stride=2, padding=1)}


def _classifier(channels: int, num_classes: int) -> dict[str, nn.Module]:
    linear = nn.Linear(channels, check_int("num_classes", num_classes))
    return {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "classifier": linear}
