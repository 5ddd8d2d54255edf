"""Low rank for convolutions: Tucker-2 and CP, as sequences of ordinary convolutions.

Tucker-2 finds a small set of input and output channels and a small convolution between them: 1x1,
k x k, 1x1 (Kim et al. 2016). CP writes the kernel as a sum of outer products of four vectors: 1x1,
k x 1 and 1 x k per channel, 1x1 (Lebedev et al. 2015). CP has no closed form and its best
approximation need not exist, so it is sought by alternating least squares.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from course_lib._validate import check_int, check_number, check_shape, check_tensor
from course_lib.lowrank.linear import rank_for_budget, rank_for_energy


def tucker2(
    weight: Tensor, out_rank: int, in_rank: int, *, iterations: int = 10
) -> tuple[Tensor, Tensor, Tensor]:
    """Return core [R, S, h, w], out [O, R], in [I, S]: weight ~ core x out x in over the channels.

    `weight`: [O, I, h, w]. Both factors have orthonormal columns. They start as the truncated SVD
    of each unfolding and improve in turn. With the `tail_error` e_out and e_in of the unfoldings
    the distance lies between max(e_out, e_in) and sqrt(e_out^2 + e_in^2), 0 at full ranks.
    Source: De Lathauwer et al. 2000 (HOSVD, HOOI); Kim et al. 2016.
    """
    kernel = _check_kernel(weight).double()
    check_int("out_rank", out_rank, 1, weight.shape[0])
    check_int("in_rank", in_rank, 1, weight.shape[1])
    into = _leading(_unfold(kernel, 1), in_rank)
    out = _leading(_unfold(kernel, 0), out_rank)
    for _ in range(check_int("iterations", iterations, 0)):
        out = _leading(_unfold(torch.einsum("oihw,is->oshw", kernel, into), 0), out_rank)
        into = _leading(_unfold(torch.einsum("oihw,or->rihw", kernel, out), 1), in_rank)
    core = torch.einsum("oihw,or,is->rshw", kernel, out, into)
    return core.to(weight.dtype), out.to(weight.dtype), into.to(weight.dtype)


def split_conv_tucker(layer: nn.Conv2d, out_rank: int, in_rank: int) -> nn.Sequential:
    """Return 1x1 (I -> in_rank), k x k (-> out_rank), 1x1 (-> O) in place of a convolution.

    Stride, padding and dilation go to the middle, the bias to the last; full ranks reproduce the
    layer up to rounding. Raises ValueError for grouped convolutions.
    """
    core, out, into = tucker2(_check_conv(layer), out_rank, in_rank)
    return nn.Sequential(
        _conv(into.T[:, :, None, None], None),
        _conv(core, None, like=layer),
        _conv(out[:, :, None, None], layer.bias),
    )


def tucker_params(weight_shape: tuple[int, ...], out_rank: int, in_rank: int) -> int:
    """Return the weights of the three convolutions: I * S + R * S * h * w + R * O, without bias.

    `weight_shape`: (O, I, h, w); R = out_rank, S = in_rank.

    >>> tucker_params((50, 20, 5, 5), out_rank=10, in_rank=5)
    1850
    """
    channels_out, channels_in, height, width = _check_kernel_shape(weight_shape)
    check_int("out_rank", out_rank), check_int("in_rank", in_rank)
    return channels_in * in_rank + out_rank * in_rank * height * width + out_rank * channels_out


def tucker_ranks_for_energy(weight: Tensor, energy: float) -> tuple[int, int]:
    """Return (out_rank, in_rank), each the `rank_for_energy` of its unfolding of `weight`.

    `weight`: [O, I, h, w]; `energy`: a fraction. The relative squared error of `tucker2` with
    these ranks is at most 2 (1 - energy).
    """
    weight = _check_kernel(weight)
    return (
        rank_for_energy(_unfold(weight, 0), energy),
        rank_for_energy(_unfold(weight, 1), energy),
    )


def tucker_ranks_for_budget(weight_shape: tuple[int, ...], budget: float) -> tuple[int, int]:
    """Return the largest (out_rank, in_rank), nearly O : I, with tucker_params <= budget.

    Raises ValueError if even ranks (1, 1) need more.

    >>> tucker_ranks_for_budget((50, 20, 5, 5), budget=5000)
    (19, 8)
    """
    channels_out, channels_in, _, _ = _check_kernel_shape(weight_shape)
    check_number("budget", budget)
    most = max(channels_out, channels_in)

    def ranks(step: int) -> tuple[int, int]:
        return -(-channels_out * step // most), -(-channels_in * step // most)

    step = rank_for_budget(lambda step: tucker_params(weight_shape, *ranks(step)), budget, most)
    return ranks(step)


def cp(
    weight: Tensor, rank: int, *, iterations: int = 50, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return out [O, R], in [I, R], height [h, R], width [w, R]: weight ~ sum_r of outer products.

    `weight`: [O, I, h, w]. Alternating least squares from random factors drawn with `seed`; the
    error never rises with `iterations`. Any rank >= I * h * w is exact. Each of the four
    carries the fourth root of a component's size. Source: Lebedev et al. 2015.
    """
    kernel = _check_kernel(weight).double()
    rank = check_int("rank", rank)
    generator = torch.Generator().manual_seed(check_int("seed", seed, 0))
    factors = {
        mode: torch.randn(size, rank, generator=generator, dtype=torch.float64).to(kernel.device)
        for mode, size in zip("oihw", kernel.shape, strict=True)
    }
    for _ in range(check_int("iterations", iterations)):
        for mode in "oihw":
            others = [other for other in "oihw" if other != mode]
            terms = ",".join(f"{other}r" for other in others)
            match = torch.einsum(
                f"oihw,{terms}->{mode}r", kernel, *(factors[other] for other in others)
            )
            gram = torch.ones(rank, rank, dtype=torch.float64, device=kernel.device)
            for other in others:
                gram = gram * (factors[other].T @ factors[other])
            factors[mode] = match @ torch.linalg.pinv(gram, hermitian=True)
            if mode != "w":  # only the one solved last may carry a component's size
                factors[mode] = nn.functional.normalize(factors[mode], dim=0)
    size = factors["w"].norm(dim=0)
    factors["w"] = nn.functional.normalize(factors["w"], dim=0)
    out, into, height, width = (factors[mode] * size**0.25 for mode in "oihw")
    dtype = weight.dtype
    return out.to(dtype), into.to(dtype), height.to(dtype), width.to(dtype)


def split_conv_cp(
    layer: nn.Conv2d, rank: int, *, iterations: int = 50, seed: int = 0
) -> nn.Sequential:
    """Return 1x1 (I -> R), k x 1 and 1 x k per channel, 1x1 (R -> O) in place of a convolution.

    Stride, padding and dilation are shared out to the two in the middle; the bias is in the last.
    Raises ValueError for grouped convolutions.
    """
    out, into, height, width = cp(_check_conv(layer), rank, iterations=iterations, seed=seed)
    return nn.Sequential(
        _conv(into.T[:, :, None, None], None),
        _conv(height.T[:, None, :, None], None, like=layer, axis=0),
        _conv(width.T[:, None, None, :], None, like=layer, axis=1),
        _conv(out[:, :, None, None], layer.bias),
    )


def cp_params(weight_shape: tuple[int, ...], rank: int) -> int:
    """Return the weights of the four convolutions: R * (O + I + h + w), without bias.

    >>> cp_params((50, 20, 5, 5), rank=16)
    1280
    """
    return check_int("rank", rank) * sum(_check_kernel_shape(weight_shape))


def _unfold(kernel: Tensor, mode: int) -> Tensor:
    return kernel.movedim(mode, 0).flatten(1)


def _leading(matrix: Tensor, rank: int) -> Tensor:
    """Orthonormal columns that span the best rank-`rank` column space, [n, m] -> [n, rank]."""
    if rank > min(matrix.shape):  # more directions than the matrix has: complete the basis
        return torch.linalg.svd(matrix, full_matrices=True)[0][:, :rank]
    return torch.linalg.svd(matrix, full_matrices=False)[0][:, :rank]


def _conv(
    weight: Tensor, bias: Tensor | None, like: nn.Conv2d | None = None, axis: int | None = None
) -> nn.Conv2d:
    """A convolution with this weight; along `axis` (None: both) it moves like the one given."""

    def setting(name: str, neutral: int) -> tuple[int, int] | str:
        value = neutral if like is None else getattr(like, name)
        pair = (value, value) if isinstance(value, int) else value
        if axis is None or isinstance(pair, str):
            return pair
        return (pair[0], neutral) if axis == 0 else (neutral, pair[1])

    depthwise = axis is not None
    layer = nn.Conv2d(
        weight.shape[0] if depthwise else weight.shape[1],
        weight.shape[0],
        tuple(weight.shape[2:]),  # type: ignore[arg-type]
        stride=setting("stride", 1),  # type: ignore[arg-type]
        padding=setting("padding", 0),
        dilation=setting("dilation", 1),  # type: ignore[arg-type]
        groups=weight.shape[0] if depthwise else 1,
        bias=bias is not None,
        padding_mode="zeros" if like is None else like.padding_mode,
        device=weight.device,
        dtype=weight.dtype,
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None and layer.bias is not None:
            layer.bias.copy_(bias)
    return layer


def _check_conv(layer: nn.Conv2d) -> Tensor:
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"layer must be an nn.Conv2d, got {type(layer).__name__}.")
    if layer.groups != 1:
        raise ValueError(
            f"layer must have groups = 1, got {layer.groups}; split its groups first."
        )
    return layer.weight.detach()


def _check_kernel(weight: Tensor) -> Tensor:
    return check_tensor("weight", weight, ndim=4, floating=True, finite=True, nonempty=True)


def _check_kernel_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    shape = check_shape("weight_shape", shape)
    if len(shape) != 4:
        raise ValueError(f"weight_shape must be (out, in, height, width), got {shape}.")
    return shape
