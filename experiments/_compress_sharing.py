"""Weight sharing that looks at the bill: codebooks for all weights and biases, trained.

Deep Compression clusters the weights once and then trains the centroids. Here the weights go on
training below their quantized values (straight-through, Bengio et al. 2013), the centroids follow
as means of their members, and a weight takes the entry that is cheapest in squared error plus
`price` times the bits that this entry costs in a file (entropy-constrained quantization: Chou,
Lookabaugh and Gray 1989; Choi et al. 2017). Zero is an entry too, so that the price prunes.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call

from course_lib.quantize import kmeans_codebook

REFIT_EVERY = 20  # steps
_RAREST = 1e-4  # share of an entry that is hardly used: no more than 13 bits


class SharedWeights:
    """Quantized forward pass over `model`, whose parameters stay precise and can be trained.

    Parameters that are 0 at the beginning stay 0. Codebooks hold float16 values. Use an instance
    in place of the model in the training loss, and `after_step` after every step.
    """

    def __init__(self, model: nn.Module, bits: int, bias_bits: int, price: float) -> None:
        self.model, self.price, self.steps = model, price, 0
        self.alive = {name: p.detach() != 0 for name, p in model.named_parameters()}
        self.codebooks: dict[str, Tensor] = {}  # [K], the first entry is 0
        self.costs: dict[str, Tensor] = {}  # [K] bits
        for name, parameter in model.named_parameters():
            used = parameter.detach()[self.alive[name]]
            entries = used[:0]
            if len(used):
                entries, _ = kmeans_codebook(used, bits if parameter.ndim > 1 else bias_bits)
            self.codebooks[name] = torch.cat([torch.zeros(1), entries])
            self.costs[name] = torch.zeros(len(entries) + 1)
        self._refit()

    def __call__(self, inputs: Tensor) -> Tensor:
        """The logits with quantized weights; gradients pass to the precise ones."""
        values = {
            name: parameter + (self._quantized(name, parameter) - parameter).detach()
            for name, parameter in self.model.named_parameters()
        }
        logits: Tensor = functional_call(self.model, values, (inputs,))
        return logits

    @torch.no_grad()
    def after_step(self, model: nn.Module) -> None:
        """Keep the zeros, and let the codebooks follow the weights from time to time."""
        for name, parameter in model.named_parameters():
            parameter.mul_(self.alive[name])
        self.steps += 1
        if self.steps % REFIT_EVERY == 0:
            self._refit()

    @torch.no_grad()
    def plain(self) -> nn.Module:
        """Return a copy of the model that has the quantized values as its weights."""
        model = copy.deepcopy(self.model)
        for name, parameter in model.named_parameters():
            parameter.copy_(self._quantized(name, parameter))
        return model

    @torch.no_grad()
    def _refit(self) -> None:
        for name, parameter in self.model.named_parameters():
            weights = parameter.detach()[self.alive[name]]
            if not len(weights):
                continue
            indices, size = self._indices(name, weights), len(self.codebooks[name])
            counts = torch.bincount(indices, minlength=size).float()
            sums = torch.zeros(size).index_add_(0, indices, weights)
            means = torch.where(counts > 0, sums / counts.clamp_min(1), self.codebooks[name])
            means[0] = 0
            self.codebooks[name] = means.half().float()
            if parameter.ndim > 1:
                self.costs[name] = entry_costs(counts, self._places(name))

    def _places(self, name: str) -> int:
        """Weights in the rows and columns that are in use: among these a file says which are."""
        used = self.alive[name].flatten(1)
        return int(used.any(1).sum() * used.any(0).sum())

    @torch.no_grad()
    def _quantized(self, name: str, parameter: Tensor) -> Tensor:
        result = torch.zeros_like(parameter)
        alive = self.alive[name]
        result[alive] = self.codebooks[name][self._indices(name, parameter.detach()[alive])]
        return result

    def _indices(self, name: str, weights: Tensor) -> Tensor:
        errors = (weights[:, None] - self.codebooks[name]).square() / weights.square().mean()
        return (errors + self.price * self.costs[name]).argmin(1)


def entry_costs(counts: Tensor, places: int) -> Tensor:
    """Return the bits of each entry of a codebook that is used `counts` times, entry 0 being zero.

    A zero costs -log2(1 - p), where p is the share of `places` that hold a weight; another entry
    -log2(p), for being one, and -log2 of its share among the weights.
    """
    weights = counts[1:].sum().clamp_min(1)
    p = (weights / max(places, 1)).clamp(_RAREST, 1 - _RAREST)
    shares = (counts[1:] / weights).clamp_min(_RAREST)
    return torch.cat([-torch.log2(1 - p)[None], -torch.log2(p) - torch.log2(shares)])
