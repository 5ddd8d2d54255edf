"""Surgery: take channels out of a network for real, so that it shrinks without a sparse kernel.

`trace_channels` follows every channel through the network and finds which belong together:
channels that a shortcut adds, that a depthwise convolution passes on, that batch norm scales.
`remove_channels` cuts a set of them out of every layer that writes or reads them; `mask_channels`
sets the same weights to zero, and the two networks compute the same outputs.
Papers: Li et al. 2017 (filters); Fang et al. 2023 (dependency graphs).
"""

from course_lib.surgery.channels import ChannelMap, LayerChannels, trace_channels
from course_lib.surgery.cut import mask_channels, remove_channels, weakest_channels

__all__ = [
    "ChannelMap",
    "LayerChannels",
    "mask_channels",
    "remove_channels",
    "trace_channels",
    "weakest_channels",
]
