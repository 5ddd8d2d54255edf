"""Hard sigmoid and h-swish: activations in two comparisons and a multiplication.

Swish, x * sigmoid(x), trains better than ReLU in mobile networks but needs an exponential, which
small chips lack and 8-bit tables approximate badly. Straight lines do nearly as well.
Paper: Howard et al. 2019 (MobileNet V3), section 5.2.
"""

from __future__ import annotations

from torch import Tensor

from course_lib._validate import check_tensor


def hard_sigmoid(x: Tensor) -> Tensor:
    """ReLU6(x + 3) / 6, elementwise: 0 up to -3, 1 from 3 on, a line between; any shape.

    Equals nn.Hardsigmoid. TypeError unless x is a floating-point tensor.

    >>> import torch
    >>> hard_sigmoid(torch.tensor([-4.0, 0.0, 3.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    check_tensor("x", x, floating=True)
    return (x + 3).clamp(0, 6) / 6


def hard_swish(x: Tensor) -> Tensor:
    """x * hard_sigmoid(x), elementwise: 0 up to -3, x itself from 3 on; any shape.

    Equals nn.Hardswish. TypeError unless x is a floating-point tensor.

    >>> import torch
    >>> hard_swish(torch.tensor([-4.0, 0.0, 1.5, 3.0]))
    tensor([-0.0000, 0.0000, 1.1250, 3.0000])
    """
    return x * hard_sigmoid(x)
