"""Additive attention: a small network scores how well each state answers a query.

An encoder that squeezes a sentence into one vector forgets long ones; here the decoder looks at
every encoder state instead and takes their weighted sum. The weights can be drawn: they say what
was read for each word that was written (Bahdanau, Cho and Bengio 2015, arXiv:1409.0473).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from course_lib._validate import check_int, check_tensor
from course_lib.attention.product import masked_softmax


class AdditiveAttention(nn.Module):
    """Weights softmax_s(v^T tanh(W q + U k_s + b)) over keys, and the keys' weighted sum.

    query [N, query_dim], keys [N, S, key_dim], mask bool [N, S] (True: may be read) -> context
    [N, key_dim], weights [N, S]. Each row of weights sums to 1; a row with nothing to read has
    weights and context of zero. W, U and v are the linear layers `.query`, `.key` (with the bias)
    and `.score`, of width `hidden`. Source: Bahdanau et al. 2015, eqs. 5 and 6, appendix A.1.2.

    >>> context, weights = AdditiveAttention(4, 6, 5)(torch.ones(2, 4), torch.ones(2, 3, 6))
    >>> context.shape, weights[0]
    (torch.Size([2, 6]), tensor([0.3333, 0.3333, 0.3333], grad_fn=<SelectBackward0>))
    """

    def __init__(self, query_dim: int, key_dim: int, hidden: int):
        super().__init__()
        check_int("hidden", hidden)
        self.query = nn.Linear(check_int("query_dim", query_dim), hidden, bias=False)
        self.key = nn.Linear(check_int("key_dim", key_dim), hidden)
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        mask: Tensor | None = None,
        projected_keys: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return (context, weights); ValueError for shapes that do not fit.

        `projected_keys` is `self.key(keys)` [N, S, hidden], which does not depend on the query: a
        decoder computes it once per sequence, not once per step.
        """
        self._check(query, keys)
        projected = self.key(keys) if projected_keys is None else projected_keys
        hidden = torch.tanh(self.query(query)[:, None] + projected)  # [N, S, hidden]
        weights = masked_softmax(self.score(hidden)[..., 0], mask)  # [N, S]
        return (weights[:, None] @ keys)[:, 0], weights  # [N, 1, S] @ [N, S, D] -> [N, D]

    def _check(self, query: Tensor, keys: Tensor) -> None:
        check_tensor("query", query, ndim=2, floating=True)
        check_tensor("keys", keys, ndim=3, floating=True)
        wanted = (query.shape[0], self.query.in_features, self.key.in_features)
        if (keys.shape[0], query.shape[1], keys.shape[2]) != wanted:
            raise ValueError(
                f"query must be [N, {wanted[1]}] and keys [N, S, {wanted[2]}] with the same N, "
                f"got {tuple(query.shape)} and {tuple(keys.shape)}."
            )
