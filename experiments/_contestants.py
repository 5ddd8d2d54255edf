"""The contestants of `equal_bytes`: ways to a network whose file has at most so many bytes.

All learn from the same images for the same number of epochs. Those that start from the trained
LeNet-300-100 have had its epochs on top, as in practice, where the large network exists. Sizes are
found by bisection on real files before the training, which may not make the file larger.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import codec, data, deploy, distill, lowrank, models, prune, quantize, train
from course_lib.blocks import conv_norm
from course_lib.blocks.conv import network
from experiments._small_training import TECHNIQUES, built
from experiments.runner import finished

IMAGES, EPOCHS, BATCH = 25_000, 6, 128
QUICK_IMAGES, QUICK_EPOCHS = 5_000, 4
RATE = {"dense": 2e-3, "conv": 1e-2, "retrain": 1e-3}
ROUNDS = 4  # of pruning with an epoch each; the last has all the epochs that are left
SHARED_EPOCHS = 2  # to fine-tune shared values, the last of EPOCHS
MARGIN = 0.98  # of the budget; training changes what Huffman codes make of the weights
BITS = (2, 4)
TEMPERATURE = 4.0


Score = Callable[[Tensor], Tensor]


class DoesNotFitError(ValueError):
    """The smallest network of its kind has a larger file than allowed."""


@dataclass(frozen=True)
class Entry:
    """A contestant's network, ready to be written, and what it is in a few words."""

    model: nn.Module
    says: str


@dataclass(frozen=True)
class Contest:
    """The conditions of one entry."""

    budget_bytes: int
    seed: int
    quick: bool

    @property
    def images(self) -> data.Dataset:
        return _images(self.quick)

    @property
    def epochs(self) -> int:
        return QUICK_EPOCHS if self.quick else EPOCHS

    def fits(self, model: nn.Module, margin: float = MARGIN) -> bool:
        return file_bytes(model) <= margin * self.budget_bytes

    def fit(self, model: nn.Module, rate: str, epochs: int, **extra: Any) -> nn.Module:
        """Train a copy by the recipe that is the same for all but for the learning rate."""
        result = train.fit(
            model,
            self.images,
            epochs=epochs,
            learning_rate=RATE[rate],
            batch_size=BATCH,
            schedule="cosine",
            seed=self.seed,
            progress=False,
            **extra,
        )
        return finished(result).model

    @property
    def base(self) -> nn.Module:
        """The trained LeNet-300-100 of this seed."""
        return _base(self.seed, self.quick)


@cache
def _images(quick: bool) -> data.Dataset:
    mnist = data.load("mnist")
    return replace(mnist, train=mnist.train.head(QUICK_IMAGES if quick else IMAGES))


@cache
def _base(seed: int, quick: bool) -> nn.Module:
    contest = Contest(0, seed, quick)
    return contest.fit(built(models.lenet_300_100, seed), "dense", contest.epochs)


def linear(contest: Contest) -> Entry:
    """A linear model, with as many bits per weight as fit."""
    if contest.fits(_halved(_mlp(contest)), margin=1):
        return Entry(_halved(contest.fit(_mlp(contest), "dense", contest.epochs)), "float16")
    model = contest.fit(_mlp(contest), "dense", contest.epochs - SHARED_EPOCHS)
    bits = largest(1, 8, lambda b: contest.fits(_plain(quantize.share_weights(model, b))))
    return Entry(_tuned(contest, model, bits), f"{bits} bits")


def small_dense(contest: Contest, loss: Callable[..., Tensor] | None = None) -> Entry:
    """One hidden layer, as wide as float16 allows."""
    hidden = largest(1, 100, lambda h: contest.fits(_halved(_mlp(contest, h))))
    model = contest.fit(_mlp(contest, hidden), "dense", contest.epochs, loss=loss)
    return Entry(_halved(model), f"784-{hidden}-10, float16")


def distilled(contest: Contest) -> Entry:
    """The same, taught by the large network."""
    return small_dense(contest, distill.Distillation(contest.base, TEMPERATURE))


def small_conv(contest: Contest) -> Entry:
    """Three convolutions, as wide as float16 allows once batch norm is folded into them."""
    folded = lambda model: _halved(deploy.fold_batch_norm(model.eval()))
    width = largest(1, 64, lambda w: contest.fits(folded(_conv(contest, w))))
    model = contest.fit(_conv(contest, width), "conv", contest.epochs)
    return Entry(folded(model), f"{width} to {2 * width} channels, float16")


def quantized(contest: Contest) -> Entry:
    """One hidden layer of shared weights, as wide as fits; bits by validation accuracy."""
    entries = [_quantized(contest, bits) for bits in BITS]
    split = contest.images.validation
    return max(entries, key=lambda entry: train.evaluate(entry.model, split).accuracy)


def _quantized(contest: Contest, bits: int) -> Entry:
    shared = lambda h: _plain(quantize.share_weights(_mlp(contest, h), bits))
    hidden = largest(1, 300, lambda h: contest.fits(shared(h)))
    model = contest.fit(_mlp(contest, hidden), "dense", contest.epochs - SHARED_EPOCHS)
    return Entry(_tuned(contest, model, bits), f"784-{hidden}-10, {bits} bits")


def pruned(contest: Contest, score: Score = prune.magnitude) -> Entry:
    """The large network without its smallest weights, float16."""
    model = _trimmed(contest, _halved(_pruned(contest, score, _halved, contest.epochs)))
    return Entry(model, f"{prune.weight_sparsity(model):.1%} zeros, float16")


def randomly_pruned(contest: Contest) -> Entry:
    """The large network without weights drawn at random: the baseline of `pruned`."""
    return pruned(contest, partial(_random_score, seed=contest.seed))


def pruned_and_quantized(contest: Contest) -> Entry:
    """The large network pruned, then its weights shared."""
    bits = max(BITS)
    shared = lambda model: _plain(quantize.share_weights(model, bits))
    model = _pruned(contest, prune.magnitude, shared, contest.epochs - SHARED_EPOCHS)
    tuned = _trimmed(contest, _tuned(contest, model, bits))
    return Entry(tuned, f"{prune.weight_sparsity(tuned):.1%} zeros, {bits} bits")


def low_rank(contest: Contest) -> Entry:
    """The large network, its two large layers split at one rank, fine-tuned, float16."""
    split = lambda rank: lowrank.factorize(contest.base, {"fc1": rank, "fc2": rank})
    rank = largest(1, 100, lambda r: contest.fits(_halved(split(r))))
    model = contest.fit(split(rank), "retrain", contest.epochs)
    return Entry(_halved(model), f"rank {rank}, float16")


CONTESTANTS: dict[str, Callable[[Contest], Entry]] = {
    "linear": linear,
    "small dense": small_dense,
    "distilled": distilled,
    "small conv": small_conv,
    "quantized": quantized,
    "pruned": pruned,
    "pruned at random": randomly_pruned,
    "pruned and quantized": pruned_and_quantized,
    "low rank": low_rank,
}


def file_bytes(model: nn.Module) -> int:
    """The bytes of the file that `codec.save` would write."""
    return len(codec.to_bytes(model, techniques=TECHNIQUES))


def largest(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """The largest number in low..high that fits, if all below one that fits do so too."""
    if not fits(low):
        raise DoesNotFitError(f"not even {low} fits")
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _mlp(contest: Contest, *hidden: int) -> nn.Module:
    return built(partial(models.mlp, hidden), contest.seed)


def _conv(contest: Contest, width: int) -> nn.Module:
    """[N, 1, 28, 28] -> [N, 10]"""
    return built(
        lambda: network(
            conv1=conv_norm(1, width, 3, stride=2),  # -> [N, width, 14, 14]
            conv2=conv_norm(width, 2 * width, 3, stride=2),  # -> [N, 2 width, 7, 7]
            conv3=conv_norm(2 * width, 2 * width, 3),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classifier=nn.Linear(2 * width, 10),
        ),
        contest.seed,
    )


def _halved(model: nn.Module) -> nn.Module:
    """A copy whose numbers are float16's, in float32, for `codec` to store as float16."""
    return copy.deepcopy(model).half().float()


def _plain(model: nn.Module) -> nn.Module:
    return _halved(quantize.plain(model))


def _tuned(contest: Contest, model: nn.Module, bits: int) -> nn.Module:
    """Share weights, fine-tune the shared values, and return an ordinary model of them."""
    shared = quantize.share_weights(model, bits)
    return _plain(contest.fit(shared, "retrain", SHARED_EPOCHS))


def _pruned(
    contest: Contest, score: Score, stored: Callable[[nn.Module], nn.Module], epochs: int
) -> nn.Module:
    """Prune the large network in rounds until what `stored` makes of it fits."""
    model, rounds = contest.base, min(ROUNDS, epochs - 1)
    for i in range(1, rounds + 1):
        # Where the zeros lie decides how short their gaps can be coded, so it is measured anew.
        sparsity = prune.cubic(i, _sparsity_that_fits(contest, model, score, stored), end=rounds)
        now = prune.prune_model(model, sparsity, scores=_scores(model, score))
        last = epochs - (rounds - 1) if i == rounds else 1
        model = contest.fit(now.model, "retrain", last, after_step=prune.KeepZeros(now.masks))
    return model


def _trimmed(contest: Contest, model: nn.Module) -> nn.Module:
    """The model itself, or without its smallest weights if training made the file too large."""
    if contest.fits(model, margin=1):
        return model
    sparsity = _sparsity_that_fits(contest, model, prune.magnitude, _halved)
    return prune.prune_model(model, sparsity).model


def _sparsity_that_fits(
    contest: Contest, model: nn.Module, score: Score, stored: Callable[[nn.Module], nn.Module]
) -> float:
    scores = _scores(model, score)
    total = sum(weight.numel() for weight in scores.values())

    def fits(kept: int) -> bool:
        cut = prune.prune_model(model, 1 - kept / total, scores=scores).model
        return contest.fits(stored(cut))

    return 1 - largest(100, 30_000, fits) / total


def _scores(model: nn.Module, score: Score) -> dict[str, Tensor]:
    weights = prune.prunable_weights(model)
    return {name: score(weight.detach()) for name, weight in weights.items()}


def _random_score(weight: Tensor, seed: int) -> Tensor:
    """At random, but what is zero stays zero."""
    return torch.where(weight == 0, -1.0, prune.random(weight, seed))
