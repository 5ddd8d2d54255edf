"""An inverted residual block that contains smaller ones: their weights are slices of its own.

A narrower block has the first of the expanded channels; a smaller kernel is the centre of the
large one. Slices are views, so a gradient that reaches them trains the large block.
Sources: Cai et al. 2020 (once-for-all), section 3.3, without its kernel transformation; Yu and
Huang 2019 (slimmable networks) for slicing channels.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from course_lib.blocks import InvertedResidual


class BlockShape(NamedTuple):
    """What an inverted residual block of a supernet is built from."""

    in_channels: int
    out_channels: int
    stride: int
    expansion: int
    kernel_size: int

    def build(self) -> InvertedResidual:
        return InvertedResidual(
            self.in_channels,
            self.expansion * self.in_channels,
            self.out_channels,
            self.stride,
            kernel_size=self.kernel_size,
            activation=nn.ReLU,
        )


class ElasticBlock(nn.Module):
    """The weights of an InvertedResidual of this shape and of all smaller ones.

    [N, in_channels, H, W] -> [N, out_channels, H/stride, W/stride], whichever of them runs.
    """

    def __init__(self, shape: BlockShape):
        super().__init__()
        self.shape = shape
        self.block = shape.build()

    def forward(
        self, x: Tensor, expansion: int, kernel_size: int, keep_statistics: bool
    ) -> Tensor:
        """Run the block cut to `expansion` and `kernel_size`.

        In training `keep_statistics` decides whether batch norm updates its running statistics.
        """
        shape = self.shape._replace(expansion=expansion, kernel_size=kernel_size)
        state = self._slices(shape)
        if self.training and not keep_statistics:
            state |= {name: state[name].clone() for name, _ in self.block.named_buffers()}
        return functional_call(_skeleton(shape, self.training), state, (x,))

    def extract(self, expansion: int, kernel_size: int) -> InvertedResidual:
        """The cut block as an ordinary one, with copies of its slices."""
        shape = self.shape._replace(expansion=expansion, kernel_size=kernel_size)
        small = shape.build().to(next(self.block.parameters()))  # our dtype and device
        small.load_state_dict(self._slices(shape))
        return small

    def _slices(self, shape: BlockShape) -> dict[str, Tensor]:
        first = slice(shape.expansion * shape.in_channels)
        margin = (self.shape.kernel_size - shape.kernel_size) // 2
        centre = slice(margin, margin + shape.kernel_size)
        state = {}
        for name, tensor in (*self.block.named_parameters(), *self.block.named_buffers()):
            if name == "depthwise.conv.weight":  # [expanded, 1, K, K]
                state[name] = tensor[first, :, centre, centre]
            elif name == "project.conv.weight":  # [out, expanded, 1, 1]
                state[name] = tensor[:, first]
            elif name.startswith("project") or tensor.ndim == 0:  # [out]; batch norm's counter
                state[name] = tensor
            else:  # [expanded, in, 1, 1] or [expanded]
                state[name] = tensor[first]
        return state


@cache
def _skeleton(shape: BlockShape, training: bool) -> InvertedResidual:
    """A block without weights of its own, kept because building one takes longer than a run."""
    with torch.device("meta"):
        return shape.build().train(training)
