"""The affine map between real numbers and b-bit integers: real = scale * (level - zero_point).

Everything here is a pure function of a tensor and its scale and zero point; how to choose those
two from data is `course_lib.quantize.ranges`. Sources: Jacob et al. 2018, "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", eq. 1; Bengio et al.
2013 for the straight-through gradient.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from course_lib._validate import check_int, check_tensor

MAX_BITS = 8


def integer_range(bits: int, signed: bool = True) -> tuple[int, int]:
    """Return the smallest and the largest level of `bits` bits (2..8).

    >>> integer_range(8), integer_range(4, signed=False)
    ((-128, 127), (0, 15))
    """
    check_int("bits", bits, minimum=2, maximum=MAX_BITS)
    if not isinstance(signed, bool):
        raise TypeError(f"signed must be True or False, got {signed!r}.")
    lowest = -(2 ** (bits - 1)) if signed else 0
    return lowest, lowest + 2**bits - 1


def params_from_range(
    low: Tensor | float,
    high: Tensor | float,
    bits: int = 8,
    *,
    symmetric: bool = False,
    signed: bool = True,
) -> tuple[Tensor, Tensor]:
    """Return (scale, zero_point) of the finest grid of `bits` bits that covers low..high.

    low, high: [] or [C], one range per channel; both become at least as wide as to hold 0, so
    that 0 (padding, ReLU) is exactly representable. The zero point is a level itself, int32 of
    the same shape; scale is float32, or float64 where the range is.

    Affine: scale = (high - low) / (2^bits - 1), zero_point = lowest level - round(low / scale).
    Symmetric: scale = max(-low, high) / (2^(bits - 1) - 1), zero_point = 0 (2^(bits - 1) if
    unsigned). torch.ao's observers divide by half a level more, which would clip the largest
    weight. A range of 0..0 gets scale 1; one too narrow for its type the smallest normal number.

    Raises ValueError if a bound is not finite, low > high, or the grid reaches beyond its type.
    Source: Jacob et al. 2018, section 3; Krishnamoorthi 2018, section 2.

    >>> params_from_range(-1.0, 1.55, bits=8)
    (tensor(0.0100), tensor(-28, dtype=torch.int32))
    """
    lowest, highest = integer_range(bits, signed)
    low, high = _as_float("low", low), _as_float("high", high)
    if low.shape != high.shape or bool((low > high).any()):
        raise ValueError(f"low must be <= high and of the same shape, got {low} and {high}.")
    dtype = torch.promote_types(low.dtype, high.dtype)
    low, high = low.double().clamp(max=0), high.double().clamp(min=0)
    if symmetric:
        span, levels = torch.maximum(-low, high), 2 ** (bits - 1) - 1
    else:
        span, levels = high - low, highest - lowest
    scale = (span / levels).to(dtype).clamp(min=torch.finfo(dtype).tiny)
    scale = scale.where(span > 0, torch.ones_like(scale))
    if symmetric:
        zero_point = torch.full_like(scale, lowest + 2 ** (bits - 1))
    else:
        zero_point = (lowest - torch.round(low / scale)).clamp(lowest, highest)
    ends = torch.stack([(lowest - zero_point) * scale, (highest - zero_point) * scale])
    if not bool(torch.isfinite(ends.to(dtype)).all()):
        raise ValueError(f"low..high is too wide for {dtype}: got {low} to {high}.")
    return scale, zero_point.to(torch.int32)


def quantize(
    x: Tensor,
    scale: Tensor | float,
    zero_point: Tensor | int,
    bits: int = 8,
    *,
    signed: bool = True,
    dim: int | None = None,
) -> Tensor:
    """Return the levels round(x / scale) + zero_point, clipped to `bits` bits; shape of x.

    int8, or uint8 if not signed. scale and zero_point are numbers, or [x.shape[dim]] for one
    pair per index of `dim`. Inside the range the error |x - dequantize(level)| is at most
    scale / 2 (and the rounding of the floats themselves); outside, x saturates.

    The rounding rule is that of torch.fake_quantize_*: multiply by the float reciprocal 1 / scale,
    round half to even, then add the zero point; results are the same bit for bit up to
    |x / scale| = 2^31, above which torch may wrap around. torch.quantize_per_tensor on x86 adds
    the zero point *before* it rounds (in one fused multiply-add), so where x / scale is within
    float precision of a tie, and the zero point is not 0, it may give the neighbouring level.

    Raises TypeError / ValueError if x is not floating or not finite, scale is not positive, or
    zero_point is not a level. Source: Jacob et al. 2018, eq. 1.

    >>> quantize(torch.tensor([-1.0, 0.0, 0.26, 9.0]), scale=0.1, zero_point=3, bits=4)
    tensor([-7,  3,  6,  7], dtype=torch.int8)
    """
    check_tensor("x", x, floating=True, finite=True)
    lowest, highest = integer_range(bits, signed)
    x = x.detach().to(_compute_dtype(x.dtype))
    scale, zero_point = _aligned(x, x.dtype, scale, zero_point, dim)
    _check_is_level(zero_point, lowest, highest)
    levels = torch.round(x * (1 / scale)) + zero_point
    return levels.clamp(lowest, highest).to(torch.int8 if signed else torch.uint8)


def dequantize(
    levels: Tensor,
    scale: Tensor | float,
    zero_point: Tensor | int,
    *,
    dim: int | None = None,
) -> Tensor:
    """Return the real numbers scale * (levels - zero_point) in the dtype of scale (or float32).

    levels: integers of any shape; scale and zero_point as in `quantize`.
    Raises TypeError if levels are not integers, ValueError if scale is not positive.

    >>> dequantize(torch.tensor([3, 6]), scale=0.5, zero_point=3)
    tensor([0.0000, 1.5000])
    """
    check_tensor("levels", levels)
    if levels.is_floating_point() or levels.is_complex() or levels.dtype == torch.bool:
        raise TypeError(f"levels must hold integers, got {levels.dtype}.")
    dtype = _compute_dtype(scale.dtype if isinstance(scale, Tensor) else torch.float32)
    scale, zero_point = _aligned(levels, dtype, scale, zero_point, dim)
    return (levels.long() - zero_point).to(dtype) * scale


def fake_quantize(
    x: Tensor,
    scale: Tensor | float,
    zero_point: Tensor | int,
    bits: int = 8,
    *,
    signed: bool = True,
    dim: int | None = None,
) -> Tensor:
    """Return dequantize(quantize(x)) in the shape and dtype of x, with a gradient to train by.

    Rounding has derivative 0 almost everywhere, so the gradient goes straight through: 1 where
    the level of x lies in the range, 0 where x was clipped. scale and zero_point get none.
    Equal bit for bit, forward and gradient, to torch.fake_quantize_per_tensor_affine and
    torch.fake_quantize_per_channel_affine while |x / scale| < 2^31. Infinite x saturates (torch
    may wrap around) and NaN stays NaN (torch returns a level).

    Arguments and errors as in `quantize`, except that x need not be finite.
    Source: Bengio et al. 2013; Jacob et al. 2018, eq. 12.

    >>> x = torch.tensor([0.26, 9.0], requires_grad=True)
    >>> y = fake_quantize(x, scale=0.1, zero_point=0, bits=4)
    >>> y.sum().backward()
    >>> y.detach(), x.grad
    (tensor([0.3000, 0.7000]), tensor([1., 0.]))
    """
    check_tensor("x", x, floating=True)
    lowest, highest = integer_range(bits, signed)
    wide = x.to(_compute_dtype(x.dtype))
    scale, zero_point = _aligned(wide, wide.dtype, scale, zero_point, dim)
    _check_is_level(zero_point, lowest, highest)
    return _StraightThrough.apply(wide, scale, zero_point, lowest, highest).to(x.dtype)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor, lowest: int, highest: int
    ) -> Tensor:
        levels = (x * (1 / scale)).round_().add_(zero_point)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward((levels >= lowest) & (levels <= highest))
        return levels.clamp_(lowest, highest).sub_(zero_point).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None, None, None]:
        (inside,) = ctx.saved_tensors
        return grads[0] * inside, None, None, None, None


def sqnr_db(signal: Tensor, approximation: Tensor) -> float:
    """Return the signal-to-quantization-noise ratio 10 log10(sum x^2 / sum (x - x_hat)^2) in dB.

    Both tensors have one shape. Each bit more is worth about 6.02 dB while nothing is clipped
    (Bennett 1948). Infinite if they are equal; -inf if the signal is zero and the other is not.

    >>> round(sqnr_db(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])), 6)
    20.0
    """
    check_tensor("signal", signal, finite=True, nonempty=True)
    check_tensor("approximation", approximation, finite=True)
    if signal.shape != approximation.shape:
        shapes = f"{tuple(signal.shape)} and {tuple(approximation.shape)}"
        raise ValueError(f"signal and approximation must have the same shape, got {shapes}.")
    exact = signal.detach().double()
    noise = (exact - approximation.detach().double()).square().sum().item()
    power = exact.square().sum().item()
    if noise == 0:
        return math.inf
    return 10 * math.log10(power / noise) if power else -math.inf


def check_dim(x: Tensor, dim: int | None) -> int | None:
    """Return `dim` counted from the front, or raise if x has no such dimension."""
    if dim is None:
        return None
    if x.ndim == 0:
        raise ValueError("dim must be None for a tensor without dimensions.")
    return check_int("dim", dim, minimum=-x.ndim, maximum=x.ndim - 1) % x.ndim


def _compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """Halves are quantized in float32: their own steps can be coarser than the grid."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _as_float(name: str, value: Tensor | float) -> Tensor:
    tensor = torch.as_tensor(value).detach()
    if not tensor.is_floating_point():
        tensor = tensor.float()
    check_tensor(name, tensor, finite=True)
    return tensor.to(_compute_dtype(tensor.dtype))


def _aligned(
    x: Tensor,
    dtype: torch.dtype,
    scale: Tensor | float,
    zero_point: Tensor | int,
    dim: int | None,
) -> tuple[Tensor, Tensor]:
    """Check scale and zero_point and shape them so that they broadcast along `dim` of x."""
    scale = torch.as_tensor(scale, dtype=dtype, device=x.device).detach()
    zero_point = torch.as_tensor(zero_point, device=x.device)
    tiny = torch.finfo(dtype).tiny
    if not bool(((scale >= tiny) & torch.isfinite(scale)).all()):
        raise ValueError(f"scale must be finite and at least {tiny:.3g}, got {scale}.")
    if zero_point.dtype.is_floating_point or zero_point.dtype == torch.bool:
        raise TypeError(f"zero_point must be an integer, got {zero_point}.")
    dim = check_dim(x, dim)
    expected = () if dim is None else (x.shape[dim],)
    shape = [1] * x.ndim
    if dim is not None:
        shape[dim] = -1
    aligned = []
    for name, value in (("scale", scale), ("zero_point", zero_point)):
        if value.numel() != 1 and value.shape != expected:
            raise ValueError(
                f"{name} must be one number, or of shape {expected} for x of shape "
                f"{tuple(x.shape)} and dim={dim}; got shape {tuple(value.shape)}."
            )
        aligned.append(value.reshape(shape if value.numel() > 1 else ()))
    return aligned[0], aligned[1]


def _check_is_level(zero_point: Tensor, lowest: int, highest: int) -> None:
    if bool(((zero_point < lowest) | (zero_point > highest)).any()):
        raise ValueError(
            f"zero_point must be a level in {lowest}..{highest}, so that 0 is exactly "
            f"representable; got {zero_point.flatten().tolist()}."
        )
