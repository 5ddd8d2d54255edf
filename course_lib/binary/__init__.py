"""Binarization: weights, and with XNOR-Net inputs too, of one bit.

`signs` holds the sign with its straight-through gradient, its scale and the packed product,
`layers` trains with them, `packed` stores and runs the result. 32 times less memory is certain; 32
times less time is not: it depends on the kernel and on the glue around it (Fromm et al. 2020,
"Riptide"). Papers: Courbariaux et al. 2015; Rastegari et al. 2016.
"""

from course_lib.binary.layers import BinaryConv2d, BinaryLinear, binary_model, clip_weights
from course_lib.binary.packed import PackedLayer, pack_model
from course_lib.binary.signs import (
    binarize,
    binary_weight,
    filter_scale,
    pack_signs,
    unpack_signs,
    xnor_product,
)

__all__ = [
    "BinaryConv2d",
    "BinaryLinear",
    "PackedLayer",
    "binarize",
    "binary_model",
    "binary_weight",
    "clip_weights",
    "filter_scale",
    "pack_model",
    "pack_signs",
    "unpack_signs",
    "xnor_product",
]
