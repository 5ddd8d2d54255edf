"""A translator of sequences out of two GRUs, with and without attention.

Without it the decoder sees the source through one vector of fixed size, and fails as sources grow
(Cho et al. 2014, arXiv:1406.1078); with it every step looks the source up again (Bahdanau et al.
2015). The two differ in the attention layer alone, so that a comparison is fair.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_lib._validate import check_int
from course_lib.attention._tokens import check_tokens
from course_lib.attention.additive import AdditiveAttention


class Decoded(NamedTuple):
    """Tokens [N, T] and, from a model with attention, weights [N, T, S]: what each step read."""

    tokens: Tensor
    weights: Tensor | None


class EncoderDecoder(nn.Module):
    """Read a source, write a target: int64 [N, S], [N, T] -> logits [N, T, vocabulary].

    The encoder is a bidirectional GRU, whose states are 2 hidden wide. Each decoder step is fed
    the last target token and a context: the attention's weighted sum of all states or, without
    `attention`, always the encoder's final state. Sources of one batch have equal length.

    >>> model = EncoderDecoder(vocabulary=10, embedding=8, hidden=16)
    >>> tokens = torch.zeros(3, 7, dtype=torch.int64)
    >>> model(tokens, tokens[:, :5]).shape, model.decode(tokens, start=0, length=4).weights.shape
    (torch.Size([3, 5, 10]), torch.Size([3, 4, 7]))
    """

    def __init__(
        self, vocabulary: int, embedding: int = 32, hidden: int = 64, *, attention: bool = True
    ):
        super().__init__()
        check_int("hidden", hidden)
        self.embedding = nn.Embedding(
            check_int("vocabulary", vocabulary), check_int("embedding", embedding)
        )
        self.encoder = nn.GRU(embedding, hidden, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(2 * hidden, hidden)  # final encoder state -> first decoder state
        self.attention = AdditiveAttention(hidden, 2 * hidden, hidden) if attention else None
        self.decoder = nn.GRUCell(embedding + 2 * hidden, hidden)
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the logits of the token after each target token, [N, T, vocabulary].

        `target` [N, T] is what the decoder is fed ("teacher forcing"): position t of the result
        has seen target[:, : t + 1]. ValueError for empty or unequal batches and lengths of 0.
        """
        self._check("source", source)
        self._check("target", target)
        if len(target) != len(source):
            raise ValueError(
                f"target must have as many rows as source, {len(source)}; got {len(target)}."
            )
        reader, state = self._encode(source)
        logits = []
        for embedded in self.embedding(target).unbind(1):
            state, _ = self._step(embedded, state, reader)
            logits.append(self.head(state))
        return torch.stack(logits, 1)

    @torch.no_grad()
    def decode(self, source: Tensor, start: int, length: int) -> Decoded:
        """Write `length` tokens, each the likeliest after those before; `start` is fed first."""
        self._check("source", source)
        reader, state = self._encode(source)
        check_int("start", start, 0, self.embedding.num_embeddings - 1)
        token = torch.full((len(source),), start, device=source.device)
        tokens: list[Tensor] = []
        weights: list[Tensor] = []
        for _ in range(check_int("length", length)):
            state, read = self._step(self.embedding(token), state, reader)
            token = self.head(state).argmax(dim=-1)
            tokens.append(token)
            weights += [] if read is None else [read]
        return Decoded(torch.stack(tokens, 1), torch.stack(weights, 1) if weights else None)

    def _encode(self, source: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """What the decoder reads from, and its first state."""
        states, last = self.encoder(self.embedding(source))  # [N, S, 2H], [2, N, H]
        final = torch.cat((last[0], last[1]), dim=1)  # forwards and backwards: [N, 2H]
        reader = (final,) if self.attention is None else (states, self.attention.key(states))
        return reader, torch.tanh(self.bridge(final))

    def _step(
        self, embedded: Tensor, state: Tensor, reader: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor | None]:
        """One decoder step: the next state [N, H], and the weights [N, S] with attention."""
        if self.attention is None:
            context, weights = reader[0], None
        else:
            states, projected = reader
            context, weights = self.attention(state, states, projected_keys=projected)
        return self.decoder(torch.cat((embedded, context), dim=1), state), weights

    def _check(self, name: str, tokens: Tensor) -> None:
        check_tokens(name, tokens, self.embedding.num_embeddings)
        if tokens.numel() == 0:
            raise ValueError(f"{name} must not be empty, got shape {tuple(tokens.shape)}.")
