"""A tiny GPT: causal blocks that predict the next byte, and text generation with a cache.

The architecture is GPT-2's (Radford et al. 2019): learned positions, normalization first, and a
last layer that shares its matrix with the token embedding. On bytes there is no tokenizer to
learn, and any text of any language is valid input.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from course_lib._validate import check_int, check_number
from course_lib.attention._tokens import check_tokens
from course_lib.attention.multihead import KeyValue, TransformerBlock

Cache = tuple[KeyValue, ...]


def text_to_tokens(text: str) -> Tensor:
    """Return the UTF-8 bytes of `text` as an int64 tensor [T] of numbers in 0..255.

    >>> text_to_tokens("a µ")
    tensor([ 97,  32, 194, 181])
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}.")
    return torch.tensor(list(text.encode()), dtype=torch.int64)


def tokens_to_text(tokens: Tensor) -> str:
    """Return the text whose UTF-8 bytes are `tokens` [T]; bytes that make no sense become U+FFFD.

    Raises ValueError for numbers outside 0..255, TypeError for other than an integer tensor.

    >>> tokens_to_text(text_to_tokens("a µ"))
    'a µ'
    """
    check_tokens("tokens", tokens, vocabulary=256, ndim=1)
    return bytes(tokens.tolist()).decode(errors="replace")


class GPT(nn.Module):
    """Predict the next token at every position: int64 [N, T] -> logits [N, T, vocabulary].

    T is in 1..context. `GPT(50257, 1024, 768, 12, 12)` has the 124,439,808 parameters of
    GPT-2 small. Raises ValueError for T or tokens out of range, TypeError for other than integers.

    >>> GPT(context=8, dim=16, heads=2, layers=1)(torch.zeros(2, 5, dtype=torch.int64)).shape
    torch.Size([2, 5, 256])
    """

    def __init__(
        self,
        vocabulary: int = 256,
        context: int = 128,
        dim: int = 64,
        heads: int = 4,
        layers: int = 2,
    ):
        super().__init__()
        check_int("layers", layers)
        self.token = nn.Embedding(check_int("vocabulary", vocabulary), check_int("dim", dim))
        self.position = nn.Embedding(check_int("context", context), dim)
        self.blocks = nn.ModuleList(
            TransformerBlock(dim, heads, causal=True) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocabulary, bias=False)
        self.head.weight = self.token.weight
        self._initialize()

    @property
    def context(self) -> int:
        """The most tokens that one pass can read."""
        return self.position.num_embeddings

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [N, T, vocabulary] for tokens [N, T]."""
        x = self._embed(tokens, start=0)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def attend(
        self, tokens: Tensor, cache: Cache | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...], Cache]:
        """Return logits, every layer's attention weights, and the cache for the tokens to come.

        tokens: [N, T], those that follow the S - T in `cache` -> logits [N, T, vocabulary], per
        layer weights [N, heads, T, S] and memory. Equal to `forward` on all tokens at once.
        """
        if cache is not None and len(cache) != len(self.blocks):
            raise ValueError(
                f"cache must come from a model of {len(self.blocks)} layers, got {len(cache)}."
            )
        memories = cache or (None,) * len(self.blocks)
        x = self._embed(tokens, start=cache[0].tokens if cache else 0)
        weights, longer = [], []
        for block, memory in zip(self.blocks, memories, strict=True):
            attended = cast(TransformerBlock, block).attend(x, memory=memory)
            x = attended.output
            weights.append(attended.weights)
            longer.append(attended.memory)
        return self.head(self.norm(x)), tuple(weights), tuple(longer)

    @torch.no_grad()
    def generate(
        self,
        prompt: Tensor,
        new_tokens: int,
        *,
        temperature: float = 1.0,
        cache: bool = True,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Continue each prompt by `new_tokens` tokens: int64 [N, T] -> [N, T + new_tokens].

        `temperature` 0 takes the likeliest token, 1 samples from the model's own distribution.
        `cache` changes the speed, and the logits by rounding at most: a step then reads one token
        until the text is longer than `context`. From there on the window slides, every position
        changes, and each step reads the last `context` tokens anew.
        """
        check_number("temperature", temperature, 0.0)
        check_tokens("prompt", prompt, self.token.num_embeddings)
        if prompt.shape[1] == 0:
            raise ValueError("prompt must hold at least one token per row, got none.")
        tokens, past = prompt, None
        for _ in range(check_int("new_tokens", new_tokens, minimum=0)):
            if not cache or past is None or past[0].tokens == self.context:
                logits, _, past = self.attend(tokens[:, -self.context :])
            else:
                logits, _, past = self.attend(tokens[:, -1:], past)
            following = _choose(logits[:, -1], temperature, generator)
            tokens = torch.cat((tokens, following), dim=1)
        return tokens

    def _embed(self, tokens: Tensor, start: int) -> Tensor:
        check_tokens("tokens", tokens, self.token.num_embeddings)
        end = start + tokens.shape[1]
        if not start < end <= self.context:
            raise ValueError(
                f"tokens must be [N, T] with 1 <= T <= {self.context - start} (context "
                f"{self.context}, {start} in the cache), got {tuple(tokens.shape)}."
            )
        positions = torch.arange(start, end, device=tokens.device)
        return self.token(tokens) + self.position(positions)

    def _initialize(self) -> None:
        """GPT-2's: N(0, 0.02), and less where a layer adds to the residual path."""
        residual = 0.02 / math.sqrt(2 * len(self.blocks))
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 2:
                adds = name.endswith(("attention.output.weight", "mlp.2.weight"))
                nn.init.normal_(parameter, std=residual if adds else 0.02)


def _choose(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """The next token of each row: [N, vocabulary] -> [N, 1]."""
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    # float64 and the maximum first: a tiny temperature must not overflow.
    scaled = (logits - logits.amax(dim=-1, keepdim=True)).double() / temperature
    return torch.multinomial(scaled.softmax(dim=-1), 1, generator=generator)
