"""What the explorer `workbench` does to a network: techniques, each in a few strengths.

A network that was changed is written, and what is run is what comes back from the bytes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from course_lib import codec, cost, lowrank, prune, quantize, surgery

CODEBOOK_BITS = 4


@dataclass(frozen=True)
class Technique:
    """`levels`: from weak to strong; `says` puts one into words; `build(model, image, level)`."""

    levels: tuple[float, ...]
    says: str
    build: Callable[[nn.Module, Tensor, float], nn.Module]
    coding: tuple[str, ...] = ()


@dataclass(frozen=True)
class Built:
    """A network as read back from a file: what it weighs, and its multiply-adds for an image."""

    model: nn.Module = field(repr=False)
    size_bytes: int
    macs: int
    peak_activation_bytes: int


def built(network: nn.Module, image: Tensor, technique: str, level: float | None) -> Built:
    """Apply a technique to a copy (level None: none of them), write it and read it back."""
    model, coding = network, tuple[str, ...]()
    if level is not None:
        model = TECHNIQUES[technique].build(network, image, level)
        coding = TECHNIQUES[technique].coding
    kept = any(isinstance(module, quantize.QuantizedLayer) for module in model.modules())
    tensors = quantize.stored_tensors(model) if kept else model
    data = codec.to_bytes(tensors, techniques=coding)
    state, size = codec.from_bytes(data)
    if kept:
        read = quantize.plain(quantize.from_stored(model, state))
    else:
        read = copy.deepcopy(model)
        read.load_state_dict(state)
    counted = cost.count(read, image)
    fast: nn.Module = read.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Built(fast, size.total_bytes, counted.macs, counted.peak_activation_bytes)


def _quantized(model: nn.Module, image: Tensor, bits: float) -> nn.Module:
    return quantize.post_training_dynamic(model, bits=int(bits), activation_bits=None)


def _pruned(model: nn.Module, image: Tensor, sparsity: float) -> nn.Module:
    return prune.prune_model(model, sparsity).model


def _deeply_compressed(model: nn.Module, image: Tensor, sparsity: float) -> nn.Module:
    shared = quantize.share_weights(_pruned(model, image, sparsity), CODEBOOK_BITS)
    return quantize.plain(shared).half().float()


def _thinned(model: nn.Module, image: Tensor, fraction: float) -> nn.Module:
    scores = prune.score_model(model)
    weakest = surgery.weakest_channels(model, image, scores, fraction)
    return surgery.remove_channels(model, image, weakest)


def _low_rank(model: nn.Module, image: Tensor, share: float) -> nn.Module:
    """Split the large linear layers; the last one, of a few outputs, has no rank to spare."""
    linear = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    large = list(linear)[:-1]
    ranks = {name: max(1, round(share * min(linear[name].weight.shape))) for name in large}
    return lowrank.factorize(model, ranks)


TECHNIQUES: Mapping[str, Technique] = {
    "quantize": Technique((8, 6, 5, 4, 3, 2), "{:g}-bit weights", _quantized),
    "prune weights": Technique(
        (0.3, 0.5, 0.6, 0.7, 0.8, 0.9), "{:.0%} zeros", _pruned, ("sparse",)
    ),
    "prune, share, code": Technique(
        (0.3, 0.5, 0.6, 0.7, 0.8, 0.9),
        f"{{:.0%}} zeros, {CODEBOOK_BITS}-bit codebook, Huffman",
        _deeply_compressed,
        codec.DEEP_COMPRESSION,
    ),
    "remove units": Technique(
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), "without {:.0%} of its units", _thinned
    ),
    "low rank": Technique((0.3, 0.2, 0.15, 0.1, 0.06, 0.03), "{:.0%} of its full rank", _low_rank),
}
STRENGTHS = 6  # levels of every technique
UNCHANGED = "unchanged"
