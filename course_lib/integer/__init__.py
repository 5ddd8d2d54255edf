"""Inference in integers only, as a microcontroller or an int8 engine does it.

`arithmetic` holds the layers as pure functions on integer tensors, `network` turns a whole
`course_lib.quantize.post_training_static` model into them. Every result is exact: the same bits on
every machine. Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference".
"""

from course_lib.integer.arithmetic import (
    fixed_point,
    fold_bias,
    integer_conv2d,
    integer_linear,
    quantize_bias,
    requantize,
)
from course_lib.integer.network import IntegerLayer, IntegerNetwork, integer_network

__all__ = [
    "IntegerLayer",
    "IntegerNetwork",
    "fixed_point",
    "fold_bias",
    "integer_conv2d",
    "integer_linear",
    "integer_network",
    "quantize_bias",
    "requantize",
]
