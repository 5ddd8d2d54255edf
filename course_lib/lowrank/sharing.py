"""One weight used many times: by hashing inside a layer, by repetition across layers.

HashedNets (Chen et al. 2015) let a hash of its position choose which of K stored values a weight
takes, so the layer keeps its shape and stores K numbers. ALBERT (Lan et al. 2020) applies one
layer again and again. Both save memory and files, neither saves a multiply-add.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib._validate import check_int, check_tensor


class HashedLinear(nn.Module):
    """A linear layer [..., in] -> [..., out] whose in * out weights share `buckets` values.

    weight[i, j] = sign[i, j] * values[bucket[i, j]]; bucket and sign follow from the seed and are
    not stored, so a state dict holds `values` [buckets] and the bias [out]. A gradient of a value
    sums over all weights that use it. Source: Chen et al. 2015, eqs. 3 and 7.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        buckets: int,
        *,
        bias: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.in_features = check_int("in_features", in_features)
        self.out_features = check_int("out_features", out_features)
        self.buckets, self.seed = check_int("buckets", buckets), check_int("seed", seed, 0)
        bucket, sign = hash_buckets((out_features, in_features), buckets, seed)
        self.bucket: Tensor
        self.sign: Tensor
        self.register_buffer("bucket", bucket, persistent=False)
        self.register_buffer("sign", sign, persistent=False)
        bound = 1 / math.sqrt(in_features)
        self.values = nn.Parameter(torch.empty(buckets).uniform_(-bound, bound))
        self.bias = (
            nn.Parameter(torch.empty(out_features).uniform_(-bound, bound)) if bias else None
        )

    @property
    def weight(self) -> Tensor:
        """The weights [out, in] that the layer multiplies with."""
        return self.sign * self.values[self.bucket]

    def forward(self, inputs: Tensor) -> Tensor:
        return F.linear(inputs, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, buckets={self.buckets}, seed={self.seed}"


def hash_linear(layer: nn.Linear, buckets: int, *, seed: int = 0) -> HashedLinear:
    """Return the hashed layer nearest to `layer` in the squared error of its weights.

    Each value is the mean, sign removed, of the weights that share it.
    """
    if not isinstance(layer, nn.Linear):
        raise TypeError(f"layer must be an nn.Linear, got {type(layer).__name__}.")
    weight = check_tensor("layer.weight", layer.weight.detach(), finite=True, nonempty=True)
    hashed = HashedLinear(
        layer.in_features, layer.out_features, buckets, bias=layer.bias is not None, seed=seed
    ).to(weight.device, weight.dtype)
    bucket = hashed.bucket.flatten()
    sums = torch.zeros(buckets, dtype=torch.float64, device=weight.device)
    sums.index_add_(0, bucket, (hashed.sign * weight).double().flatten())
    with torch.no_grad():
        hashed.values.copy_(sums / bucket.bincount(minlength=buckets).clamp_min(1))
        if hashed.bias is not None:
            hashed.bias.copy_(layer.bias)
    return hashed


def hash_buckets(shape: tuple[int, int], buckets: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return bucket (int64 in 0..buckets-1) and sign (float, +1 or -1) of every cell of a matrix.

    The same shape, buckets and seed give the same answer on every machine. The sign keeps
    the inner products of hashed vectors unbiased (Weinberger et al. 2009).
    """
    rows, columns = (check_int(f"shape[{axis}]", size) for axis, size in enumerate(shape))
    check_int("buckets", buckets)
    bits = _splitmix64(rows * columns, check_int("seed", seed, 0))
    sign = 1 - 2 * (bits >> np.uint64(63)).astype(np.float32)
    bucket = (bits & np.uint64(2**63 - 1)) % np.uint64(buckets)
    return (
        torch.from_numpy(bucket.astype(np.int64)).reshape(rows, columns),
        torch.from_numpy(sign).reshape(rows, columns),
    )


class SharedStack(nn.Module):
    """One layer applied `repeats` times in a row, [N, ...] -> [N, ...]; its weights exist once.

    `parameters()`, the state dict and a saved file count them once, a cost in multiply-adds counts
    every use. The layer's output must be a valid input for it.
    Source: Lan et al. 2020, section 3.1.
    """

    def __init__(self, layer: nn.Module, repeats: int) -> None:
        super().__init__()
        self.layer = layer
        self.repeats = check_int("repeats", repeats)

    def forward(self, inputs: Tensor) -> Tensor:
        for _ in range(self.repeats):
            inputs = self.layer(inputs)
        return inputs

    def extra_repr(self) -> str:
        return f"repeats={self.repeats}"


def _splitmix64(count: int, seed: int) -> np.ndarray:
    """`count` well-mixed 64-bit numbers, by SplitMix64 (Steele et al. 2014)."""
    state = np.uint64(seed % 2**32) << np.uint64(32)
    bits = (state + np.arange(1, count + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
