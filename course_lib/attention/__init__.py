"""Attention: from a weighted sum that can be drawn to GPT and the vision transformer.

`attention` is the whole idea in four lines; the modules around it are small enough to read in one
go, and `costs` says in closed form what each of them costs.
"""

from course_lib.attention.additive import AdditiveAttention
from course_lib.attention.costs import (
    additive_attention_macs,
    encoder_decoder_macs,
    encoder_decoder_params,
    generation_macs,
    gpt_macs,
    gpt_params,
    kv_cache_bytes,
    quadratic_share,
    transformer_block_macs,
    transformer_block_params,
    vit_macs,
    vit_params,
)
from course_lib.attention.encoder_decoder import Decoded, EncoderDecoder
from course_lib.attention.gpt import GPT, text_to_tokens, tokens_to_text
from course_lib.attention.multihead import (
    Attended,
    KeyValue,
    MultiHeadSelfAttention,
    TransformerBlock,
)
from course_lib.attention.product import attention, causal_mask, masked_softmax
from course_lib.attention.vit import VisionTransformer, deit_tiny, vit_b_16

__all__ = [
    "GPT",
    "AdditiveAttention",
    "Attended",
    "Decoded",
    "EncoderDecoder",
    "KeyValue",
    "MultiHeadSelfAttention",
    "TransformerBlock",
    "VisionTransformer",
    "additive_attention_macs",
    "attention",
    "causal_mask",
    "deit_tiny",
    "encoder_decoder_macs",
    "encoder_decoder_params",
    "generation_macs",
    "gpt_macs",
    "gpt_params",
    "kv_cache_bytes",
    "masked_softmax",
    "quadratic_share",
    "text_to_tokens",
    "tokens_to_text",
    "transformer_block_macs",
    "transformer_block_params",
    "vit_b_16",
    "vit_macs",
    "vit_params",
]
