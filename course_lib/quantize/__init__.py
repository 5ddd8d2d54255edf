"""Quantization: store and compute with few bits per number, and know what that costs.

Four separate things, a file or two each: the affine map between reals and integers (`affine`), the
choice of its range from data (`ranges`), codebooks found by k-means (`codebook`), and layers that
put them to work after training (`post_training`) or during it (`aware`). `storage` counts bytes.
course_lib.integer runs the result in integers only, course_lib.binary goes down to one bit.
Survey: Nagel et al. 2021, "A White Paper on Neural Network Quantization".
"""

from course_lib.quantize.affine import (
    dequantize,
    fake_quantize,
    integer_range,
    params_from_range,
    quantize,
    sqnr_db,
)
from course_lib.quantize.aware import AwareLayer, freeze, quantization_aware
from course_lib.quantize.codebook import (
    CodebookLayer,
    codebook_gradient,
    kmeans_codebook,
    nearest,
    share_weights,
)
from course_lib.quantize.post_training import (
    QuantizedLayer,
    half_precision,
    post_training_dynamic,
    post_training_static,
)
from course_lib.quantize.ranges import (
    Observer,
    affine_params,
    choose_range,
    min_max,
    mse,
    percentile,
)
from course_lib.quantize.storage import from_stored, plain, size_bytes, stored_tensors

__all__ = [
    "AwareLayer",
    "CodebookLayer",
    "Observer",
    "QuantizedLayer",
    "affine_params",
    "choose_range",
    "codebook_gradient",
    "dequantize",
    "fake_quantize",
    "freeze",
    "from_stored",
    "half_precision",
    "integer_range",
    "kmeans_codebook",
    "min_max",
    "mse",
    "nearest",
    "params_from_range",
    "percentile",
    "plain",
    "post_training_dynamic",
    "post_training_static",
    "quantization_aware",
    "quantize",
    "share_weights",
    "size_bytes",
    "sqnr_db",
    "stored_tensors",
]
