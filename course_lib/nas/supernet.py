"""Once for all: one network that contains many, trained once, cut to each device's measure.

Each stage is elastic in depth (its first blocks), in width and in kernel (see `elastic`), so the
weights of a sub-network are slices of the largest one's: all learn together, and any can be cut
out without training. Source: Cai et al. 2020 (once-for-all), section 3; here kernel and width are
chosen per stage, not per block, so that a small space can be gone through whole.
"""

from __future__ import annotations

import copy
import itertools
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from course_lib._validate import check_int, check_shape
from course_lib.blocks import conv_norm
from course_lib.nas.elastic import BlockShape, ElasticBlock
from course_lib.nas.space import Architecture, SearchSpace


class Supernet(nn.Module):
    """An elastic MobileNet V2 for small images: [N, in_channels, H, W] -> logits [N, num_classes].

    The stem halves H and W, and so does every stage but the first. Stage i (from 1) of
    `channels[i - 1]` channels has three choices in `space`: "depth_i", its number of blocks;
    "expansion_i", how many times wider than its input a block is inside; "kernel_i", the size of
    its depthwise filters. `largest` and `smallest` are the architectures at the two ends.
    Batch norm's running statistics are those of the largest network; cut out another with
    `extract` and give it its own with `recalibrate_batch_norm`.
    Raises ValueError for no channels or options, an option twice, expansions < 2, even kernels.

    >>> import torch
    >>> supernet = Supernet().eval()
    >>> supernet.space.size, supernet(torch.zeros(2, 1, 28, 28), supernet.smallest).shape
    (144, torch.Size([2, 10]))
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        num_classes: int = 10,
        channels: Sequence[int] = (16, 32),
        depths: Sequence[int] = (1, 2, 3),
        expansions: Sequence[int] = (2, 4),
        kernels: Sequence[int] = (3, 5),
    ):
        super().__init__()
        channels = check_shape("channels", channels)
        self.space = _space(len(channels), depths, expansions, kernels)
        self.stem = conv_norm(check_int("in_channels", in_channels), channels[0], 3, stride=2)
        self.stages = nn.ModuleList()
        before, stride = channels[0], 1
        for out in channels:
            stage = nn.ModuleList()
            for _ in range(max(depths)):
                shape = BlockShape(before, out, stride, max(expansions), max(kernels))
                stage.append(ElasticBlock(shape))
                before, stride = out, 1
            self.stages.append(stage)
            stride = 2
        self.classifier = nn.Linear(channels[-1], check_int("num_classes", num_classes))

    @property
    def largest(self) -> Architecture:
        return {name: max(options) for name, options in self.space.choices.items()}

    @property
    def smallest(self) -> Architecture:
        return {name: min(options) for name, options in self.space.choices.items()}

    def forward(self, x: Tensor, architecture: Mapping[str, Any] | None = None) -> Tensor:
        """Run the sub-network `architecture`, the largest if None."""
        chosen = self._checked(self.largest if architecture is None else architecture)
        x = self.stem(x)  # [N, in_channels, H, W] -> [N, channels[0], H/2, W/2]
        for block, expansion, kernel_size in self._blocks(chosen):
            x = block(x, expansion, kernel_size, keep_statistics=chosen == self.largest)
        return self.classifier(x.mean(dim=(2, 3)))  # [N, channels[-1], h, w] -> [N, num_classes]

    def extract(self, architecture: Mapping[str, Any]) -> nn.Sequential:
        """Return the sub-network as an ordinary smaller model, its weights copies of the slices.

        [N, in_channels, H, W] -> [N, num_classes], what the supernet gives for the architecture.
        Raises ValueError for an architecture that is not in `space`.
        """
        blocks = self._blocks(self._checked(architecture))
        model = nn.Sequential(
            OrderedDict(
                stem=copy.deepcopy(self.stem),
                blocks=nn.Sequential(*(block.extract(*cut) for block, *cut in blocks)),
                pool=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
                classifier=copy.deepcopy(self.classifier),
            )
        )
        return model.train(self.training)

    def _blocks(self, architecture: Architecture) -> Iterator[tuple[ElasticBlock, int, int]]:
        """The blocks that the architecture uses, with the expansion and kernel of each."""
        for i, stage in enumerate(self.stages, start=1):
            for block in itertools.islice(stage.children(), architecture[f"depth_{i}"]):
                assert isinstance(block, ElasticBlock)
                yield block, architecture[f"expansion_{i}"], architecture[f"kernel_{i}"]

    def _checked(self, architecture: Mapping[str, Any]) -> Architecture:
        return self.space.decode(self.space.encode(architecture))


def _space(
    stages: int, depths: Sequence[int], expansions: Sequence[int], kernels: Sequence[int]
) -> SearchSpace:
    if stages == 0:
        raise ValueError("channels must hold the channels of at least one stage, got none.")
    checked = {
        "depth": check_shape("depths", depths),
        "expansion": check_shape("expansions", expansions),
        "kernel": check_shape("kernels", kernels),
    }
    for expansion in expansions:
        check_int("expansions", expansion, minimum=2)
    for kernel in kernels:
        if kernel % 2 == 0:
            raise ValueError(f"kernels must be odd, so that they have a centre, got {kernel}.")
    return SearchSpace(
        {f"{name}_{i}": options for i in range(1, stages + 1) for name, options in checked.items()}
    )
