"""What attention costs on paper: multiply-adds, parameters and bytes of this package's models.

Exactly what `course_lib.cost.count` finds on the real modules. The part that grows with the
square of the length, T^2 D (Vaswani et al. 2017, arXiv:1706.03762, table 1), overtakes a block's
linear layers only at T = 6 D: at common lengths they are what a transformer costs.
"""

from __future__ import annotations

from course_lib._validate import check_int
from course_lib.cost import (
    attention_macs,
    attention_params,
    conv2d_macs,
    conv2d_params,
    linear_macs,
    linear_params,
    recurrence_macs,
    recurrence_params,
    tensor_bytes,
)


def additive_attention_macs(
    source_tokens: int, query_dim: int, key_dim: int, hidden: int, *, queries: int = 1,
    batch: int = 1,
) -> int:  # fmt: skip
    """MACs of `AdditiveAttention` when `queries` steps read one source of `source_tokens` states.

    The keys are projected once, S key_dim hidden; then every query costs query_dim hidden for
    itself, S hidden for the scores and S key_dim for the sum.

    >>> additive_attention_macs(10, 64, 128, 64)
    87936
    """
    source_tokens = check_int("source_tokens", source_tokens)
    keys = linear_macs(key_dim, check_int("hidden", hidden), rows=source_tokens)
    query = linear_macs(query_dim, hidden) + source_tokens * (hidden + key_dim)
    return check_int("batch", batch) * (keys + check_int("queries", queries) * query)


def encoder_decoder_macs(
    source_tokens: int, target_tokens: int, vocabulary: int, embedding: int = 32,
    hidden: int = 64, *, attention: bool = True, batch: int = 1,
) -> int:  # fmt: skip
    """MACs of `EncoderDecoder` on [batch, source_tokens] and [batch, target_tokens].

    >>> with_attention = encoder_decoder_macs(10, 10, 256)
    >>> with_attention / encoder_decoder_macs(10, 10, 256, attention=False) < 1.2
    True
    """
    decoded = check_int("target_tokens", target_tokens)
    encoder = 2 * recurrence_macs(source_tokens, embedding, hidden, gates=3)
    decoder = recurrence_macs(decoded, embedding + 2 * hidden, hidden, gates=3)
    ends = linear_macs(2 * hidden, hidden) + linear_macs(hidden, vocabulary, rows=decoded)
    reading = 0
    if attention:
        reading = additive_attention_macs(
            source_tokens, hidden, 2 * hidden, hidden, queries=decoded
        )
    return check_int("batch", batch) * (encoder + decoder + ends + reading)


def encoder_decoder_params(
    vocabulary: int, embedding: int = 32, hidden: int = 64, *, attention: bool = True
) -> int:
    """Parameters of `EncoderDecoder`; attention adds hidden (3 hidden + 2)."""
    encoder = 2 * recurrence_params(embedding, hidden, gates=3)
    decoder = recurrence_params(embedding + 2 * hidden, hidden, gates=3)
    ends = linear_params(2 * hidden, hidden) + linear_params(hidden, vocabulary)
    reading = hidden * (3 * hidden + 2) if attention else 0
    return check_int("vocabulary", vocabulary) * embedding + encoder + decoder + ends + reading


def transformer_block_macs(
    tokens: int, dim: int, *, mlp_ratio: int = 4, cached: int = 0, batch: int = 1
) -> int:
    """MACs of one `TransformerBlock`: (4 + 2 mlp_ratio) T D^2 + 2 T S D, S = cached + T.

    `cached` tokens are only looked at: their keys and values are remembered.

    >>> transformer_block_macs(197, 768)
    1453954560
    """
    wide = check_int("mlp_ratio", mlp_ratio) * check_int("dim", dim)
    mlp = 2 * linear_macs(dim, wide, rows=tokens)
    looking_back = 2 * tokens * check_int("cached", cached, minimum=0) * dim
    return check_int("batch", batch) * (attention_macs(tokens, dim) + mlp + looking_back)


def transformer_block_params(dim: int, *, mlp_ratio: int = 4) -> int:
    """Parameters of one `TransformerBlock`: attention, mlp, and two normalizations.

    >>> transformer_block_params(768)
    7087872
    """
    wide = check_int("mlp_ratio", mlp_ratio) * check_int("dim", dim)
    mlp = linear_params(dim, wide) + linear_params(wide, dim)
    return attention_params(dim) + mlp + 4 * dim


def quadratic_share(tokens: int, dim: int, *, mlp_ratio: int = 4) -> float:
    """Fraction of a block's MACs that grows with the square of the length, T / (T + 6 D).

    6 is 2 + mlp_ratio. Below a half, halving the sequence saves hardly more than half.

    >>> quadratic_share(6 * 64, 64), round(quadratic_share(197, 768), 2)
    (0.5, 0.04)
    """
    whole = transformer_block_macs(tokens, dim, mlp_ratio=mlp_ratio)
    return attention_macs(tokens, dim, projections=False) / whole


def gpt_macs(
    tokens: int, vocabulary: int = 256, dim: int = 64, layers: int = 2, *, cached: int = 0,
    batch: int = 1,
) -> int:  # fmt: skip
    """MACs of `GPT` on [batch, tokens] that follow `cached` ones: blocks, and a head of T D V.

    >>> gpt_macs(128) // gpt_macs(1, cached=127)  # what the cache saves at the 128th token
    128
    """
    blocks = check_int("layers", layers) * transformer_block_macs(tokens, dim, cached=cached)
    return check_int("batch", batch) * (blocks + linear_macs(dim, vocabulary, rows=tokens))


def gpt_params(vocabulary: int = 256, context: int = 128, dim: int = 64, layers: int = 2) -> int:
    """Parameters of `GPT`; the head shares its matrix with the token embedding.

    >>> gpt_params(50257, 1024, 768, 12)  # GPT-2 small
    124439808
    """
    tables = (check_int("vocabulary", vocabulary) + check_int("context", context)) * dim
    blocks = check_int("layers", layers) * transformer_block_params(dim)
    return tables + blocks + 2 * dim


def generation_macs(
    prompt_tokens: int, new_tokens: int, vocabulary: int = 256, dim: int = 64, layers: int = 2,
    *, cache: bool = True, batch: int = 1,
) -> int:  # fmt: skip
    """MACs of `GPT.generate` while the text fits the context.

    Without a cache, step i reads all prompt_tokens + i tokens; with one, only the newest.

    >>> generation_macs(1, 100, cache=False) // generation_macs(1, 100)
    52
    """
    prompt = check_int("prompt_tokens", prompt_tokens)
    sizes = (vocabulary, dim, layers)
    total = 0
    for step in range(check_int("new_tokens", new_tokens, minimum=0)):
        reads_one = cache and step > 0
        cached = prompt + step - 1 if reads_one else 0
        total += gpt_macs(1 if reads_one else prompt + step, *sizes, cached=cached, batch=batch)
    return total


def kv_cache_bytes(tokens: int, dim: int, layers: int, *, batch: int = 1, bits: int = 32) -> int:
    """Bytes of the keys and values that a decoder remembers: 2 layers T D numbers per text.

    >>> kv_cache_bytes(1024, 768, 12, bits=16)  # GPT-2 small, full context
    37748736
    """
    return tensor_bytes((check_int("batch", batch), 2, layers, tokens, dim), bits)


def vit_macs(
    image_size: int = 224, patch_size: int = 16, dim: int = 768, layers: int = 12,
    num_classes: int = 1000, in_channels: int = 3, *, distilled: bool = False, batch: int = 1,
) -> int:  # fmt: skip
    """MACs of `VisionTransformer`: patch embedding, blocks, and a head for the class token.

    >>> vit_macs(), vit_macs(dim=192)  # ViT-B/16, DeiT-Ti
    (17563828224, 1253683200)
    """
    patches = (image_size // check_int("patch_size", patch_size)) ** 2
    stem = conv2d_macs(in_channels, dim, patch_size, image_size, stride=patch_size)
    blocks = check_int("layers", layers) * transformer_block_macs(patches + 1 + distilled, dim)
    heads = (1 + distilled) * linear_macs(dim, num_classes)
    return check_int("batch", batch) * (stem + blocks + heads)


def vit_params(
    image_size: int = 224, patch_size: int = 16, dim: int = 768, layers: int = 12,
    num_classes: int = 1000, in_channels: int = 3, *, distilled: bool = False,
) -> int:  # fmt: skip
    """Parameters of `VisionTransformer`.

    >>> vit_params(), vit_params(dim=192), vit_params(dim=192, distilled=True)
    (86567656, 5717416, 5910800)
    """
    side = check_int("image_size", image_size) // check_int("patch_size", patch_size)
    extra = 1 + distilled  # tokens beside the patches, each with a position and a head
    tokens = (2 * extra + side**2) * check_int("dim", dim)
    blocks = check_int("layers", layers) * transformer_block_params(dim)
    heads = extra * linear_params(dim, num_classes)
    return conv2d_params(in_channels, dim, patch_size) + tokens + blocks + 2 * dim + heads
