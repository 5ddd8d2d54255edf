"""The mechanism: put masks on a model, and keep the zeros while it trains.

An optimizer with momentum moves a weight even when its gradient is zero, so masks are applied
again after every step. The two hooks below do that; give one to
`course_lib.train.fit(..., after_step=hook)` or call it after `optimizer.step()`.
`torch.nn.utils.prune` instead reparametrizes each weight as weight_orig * mask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib._validate import check_fraction
from course_lib.prune.masks import check_mask, make_masks, mask_sparsity
from course_lib.prune.scores import magnitude, score_model
from course_lib.prune.weights import prunable_weights


@dataclass(frozen=True)
class Pruned:
    """A model with zeros, and the masks (name -> bool, False is zero) that put them there."""

    model: nn.Module
    masks: Mapping[str, Tensor]

    @property
    def sparsity(self) -> float:
        """Fraction of the masked tensors' weights that the masks remove."""
        return mask_sparsity(self.masks)


def apply_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """Return a copy of `model` whose parameters are zero where their mask is False.

    `masks` maps parameter names to bool tensors of their shapes; others stay as they are. The
    copy is an ordinary model, and what trains it must hold the zeros (see `KeepZeros`).
    ValueError for an unknown name or another shape, TypeError for a mask that is not bool.
    """
    copy = deepcopy(model)
    zero_masked(copy, masks)
    return copy


def prune_model(
    model: nn.Module,
    sparsity: float | Mapping[str, float],
    scores: Mapping[str, Tensor] | None = None,
    *,
    scope: str = "global",
    granularity: str = "element",
    pool: str = "mean",
) -> Pruned:
    """Prune once: mask the weights with the lowest scores and return a new model.

    `scores` maps names of weights to scores of their shapes, as `score_model` returns (default:
    magnitude); a layer that is not in it stays dense. The other arguments are those of
    `make_masks`. Granularity "filter" zeroes weights only: the filter's bias and batch norm stay
    (`course_lib.surgery` removes those too).

    >>> prune_model(nn.Linear(10, 10), 0.8).sparsity
    0.8
    """
    scores = score_model(model) if scores is None else scores
    masks = make_masks(scores, sparsity, scope=scope, granularity=granularity, pool=pool)
    return Pruned(apply_masks(model, masks), masks)


def rewind(pruned: Pruned, early: nn.Module) -> Pruned:
    """Return the network of `early` with the masks of `pruned`: a lottery ticket.

    `early` is the same network at its initialization (Frankle and Carbin 2019) or after a few
    steps of training (Frankle et al. 2020); all values, batch-norm statistics too, are its own.
    ValueError if its parameters have other names or shapes than those of `pruned.model`.
    """
    shapes = [{n: tuple(p.shape) for n, p in m.named_parameters()} for m in (early, pruned.model)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"early must be the network of pruned, {shapes[1]}; got {shapes[0]}.")
    return Pruned(apply_masks(early, pruned.masks), pruned.masks)


class KeepZeros:
    """After-step hook that sets masked weights back to zero: `KeepZeros(masks)(model)`.

    It changes the model in training in place. Works with any optimizer: what momentum or Adam
    add to a masked weight is gone before the next forward pass.
    """

    def __init__(self, masks: Mapping[str, Tensor]):
        self.masks = {name: check_mask(name, mask) for name, mask in masks.items()}

    def __call__(self, model: nn.Module) -> None:
        zero_masked(model, self.masks)


class GradualPruner:
    """After-step hook that prunes along a schedule and keeps the zeros in between.

    The call after optimizer step k = 1, 2, ... brings the model to sparsity `schedule(k)` by
    masking the weights of lowest score; what was removed stays removed. `score` maps a weight to
    scores of its shape; `skip` names weights that stay dense; the others are the arguments of
    `make_masks`. One pruner serves one training run.

    `course_lib.train.fit` returns the weights of its best epoch, which may be older than the last
    masks: finish with `apply_masks(result.model, pruner.masks)`, then fine-tune that with
    `after_step=KeepZeros(pruner.masks)`.

    Attributes: `masks` (name -> bool, empty before the first call), `steps`, `sparsity`.
    """

    def __init__(
        self,
        schedule: Callable[[int], float],
        *,
        score: Callable[[Tensor], Tensor] = magnitude,
        scope: str = "global",
        granularity: str = "element",
        pool: str = "mean",
        skip: tuple[str, ...] = (),
    ):
        self.schedule = schedule
        self.score = score
        self.skip = skip
        self.settings = {"scope": scope, "granularity": granularity, "pool": pool}
        self.masks: dict[str, Tensor] = {}
        self.steps = 0
        self._target = -1.0

    @property
    def sparsity(self) -> float:
        """Fraction of the prunable weights masked so far."""
        return mask_sparsity(self.masks) if self.masks else 0.0

    def __call__(self, model: nn.Module) -> None:
        self.steps += 1
        target = check_fraction("schedule(step)", self.schedule(self.steps))
        if target > self._target:
            self._tighten(model, target)
        zero_masked(model, self.masks)

    def _tighten(self, model: nn.Module, target: float) -> None:
        weights = prunable_weights(model)
        if unknown := set(self.skip) - weights.keys():
            raise ValueError(f"skip must name weights among {list(weights)}, got {unknown}.")
        scores = {n: self.score(w.detach()) for n, w in weights.items() if n not in self.skip}
        self.masks = make_masks(scores, target, within=self.masks, **self.settings)
        self._target = target


@torch.no_grad()
def zero_masked(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set the parameters of `model` to zero, in place, where their mask is False."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, mask in masks.items():
        if name not in parameters:
            raise ValueError(f"masks must name parameters of the model, got {name!r}.")
        parameter = parameters[name]
        check_mask(name, mask, parameter.shape)
        parameter.masked_fill_(~mask.to(parameter.device), 0)
