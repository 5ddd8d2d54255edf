"""One bit per number: the sign, its scale, and products of signs by XNOR and popcount.

If +1 is the bit 1 and -1 the bit 0, two numbers have a product of -1 exactly where their bits
differ, so a dot product of K signs is K - 2 popcount(a xor b): one word operation for 64
multiplications. Sources: Courbariaux et al. 2015 (BinaryConnect); Rastegari et al. 2016
(XNOR-Net), eq. 6 for the scale and section 3.2 for the product.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from course_lib._validate import check_int, check_tensor

Words = npt.NDArray[np.uint64]

# The differing bits of one block, 64 words x 512 columns, stay in the cache of one core.
BLOCK_WORDS, BLOCK_COLUMNS = 64, 512
BLOCKS_PER_THREAD = 16


def binarize(x: Tensor) -> Tensor:
    """Return +1 where x >= 0 and -1 elsewhere, in the shape and dtype of x.

    The derivative of the sign is 0 almost everywhere; the gradient goes straight through where
    |x| <= 1 and is 0 beyond, as if the function were clip(x, -1, 1). Hubara et al. 2016, eq. 4.

    >>> x = torch.tensor([-2.0, -0.5, 0.0, 3.0], requires_grad=True)
    >>> y = binarize(x)
    >>> y.sum().backward()
    >>> y.tolist(), x.grad.tolist()
    ([-1.0, -1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0])
    """
    check_tensor("x", x, floating=True)
    y: Tensor = _Sign.apply(x)
    return y


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x >= 0).to(x.dtype).mul_(2).sub_(1)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * (x.abs() <= 1)


def filter_scale(weight: Tensor) -> Tensor:
    """Return alpha = mean |w| of each filter: [F, ...] -> [F].

    alpha * sign(w) is the closest such product to w in squared error. Differentiable.
    ValueError if the weight has one dimension or none, or is empty. XNOR-Net, eq. 6.

    >>> filter_scale(torch.tensor([[1.0, -3.0], [0.5, 0.5]]))
    tensor([2.0000, 0.5000])
    """
    check_tensor("weight", weight, floating=True, nonempty=True)
    if weight.ndim < 2:
        raise ValueError(f"weight must have shape [F, ...], got {tuple(weight.shape)}.")
    return weight.abs().flatten(1).mean(dim=1)


def binary_weight(weight: Tensor) -> Tensor:
    """Return alpha * sign(w), the weight of a BWN layer, [F, ...] -> [F, ...]; differentiable.

    >>> binary_weight(torch.tensor([[1.0, -3.0]]))
    tensor([[ 2., -2.]])
    """
    alpha = filter_scale(weight)
    return binarize(weight) * alpha.reshape(-1, *[1] * (weight.ndim - 1))


def pack_signs(x: Tensor) -> Tensor:
    """Return one bit per value, 1 where x >= 0: [..., K] -> uint8 [..., ceil(K / 8)].

    The first value is the highest bit of the first byte; spare bits of the last byte are 0.
    Raises TypeError if x is not floating, ValueError if it has no dimension or holds NaN.

    >>> pack_signs(torch.tensor([1.0, -1.0, 1.0]))
    tensor([160], dtype=torch.uint8)
    """
    check_tensor("x", x, floating=True)
    if x.ndim == 0 or bool(torch.isnan(x).any()):
        raise ValueError("x must have at least one dimension and no NaN: NaN has no sign.")
    return pack_bits(x.detach() >= 0)


def pack_bits(bits: Tensor) -> Tensor:
    """Pack booleans as `pack_signs` packs signs: bool [..., K] -> uint8 [..., ceil(K / 8)]."""
    return torch.from_numpy(np.packbits(bits.cpu().numpy(), axis=-1))


def unpack_signs(packed: Tensor, count: int) -> Tensor:
    """Return the +1 and -1 of `pack_signs`: uint8 [..., ceil(count / 8)] -> float32 [..., count].

    >>> unpack_signs(torch.tensor([160], dtype=torch.uint8), 3)
    tensor([ 1., -1.,  1.])
    """
    _check_packed("packed", packed, count)
    bits = np.unpackbits(packed.cpu().numpy(), axis=-1, count=count)
    return torch.from_numpy(bits).float().mul_(2).sub_(1)


def xnor_product(a: Tensor, b: Tensor, count: int) -> Tensor:
    """Return the dot products of rows of signs: uint8 [M, B], [N, B] -> int32 [M, N].

    a, b: from `pack_signs`, of `count` = K signs per row, B = ceil(K / 8). Equal, exactly, to
    binarize(x) @ binarize(y).T of the float matrices. Uses torch.get_num_threads() threads.
    Raises TypeError if a or b is not uint8, ValueError if shapes do not fit or spare bits are set.

    >>> x, y = torch.tensor([[1.0, -1.0, 1.0]]), torch.tensor([[1.0, 1.0, 1.0], [-1.0, 1.0, -1.0]])
    >>> xnor_product(pack_signs(x), pack_signs(y), 3)
    tensor([[ 1, -3]], dtype=torch.int32)
    """
    for name, packed in (("a", a), ("b", b)):
        check_tensor(name, packed, ndim=2)
        _check_packed(name, packed, count)
    return words_product(to_words(a), to_words(b).T, count)


def to_words(packed: Tensor) -> Words:
    """Return packed rows in words, spare bits 0: uint8 [N, B] -> uint64 [N, ceil(B / 8)]."""
    rows = np.ascontiguousarray(packed.cpu().numpy())  # np.pad would keep another order
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 8)))
    return cast(Words, padded.view(np.uint64))


def words_product(rows: Words, columns: Words, count: int) -> Tensor:
    """Return the dot products of `count` signs in words, [M, W], [W, N] -> int32 [M, N].

    `xnor_product` without checks: the inner loop of a packed layer. Fastest if columns are
    contiguous along N.
    """
    if len(rows) > columns.shape[1]:  # numpy is fast along the inner, longer side of a block
        return words_product(columns.T, rows.T, count).t().contiguous()
    columns = np.ascontiguousarray(columns)
    word_pairs = min(len(columns), BLOCK_WORDS) * min(columns.shape[1], BLOCK_COLUMNS)
    height = max(1, BLOCK_WORDS * BLOCK_COLUMNS // max(1, word_pairs))
    blocks = [
        (slice(i, i + height), slice(j, j + BLOCK_COLUMNS))
        for i in range(0, len(rows), height)
        for j in range(0, columns.shape[1], BLOCK_COLUMNS)
    ]
    result = np.empty((len(rows), columns.shape[1]), np.int32)

    def fill(block: tuple[slice, slice]) -> None:
        result[block] = count - 2 * _differing_bits(rows[block[0]], columns[:, block[1]])

    # numpy releases the interpreter lock inside a block, but starting threads takes a while too.
    threads = min(torch.get_num_threads(), len(blocks) // BLOCKS_PER_THREAD)
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, blocks))
    else:
        for block in blocks:
            fill(block)
    return torch.from_numpy(result)


def _differing_bits(rows: Words, columns: Words) -> npt.NDArray[np.int32]:
    """Count the bits in which [M, W] rows and [W, N] columns differ: int32 [M, N]."""
    total = np.zeros((len(rows), columns.shape[1]), np.int32)
    for start in range(0, len(columns), BLOCK_WORDS):
        part = slice(start, start + BLOCK_WORDS)
        different = np.bitwise_count(rows[:, part, None] ^ columns[None, part])
        total += different.sum(axis=1, dtype=np.uint16)  # at most 64 words of 64 bits
    return total


def _check_packed(name: str, packed: Tensor, count: int) -> None:
    check_tensor(name, packed)
    check_int("count", count, minimum=0)
    if packed.dtype != torch.uint8:
        raise TypeError(f"{name} must be uint8 from pack_signs, got {packed.dtype}.")
    if packed.ndim == 0 or packed.shape[-1] != -(-count // 8):
        raise ValueError(
            f"{name} must have {-(-count // 8)} bytes per row for {count} signs, got shape "
            f"{tuple(packed.shape)}."
        )
    if count % 8 and bool((packed[..., -1] & (0xFF >> count % 8)).any()):
        raise ValueError(f"{name} must have zeros in the spare bits after its {count} signs.")
