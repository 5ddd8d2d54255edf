"""Multi-head self-attention, its key-value cache, and the transformer block around it.

Heads attend side by side, each in its own slice of the vector (Vaswani et al. 2017, section 3.2).
When text is generated token by token, the keys and values of the past never change: a cache turns
each step from T^2 into T (Shazeer 2019, arXiv:1911.02150).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib._validate import check_int, check_tensor
from course_lib.attention.product import attention, causal_mask, check_mask


class KeyValue(NamedTuple):
    """What one attention layer remembers of the past: key and value, each [N, heads, S, d]."""

    key: Tensor
    value: Tensor

    @property
    def tokens(self) -> int:
        """How many tokens are remembered, S."""
        return self.key.shape[2]

    @property
    def size_bytes(self) -> int:
        """Bytes that the two tensors take."""
        return self.key.nbytes + self.value.nbytes

    def extend(self, new: KeyValue) -> KeyValue:
        """Return a longer memory, `new` behind this one; ValueError if they do not fit."""
        if _without_tokens(self.key) != _without_tokens(new.key):
            raise ValueError(
                "memory must come from the same batch and layer: it remembers keys of shape "
                f"{tuple(self.key.shape)}, the new ones are {tuple(new.key.shape)}."
            )
        return KeyValue(torch.cat((self.key, new.key), 2), torch.cat((self.value, new.value), 2))


class Attended(NamedTuple):
    """Output [N, T, D], weights [N, heads, T, S], and the memory of all S tokens so far."""

    output: Tensor
    weights: Tensor
    memory: KeyValue


class MultiHeadSelfAttention(nn.Module):
    """Every token reads every other: [N, T, dim] -> [N, T, dim].

    `query`, `key`, `value` and `output` are ordinary linear layers (head h owns features
    h dim / heads ... of the first three), so quantization and pruning reach them. With `causal`
    no token sees a later one. ValueError unless `heads` divides `dim`.
    Source: Vaswani et al. 2017, section 3.2.2.
    """

    def __init__(self, dim: int, heads: int = 1, *, causal: bool = False, bias: bool = True):
        super().__init__()
        if check_int("dim", dim) % check_int("heads", heads):
            raise ValueError(f"heads must divide dim={dim}, got heads={heads}.")
        self.dim, self.heads, self.causal = dim, heads, causal
        self.query = nn.Linear(dim, dim, bias)
        self.key = nn.Linear(dim, dim, bias)
        self.value = nn.Linear(dim, dim, bias)
        self.output = nn.Linear(dim, dim, bias)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the output alone, by PyTorch's fused kernel; arguments as in `attend`."""
        query, key, value = self._project(x)
        visible = self._visible(mask, x, x.shape[1])
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def attend(
        self, x: Tensor, mask: Tensor | None = None, memory: KeyValue | None = None
    ) -> Attended:
        """Return output, weights and memory, written out.

        x: [N, T, dim], the tokens that follow those in `memory`. mask: bool, True where a token
        may look, [T, S], [N, T, S] or [N, heads, T, S] (any of these sizes but the last may be 1),
        with S = remembered + T; a token that may look nowhere mixes zeros.
        """
        query, key, value = self._project(x)
        now = KeyValue(key, value)
        memory = now if memory is None else memory.extend(now)
        visible = self._visible(mask, x, memory.tokens)
        mixed, weights = attention(query, memory.key, memory.value, visible)
        return Attended(self.output(mixed.transpose(1, 2).flatten(2)), weights, memory)

    def _project(self, x: Tensor) -> list[Tensor]:
        """Query, key and value, [N, T, dim] -> [N, heads, T, dim / heads] each."""
        check_tensor("x", x, ndim=3, floating=True)
        if x.shape[2] != self.dim:
            raise ValueError(f"x must be [N, T, {self.dim}], got {tuple(x.shape)}.")
        layers = (self.query, self.key, self.value)
        return [layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in layers]

    def _visible(self, mask: Tensor | None, x: Tensor, keys: int) -> Tensor | None:
        """What each token may see: the caller's mask and, if causal, not the future."""
        past = causal_mask(x.shape[1], keys, device=x.device) if self.causal else None
        if mask is None:
            return past
        if isinstance(mask, Tensor) and mask.ndim == 3:  # the same for all heads
            mask = mask[:, None]
        mask = check_mask(mask, torch.Size((x.shape[0], self.heads, x.shape[1], keys)))
        return mask if past is None else mask & past


class TransformerBlock(nn.Module):
    """x + attention(norm x), then x + mlp(norm x): [N, T, dim] -> [N, T, dim].

    The mlp is linear, GELU, linear, with mlp_ratio * dim features in between. Normalizing first
    keeps the residual path clean, as in GPT-2 and ViT (Radford et al. 2019, section 2.3).
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        mlp_ratio: int = 4,
        causal: bool = False,
        norm_eps: float = 1e-5,
    ):
        super().__init__()
        hidden = check_int("mlp_ratio", mlp_ratio) * check_int("dim", dim)
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attention = MultiHeadSelfAttention(dim, heads, causal=causal)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the output alone; `mask` as in `MultiHeadSelfAttention.attend`."""
        x = x + self.attention(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))

    def attend(
        self, x: Tensor, mask: Tensor | None = None, memory: KeyValue | None = None
    ) -> Attended:
        """Return output, weights and memory; as `MultiHeadSelfAttention.attend`."""
        attended = self.attention.attend(self.norm1(x), mask, memory)
        x = x + attended.output
        return attended._replace(output=x + self.mlp(self.norm2(x)))


def _without_tokens(key: Tensor) -> tuple[int, ...]:
    return *key.shape[:2], key.shape[3]
