"""Efficient by design: the blocks of small networks, and the networks built from them.

Every block is a plain nn.Module of ordinary layers that torch.fx can trace, so that surgery,
quantization and batch-norm folding work on it. Networks have the published parameter counts;
MobileNet V1 is in `course_lib.models`.
"""

from course_lib.blocks.activations import hard_sigmoid, hard_swish
from course_lib.blocks.conv import conv_norm
from course_lib.blocks.fire import Fire, squeezenet
from course_lib.blocks.inception import Inception
from course_lib.blocks.inverted_residual import InvertedResidual
from course_lib.blocks.networks import EFFICIENTNETS, efficientnet, mobilenet_v2, mobilenet_v3
from course_lib.blocks.scaling import (
    Scaling,
    compound_scaling,
    phi_for_ratio,
    phi_under_budget,
    scale_depth,
    scale_resolution,
    scale_width,
)
from course_lib.blocks.separable import DepthwiseSeparable, separable_conv
from course_lib.blocks.shuffle import (
    ShuffleUnitV1,
    ShuffleUnitV2,
    channel_shuffle,
    shufflenet_v1,
    shufflenet_v2,
)
from course_lib.blocks.squeeze_excite import SqueezeExcite
from course_lib.blocks.xception import XceptionBlock, xception
from course_lib.models import round_channels

__all__ = [
    "EFFICIENTNETS",
    "DepthwiseSeparable",
    "Fire",
    "Inception",
    "InvertedResidual",
    "Scaling",
    "ShuffleUnitV1",
    "ShuffleUnitV2",
    "SqueezeExcite",
    "XceptionBlock",
    "channel_shuffle",
    "compound_scaling",
    "conv_norm",
    "efficientnet",
    "hard_sigmoid",
    "hard_swish",
    "mobilenet_v2",
    "mobilenet_v3",
    "phi_for_ratio",
    "phi_under_budget",
    "round_channels",
    "scale_depth",
    "scale_resolution",
    "scale_width",
    "separable_conv",
    "shufflenet_v1",
    "shufflenet_v2",
    "squeezenet",
    "xception",
]
