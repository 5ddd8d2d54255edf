"""Linear layers and convolutions in integers: int8 operands, int32 accumulators, requantization.

With real = scale * (level - zero point) a layer is sum (x - zero point) w + bias in integers; its
result moves to the next grid by a multiplication with a constant, itself an integer and a shift.
Weights are symmetric: their zero point is 0. Source: Jacob et al. 2018, sections 2.2 to 2.4.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib._validate import check_int, check_tensor
from course_lib.quantize import integer_range

Pair = tuple[int, int]  # along height and width

INT32_MAX = 2**31 - 1
MAX_SHIFT = (
    62  # |accumulator * multiplier| <= 2^62: adding the rounding half cannot overflow int64
)


def quantize_bias(
    bias: Tensor, input_scale: Tensor | float, weight_scale: Tensor | float
) -> Tensor:
    """Return the bias [F] in steps of the accumulator: int32 round(bias / (s_input * s_weight)).

    weight_scale: one number, or [F] if each channel has its own. Raises ValueError if a bias does
    not fit int32: its channel's weights are then negligible beside it. Jacob et al. 2018, eq. 11.

    >>> quantize_bias(torch.tensor([1.0, -0.5]), input_scale=0.1, weight_scale=0.01)
    tensor([1000, -500], dtype=torch.int32)
    """
    check_tensor("bias", bias, ndim=1, floating=True, finite=True)
    step = torch.as_tensor(input_scale).double() * torch.as_tensor(weight_scale).double()
    if not bool((step > 0).all()):
        raise ValueError(f"input_scale and weight_scale must be positive, got a step of {step}.")
    levels = torch.round(bias.detach().double() / step)
    if levels.numel() and float(levels.abs().max()) > INT32_MAX:
        raise ValueError(f"bias must fit 32 bits, got {levels.abs().max():.3g} steps of {step}.")
    return levels.to(torch.int32)


def fixed_point(factor: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return int32 (multiplier, shift) of the shape of factor: factor = multiplier / 2^shift.

    The multiplier has 31 significant bits (2^30 <= multiplier < 2^31), a relative error below
    2^-31; factors below 2^-32 have fewer. In a layer factor = s_input * s_weight / s_output.
    Raises ValueError unless 0 < factor < 2^29. Source: Jacob et al. 2018, eq. 6.

    >>> fixed_point(0.75)
    (tensor(1610612736, dtype=torch.int32), tensor(31, dtype=torch.int32))
    """
    exact = torch.as_tensor(factor, dtype=torch.float64)
    if not bool(((exact > 0) & (exact < 2**29)).all()):
        raise ValueError(f"factor must lie between 0 and 2^29, got {factor}.")
    shift = (31 - torch.frexp(exact).exponent).clamp(max=MAX_SHIFT)
    multiplier = torch.round(torch.ldexp(exact, shift))
    full = multiplier == 2**31  # rounded up to the next power of two
    multiplier, shift = multiplier.where(~full, multiplier / 2), shift - full.int()
    return multiplier.to(torch.int32), shift.to(torch.int32)


def requantize(
    accumulator: Tensor,
    multiplier: Tensor,
    shift: Tensor,
    zero_point: int = 0,
    bits: int = 8,
    *,
    dim: int | None = None,
) -> Tensor:
    """Return clip((accumulator * multiplier) / 2^shift + zero_point) in `bits` bits.

    accumulator: int32 of any shape; multiplier, shift: from `fixed_point`, [] or, with `dim`, one
    per index of that dimension. The division rounds to nearest, halves up, in 64-bit integers.
    bits: 2..8 gives int8, 32 gives int32. Same shape as the accumulator.
    Source: Jacob et al. 2018, section 2.4; gemmlowp rounds twice, TensorFlow Lite's
    single-rounding kernels as here.

    >>> requantize(torch.tensor([100, -100], dtype=torch.int32), *fixed_point(0.03), zero_point=5)
    tensor([8, 2], dtype=torch.int8)
    """
    _check_integers("accumulator", accumulator, torch.int32)
    _check_integers("multiplier", multiplier, torch.int32)
    _check_integers("shift", shift, torch.int32)
    if not bool(((shift >= 1) & (shift <= MAX_SHIFT)).all()):
        raise ValueError(f"shift must lie in 1..{MAX_SHIFT}, got {shift}.")
    if bits == 32:
        lowest, highest, dtype = -INT32_MAX - 1, INT32_MAX, torch.int32
    else:
        (lowest, highest), dtype = integer_range(bits), torch.int8
    check_int("zero_point", zero_point, lowest, highest)
    if dim is not None:
        check_int("dim", dim, -accumulator.ndim, accumulator.ndim - 1)
        shape = [1] * accumulator.ndim
        shape[dim] = -1
        multiplier, shift = multiplier.reshape(shape), shift.reshape(shape)
    shift = shift.long()
    half = torch.ones_like(shift) << (shift - 1)
    wide = accumulator.to(torch.int64, copy=True)
    wide.mul_(multiplier.long()).add_(half).bitwise_right_shift_(shift)
    return wide.add_(zero_point).clamp_(lowest, highest).to(dtype)


def integer_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, input_zero_point: int = 0
) -> Tensor:
    """Return the accumulators sum_k (x - zero point) * weight + bias of a linear layer.

    x: int8 [..., K] -> int32 [..., F].
    weight: int8 [F, K]; bias: int32 [F] from `quantize_bias`, or None. Exact, whatever the data.
    Raises TypeError for other types and ValueError if shapes do not fit or the accumulator could
    overflow 32 bits. Source: Jacob et al. 2018, eq. 7.

    >>> x, w = torch.tensor([[100, -100]]).to(torch.int8), torch.tensor([[127, 1]]).to(torch.int8)
    >>> integer_linear(x, w, torch.tensor([7], dtype=torch.int32), input_zero_point=-100)
    tensor([[25407]], dtype=torch.int32)
    """
    _check_integers("x", x, torch.int8)
    _check_integers("weight", weight, torch.int8)
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        shapes = f"{tuple(x.shape)} and {tuple(weight.shape)}"
        raise ValueError(f"x and weight must have shapes [..., K] and [F, K], got {shapes}.")
    return linear_folded(x, weight, fold_bias(weight, bias, input_zero_point))


def integer_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    input_zero_point: int = 0,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Tensor:
    """Return the accumulators of a convolution: int8 [N, C, H, W] -> int32 [N, F, H', W'].

    weight: int8 [F, C / groups, kH, kW]; bias: int32 [F] or None. Padding is the real number 0, so
    it is filled with the zero point. Other arguments and errors as in torch.nn.functional.conv2d
    and `integer_linear`.

    >>> x = torch.full((1, 1, 2, 2), 3, dtype=torch.int8)
    >>> integer_conv2d(x, torch.ones(1, 1, 3, 3, dtype=torch.int8), input_zero_point=1, padding=1)
    tensor([[[[8, 8],
              [8, 8]]]], dtype=torch.int32)
    """
    _check_integers("x", x, torch.int8)
    _check_integers("weight", weight, torch.int8)
    check_int("groups", groups)
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != weight.shape[1] * groups:
        shapes = f"{tuple(x.shape)} and {tuple(weight.shape)}"
        raise ValueError(
            f"x and weight must have shapes [N, C, H, W] and [F, C / {groups}, kH, kW], "
            f"got {shapes}."
        )
    if weight.shape[0] % groups:
        raise ValueError(f"groups must divide the {weight.shape[0]} filters, got {groups}.")
    stride = _checked_pair("stride", stride, minimum=1)
    padding = _checked_pair("padding", padding, minimum=0)
    dilation = _checked_pair("dilation", dilation, minimum=1)
    for size, kernel, pad, step in zip(
        x.shape[2:], weight.shape[2:], padding, dilation, strict=True
    ):
        if size + 2 * pad < step * (kernel - 1) + 1:
            raise ValueError(
                f"weight of shape {tuple(weight.shape)} with dilation={dilation} is larger than "
                f"x of shape {tuple(x.shape)} with padding={padding}."
            )
    folded = fold_bias(weight, bias, input_zero_point)
    return conv2d_folded(x, weight, folded, input_zero_point, stride, padding, dilation, groups)


def fold_bias(weight: Tensor, bias: Tensor | None, input_zero_point: int) -> Tensor:
    """Return the constant part of the accumulators: int32 [F] bias - zero point * sum_k weight.

    Since sum (x - z) w = sum x w - z sum w, the inner loop need not subtract the zero point.
    Raises ValueError if some input in -128..127 could overflow a 32-bit accumulator.

    >>> fold_bias(torch.tensor([[1, 2]], dtype=torch.int8), None, input_zero_point=-5)
    tensor([15], dtype=torch.int32)
    """
    _check_integers("weight", weight, torch.int8)
    check_int("input_zero_point", input_zero_point, -128, 127)
    rows = weight.flatten(1).long()
    if bias is None:
        bias = torch.zeros(len(rows), dtype=torch.int32, device=weight.device)
    _check_integers("bias", bias, torch.int32)
    if bias.shape != (len(rows),):
        raise ValueError(f"bias must have shape ({len(rows)},), got {tuple(bias.shape)}.")
    furthest = max(127 - input_zero_point, input_zero_point + 128)
    largest = bias.long().abs() + furthest * rows.abs().sum(dim=1)
    if len(rows) and int(largest.max()) > INT32_MAX:
        raise ValueError(
            f"weight is too long for 32-bit accumulators: {rows.shape[1]} products can add up to "
            f"{int(largest.max())}. Split the layer or use fewer bits."
        )
    return (bias.long() - input_zero_point * rows.sum(dim=1)).to(torch.int32)


def linear_folded(x: Tensor, weight: Tensor, folded_bias: Tensor) -> Tensor:
    """`integer_linear` without checks, after `fold_bias`: the inner loop of a layer."""
    rows = x.reshape(x.shape[:-1].numel(), x.shape[-1])
    return _product(rows, weight.t()).add_(folded_bias).reshape(*x.shape[:-1], len(weight))


def conv2d_folded(
    x: Tensor,
    weight: Tensor,
    folded_bias: Tensor,
    zero_point: int,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Tensor:
    """`integer_conv2d` without checks, after `fold_bias`: filters times patches of the input."""
    (dh, dw), (sh, sw), (ph, pw) = dilation, stride, padding
    filters, _, kh, kw = weight.shape
    x = F.pad(x, (pw, pw, ph, ph), value=zero_point)
    patches = x.unfold(2, dh * (kh - 1) + 1, sh).unfold(3, dw * (kw - 1) + 1, sw)
    patches = patches[..., ::dh, ::dw]  # [N, C, H', W', kH, kW]
    n, _, height, width = patches.shape[:4]
    patches = patches.unflatten(1, (groups, -1)).permute(1, 0, 3, 4, 2, 5, 6)
    rows = patches.reshape(groups, n * height * width, weight[0].numel())
    columns = weight.reshape(groups, filters // groups, -1).transpose(1, 2)
    if groups == 1:
        result = _product(rows[0], columns[0])
    else:
        result = torch.bmm(rows.int(), columns.int()).transpose(0, 1).reshape(-1, filters)
    return result.add_(folded_bias).reshape(n, height, width, filters).permute(0, 3, 1, 2)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """int8 [M, K] @ int8 [K, N] -> int32 [M, N], by the processor's int8 instructions if exact."""
    if a.device.type == "cpu" and _has_exact_int8_product():
        return torch._int_mm(a, b)
    return a.int() @ b.int()


@functools.cache
def _has_exact_int8_product() -> bool:
    """Whether torch's int8 kernel is exact here: older instructions saturate at 16 bits."""
    for rows in (1, 64):
        a = torch.full((rows, 64), 127, dtype=torch.int8)
        b = torch.full((64, 64), -128, dtype=torch.int8)
        b[:, ::2] = 127
        try:
            exact = torch.equal(torch._int_mm(a, b), a.int() @ b.int())
        except (AttributeError, RuntimeError):
            return False
        if not exact:
            return False
    return True


def _checked_pair(name: str, value: int | tuple[int, int], minimum: int) -> Pair:
    height, width = (value, value) if isinstance(value, int) else value
    return check_int(name, height, minimum), check_int(name, width, minimum)


def _check_integers(name: str, value: object, dtype: torch.dtype) -> None:
    tensor = check_tensor(name, value)
    if tensor.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}, got {tensor.dtype}.")
