"""Cut channels until a stated share of the weights, or a stated number of channels, is left."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from course_lib import prune, surgery

STEPS = 256  # fractions of channels are tried in steps of 1 / STEPS


def weights(model: nn.Module) -> int:
    """How many weights the Linear and Conv layers have."""
    return sum(weight.numel() for weight in prune.prunable_weights(model).values())


def channel_fraction(model: nn.Module, example: Tensor, limit: float) -> float:
    """The smallest fraction of the channels whose removal leaves at most `limit` weights.

    1 (one channel left in every layer) if even that leaves more. Which channels go does not
    matter: every set of layers loses the same share.
    """
    scores = prune.score_model(model)

    def is_enough(step: int) -> bool:
        chosen = surgery.weakest_channels(model, example, scores, step / STEPS)
        return weights(surgery.remove_channels(model, example, chosen)) <= limit

    return min(bisect.bisect_left(range(STEPS + 1), True, key=is_enough), STEPS) / STEPS


def thin(
    model: nn.Module, example: Tensor, scores: Mapping[str, Tensor], limit: float
) -> nn.Module:
    """The model without its weakest channels, so many that at most `limit` weights are left."""
    fraction = channel_fraction(model, example, limit)
    chosen = surgery.weakest_channels(model, example, scores, fraction)
    return surgery.remove_channels(model, example, chosen)


def keep_channels(model: nn.Module, example: Tensor, kept: Callable[[int], int]) -> nn.Module:
    """The model with kept(n) of the n channels of every set of layers, those of large weights."""
    scores = prune.score_model(model)
    chosen: dict[str, list[int]] = {}
    for layers, sets in surgery.trace_channels(model, example).groups().items():
        own = {f"{layer}.weight": scores[f"{layer}.weight"] for layer in layers}
        share = 1 - kept(len(sets)) / len(sets)
        chosen |= surgery.weakest_channels(model, example, own, share)
    return surgery.remove_channels(model, example, chosen)


class GradualThinner:
    """After-step hook: silences ever more of the weakest channels, as AGP does weights.

    By step `steps` the fraction `final` of every set of layers is silent; `channels` then says
    which, for `surgery.remove_channels`. What is silent stays so.
    """

    def __init__(self, example: Tensor, final: float, steps: int, every: int = 10):
        self.example = example
        self.schedule = partial(prune.cubic, final=final, end=steps)
        self.steps, self.every = steps, every
        self.step = 0
        self.channels: dict[str, list[int]] = {}
        self.free: dict[str, Tensor] = {}

    def __call__(self, model: nn.Module) -> None:
        self.step += 1
        prune.KeepZeros(self.free)(model)  # before the ranking: the optimizer has moved them
        if self.step % self.every == 0 or self.step == self.steps:
            self._tighten(model)
            prune.KeepZeros(self.free)(model)

    @torch.no_grad()
    def _tighten(self, model: nn.Module) -> None:
        # A silent channel scores 0, so it is chosen again.
        scores = prune.score_model(model)
        share = self.schedule(self.step)
        self.channels = surgery.weakest_channels(model, self.example, scores, share)
        silent = surgery.mask_channels(model, self.example, self.channels)
        now = dict(model.named_parameters())
        unchanged = {name: value == now[name] for name, value in silent.named_parameters()}
        self.free = {name: kept & self.free.get(name, kept) for name, kept in unchanged.items()}
