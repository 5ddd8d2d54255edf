"""Scaled dot-product attention: a lookup by similarity, softmax(Q K^T / sqrt(d)) V.

Every query asks all keys at once, so a sequence is one matrix product instead of a loop: parallel,
but T^2 where a recurrence is T (Vaswani et al. 2017, arXiv:1706.03762, eq. 1). PyTorch's fused
kernel, `F.scaled_dot_product_attention`, computes the same without showing the weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_lib._validate import check_int, check_tensor


def attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the mixed values and the weights that mixed them.

    query [..., T, D], key [..., S, D], value [..., S, E] -> values [..., T, E], weights
    [..., T, S]. `mask`: bool, broadcastable to [..., T, S], True where a query may look. Each row
    of weights sums to 1; a query that may look nowhere gets weights and values of zero.
    Raises TypeError/ValueError for tensors that are not floating point or shapes that do not fit.
    Source: Vaswani et al. 2017, eq. 1.

    >>> keys = torch.tensor([[8.0, 0.0], [0.0, 8.0]])
    >>> values, weights = attention(torch.tensor([[0.0, 0.0]]), keys, torch.tensor([[1.0], [2.0]]))
    >>> values, weights  # a query like no key reads all alike
    (tensor([[1.5000]]), tensor([[0.5000, 0.5000]]))
    """
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        if check_tensor(name, tensor, floating=True).ndim < 2:
            raise ValueError(f"{name} must be [..., length, dim], got {tuple(tensor.shape)}.")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ValueError(
            "query and key must have equal last dimensions, key and value equal lengths; got "
            f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}."
        )
    scores = query @ key.mT / math.sqrt(query.shape[-1])  # [..., T, S]
    weights = masked_softmax(scores, mask)
    return weights @ value, weights


def masked_softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the softmax over the last axis among the places where `mask` is True, zero elsewhere.

    scores [..., S]; mask bool, broadcastable to it; a row without any True becomes all zeros.
    Raises TypeError/ValueError for a mask that is not bool or does not broadcast.

    >>> masked_softmax(torch.zeros(2, 2), torch.tensor([[True, False], [False, False]]))
    tensor([[1., 0.],
            [0., 0.]])
    """
    check_tensor("scores", scores, floating=True)
    if mask is None:
        return scores.softmax(dim=-1)
    check_mask(mask, scores.shape)
    weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)
    return weights.masked_fill(~mask, 0.0)  # a row of -inf came out of the softmax as NaN


def causal_mask(
    queries: int, keys: int | None = None, *, device: torch.device | str | None = None
) -> Tensor:
    """Return the mask [queries, keys] that hides the future: True where key s may be seen by t.

    `keys` (default: as many) must be >= queries; the queries are then the last of the sequence,
    as with a cache: query t sees keys 0 .. t + keys - queries.

    >>> causal_mask(2, 3)
    tensor([[ True,  True, False],
            [ True,  True,  True]])
    """
    keys = check_int("queries", queries, minimum=0) if keys is None else keys
    check_int("keys", keys, minimum=queries)
    square = torch.ones(queries, keys, dtype=torch.bool, device=device)
    return square.tril(diagonal=keys - queries)


def check_mask(mask: object, shape: torch.Size) -> Tensor:
    """Return `mask` if it is a bool tensor that broadcasts to `shape`, or raise."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"mask must be a bool tensor, True where a query may look; got {kind}.")
    pairs = zip(reversed(mask.shape), reversed(shape), strict=False)
    if mask.ndim > len(shape) or any(mine not in (1, wanted) for mine, wanted in pairs):
        raise ValueError(
            f"mask must broadcast to the scores' shape {tuple(shape)}, got {tuple(mask.shape)}."
        )
    return mask
