"""What inference costs: multiply-adds, parameters, bytes, time and energy.

On paper (`conv2d_macs`, `attention_macs`, ...), for a whole model (`count`), and on a machine
(`Roofline`, `energy_j`). One MAC is one multiply-add, and 1 MAC = 2 FLOPs.
"""

from course_lib.cost.convolution import (
    conv2d_macs,
    conv2d_output_size,
    conv2d_params,
    conv_output_size,
    depthwise_separable_macs,
    depthwise_separable_params,
    depthwise_separable_ratio,
)
from course_lib.cost.counter import UncountedWarning, count
from course_lib.cost.formulas import (
    attention_macs,
    attention_params,
    chain_peak_bytes,
    flops,
    information_density,
    linear_macs,
    linear_params,
    recurrence_macs,
    recurrence_params,
    tensor_bytes,
)
from course_lib.cost.result import LayerCost, ModelCost, Uncounted
from course_lib.cost.roofline import Roofline, arithmetic_intensity, energy_j, roofline_time_s
from course_lib.cost.stand_in import StandIn

__all__ = [
    "LayerCost",
    "ModelCost",
    "Roofline",
    "StandIn",
    "Uncounted",
    "UncountedWarning",
    "arithmetic_intensity",
    "attention_macs",
    "attention_params",
    "chain_peak_bytes",
    "conv2d_macs",
    "conv2d_output_size",
    "conv2d_params",
    "conv_output_size",
    "count",
    "depthwise_separable_macs",
    "depthwise_separable_params",
    "depthwise_separable_ratio",
    "energy_j",
    "flops",
    "information_density",
    "linear_macs",
    "linear_params",
    "recurrence_macs",
    "recurrence_params",
    "roofline_time_s",
    "tensor_bytes",
]
