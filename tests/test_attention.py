"""Attention: PyTorch's own layers as oracle, the invariants that define it, its exact cost."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import attention as att
from course_lib import cost


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def tokens_of(vocabulary: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randint(vocabulary, shape, generator=torch.Generator().manual_seed(seed))


def random_mask(*shape: int, seed: int = 0) -> Tensor:
    """A mask in which the first row of every matrix is hidden whole."""
    mask = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[..., 0, :] = False
    return mask


# The product


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (2, 4, 1), (1, 7, 2)])
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_and_its_gradients_equal_pytorchs(
    shape: tuple[int, int, int], lead: tuple[int, ...], masked: bool
) -> None:
    queries, keys, dim = shape
    inputs = [
        randn(*lead, n, d, seed=i).requires_grad_()
        for i, (n, d) in enumerate([(queries, dim), (keys, dim), (keys, dim + 1)])
    ]
    twins = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    mask = random_mask(queries, keys) if masked else None
    values, weights = att.attention(*inputs, mask)
    expected = F.scaled_dot_product_attention(*twins, attn_mask=mask)
    torch.testing.assert_close(values, expected, rtol=1e-5, atol=1e-5)
    assert weights.shape == (*lead, queries, keys)
    upstream = randn(*values.shape, seed=9)
    values.backward(upstream)
    expected.backward(upstream)
    for mine, theirs in zip(inputs, twins, strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-5, atol=1e-5)


def test_rows_of_weights_sum_to_one_and_hidden_rows_are_zero() -> None:
    mask = random_mask(6, 8)
    values, weights = att.attention(randn(6, 4), randn(8, 4, seed=1), randn(8, 3, seed=2), mask)
    seen = mask.any(1)
    assert not seen[0]
    torch.testing.assert_close(weights.sum(1), seen.float())
    assert (weights[~mask] == 0).all()
    assert (values[~seen] == 0).all()


def test_gradients_stay_finite_where_a_query_may_look_nowhere() -> None:
    query = randn(2, 3).requires_grad_()
    values, _ = att.attention(query, randn(4, 3), randn(4, 3), random_mask(2, 4))
    values.sum().backward()
    assert query.grad is not None
    assert query.grad.isfinite().all()
    assert (query.grad[0] == 0).all()


def test_huge_scores_and_half_precision_stay_finite() -> None:
    query = randn(3, 4) * 1e4
    values, weights = att.attention(query, query, query)
    assert values.isfinite().all()
    assert weights.isfinite().all()
    half = randn(5, 8, dtype=torch.float64).half()
    values, _ = att.attention(half, half, half)
    assert values.dtype == torch.float16
    reference, _ = att.attention(half.double(), half.double(), half.double())
    torch.testing.assert_close(values.double(), reference, rtol=5e-3, atol=5e-3)


def test_nothing_to_attend_to_gives_zeros() -> None:
    values, weights = att.attention(randn(3, 4), torch.empty(0, 4), torch.empty(0, 2))
    assert weights.shape == (3, 0)
    assert torch.equal(values, torch.zeros(3, 2))


def test_a_causal_mask_of_a_cache_is_the_last_rows_of_the_whole() -> None:
    whole = att.causal_mask(7)
    assert torch.equal(whole, torch.ones(7, 7).tril().bool())
    assert torch.equal(att.causal_mask(3, 7), whole[4:])
    assert att.causal_mask(0).shape == (0, 0)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: att.attention(randn(2, 3), randn(2, 4), randn(2, 3)), ValueError, "query"),
        (lambda: att.attention(randn(2, 3), randn(2, 3), randn(5, 3)), ValueError, "key"),
        (lambda: att.attention(torch.ones(2, 3).int(), randn(2, 3), randn(2, 3)), TypeError, "qu"),
        (lambda: att.attention(randn(3), randn(2, 3), randn(2, 3)), ValueError, "query"),
        (lambda: att.masked_softmax(randn(2, 3), torch.ones(2, 3)), TypeError, "bool"),
        (lambda: att.masked_softmax(randn(2, 3), torch.ones(3, 2).bool()), ValueError, "mask"),
        (lambda: att.masked_softmax(randn(3), torch.ones(2, 3).bool()), ValueError, "mask"),
        (lambda: att.causal_mask(3, 2), ValueError, "keys"),
        (lambda: att.MultiHeadSelfAttention(6, 4), ValueError, "divide"),
        (lambda: att.MultiHeadSelfAttention(6, 2)(randn(1, 2, 5)), ValueError, "x must"),
        (lambda: att.AdditiveAttention(2, 3, 4)(randn(2, 2), randn(3, 5, 3)), ValueError, "query"),
        (lambda: att.GPT(vocabulary=5)(torch.tensor([[5]])), ValueError, "0..4"),
        (lambda: att.GPT(context=3)(tokens_of(9, 1, 4)), ValueError, "context"),
        (lambda: att.GPT()(torch.empty(1, 0, dtype=torch.int64)), ValueError, "tokens"),
        (lambda: att.GPT()(randn(1, 3)), TypeError, "int64"),
        (lambda: att.GPT().generate(tokens_of(9, 1, 0), 2), ValueError, "prompt"),
        (lambda: att.GPT().generate(tokens_of(9, 1, 1), 2, temperature=-1), ValueError, "temp"),
        (lambda: att.GPT(layers=2).attend(tokens_of(9, 1, 1), ()), ValueError, "cache"),
        (lambda: att.text_to_tokens(b"x"), TypeError, "str"),
        (lambda: att.tokens_to_text(torch.tensor([256])), ValueError, "0..255"),
        (lambda: att.VisionTransformer(30, 16), ValueError, "patch_size"),
        (lambda: att.VisionTransformer(8, 4, 8, 1, 1)(randn(1, 3, 9, 8)), ValueError, "images"),
        (lambda: att.EncoderDecoder(9)(tokens_of(9, 2, 3), tokens_of(9, 1, 3)), ValueError, "row"),
        (lambda: att.EncoderDecoder(9).decode(tokens_of(9, 2, 0), 0, 1), ValueError, "empty"),
        (lambda: att.EncoderDecoder(9).decode(tokens_of(9, 2, 1), 9, 1), ValueError, "start"),
    ],
)
def test_bad_input_is_refused_in_words(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()


# Additive attention


def test_additive_attention_equals_its_formula_per_row() -> None:
    layer = att.AdditiveAttention(4, 6, 5)
    query, keys = randn(3, 4), randn(3, 7, 6, seed=1)
    context, weights = layer(query, keys)
    w, u, v = layer.query.weight, layer.key.weight, layer.score.weight[0]
    for n in range(3):
        scores = torch.stack(
            [v @ torch.tanh(w @ query[n] + u @ key + layer.key.bias) for key in keys[n]]
        )
        torch.testing.assert_close(weights[n], scores.softmax(0))
        torch.testing.assert_close(context[n], weights[n] @ keys[n])


def test_additive_attention_reads_only_where_its_mask_allows() -> None:
    layer = att.AdditiveAttention(4, 6, 5)
    query, keys = randn(2, 4), randn(2, 7, 6, seed=1)
    mask = torch.tensor([[True] * 3 + [False] * 4, [False] * 7])
    context, weights = layer(query, keys, mask)
    short, short_weights = layer(query[:1], keys[:1, :3])
    torch.testing.assert_close(context[:1], short)
    torch.testing.assert_close(weights[:1, :3], short_weights)
    assert (weights[1] == 0).all()
    assert (context[1] == 0).all()


def test_projecting_the_keys_beforehand_changes_nothing() -> None:
    layer = att.AdditiveAttention(4, 6, 5)
    query, keys = randn(2, 4), randn(2, 3, 6, seed=1)
    once = layer(query, keys, projected_keys=layer.key(keys))
    assert all(torch.equal(a, b) for a, b in zip(once, layer(query, keys), strict=True))


# Multi-head self-attention


def twin_of(layer: nn.MultiheadAttention, causal: bool = False) -> att.MultiHeadSelfAttention:
    """Ours, with the weights of PyTorch's."""
    ours = att.MultiHeadSelfAttention(layer.embed_dim, layer.num_heads, causal=causal)
    weights, biases = layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3)
    for mine, weight, bias in zip(
        (ours.query, ours.key, ours.value), weights, biases, strict=True
    ):
        mine.load_state_dict({"weight": weight, "bias": bias})
    ours.output.load_state_dict(layer.out_proj.state_dict())
    return ours


def torch_layer(dim: int, heads: int) -> nn.MultiheadAttention:
    torch.manual_seed(3)
    layer = nn.MultiheadAttention(dim, heads, batch_first=True)
    nn.init.normal_(layer.in_proj_bias)
    return layer


@pytest.mark.parametrize(("dim", "heads"), [(1, 1), (6, 1), (6, 3), (6, 6)])
@pytest.mark.parametrize("kind", ["plain", "causal", "mask", "padding"])
def test_self_attention_equals_pytorchs_layer_in_values_weights_and_gradients(
    dim: int, heads: int, kind: str
) -> None:
    theirs = torch_layer(dim, heads)
    ours = twin_of(theirs, causal=kind == "causal")
    x = randn(3, 5, dim).requires_grad_()
    x_twin = x.detach().clone().requires_grad_()
    hidden = {}
    mask = None
    if kind == "causal":
        hidden["attn_mask"] = ~torch.ones(5, 5).tril().bool()
    elif kind == "mask":
        mask = random_mask(5, 5) | torch.eye(5, dtype=torch.bool)
        hidden["attn_mask"] = ~mask
    elif kind == "padding":  # the last two tokens of the second text are not there
        mask = torch.ones(3, 1, 5, dtype=torch.bool)
        mask[1, 0, 3:] = False
        hidden["key_padding_mask"] = ~mask[:, 0]
    attended = ours.attend(x, mask)
    expected, weights = theirs(x_twin, x_twin, x_twin, average_attn_weights=False, **hidden)
    torch.testing.assert_close(attended.output, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(attended.weights, weights, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours(x, mask), expected, rtol=1e-5, atol=1e-5)
    upstream = randn(*x.shape, seed=5)
    attended.output.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(x.grad, x_twin.grad, rtol=1e-5, atol=1e-5)
    assert ours.value.weight.grad is not None
    torch.testing.assert_close(
        ours.value.weight.grad, theirs.in_proj_weight.grad.chunk(3)[2], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("shape", [(5, 5), (2, 5, 5), (2, 1, 5, 5), (2, 3, 5, 5), (1, 3, 1, 5)])
@pytest.mark.parametrize("causal", [False, True])
def test_the_fused_and_the_written_path_agree_under_any_mask(
    shape: tuple[int, ...], causal: bool
) -> None:
    layer = att.MultiHeadSelfAttention(6, 3, causal=causal, bias=False)
    x, mask = randn(2, 5, 6), random_mask(*shape)
    attended = layer.attend(x, mask)
    torch.testing.assert_close(layer(x, mask), attended.output, rtol=1e-5, atol=1e-5)
    assert attended.output.isfinite().all()
    assert attended.weights.shape == (2, 3, 5, 5)


def test_a_causal_layer_obeys_its_mask_and_hides_the_future() -> None:
    causal, free = (att.MultiHeadSelfAttention(6, 3, causal=c) for c in (True, False))
    free.load_state_dict(causal.state_dict())
    x, mask = randn(2, 5, 6), random_mask(5, 5)
    torch.testing.assert_close(causal(x, mask), free(x, mask & torch.ones(5, 5).tril().bool()))


def test_a_mask_per_text_is_not_taken_for_a_mask_per_head() -> None:
    layer = att.MultiHeadSelfAttention(6, 3)
    x, mask = randn(3, 5, 6), random_mask(3, 5, 5)
    together = layer(x, mask)
    for n in range(3):
        torch.testing.assert_close(together[n : n + 1], layer(x[n : n + 1], mask[n]))


def test_without_positions_permuted_tokens_give_permuted_outputs() -> None:
    layer, x = att.TransformerBlock(8, 2), randn(2, 6, 8)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(x[:, order]), layer(x)[:, order], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cut", range(1, 6))
def test_the_future_never_changes_the_past(cut: int) -> None:
    block, x = att.TransformerBlock(8, 2, causal=True), randn(2, 6, 8)
    changed = x.clone()
    changed[:, cut:] = randn(2, 6 - cut, 8, seed=7) * 100
    assert torch.equal(block(x)[:, :cut], block(changed)[:, :cut])
    assert not torch.equal(block(x)[:, cut:], block(changed)[:, cut:])


@pytest.mark.parametrize("chunks", [[1] * 6, [2, 3, 1], [6]])
def test_remembered_keys_give_what_the_whole_sequence_gives(chunks: list[int]) -> None:
    block, x = att.TransformerBlock(8, 2, causal=True), randn(2, 6, 8)
    memory, outputs = None, []
    for part in x.split(chunks, dim=1):
        attended = block.attend(part, memory=memory)
        memory = attended.memory
        outputs.append(attended.output)
    torch.testing.assert_close(torch.cat(outputs, 1), block(x), rtol=1e-5, atol=1e-5)
    assert memory is not None
    assert memory.tokens == 6
    assert memory.size_bytes == att.kv_cache_bytes(6, 8, 1, batch=2)


def test_a_memory_of_another_batch_is_refused() -> None:
    block = att.TransformerBlock(8, 2, causal=True)
    memory = block.attend(randn(2, 3, 8)).memory
    with pytest.raises(ValueError, match="same batch"):
        block.attend(randn(1, 1, 8), memory=memory)


def test_the_block_equals_pytorchs_encoder_layer() -> None:
    torch.manual_seed(0)
    theirs = nn.TransformerEncoderLayer(
        8, 2, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    ours = att.TransformerBlock(8, 2)
    ours.attention = twin_of(theirs.self_attn)
    ours.norm1.load_state_dict(theirs.norm1.state_dict())
    ours.norm2.load_state_dict(theirs.norm2.state_dict())
    ours.mlp[0], ours.mlp[2] = theirs.linear1, theirs.linear2
    x = randn(2, 5, 8)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


# GPT


@pytest.fixture
def gpt() -> att.GPT:
    torch.manual_seed(0)
    model = att.GPT(vocabulary=11, context=8, dim=12, heads=3, layers=2)
    with torch.no_grad():  # larger weights: predictions that are not nearly uniform
        for parameter in model.parameters():
            parameter.mul_(8)
    return model


def test_token_by_token_with_a_cache_equals_one_pass(gpt: att.GPT) -> None:
    tokens = tokens_of(11, 2, 8)
    cache, logits = None, []
    for token in tokens.split(1, dim=1):
        part, weights, cache = gpt.attend(token, cache)
        logits.append(part)
        assert len(weights) == 2
        torch.testing.assert_close(weights[0].sum(-1), torch.ones(2, 3, 1))
    torch.testing.assert_close(torch.cat(logits, 1), gpt(tokens), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="cache"):
        gpt.attend(tokens[:, :1], cache)


@pytest.mark.parametrize("prompt_length", [1, 7, 8, 11])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_generation_is_the_same_with_and_without_cache_beyond_the_context(
    gpt: att.GPT, prompt_length: int, temperature: float
) -> None:
    prompt = tokens_of(11, 3, prompt_length)
    texts = [
        gpt.generate(
            prompt,
            12,
            temperature=temperature,
            cache=cache,
            generator=torch.Generator().manual_seed(1),
        )
        for cache in (True, False)
    ]
    assert torch.equal(*texts)
    assert texts[0].shape == (3, prompt_length + 12)
    assert torch.equal(texts[0][:, :prompt_length], prompt)


def test_greedy_generation_takes_the_likeliest_token_every_time(gpt: att.GPT) -> None:
    tokens = tokens_of(11, 2, 3)
    for _ in range(7):
        likeliest = gpt(tokens[:, -8:])[:, -1].argmax(-1, keepdim=True)
        tokens = torch.cat((tokens, likeliest), 1)
    assert torch.equal(gpt.generate(tokens[:, :3], 7, temperature=0), tokens)
    assert torch.equal(gpt.generate(tokens[:, :3], 7, temperature=1e-30), tokens)
    assert torch.equal(gpt.generate(tokens, 0), tokens)


def test_sampling_follows_the_models_distribution(gpt: att.GPT) -> None:
    prompt = tokens_of(11, 1, 4)
    for temperature in (0.7, 2.0):
        expected = (gpt(prompt)[0, -1] / temperature).softmax(-1)
        count = 20_000
        drawn = gpt.generate(
            prompt.expand(count, -1),
            1,
            temperature=temperature,
            generator=torch.Generator().manual_seed(0),
        )[:, -1]
        observed = torch.bincount(drawn, minlength=11) / count
        standard_error = (expected * (1 - expected) / count).sqrt()
        assert ((observed - expected).abs() <= 5 * standard_error + 1e-9).all()


def test_gpt_learns_a_text_and_writes_it() -> None:
    text = att.text_to_tokens("attention is a weighted sum. ")
    torch.manual_seed(0)
    model = att.GPT(context=len(text), dim=32, heads=2, layers=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        loss = F.cross_entropy(model(text[None, :-1])[0], text[1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    written = model.generate(text[None, :1], len(text) - 1, temperature=0)
    assert att.tokens_to_text(written[0]) == "attention is a weighted sum. "


def test_a_fresh_gpt_knows_nothing() -> None:
    torch.manual_seed(0)
    logits = att.GPT()(tokens_of(256, 8, 32))
    loss = F.cross_entropy(logits.flatten(0, 1), tokens_of(256, 8 * 32, seed=1))
    assert abs(loss.item() - math.log(256)) < 0.1


@pytest.mark.parametrize("text", ["", "plain", "Zürich, 東京\n\0"])
def test_text_survives_the_way_to_tokens_and_back(text: str) -> None:
    assert att.tokens_to_text(att.text_to_tokens(text)) == text


# Encoder-decoder


@pytest.mark.parametrize("attention", [True, False])
def test_decoding_is_the_teacher_forced_pass_on_its_own_output(attention: bool) -> None:
    torch.manual_seed(0)
    model = att.EncoderDecoder(9, 5, 6, attention=attention)
    source = tokens_of(9, 4, 7)
    decoded = model.decode(source, start=2, length=5)
    fed = torch.cat((torch.full((4, 1), 2), decoded.tokens[:, :-1]), 1)
    assert torch.equal(model(source, fed).argmax(-1), decoded.tokens)
    if attention:
        assert decoded.weights is not None
        torch.testing.assert_close(decoded.weights.sum(-1), torch.ones(4, 5))
    else:
        assert decoded.weights is None


@pytest.mark.parametrize("attention", [True, False])
def test_the_decoder_never_sees_later_targets_but_the_whole_source(attention: bool) -> None:
    torch.manual_seed(0)
    model = att.EncoderDecoder(9, 5, 6, attention=attention)
    source, target = tokens_of(9, 2, 4), tokens_of(9, 2, 6)
    later = target.clone()
    later[:, 3:] = (later[:, 3:] + 1) % 9
    logits = model(source, target)
    assert torch.equal(logits[:, :3], model(source, later)[:, :3])
    for s in range(4):
        other = source.clone()
        other[:, s] = (other[:, s] + 1) % 9
        assert not torch.equal(logits[:, :1], model(other, target)[:, :1])


@pytest.mark.parametrize("attention", [True, False])
def test_gradients_reach_every_weight_through_all_steps(attention: bool) -> None:
    torch.manual_seed(0)
    model = att.EncoderDecoder(4, 2, 2, attention=attention).double()
    source, target = tokens_of(4, 1, 3), torch.tensor([[0, 1, 2]])
    names, weights = zip(*model.named_parameters(), strict=True)

    def logits_of(*values: Tensor) -> Tensor:
        return torch.func.functional_call(
            model, dict(zip(names, values, strict=True)), (source, target)
        )

    assert torch.autograd.gradcheck(logits_of, weights)
    # Without the reader of all states, the backward encoder is seen through its final state only.
    model(source, target).sum().backward()
    assert model.encoder.weight_hh_l0_reverse.grad.abs().max() > 0


def test_both_decoders_share_everything_but_the_attention_layer() -> None:
    shapes = [
        {name: p.shape for name, p in att.EncoderDecoder(9, attention=on).named_parameters()}
        for on in (True, False)
    ]
    assert {n: s for n, s in shapes[0].items() if not n.startswith("attention")} == shapes[1]


# Vision transformers


def test_our_vit_with_torchvisions_weights_gives_its_outputs() -> None:
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    theirs = VisionTransformer(
        image_size=12, patch_size=4, num_layers=2, num_heads=3, hidden_dim=12, mlp_dim=48,
        num_classes=5,
    ).eval()  # fmt: skip
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.3)
    ours = att.VisionTransformer(12, 4, 12, 3, 2, 5)
    with torch.no_grad():
        ours.class_token.copy_(theirs.class_token)
        ours.position.copy_(theirs.encoder.pos_embedding)
    ours.patches, ours.head = theirs.conv_proj, theirs.heads.head
    ours.norm.load_state_dict(theirs.encoder.ln.state_dict())
    for mine, layer in zip(ours.blocks, theirs.encoder.layers, strict=True):
        mine.attention = twin_of(layer.self_attention)
        mine.norm1.load_state_dict(layer.ln_1.state_dict())
        mine.norm2.load_state_dict(layer.ln_2.state_dict())
        mine.mlp[0], mine.mlp[2] = layer.mlp[0], layer.mlp[3]
    images = randn(2, 3, 12, 12)
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-5, atol=1e-5)


def test_published_parameter_counts() -> None:
    import torchvision

    built = {
        "vit_b_16": (att.vit_b_16, 86_567_656),
        "DeiT-Ti": (att.deit_tiny, 5_717_416),
        "DeiT-Ti distilled": (lambda: att.deit_tiny(distilled=True), 5_910_800),
        "GPT-2 small": (lambda: att.GPT(50257, 1024, 768, 12, 12), 124_439_808),
    }
    with torch.device("meta"):
        theirs = torchvision.models.vit_b_16()
        for make, params in built.values():
            assert sum(p.numel() for p in make().parameters()) == params
    assert sum(p.numel() for p in theirs.parameters()) == built["vit_b_16"][1]


def test_a_distilled_vit_averages_its_two_heads() -> None:
    model = att.VisionTransformer(8, 4, 8, 2, 1, 5, distilled=True)
    images = randn(2, 3, 8, 8)
    by_class, by_teacher = model.all_logits(images)
    assert not torch.equal(by_class, by_teacher)
    torch.testing.assert_close(model(images), (by_class + by_teacher) / 2)
    assert len(att.VisionTransformer(8, 4, 8, 2, 1, 5).all_logits(images)) == 1


def test_each_head_of_a_distilled_vit_reads_its_own_token() -> None:
    model = att.VisionTransformer(8, 4, 8, 2, 1, 5, distilled=True)
    model.distillation_head = model.head
    images = randn(2, 3, 8, 8)
    by_class, by_teacher = model.all_logits(images)
    model.class_token, model.distillation_token = model.distillation_token, model.class_token
    with torch.no_grad():  # the two change places, positions included
        model.position[:, :2] = model.position[:, :2].flip(1).clone()
    swapped = model.all_logits(images)
    torch.testing.assert_close(swapped, (by_teacher, by_class), rtol=1e-5, atol=1e-5)
    assert not torch.equal(by_class, by_teacher)


def test_attention_weights_of_a_vit_are_one_matrix_per_head_and_layer() -> None:
    model = att.VisionTransformer(8, 4, 8, 2, 3, 5)
    weights = model.attention_weights(randn(2, 3, 8, 8))
    assert [w.shape for w in weights] == [(2, 2, 5, 5)] * 3
    torch.testing.assert_close(weights[-1].sum(-1), torch.ones(2, 2, 5))


# Cost


class Step(nn.Module):
    """A GPT that is given a cache."""

    def __init__(self, model: att.GPT):
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, cache: tuple[att.KeyValue, ...]) -> Tensor:
        return self.model.attend(tokens, cache)[0]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("tokens", "dim", "heads"), [(1, 4, 1), (7, 6, 3), (40, 8, 2)])
def test_block_formulas_equal_the_count(tokens: int, dim: int, heads: int, batch: int) -> None:
    counted = cost.count(att.TransformerBlock(dim, heads, mlp_ratio=3), (batch, tokens, dim))
    assert counted.macs == att.transformer_block_macs(tokens, dim, mlp_ratio=3, batch=batch)
    assert counted.params == att.transformer_block_params(dim, mlp_ratio=3)
    assert counted.uncounted == ()


@pytest.mark.parametrize("batch", [1, 2])
def test_gpt_formulas_equal_the_count_with_and_without_cache(batch: int) -> None:
    model = att.GPT(vocabulary=11, context=16, dim=12, heads=3, layers=2)
    sizes = (11, 12, 2)
    tokens = tokens_of(11, batch, 9)
    counted = cost.count(model, tokens)
    assert counted.macs == att.gpt_macs(9, *sizes, batch=batch)
    assert counted.params == att.gpt_params(11, 16, 12, 2)
    assert counted.uncounted == ()
    _, _, cache = model.attend(tokens)
    assert sum(m.size_bytes for m in cache) == att.kv_cache_bytes(9, 12, 2, batch=batch)
    for new in (1, 4):
        counted = cost.count(Step(model), tokens_of(11, batch, new), cache)
        assert counted.macs == att.gpt_macs(new, *sizes, cached=9, batch=batch)


@pytest.mark.parametrize("cache", [True, False])
def test_generation_costs_what_its_passes_cost(
    gpt: att.GPT, cache: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    macs = []
    attend = gpt.attend

    def counting(tokens: Tensor, past: tuple[att.KeyValue, ...] | None = None):
        remembered = past[0].tokens if past else 0
        macs.append(att.gpt_macs(tokens.shape[1], 11, 12, 2, cached=remembered))
        return attend(tokens, past)

    monkeypatch.setattr(gpt, "attend", counting)
    gpt.generate(tokens_of(11, 1, 3), 6, cache=cache)
    assert sum(macs) == att.generation_macs(3, 6, 11, 12, 2, cache=cache)


@pytest.mark.parametrize("distilled", [False, True])
def test_vit_formulas_equal_the_count(distilled: bool) -> None:
    sizes = (13 * 3, 3, 8, 2, 5, 1)
    image_size, patch, dim, layers, classes, channels = sizes
    model = att.VisionTransformer(
        image_size, patch, dim, 2, layers, classes, channels, distilled=distilled
    )
    counted = cost.count(model, (2, channels, image_size, image_size))
    assert counted.macs == att.vit_macs(*sizes, distilled=distilled, batch=2)
    assert counted.params == att.vit_params(*sizes, distilled=distilled)
    assert counted.uncounted == ()


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize(("source", "target"), [(1, 1), (7, 4), (3, 9)])
def test_encoder_decoder_formulas_equal_the_count(
    source: int, target: int, attention: bool
) -> None:
    model = att.EncoderDecoder(11, 5, 6, attention=attention)
    counted = cost.count(model, tokens_of(11, 2, source), tokens_of(11, 2, target))
    formula = att.encoder_decoder_macs(source, target, 11, 5, 6, attention=attention, batch=2)
    assert counted.macs == formula
    assert counted.params == att.encoder_decoder_params(11, 5, 6, attention=attention)
    assert counted.params == sum(p.numel() for p in model.parameters())


def test_additive_attention_formula_equals_the_count() -> None:
    counted = cost.count(att.AdditiveAttention(4, 6, 5), (3, 4), (3, 7, 6))
    assert counted.macs == att.additive_attention_macs(7, 4, 6, 5, batch=3)


def test_the_quadratic_part_is_half_of_a_block_at_six_times_the_width() -> None:
    assert att.quadratic_share(6 * 32, 32) == 0.5
    assert att.quadratic_share(4 * 32, 32, mlp_ratio=2) == 0.5
    assert att.quadratic_share(10**6, 32) > 0.99


# Models as a whole


def test_models_work_in_float64_and_survive_a_copy(gpt: att.GPT) -> None:
    twin = copy.deepcopy(gpt).double()
    assert twin.head.weight is twin.token.weight
    tokens = tokens_of(11, 2, 5)
    torch.testing.assert_close(twin(tokens).float(), gpt(tokens), rtol=1e-4, atol=1e-4)
