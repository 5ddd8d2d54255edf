"""The space of the course's own benchmark: 256 small networks for small images of digits.

Two stages, each of one kind of block: a dense convolution, a depthwise-separable one (MobileNet),
an inverted residual (MobileNet V2), or that with squeeze-and-excitation (V3). Every architecture
was trained three times (`TabularBenchmark`), so that a search takes seconds, not GPU hours.
After NAS-Bench-101 (Ying et al. 2019), at the size of a laptop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.blocks import InvertedResidual, SqueezeExcite, conv_norm
from course_lib.blocks.conv import network
from course_lib.nas.space import SearchSpace

if TYPE_CHECKING:
    from course_lib.data import Dataset, Split

BLOCKS = ("dense", "separable", "inverted", "inverted_se")
EXPANSION = 3  # of the inverted residuals
REDUCTION = 4  # of the squeeze-and-excitations
TRAIN_IMAGES = 6_000

BENCHMARK_SPACE = SearchSpace(
    {
        "width": (8, 16),  # channels of the stem and of stage 1; stage 2 has twice as many
        "kernel": (3, 5),  # of all blocks
        "block_1": BLOCKS,
        "depth_1": (1, 2),  # blocks in stage 1
        "block_2": BLOCKS,
        "depth_2": (1, 2),
    }
)


def benchmark_network(architecture: Mapping[str, Any]) -> nn.Sequential:
    """Build an architecture of BENCHMARK_SPACE: [N, 1, 14, 14] -> logits [N, 10].

    The stem and the first block of stage 2 halve H and W. Weights are random (torch's generator).
    Raises ValueError for an architecture that is not in the space.

    >>> small = {"width": 8, "kernel": 3, "depth_1": 1, "depth_2": 1}
    >>> net = benchmark_network(small | {"block_1": "separable", "block_2": "dense"})
    >>> net(torch.zeros(2, 1, 14, 14)).shape
    torch.Size([2, 10])
    """
    chosen = BENCHMARK_SPACE.decode(BENCHMARK_SPACE.encode(architecture))
    width, kernel = chosen["width"], chosen["kernel"]
    return network(
        stem=conv_norm(1, width, 3, stride=2),  # [N, 1, 14, 14] -> [N, width, 7, 7]
        stage_1=_stage(chosen["block_1"], chosen["depth_1"], width, width, 1, kernel),
        stage_2=_stage(chosen["block_2"], chosen["depth_2"], width, 2 * width, 2, kernel),
        pool=nn.AdaptiveAvgPool2d(1),  # [N, 2 width, 4, 4] -> [N, 2 width, 1, 1]
        flatten=nn.Flatten(),
        classifier=nn.Linear(2 * width, 10),
    )


def architecture_name(architecture: Mapping[str, Any]) -> str:
    """Return a name that no other architecture of BENCHMARK_SPACE has.

    >>> architecture_name(next(BENCHMARK_SPACE.enumerate()))
    'w8-k3-dense-x1-dense-x1'
    """
    BENCHMARK_SPACE.encode(architecture)
    return "w{width}-k{kernel}-{block_1}-x{depth_1}-{block_2}-x{depth_2}".format_map(architecture)


def benchmark_images(mnist: Dataset) -> Dataset:
    """Return the images of the benchmark: MNIST in 14 x 14, the first 6,000 of its train split.

    Each pixel is the rounded mean of four. Validation and test splits keep their 5,000 and 10,000
    images; what normalizes them is what normalizes the large ones. This opens no test split.
    """
    return replace(
        mnist,
        train=_halved(mnist.train.head(TRAIN_IMAGES)),
        validation=_halved(mnist.validation),
        _test=_halved(mnist._test),
    )


def _stage(
    kind: str, depth: int, in_channels: int, out_channels: int, stride: int, kernel: int
) -> nn.Sequential:
    first = _block(kind, in_channels, out_channels, stride, kernel)
    others = [_block(kind, out_channels, out_channels, 1, kernel) for _ in range(1, depth)]
    return nn.Sequential(first, *others)


def _block(kind: str, in_channels: int, out_channels: int, stride: int, kernel: int) -> nn.Module:
    """[N, in_channels, H, W] -> [N, out_channels, H/stride, W/stride]."""
    if kind == "dense":
        return conv_norm(in_channels, out_channels, kernel, stride)
    if kind == "separable":
        return nn.Sequential(
            conv_norm(in_channels, in_channels, kernel, stride, groups=in_channels),
            conv_norm(in_channels, out_channels),
        )
    wide = EXPANSION * in_channels
    return InvertedResidual(
        in_channels,
        wide,
        out_channels,
        stride,
        kernel_size=kernel,
        activation=nn.ReLU,
        squeeze_excite=SqueezeExcite(wide, wide // REDUCTION) if kind == "inverted_se" else None,
    )


def _halved(split: Split) -> Split:
    images = F.avg_pool2d(split.images.float(), 2).round().to(torch.uint8)
    return replace(split, images=images)
