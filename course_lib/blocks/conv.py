"""Convolution, batch normalization, activation: the three layers that every block repeats.

The convolution has no bias, since normalization subtracts the mean and adds a shift of its own
(Ioffe and Szegedy 2015, section 3.2), and is padded so that stride 1 keeps height and width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import nn

from course_lib._validate import check_int

Activation = Callable[[], nn.Module]


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: Activation | None = nn.ReLU,
) -> nn.Sequential:
    """Convolution, batch norm, activation: [N, C, H, W] -> [N, C', H/s, W/s], rounded up.

    `activation` is a class such as nn.ReLU6; None leaves the output linear. `groups` splits the
    channels into parts that do not see each other: in_channels of them make it depthwise.
    Layers are named conv, norm and activation. Raises ValueError for a stride other than 1 or 2,
    an even kernel, or groups that do not divide both channel counts.

    >>> import torch
    >>> conv_norm(8, 16, kernel_size=3, stride=2)(torch.zeros(1, 8, 7, 7)).shape
    torch.Size([1, 16, 4, 4])
    """
    conv = same_conv(in_channels, out_channels, kernel_size, stride, groups)
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=conv, norm=nn.BatchNorm2d(out_channels))
    if activation is not None:
        layers["activation"] = build_activation("activation", activation)
    return nn.Sequential(layers)


def same_conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    stride: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv2d:
    """Convolution that keeps H and W at stride 1 and halves them, rounded up, at stride 2."""
    check_int("in_channels", in_channels)
    check_int("out_channels", out_channels)
    check_int("stride", stride, 1, 2)
    check_kernel("kernel_size", kernel_size)
    check_groups(groups, in_channels=in_channels, out_channels=out_channels)
    return nn.Conv2d(
        *(in_channels, out_channels, kernel_size, stride),
        padding=kernel_size // 2,
        groups=groups,
        bias=bias,
    )


def check_groups(groups: int, **channels: int) -> int:
    """Return `groups` if it divides each of the named channel counts, or raise."""
    check_int("groups", groups)
    for name, count in channels.items():
        if count % groups:
            raise ValueError(
                f"groups must divide {name}, but {count} channels do not split into "
                f"{groups} equal groups; change groups or round {name} to a multiple of it."
            )
    return groups


def check_kernel(name: str, size: int) -> int:
    """Return `size` if it is odd, so that the same padding fits both sides, or raise."""
    if check_int(name, size) % 2 == 0:
        raise ValueError(f"{name} must be odd, so that it has a center, got {size!r}.")
    return size


def check_even(name: str, channels: int) -> int:
    """Return `channels` if it can be split into two halves, or raise."""
    if check_int(name, channels) % 2:
        raise ValueError(f"{name} must be even, for the block splits it in half, got {channels}.")
    return channels


def build_activation(name: str, activation: Activation) -> nn.Module:
    """A new layer of the class `activation`, for each layer of a network is its own."""
    if isinstance(activation, nn.Module) or not callable(activation):
        raise TypeError(f"{name} must be a class of layers such as nn.ReLU, got {activation!r}.")
    layer = activation()
    if not isinstance(layer, nn.Module):
        raise TypeError(f"{name} must make a layer, as nn.ReLU does; got {activation!r}.")
    return layer


def network(**layers: nn.Module) -> nn.Sequential:
    """The named layers in order, their convolutions drawn as He et al. 2015 (eq. 10) have it."""
    model = nn.Sequential(OrderedDict(layers))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model
