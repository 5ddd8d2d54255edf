"""Weight sharing: k-means finds the 2^b values that represent a layer's weights best.

A codebook holds the values, and each weight keeps only an index of b bits. Unlike affine levels
the values lie where the weights are, and they can be fine-tuned: the gradient of a shared value is
the sum of the gradients of its members. Sources: Han et al. 2016, "Deep Compression", section 3.
In one dimension clusters are intervals of the sorted values, so that the best start can be found
by dynamic programming (Wang and Song 2011, "Ckmeans.1d.dp"), and the result beats random restarts.
"""

from __future__ import annotations

import copy
import heapq
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from course_lib._validate import check_int, check_tensor
from course_lib.cost.stand_in import StandIn
from course_lib.quantize.replace import Layer, replace_layers

Floats = npt.NDArray[np.float64]

MAX_BLOCKS = 512  # the start is optimal among clusters made of so many blocks of values
MAX_ITERATIONS = 300  # of Lloyd's algorithm; with that start it needs about 50


def kmeans_codebook(w: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return (codebook, indices) with codebook[indices] close to w in squared error.

    codebook: [K] ascending, K = min(2^bits, number of distinct values), so that a tensor of few
    values is kept without loss; float32, or float64 if w is. indices: uint8, the shape of w, each
    that of the nearest entry. bits: 1..8. Deterministic: no random start.

    To leave pruned zeros out, pass w[w != 0]. Raises TypeError / ValueError if w is empty, not
    floating or holds NaN or infinity. Source: Han et al. 2016, eq. 2.

    >>> codebook, indices = kmeans_codebook(torch.tensor([0.1, 0.9, 1.1, -0.1]), bits=1)
    >>> codebook, indices
    (tensor([0., 1.]), tensor([0, 1, 1, 0], dtype=torch.uint8))
    """
    check_tensor("w", w, floating=True, finite=True, nonempty=True)
    clusters = 2 ** check_int("bits", bits, minimum=1, maximum=8)
    codebook = _kmeans(w, clusters)
    return codebook, nearest(w, codebook)


def nearest(w: Tensor, codebook: Tensor) -> Tensor:
    """Return the index of the nearest entry of an ascending codebook [K]: uint8, shape of w.

    Halfway between two entries the lower one is taken. ValueError if the codebook is empty,
    longer than 256 or not ascending.

    >>> nearest(torch.tensor([0.2, 0.9]), torch.tensor([0.0, 1.0]))
    tensor([0, 1], dtype=torch.uint8)
    """
    check_tensor("w", w, floating=True, finite=True)
    check_tensor("codebook", codebook, ndim=1, floating=True, finite=True, nonempty=True)
    codebook = codebook.detach()
    if len(codebook) > 256 or bool((codebook.diff() < 0).any()):
        raise ValueError(f"codebook must be ascending with <= 256 entries, got {codebook}.")
    wide = codebook.double()
    borders = wide[:-1] + wide.diff() / 2
    return torch.bucketize(w.detach().double(), borders).to(torch.uint8)


def codebook_gradient(weight_grad: Tensor, indices: Tensor, size: int) -> Tensor:
    """Return the gradient [size] of the shared values: the sum over the members of each cluster.

    weight_grad: gradient of the loss by the weights; indices: same shape, entries < size.
    This is what autograd computes for `codebook[indices]`. Source: Han et al. 2016, eq. 3.

    >>> codebook_gradient(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 1, 0]), size=3)
    tensor([5., 2., 0.])
    """
    check_tensor("weight_grad", weight_grad, floating=True)
    check_tensor("indices", indices)
    check_int("size", size)
    if indices.shape != weight_grad.shape:
        shapes = f"{tuple(indices.shape)} and {tuple(weight_grad.shape)}"
        raise ValueError(f"indices and weight_grad must have the same shape, got {shapes}.")
    if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < size:
        raise ValueError(f"indices must lie in 0..{size - 1}, got up to {int(indices.max())}.")
    gradient = torch.zeros(size, dtype=weight_grad.dtype, device=weight_grad.device)
    return gradient.index_add_(0, indices.flatten().long(), weight_grad.flatten())


def share_weights(model: nn.Module, bits: int) -> nn.Module:
    """Return a copy of the model in which every Linear and Conv2d is a CodebookLayer.

    bits: 1..8 for each weight. Ordinary training of the copy fine-tunes the shared values with
    `codebook_gradient` and never changes the indices. Biases stay as they are.
    Raises as `kmeans_codebook` does, and ValueError if there is no such layer.
    """
    return replace_layers(model, lambda _, layer: CodebookLayer(layer, bits))


class CodebookLayer(nn.Module):
    """A Linear or Conv2d whose weight is looked up: weight = entries[indices].

    The trainable parameter is `codebook` [K]. Weights that were exactly 0 (pruned) stay 0: the
    entries are then (0, *codebook), at most 2^bits in all.
    """

    indices: Tensor
    has_zero: Tensor

    def __init__(self, layer: Layer, bits: int) -> None:
        super().__init__()
        self.bits = check_int("bits", bits, minimum=1, maximum=8)
        weight = check_tensor("weight", layer.weight, finite=True, nonempty=True)
        used = weight != 0
        first = int(not bool(used.all()))
        codebook = _kmeans(weight[used], 2**bits - first)
        indices = torch.zeros_like(weight, dtype=torch.uint8)
        if len(codebook):
            indices[used] = nearest(weight[used], codebook) + first
        self.codebook = nn.Parameter(codebook.to(weight.dtype))
        self.register_buffer("indices", indices)
        self.register_buffer("has_zero", torch.tensor(bool(first)))
        self.layer = copy.deepcopy(layer)
        del self.layer.weight  # an empty buffer takes its place and is in no file
        self.layer.register_buffer("weight", torch.empty(0), persistent=False)

    @property
    def weight(self) -> Tensor:
        """The weight in the shape of the layer, differentiable by the codebook."""
        entries = F.pad(self.codebook, (int(self.has_zero), 0))
        return entries[self.indices.long()]

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = functional_call(self.layer, {"weight": self.weight}, (x,))
        return y

    def counts_as(self) -> StandIn:
        """For `course_lib.cost.count`: the MACs of the plain layer; indices take only bytes."""
        from course_lib.quantize.storage import size_bytes

        params = sum(parameter.numel() for parameter in self.parameters())
        return StandIn(self.plain(), params=params, weight_bytes=size_bytes(self))

    def plain(self) -> Layer:
        """Return an ordinary layer with these values in its weight."""
        layer = copy.deepcopy(self.layer)
        del layer.weight
        layer.weight = nn.Parameter(self.weight.detach().clone())
        return layer


def _kmeans(w: Tensor, clusters: int) -> Tensor:
    """At most `clusters` ascending centroids of the values; all of them, if they are so few."""
    dtype = torch.float64 if w.dtype == torch.float64 else torch.float32
    values, counts = np.unique(w.detach().cpu().double().numpy(), return_counts=True)
    if len(values) > clusters:
        values = _cluster(values, counts, clusters)
    return torch.from_numpy(values).to(w.device, dtype).unique()


def _cluster(values: Floats, counts: Any, clusters: int) -> Floats:
    # Scaled and centred, sums of squares neither overflow nor cancel.
    size = np.abs(values).max()
    middle = np.average(values / size, weights=counts)
    unit = values / size - middle
    centroids = _lloyd(unit, counts, _best_start(unit, counts, clusters))
    return cast(Floats, (centroids + middle) * size)


def _best_start(values: Floats, counts: Any, clusters: int) -> Floats:
    """Centroids [clusters] of the optimal clustering into runs of blocks of values."""
    sums = np.zeros((3, len(values) + 1))  # cumulated count, sum and sum of squares
    np.cumsum(
        counts * np.stack([np.ones_like(values), values, values**2]), axis=1, out=sums[:, 1:]
    )
    edges = _blocks(values, sums, MAX_BLOCKS)
    weight, first, second = sums[:, edges]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_part = (first - first[:, None]) ** 2 / (weight - weight[:, None])
    # error[i, j]: squared error of the one cluster from edge i to edge j.
    error = np.maximum(second - second[:, None] - mean_part, 0)
    error[np.tril_indices(len(edges))] = np.inf
    least, choices = error[0], []
    for _ in range(clusters - 1):
        total = least[:, None] + error  # one more cluster: it starts at i and ends at j
        choices.append(total.argmin(axis=0))
        least = total.min(axis=0)
    cuts = [len(edges) - 1]
    for choice in reversed(choices):
        cuts.append(choice[cuts[-1]])
    cuts = [0, *reversed(cuts)]
    return cast(Floats, np.diff(first[cuts]) / np.diff(weight[cuts]))


def _blocks(values: Floats, sums: Floats, count: int) -> npt.NDArray[np.int64]:
    """Edges of at most `count` blocks: the block of the largest error is halved at its mean."""

    def block(start: int, stop: int) -> tuple[float, int, int]:
        weight, first, second = sums[:, stop] - sums[:, start]
        return (-(second - first**2 / weight) if stop - start > 1 else 0.0), start, stop

    heap = [block(0, len(values))]
    while len(heap) < count:
        _, start, stop = heap[0]
        if stop - start == 1:
            break
        weight, first, _ = sums[:, stop] - sums[:, start]
        middle = int(np.searchsorted(values, first / weight, side="right"))
        middle = min(max(middle, start + 1), stop - 1)
        heapq.heapreplace(heap, block(start, middle))
        heapq.heappush(heap, block(middle, stop))
    return np.array([*sorted(start for _, start, _ in heap), len(values)])


def _lloyd(values: Floats, counts: Any, centroids: Floats) -> Floats:
    """Assign each value to its nearest centroid, move centroids to the means, until none moves."""
    weight = np.concatenate([[0], np.cumsum(counts)])
    total = np.concatenate([[0], np.cumsum(counts * values)])
    edges = None
    for _ in range(MAX_ITERATIONS):
        borders = (centroids[1:] + centroids[:-1]) / 2
        previous = edges
        edges = np.concatenate([[0], np.searchsorted(values, borders), [len(values)]])
        if previous is not None and np.array_equal(edges, previous):
            break
        members = np.diff(weight[edges])
        means = np.diff(total[edges]) / np.maximum(members, 1)
        # An empty cluster stays where it is; its neighbours may have moved past it.
        centroids = np.sort(np.where(members > 0, means, centroids))
    return centroids
