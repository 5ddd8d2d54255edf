"""Masks: from scores to the weights that stay (True) and those that go (False).

Exactly round(sparsity * units) units go, ties included: those with the lowest scores, and among
equals those that come first. A unit is a weight, a filter (a slice along axis 0, what one output
channel is made of) or a channel (a slice along axis 1, what reads one input channel).
`n_of_m_mask` is the pattern that sparse tensor cores run, 2 of 4 (Mishra et al. 2021).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from course_lib._validate import check_choice, check_fraction, check_int, check_tensor

GRANULARITIES = ("element", "filter", "channel")
POOLS = ("mean", "rms", "max")
SCOPES = ("global", "layer")


def make_mask(
    scores: Tensor,
    sparsity: float,
    *,
    granularity: str = "element",
    pool: str = "mean",
    within: Tensor | None = None,
) -> Tensor:
    """Return a bool mask like `scores`, False on the lowest round(sparsity * units) units.

    Halves round to even, as in torch.nn.utils.prune. `pool` is how a filter's or channel's
    scores become one (see `pool_scores`). With `within`, an earlier mask of the same shape, what
    is removed there stays removed and counts towards `sparsity`. ValueError/TypeError if
    `scores` is empty, not floating point or not finite, or if `sparsity` is not in [0, 1].

    >>> make_mask(torch.tensor([0.3, 0.1, 0.1, 0.1]), 0.5)
    tensor([ True, False, False,  True])
    """
    masks = None if within is None else {"scores": within}
    settings = {"granularity": granularity, "pool": pool}
    return make_masks({"scores": scores}, sparsity, within=masks, **settings)["scores"]


def make_masks(
    scores: Mapping[str, Tensor],
    sparsity: float | Mapping[str, float],
    *,
    scope: str = "global",
    granularity: str = "element",
    pool: str = "mean",
    within: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Return one bool mask for each entry of `scores`, which maps names to tensors.

    With scope "global" one ranking runs through all entries and round(sparsity * units of all)
    units go; with "layer" each entry loses round(sparsity * its units), and `sparsity` may map
    names to fractions. The other arguments are those of `make_mask`. ValueError if names differ.
    """
    check_choice("scope", scope, SCOPES)
    if not isinstance(scores, Mapping) or not scores:
        raise ValueError(f"scores must map at least one name to a tensor, got {scores!r}.")
    if unknown := set(within or {}) - scores.keys():
        raise ValueError(f"within must name entries of scores, got {sorted(unknown)}.")
    units = {
        name: _units(name, score, granularity, pool, (within or {}).get(name))
        for name, score in scores.items()
    }
    if scope == "global":
        if isinstance(sparsity, Mapping):
            raise ValueError('sparsity must be one fraction with scope="global", got a mapping.')
        kept = _keep_highest(torch.cat([u.flatten() for u in units.values()]), sparsity)
        parts = kept.split([u.numel() for u in units.values()])
    else:
        wanted = sparsity if isinstance(sparsity, Mapping) else dict.fromkeys(units, sparsity)
        if wanted.keys() != units.keys():
            raise ValueError(f"sparsity names {sorted(wanted)}, but scores names {sorted(units)}.")
        parts = tuple(_keep_highest(u.flatten(), wanted[name]) for name, u in units.items())
    masks = {
        name: part.view_as(units[name]).expand_as(scores[name]).contiguous()
        for name, part in zip(units, parts, strict=True)
    }
    return {name: mask & (within or {}).get(name, mask) for name, mask in masks.items()}


def n_of_m_mask(scores: Tensor, keep: int = 2, block: int = 4) -> Tensor:
    """Return a bool mask like `scores` that keeps the `keep` best of every `block` inputs.

    Blocks are consecutive along axis 1, the inputs that a product sums over: [O, I] or
    [O, I, kH, kW] with I divisible by `block`, else ValueError. Among equals the first go.

    >>> n_of_m_mask(torch.tensor([[4.0, 1.0, 2.0, 3.0]])).int()
    tensor([[1, 0, 0, 1]], dtype=torch.int32)
    """
    check_tensor("scores", scores, floating=True, finite=True, nonempty=True)
    check_int("block", block)
    check_int("keep", keep, 0, block)
    inputs = scores.shape[1] if scores.ndim > 1 else 0
    if inputs == 0 or inputs % block:
        raise ValueError(
            f"scores must be [O, I, ...] with I divisible by block = {block}, "
            f"got shape {tuple(scores.shape)}; leave this layer dense."
        )
    blocks = scores.transpose(1, -1).unflatten(-1, (inputs // block, block))
    order = blocks.argsort(dim=-1, stable=True)  # lowest first
    mask = torch.ones_like(blocks, dtype=torch.bool)
    mask.scatter_(-1, order[..., : block - keep], False)
    return mask.flatten(-2).transpose(1, -1).contiguous()


def pool_scores(scores: Tensor, granularity: str, pool: str = "mean") -> Tensor:
    """Return one score per unit, [O, I, ...] -> [O, 1, ...] for filters, [1, I, ...] for channels.

    `pool` is "mean" (of magnitudes it ranks as the L1 norm), "rms" (as the L2 norm) or "max"
    (of the absolute values). All three ignore how large a unit is, so that layers can be
    compared. With granularity "element" the scores come back as they are.
    """
    check_choice("granularity", granularity, GRANULARITIES)
    check_choice("pool", pool, POOLS)
    check_tensor("scores", scores, floating=True, finite=True, nonempty=True)
    if granularity == "element":
        return scores
    if scores.ndim < 2:
        raise ValueError(
            f"scores must have 2 or more dimensions for granularity={granularity!r}, "
            f"got shape {tuple(scores.shape)}."
        )
    axis = 0 if granularity == "filter" else 1
    others = [i for i in range(scores.ndim) if i != axis]
    if pool == "mean":
        return scores.double().mean(others, keepdim=True)
    if pool == "rms":
        return scores.double().square().mean(others, keepdim=True).sqrt()
    return scores.double().abs().amax(others, keepdim=True)


def mask_sparsity(masks: Mapping[str, Tensor] | Tensor) -> float:
    """Return the fraction of False in one mask, or in all masks of a mapping together."""
    tensors = [masks] if isinstance(masks, Tensor) else list(masks.values())
    size = sum(mask.numel() for mask in tensors)
    if size == 0:
        raise ValueError("masks must hold at least one value, got none.")
    return 1 - sum(int(check_mask("masks", mask).sum()) for mask in tensors) / size


def check_mask(name: str, mask: Tensor, shape: torch.Size | None = None) -> Tensor:
    """Return `mask` if it is a bool tensor (of that shape), or raise."""
    check_tensor(name, mask)
    if mask.dtype != torch.bool:
        raise TypeError(f"{name} must hold bools (True stays), got {mask.dtype}.")
    if shape is not None and mask.shape != shape:
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {tuple(mask.shape)}.")
    return mask


def _units(
    name: str, scores: Tensor, granularity: str, pool: str, within: Tensor | None
) -> Tensor:
    """One score per unit; -inf for those already removed, which puts them first in line."""
    try:
        units = pool_scores(scores, granularity, pool)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error
    if within is None:
        return units
    kept = check_mask("within", within, scores.shape)
    if granularity != "element":
        axis = 0 if granularity == "filter" else 1
        kept = kept.transpose(0, axis).flatten(1).any(1).view(units.shape)
    return units.masked_fill(~kept, -torch.inf)


def _keep_highest(units: Tensor, sparsity: float) -> Tensor:
    """[n] -> bool [n], False on the round(sparsity * n) lowest, the first ones among equals."""
    count = round(check_fraction("sparsity", sparsity) * units.numel())
    count = max(count, int((units == -torch.inf).sum()))
    kept = torch.ones_like(units, dtype=torch.bool)
    if count == 0:
        return kept
    threshold = units.kthvalue(count).values
    kept[units < threshold] = False
    ties = (units == threshold).nonzero().flatten()
    missing = count - int((~kept).sum())
    kept[ties[:missing]] = False
    return kept
