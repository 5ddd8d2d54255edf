"""What convolutions cost on paper: output size, parameters and multiply-adds, as integers.

A bias adds no MACs; multiplications with zero padding count, because dense kernels do them.
Depthwise-separable convolution comes in two orders: MobileNet filters, then mixes channels
(Howard et al. 2017, arXiv:1704.04861, section 3.1); Xception mixes, then filters (Chollet 2017,
arXiv:1610.02357).
"""

from __future__ import annotations

from math import prod
from typing import Literal

from course_lib._validate import check_choice, check_int

Size = int | tuple[int, int]
Padding = int | tuple[int, int] | Literal["same"]
Order = Literal["spatial_first", "pointwise_first"]


def conv_output_size(
    input_size: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: int | Literal["same"] = 0,
    dilation: int = 1,
) -> int:
    """Output positions of a convolution (or pooling) along one axis.

    floor((input + 2 padding - dilation (kernel - 1) - 1) / stride) + 1. `padding="same"` keeps
    the input size and needs stride 1, as in PyTorch. ValueError where the kernel does not fit.

    >>> conv_output_size(224, 7, stride=2, padding=3)
    112
    """
    size, step = check_int("input_size", input_size), check_int("stride", stride)
    reach = check_int("dilation", dilation) * (check_int("kernel_size", kernel_size) - 1) + 1
    if isinstance(padding, str):
        check_choice("padding", padding, ("same",))
        if step != 1:
            raise ValueError(f"padding='same' needs stride=1, got stride={stride}.")
        return size
    padded = size + 2 * check_int("padding", padding, minimum=0)
    if reach > padded:
        raise ValueError(
            f"kernel_size={kernel_size} with dilation={dilation} reaches over {reach} positions, "
            f"but the padded input has {padded}: use a larger input_size or padding."
        )
    return (padded - reach) // step + 1


def conv2d_output_size(
    input_size: Size,
    kernel_size: Size,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
) -> tuple[int, int]:
    """Height and width `(H', W')` after a 2-d convolution; an int stands for both axes.

    >>> conv2d_output_size((32, 64), (3, 5), stride=2, padding=(1, 2))
    (16, 32)
    """
    inputs, kernels = _pair("input_size", input_size), _pair("kernel_size", kernel_size)
    strides, dilations = _pair("stride", stride), _pair("dilation", dilation)
    pads = (padding,) * 2 if isinstance(padding, str) else _pair("padding", padding, minimum=0)
    height, width = (
        conv_output_size(
            inputs[i], kernels[i], stride=strides[i], padding=pads[i], dilation=dilations[i]
        )
        for i in range(2)
    )
    return height, width


def conv2d_params(
    in_channels: int, out_channels: int, kernel_size: Size, *, groups: int = 1, bias: bool = True
) -> int:
    """Parameters of a 2-d convolution: a filter sees in_channels / groups channels.

    >>> conv2d_params(3, 64, 7, bias=False), conv2d_params(32, 32, 3, groups=32)
    (9408, 320)
    """
    per_filter = _filter_weights(in_channels, out_channels, kernel_size, groups)
    return int(out_channels) * (per_filter + bool(bias))


def conv2d_macs(
    in_channels: int,
    out_channels: int,
    kernel_size: Size,
    input_size: Size,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    batch: int = 1,
) -> int:
    """MACs of a 2-d convolution `[N, Cin, H, W] -> [N, Cout, H', W']`.

    Every output element costs one filter: N H' W' Cout (Cin / groups) kh kw.

    >>> conv2d_macs(3, 64, 7, 224, stride=2, padding=3)
    118013952
    """
    per_filter = _filter_weights(in_channels, out_channels, kernel_size, groups)
    positions = prod(
        conv2d_output_size(
            input_size, kernel_size, stride=stride, padding=padding, dilation=dilation
        )
    )
    return check_int("batch", batch) * positions * int(out_channels) * per_filter


def depthwise_separable_params(
    in_channels: int,
    out_channels: int,
    kernel_size: Size,
    *,
    order: Order = "spatial_first",
    bias: bool = False,
) -> int:
    """Parameters of a depthwise and a pointwise convolution, one after the other.

    MobileNet's order (`"spatial_first"`) filters the input channels: k k Cin + Cin Cout weights.
    Xception's (`"pointwise_first"`) filters the output channels: Cin Cout + k k Cout.
    `bias` gives each of the two convolutions its own.

    >>> depthwise_separable_params(32, 64, 3)
    2336
    >>> depthwise_separable_params(32, 64, 3, order="pointwise_first")
    2624
    """
    middle = _middle_channels(in_channels, out_channels, order)
    spatial = conv2d_params(middle, middle, kernel_size, groups=middle, bias=bias)
    return spatial + conv2d_params(in_channels, out_channels, 1, bias=bias)


def depthwise_separable_macs(
    in_channels: int,
    out_channels: int,
    kernel_size: Size,
    input_size: Size,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    order: Order = "spatial_first",
    batch: int = 1,
) -> int:
    """MACs of a depthwise-separable convolution; stride and padding belong to its depthwise half.

    So `"pointwise_first"` mixes channels at the input's resolution, `"spatial_first"` at the
    output's, which is cheaper where the stride is above 1.

    >>> depthwise_separable_macs(32, 64, 3, 112, padding=1)
    29302784
    """
    middle = _middle_channels(in_channels, out_channels, order)
    spatial = conv2d_macs(
        middle,
        middle,
        kernel_size,
        input_size,
        stride=stride,
        padding=padding,
        groups=middle,
        batch=batch,
    )
    where = input_size
    if order == "spatial_first":
        where = conv2d_output_size(input_size, kernel_size, stride=stride, padding=padding)
    return spatial + conv2d_macs(in_channels, out_channels, 1, where, batch=batch)


def depthwise_separable_ratio(out_channels: int, kernel_size: Size) -> float:
    """Cost of a depthwise-separable convolution as a fraction of the dense one's.

    1 / Cout + 1 / (kh kw), for weights and MACs alike, in MobileNet's order (section 3.1 of its
    paper). The saving tends to kh kw as Cout grows and never reaches it.

    >>> round(1 / depthwise_separable_ratio(512, 3), 2)
    8.84
    """
    area = prod(_pair("kernel_size", kernel_size))
    return 1 / check_int("out_channels", out_channels) + 1 / area


def _filter_weights(in_channels: int, out_channels: int, kernel_size: Size, groups: int) -> int:
    """Weights of one filter, after checking the four arguments."""
    groups = check_int("groups", groups)
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if check_int(name, channels) % groups:
            raise ValueError(f"groups must divide {name}={channels}, got groups={groups}.")
    return int(in_channels) // groups * prod(_pair("kernel_size", kernel_size))


def _middle_channels(in_channels: int, out_channels: int, order: str) -> int:
    """Channels that the depthwise half filters."""
    check_int("in_channels", in_channels)
    check_int("out_channels", out_channels)
    check_choice("order", order, ("spatial_first", "pointwise_first"))
    return in_channels if order == "spatial_first" else out_channels


def _pair(name: str, value: Size, minimum: int = 1) -> tuple[int, int]:
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{name} must be an int or a pair (height, width), got {value!r}.")
        return (
            check_int(f"{name}[0]", value[0], minimum),
            check_int(f"{name}[1]", value[1], minimum),
        )
    size = check_int(name, value, minimum)
    return size, size
