"""Codes are optimal, files are honest about their size, and damage never becomes a weight."""

from __future__ import annotations

import heapq
import itertools
import math
import os
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from course_lib import codec
from course_lib.codec import container, fileformat, huffman, joint, tensors
from course_lib.codec.arithmetic import Reader, Writer

COUNTS = st.lists(st.integers(0, 1000), max_size=40)
TYPES = [
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint8,
    torch.bool,
]


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    torch.manual_seed(0)


def merged_cost(counts: list[int]) -> int:
    """Total bits of a Huffman code: the sum of all merged weights, whatever the ties."""
    heap = [count for count in counts if count]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total


def best_cost_by_search(counts: list[int], limit: int) -> int:
    """The cheapest lengths in 1..limit that obey Kraft's inequality, tried one by one."""
    return min(
        sum(count * length for count, length in zip(counts, lengths, strict=True))
        for lengths in itertools.product(range(1, limit + 1), repeat=len(counts))
        if sum(2.0**-length for length in lengths) <= 1
    )


# entropy


@given(COUNTS)
def test_entropy_is_scipys(counts: list[int]) -> None:
    expected = stats.entropy(counts, base=2) if sum(counts) else 0.0
    assert codec.entropy(counts) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("counts", [[], [0, 0], [5], [0, 3, 0]])
def test_entropy_of_what_cannot_surprise_is_zero(counts: list[int]) -> None:
    assert codec.entropy(counts) == 0.0


def test_entropy_takes_probabilities_tensors_and_extreme_ratios() -> None:
    assert codec.entropy(torch.tensor([0.5, 0.5])) == 1.0
    assert codec.entropy([1.0, 1e-320]) == pytest.approx(0.0)
    assert codec.entropy(np.full(2**16, 1e-300)) == pytest.approx(16)


@pytest.mark.parametrize(
    ("counts", "error"),
    [([1, -1], ValueError), ([1, np.nan], ValueError), ([np.inf], ValueError), (["a"], TypeError)],
)
def test_entropy_refuses_what_is_no_count(counts: list[object], error: type[Exception]) -> None:
    with pytest.raises(error, match="counts must"):
        codec.entropy(counts)  # type: ignore[arg-type]


def test_mean_length_refuses_a_symbol_without_a_code() -> None:
    with pytest.raises(ValueError, match="1 has none"):
        codec.mean_length([1, 1], [1, 0])
    with pytest.raises(ValueError, match="one entry per symbol"):
        codec.mean_length([1, 1], [1])
    assert codec.mean_length([0, 0], [0, 0]) == 0.0


# Huffman


@given(COUNTS)
def test_huffman_is_optimal_complete_and_within_a_bit_of_entropy(counts: list[int]) -> None:
    lengths = codec.code_lengths(counts)
    occurs = np.array(counts, dtype=np.int64) > 0
    np.testing.assert_array_equal(lengths > 0, occurs)
    if occurs.sum() > 1:
        assert lengths @ np.array(counts) == merged_cost(counts)
        assert codec.kraft_sum(lengths) == 1.0
        entropy, mean = codec.entropy(counts), codec.mean_length(counts, lengths)
        assert entropy - 1e-12 <= mean < entropy + 1
    else:
        assert lengths.sum() == occurs.sum()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=6), st.integers(0, 2))
def test_limited_lengths_are_the_best_of_all_lengths(counts: list[int], slack: int) -> None:
    limit = (len(counts) - 1).bit_length() + slack
    lengths = codec.code_lengths(counts, max_length=limit)
    assert lengths.max() <= limit
    assert codec.kraft_sum(lengths) == 1.0
    assert lengths @ np.array(counts) == best_cost_by_search(counts, limit)


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=60))
def test_package_merge_without_pressure_is_huffman(counts: list[int]) -> None:
    ascending = np.sort(np.array(counts, dtype=float))
    lengths = huffman._package_merge(ascending, 60)
    assert lengths @ ascending == merged_cost(counts)


def test_fibonacci_counts_give_the_deepest_code_and_the_limit_holds() -> None:
    counts = [1, 1]
    while len(counts) < 40:
        counts.append(counts[-1] + counts[-2])
    assert codec.code_lengths(counts).max() == 39
    limited = codec.code_lengths(counts, max_length=6)
    assert limited.max() == 6
    assert codec.kraft_sum(limited) == 1.0


def test_code_of_a_full_alphabet_of_equal_counts_is_fixed_width() -> None:
    lengths = codec.code_lengths(np.ones(2**16), max_length=16)
    np.testing.assert_array_equal(lengths, 16)


def test_too_short_a_limit_names_the_shortest_possible() -> None:
    with pytest.raises(ValueError, match="at least 4 for 9 symbols, got 3"):
        codec.code_lengths([1] * 9, max_length=3)


@given(COUNTS)
def test_canonical_codes_are_prefix_free_and_ordered(counts: list[int]) -> None:
    lengths = codec.code_lengths(counts)
    codes = codec.canonical_codes(lengths)
    words = sorted(
        (int(bits), symbol, f"{int(codes[symbol]):0{bits}b}")
        for symbol, bits in enumerate(lengths)
        if bits
    )
    texts = [word for _, _, word in words]
    assert texts == sorted(texts)
    assert all(len(word) == bits for bits, _, word in words)
    assert not any(b.startswith(a) for a, b in itertools.pairwise(texts))  # sorted: enough


@pytest.mark.parametrize("lengths", [[1, 1, 1], [1, 2, 2, 2], [1] * 3 + [40]])
def test_lengths_that_break_kraft_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="Kraft"):
        codec.canonical_codes(lengths)


def slow_bits(symbols: list[int], lengths: np.ndarray) -> str:
    codes = codec.canonical_codes(lengths)
    return "".join(f"{int(codes[s]):0{lengths[s]}b}" for s in symbols)


@pytest.mark.parametrize("count", [0, 1, 7, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("alphabet", [1, 2, 3, 33, 256])
def test_encoding_is_the_codes_one_after_the_other(count: int, alphabet: int) -> None:
    random_symbols = np.random.default_rng(count).geometric(0.2, count) % alphabet
    lengths = codec.code_lengths(np.bincount(random_symbols, minlength=alphabet) + 1)
    data = codec.huffman_encode(random_symbols, lengths)
    blocks = -(-count // 1024)
    at = 2 * blocks
    for block in range(blocks):
        (size,) = struct.unpack_from("<H", data, 2 * block)
        bits = slow_bits(random_symbols[block * 1024 : (block + 1) * 1024].tolist(), lengths)
        written = "".join(f"{byte:08b}" for byte in data[at : at + size])
        assert written == bits.ljust(8 * size, "0")
        assert size == -(-len(bits) // 8)
        at += size
    assert at == len(data)
    decoded = codec.huffman_decode(data, lengths, count)
    np.testing.assert_array_equal(decoded, random_symbols)
    assert decoded.dtype == np.int64


@pytest.mark.parametrize("longest", [16, 17, 25, 32])
def test_long_codes_survive_the_round_trip(longest: int) -> None:
    lengths = np.append(np.arange(1, longest + 1), longest)  # a comb: 1, 2, ..., n, n
    symbols = np.random.default_rng(0).integers(0, lengths.size, 4000)
    data = codec.huffman_encode(symbols, lengths)
    np.testing.assert_array_equal(codec.huffman_decode(data, lengths, 4000), symbols)


def test_chunks_of_symbols_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    symbols = np.random.default_rng(1).geometric(0.3, 5 * huffman.BLOCK + 3) % 16
    lengths = codec.code_lengths(np.bincount(symbols))
    whole = codec.huffman_encode(symbols, lengths)
    monkeypatch.setattr(huffman, "_CHUNK", 2 * huffman.BLOCK)
    assert codec.huffman_encode(symbols, lengths) == whole


def test_encoder_takes_tensors_of_any_shape() -> None:
    data = codec.huffman_encode(torch.tensor([[0, 1], [1, 1]]), torch.tensor([1, 1]))
    np.testing.assert_array_equal(codec.huffman_decode(data, [1, 1], 4), [0, 1, 1, 1])


@pytest.mark.parametrize(
    ("symbols", "lengths", "error"),
    [
        ([2], [1, 1], ValueError),
        ([-1], [1, 1], ValueError),
        ([1], [1, 0], ValueError),
        ([0], [], ValueError),
        ([0.0], [1, 1], TypeError),
        ([True], [1, 1], TypeError),
        ([0], [33, 1], ValueError),
    ],
)
def test_encoder_refuses_symbols_without_a_code(
    symbols: list[int], lengths: list[int], error: type[Exception]
) -> None:
    with pytest.raises(error, match="must"):
        codec.huffman_encode(symbols, lengths)


@pytest.mark.parametrize("flip", range(0, 600, 7))
def test_damaged_codes_are_an_error_or_other_symbols_but_never_a_crash(flip: int) -> None:
    symbols = np.random.default_rng(2).geometric(0.4, 2000) % 8
    lengths = codec.code_lengths(np.bincount(symbols, minlength=8))
    data = bytearray(codec.huffman_encode(symbols, lengths))
    data[flip % len(data)] ^= 1 << flip % 8
    try:
        decoded = codec.huffman_decode(bytes(data), lengths, 2000)
    except ValueError:
        return
    assert decoded.shape == (2000,)
    assert not np.array_equal(decoded, symbols)


@pytest.mark.parametrize(
    ("data", "lengths", "count"),
    [
        (b"", [1, 1], 1),
        (b"\x01", [1, 1], 1),
        (b"\x01\x00", [1, 1], 1),
        (b"\x01\x00\x00\x00", [1, 1], 1),  # a byte too many
        (b"\x01\x00\x01", [1, 1], 1),  # the filling is not zero
        (b"\x01\x00\x80", [1], 1),  # the bit that a lone symbol never writes
        (b"\x01\x00\x00", [0, 0], 1),
        (b"\x01\x00\x00", [], 1),
        (b"\x00", [1, 1], 0),
        (b"\x01\x00\x00", [1, 1], 2**60),
    ],
)
def test_decoder_refuses_bytes_that_no_encoder_writes(
    data: bytes, lengths: list[int], count: int
) -> None:
    with pytest.raises(ValueError, match=r"data (must|is|ends)"):
        codec.huffman_decode(data, lengths, count)


# packing


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000])
def test_packing_uses_exactly_the_bits(bits: int, count: int) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, count)
    data = codec.pack(values, bits)
    text = "".join(f"{value:0{bits}b}" for value in values)
    assert len(data) == -(-count * bits // 8)
    assert "".join(f"{byte:08b}" for byte in data) == text.ljust(8 * len(data), "0")
    np.testing.assert_array_equal(codec.unpack(data, bits, count), values)


@pytest.mark.parametrize("bits", [1, 3, 16])
def test_packing_in_chunks_leaves_no_seam(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 2**bits, 100)
    whole = codec.pack(values, bits)
    monkeypatch.setattr(codec.packing, "_CHUNK", 16)
    assert codec.pack(values, bits) == whole
    np.testing.assert_array_equal(codec.unpack(whole, bits, 100), values)


@pytest.mark.parametrize(
    ("values", "bits", "error"),
    [
        ([4], 2, ValueError),
        ([-1], 2, ValueError),
        ([0], 0, ValueError),
        ([0], 17, ValueError),
        ([0.5], 2, TypeError),
        ([0], 2.0, TypeError),
    ],
)
def test_packing_refuses_values_that_do_not_fit(
    values: list[int], bits: int, error: type[Exception]
) -> None:
    with pytest.raises(error, match="must"):
        codec.pack(values, bits)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_unpacking_wants_the_exact_number_of_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="2 bytes for 5 values"):
        codec.unpack(bytes(size), 3, 5)


@given(st.lists(st.integers(0, 300), unique=True).map(sorted), st.integers(1, 16))
def test_gaps_describe_positions_exactly(positions: list[int], bits: int) -> None:
    gaps = codec.positions_to_gaps(positions, bits)
    np.testing.assert_array_equal(codec.gaps_to_positions(gaps, bits), positions)
    escape = 2**bits - 1
    assert np.count_nonzero(gaps != escape) == len(positions)
    zeros = np.diff(positions, prepend=-1) - 1
    assert gaps.size == len(positions) + np.sum(zeros // escape)


@pytest.mark.parametrize("huffman_too", [True, False])
@pytest.mark.parametrize("density", [0.0, 0.003, 0.02, 0.1, 0.5, 0.9])
def test_gaps_take_the_width_that_is_shortest(density: float, huffman_too: bool) -> None:
    positions = np.flatnonzero(np.random.default_rng(0).random(20_000) < density)
    shortest = min(
        len(tensors._encode_stream(codec.positions_to_gaps(positions, b), 2**b, huffman_too))
        for b in range(1, 9)
    )
    written = len(tensors._encode_gaps(positions, huffman_too)) - 5  # its width and count
    # The estimate leaves out that every block of 1024 codes ends on a byte.
    assert shortest <= written <= shortest + 0.001 * shortest


def test_one_bit_gaps_are_the_inverted_bitmask() -> None:
    mask = np.random.default_rng(0).random(100) < 0.3
    mask[-1] = True
    gaps = codec.positions_to_gaps(np.flatnonzero(mask), 1)
    expected = [bit for kept in mask for bit in ([0] if kept else [1])]
    np.testing.assert_array_equal(gaps, expected)


@pytest.mark.parametrize("positions", [[1, 1], [2, 1]])
def test_positions_must_increase(positions: list[int]) -> None:
    with pytest.raises(ValueError, match="increase"):
        codec.positions_to_gaps(positions, 4)


def test_gaps_that_end_in_an_escape_are_refused() -> None:
    with pytest.raises(ValueError, match="escape 3"):
        codec.gaps_to_positions([0, 3], 2)


# files


def small_model() -> nn.Module:
    """A net with every kind of tensor: conv, batch norm with a counter, pruned, equal."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(180, 33)
    )
    with torch.no_grad():
        weight = net[4].weight
        weight *= torch.rand_like(weight) < 0.1  # leaves -0.0 where the weight was negative
        weight.copy_(torch.round(weight * 100) / 100)
        net[0].weight.copy_(torch.round(net[0].weight * 8) / 8)
    return net.eval()


def inputs() -> torch.Tensor:
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)


SUBSETS = [
    subset
    for size in range(len(codec.TECHNIQUES) + 1)
    for subset in itertools.combinations(codec.TECHNIQUES, size)
]


@pytest.mark.parametrize("techniques", SUBSETS)
def test_a_loaded_model_predicts_what_the_saved_one_does(
    techniques: tuple[str, ...], tmp_path: Path
) -> None:
    model = small_model()
    path = tmp_path / "model"
    size = codec.save(model, path, techniques=techniques)
    blank = small_model()
    nn.init.constant_(blank[4].weight, math.nan)
    loaded = codec.load(path, blank)
    assert torch.equal(loaded(inputs()), model(inputs()))
    assert blank[4].weight.isnan().all(), "load changed its argument"
    assert size.total_bytes == os.path.getsize(path)
    assert os.listdir(tmp_path) == ["model"]
    codings = [t.coding for t in size.tensors if not t.coding.startswith("same as")]
    used = {word for coding in codings for word in coding.split("+")}
    assert used <= {"dense", *techniques}


def test_every_technique_makes_the_file_smaller_or_equal(tmp_path: Path) -> None:
    sizes = {
        subset: codec.save(small_model(), tmp_path / "m", techniques=subset).total_bytes
        for subset in SUBSETS
    }
    for small, big in itertools.product(SUBSETS, SUBSETS):
        if set(small) < set(big):
            # An encoded tensor has a longer name, which only its gain must pay for: 6 tensors.
            assert sizes[big] <= sizes[small] + 8 * 6, (small, big)
    assert sizes[codec.TECHNIQUES] < 0.2 * sizes[()]


def test_the_breakdown_accounts_for_every_byte(tmp_path: Path) -> None:
    size = codec.save(small_model(), tmp_path / "m")
    parts = (size.weight_bytes, size.index_bytes, size.codebook_bytes, size.header_bytes)
    assert sum(parts) == size.total_bytes == os.path.getsize(tmp_path / "m")
    assert min(parts) > 0
    assert size == codec.inspect(tmp_path / "m")
    assert size.decoded_bytes == sum(t.nbytes for t in small_model().state_dict().values())


def test_an_uncompressed_file_is_read_by_safetensors_itself(tmp_path: Path) -> None:
    state = {"a": torch.randn(3, 5), "b": torch.tensor(7)}
    codec.save(state, tmp_path / "m", techniques=())
    theirs = safetensors.torch.load_file(tmp_path / "m")
    assert all(same(theirs[name], state[name]) for name in state)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (0,), (0, 5), (1,), (3, 1, 7), (40, 50)])
@pytest.mark.parametrize("kind", ["zeros", "ones", "few", "many", "pruned"])
def test_every_dtype_and_shape_comes_back(
    dtype: torch.dtype, shape: tuple[int, ...], kind: str
) -> None:
    generator = torch.Generator().manual_seed(0)
    values = {
        "zeros": torch.zeros(shape),
        "ones": torch.ones(shape),
        "few": torch.randint(-2, 3, shape, generator=generator).float(),
        "many": torch.randn(shape, generator=generator) * 30,
        "pruned": torch.randn(shape, generator=generator)
        * (torch.rand(shape, generator=generator) < 0.05),
    }[kind]
    state = {"w": values.abs().to(dtype) if dtype == torch.uint8 else values.to(dtype)}
    data = codec.to_bytes(state)
    loaded, size = codec.from_bytes(data)
    assert same(loaded["w"], state["w"])
    assert size.tensors[0].shape == shape


@pytest.mark.parametrize("value", [6e-8, 65504.0, 2.0**-24, -1.5])
def test_half_is_used_exactly_where_it_loses_nothing(value: float) -> None:
    exact = torch.tensor([value]).half().float().repeat(100) * torch.arange(1, 101).remainder(2)
    _, size = codec.from_bytes(codec.to_bytes({"w": exact}, techniques=["half"]))
    assert size.tensors[0].coding == "half"
    inexact = exact.clone()
    inexact[0] = 1 + 2.0**-20
    _, size = codec.from_bytes(codec.to_bytes({"w": inexact}, techniques=["half"]))
    assert size.tensors[0].coding == "dense"


def test_minus_zero_is_stored_as_a_pruned_weight() -> None:
    state = {"w": torch.full((1000,), -0.0)}
    data = codec.to_bytes(state)
    assert len(data) < 300
    assert not torch.signbit(codec.from_bytes(data)[0]["w"]).any()


def test_shared_layers_are_stored_once(tmp_path: Path) -> None:
    layer = nn.Linear(64, 64)
    once = codec.save(nn.Sequential(layer), tmp_path / "one").total_bytes
    model = nn.Sequential(layer, layer, layer)
    assert codec.save(model, tmp_path / "three").total_bytes < once + 4 * 120
    loaded = codec.load(tmp_path / "three", model)
    assert loaded[0].weight is loaded[2].weight
    assert torch.equal(loaded[1].weight, layer.weight)


@pytest.mark.parametrize("first", ["", "a", "µ" * 40, "a#b"])
def test_equal_tensors_come_back_independent(first: str) -> None:
    tensor = torch.rand(99)
    twins = {first: tensor, "b": tensor}
    loaded, _ = codec.from_bytes(codec.to_bytes(twins))
    loaded[first].zero_()
    assert torch.equal(loaded["b"], twins["b"])


def test_views_and_gradients_and_strides_are_no_obstacle() -> None:
    base = torch.randn(6, 8, requires_grad=True)
    state = {"t": base.t(), "rows": base[2:4], "step": base[:, ::2], "wide": base[:1].expand(4, 8)}
    loaded, _ = codec.from_bytes(codec.to_bytes(state))
    assert all(same(loaded[name], state[name]) for name in state)
    assert not loaded["t"].requires_grad


def test_same_model_same_bytes() -> None:
    assert codec.to_bytes(small_model()) == codec.to_bytes(small_model())
    state = small_model().state_dict()
    assert codec.to_bytes(dict(reversed(state.items()))) == codec.to_bytes(state)


def test_pruned_and_shared_weights_approach_their_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randint(-8, 8, (400, 400), generator=generator) / 64
    weight = weight * (torch.rand(400, 400, generator=generator) < 0.08)
    bits = codec.entropy(torch.unique(weight, return_counts=True)[1])
    size = len(codec.to_bytes({"w": weight}))
    assert weight.numel() * bits / 8 <= size < 1.06 * weight.numel() * bits / 8 + 400


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ({"w": torch.tensor([1.0, np.nan])}, ValueError),
        ({"w": torch.tensor([np.inf])}, ValueError),
        ({"w": torch.tensor([1j])}, TypeError),
        ({"w": [1.0]}, TypeError),
        ({"w": torch.eye(3).to_sparse()}, TypeError),
        ({"w": torch.empty(3, device="meta")}, TypeError),
        ({"w": torch.ones(3).to(torch.float8_e4m3fn)}, TypeError),
        ({"w#coded": torch.ones(3)}, ValueError),
        ({"__metadata__": torch.ones(3)}, ValueError),
        ({3: torch.ones(3)}, ValueError),
        ([torch.ones(3)], TypeError),
    ],
)
def test_what_cannot_be_stored_is_refused(state: dict, error: type[Exception]) -> None:
    with pytest.raises(error):
        codec.to_bytes(state)


def test_unknown_techniques_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        codec.to_bytes({}, techniques=["zip"])


def test_nothing_is_a_model_too(tmp_path: Path) -> None:
    size = codec.save(nn.ReLU(), tmp_path / "m")
    assert size.decoded_bytes == 0
    assert isinstance(codec.load(tmp_path / "m", nn.ReLU()), nn.ReLU)


# damage and forgery


DATA = codec.to_bytes(small_model())


def test_no_flipped_bit_goes_unseen() -> None:
    for at in range(len(DATA)):
        damaged = bytearray(DATA)
        damaged[at] ^= 1 << (at * 5) % 8
        with pytest.raises(codec.CorruptFileError):
            codec.from_bytes(bytes(damaged))


@pytest.mark.parametrize("byte", [0x00, 0x20, 0x09, 0x30, 0xFF])
def test_no_overwritten_byte_goes_unseen(byte: int) -> None:
    for at in [*range(900), *range(900, len(DATA), 13)]:
        if DATA[at] != byte:
            with pytest.raises(codec.CorruptFileError):
                codec.from_bytes(DATA[:at] + bytes([byte]) + DATA[at + 1 :])


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 100, len(DATA) // 2, len(DATA) - 1])
def test_truncated_files_are_an_error(keep: int) -> None:
    with pytest.raises(codec.CorruptFileError):
        codec.from_bytes(DATA[:keep])


@pytest.mark.parametrize("extra", [b"\0", b" " * 8, DATA])
def test_appended_bytes_are_an_error(extra: bytes) -> None:
    with pytest.raises(codec.CorruptFileError):
        codec.from_bytes(DATA + extra)


def test_other_files_are_not_ours(tmp_path: Path) -> None:
    torch.save(small_model().state_dict(), tmp_path / "pickle")
    safetensors.torch.save_file({"w": torch.ones(3)}, tmp_path / "plain")
    (tmp_path / "empty").write_bytes(b"")
    for name in ("pickle", "plain", "empty"):
        with pytest.raises(codec.CorruptFileError, match="not written by"):
            codec.load_state(tmp_path / name)
    with pytest.raises(codec.CorruptFileError, match="regular file"):
        codec.load_state(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(codec.CorruptFileError, match="regular file"):
        codec.load_state(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        codec.load_state(tmp_path / "absent")


def test_a_file_from_the_future_says_so() -> None:
    future = DATA.replace(b'"1 ', b'"2 ')
    with pytest.raises(codec.CorruptFileError, match="version 2; this library reads 1"):
        codec.from_bytes(future)


def forged(entries: dict[str, torch.Tensor]) -> bytes:
    """A file with a right checksum, whatever is in it."""
    return container.to_container(entries)


def blob(*parts: bytes) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(b"".join(parts), np.uint8).copy())


def head(shape: tuple[int, ...], dtype: int = 0, stored: int = 0) -> bytes:
    return struct.pack(f"<BBB{len(shape)}I", dtype, stored, len(shape), *shape)


CONSTANT = b"\x02" + struct.pack("<If", 1, 2.5) + b"\x00" + bytes(4)  # one centroid, no bits


def test_the_forgery_kit_can_write_a_good_file() -> None:
    state, _ = codec.from_bytes(forged({"w#coded": blob(head((3, 2)), CONSTANT)}))
    assert torch.equal(state["w"], torch.full((3, 2), 2.5))


@pytest.mark.parametrize(
    "entries",
    [
        {"w#coded": blob(head((2**32 - 1, 2**32 - 1)), CONSTANT)},
        {"w#coded": blob(head((2**16, 2**16)), CONSTANT)},
        {"w#coded": blob(head((2**32 - 1,) * 200), CONSTANT)},
        {"w#coded": blob(head((1,) * 200), CONSTANT)},
        {"w#coded": blob(head((0, *(2**32 - 1,) * 3)), b"\x00")},
        {"w#coded": blob(head((2**28,)), b"\x00")},  # raw values that are not there
        {"w#coded": blob(head((2**28,)), b"\x01\x08" + struct.pack("<IBI", 2**28, 0, 0))},
        {f"{i}#coded": blob(head((2**17,)), CONSTANT) for i in range(9)},
        {
            "a#coded": blob(head((2**19,)), CONSTANT),
            **{f"b{i}#same": blob(b"a") for i in range(9)},
        },
    ],
)
def test_forged_sizes_are_refused_before_memory_is_taken(entries: dict) -> None:
    with pytest.raises(codec.CorruptFileError):
        codec.from_bytes(forged(entries), max_bytes=2**22)


@pytest.mark.parametrize(
    "entries",
    [
        {"w#coded": blob(b"")},
        {"w#coded": blob(head((3,)))},
        {"w#coded": blob(head((3,), dtype=99), CONSTANT)},
        {"w#coded": blob(head((3,), stored=4), CONSTANT)},  # int8 for float32
        {"w#coded": blob(head((3,), dtype=4, stored=1), CONSTANT)},  # float16 for int8
        {"w#coded": blob(head((3,)), b"\x04")},  # unknown flag
        {"w#coded": blob(head((3,)), CONSTANT, b"\x00")},  # left-over byte
        {"w#coded": blob(head((3,)), b"\x02" + struct.pack("<IBI", 0, 0, 0))},  # no centroid
        {"w#coded": blob(head((3,)), b"\x02" + struct.pack("<I", 2**31))},
        {"w#coded": blob(head((1,)), b"\x02" + struct.pack("<I3fBIB", 3, 1, 2, 3, 0, 1, 0xC0))},
        {"w#coded": blob(head((1,)), b"\x02" + struct.pack("<I2fBIB", 2, 1, 2, 7, 1, 0))},
        {"w#coded": blob(head((1,)), b"\x02" + struct.pack("<IfBI", 1, np.nan, 0, 0))},
        {"w#coded": blob(head((2,), dtype=9, stored=9), b"\x00\x01\x02")},  # a bool of 2
        {"w#coded": blob(head((2,)), b"\x01" + struct.pack("<BIBIBf", 4, 1, 0, 1, 0x20, 1.0))},
        {"w#coded": blob(head((2,)), b"\x01" + struct.pack("<BIBIBf", 0, 1, 0, 1, 0, 1.0))},
        {"w#coded": blob(head((2,)), b"\x01" + struct.pack("<BIBIBf", 4, 9, 0, 5, 0, 1.0))},
        {"w#coded": torch.ones(3)},
        {"w#coded": torch.zeros(3, 3, dtype=torch.uint8)},
        {"w#same": blob(b"absent")},
        {"w#same": blob(b"w")},
        {"w#same": blob(b"\xff\xfe")},
        {"w": torch.ones(2), "w#coded": blob(head((3,)), CONSTANT)},
        {"w": torch.tensor([np.nan])},
        {"w": torch.tensor([1j])},
        {"w": torch.tensor([0, 2], dtype=torch.uint8).view(torch.bool)},
        {"w": torch.ones(3).to(torch.float8_e4m3fn)},
    ],
)
def test_forged_contents_are_refused(entries: dict) -> None:
    with pytest.raises(codec.CorruptFileError):
        codec.from_bytes(forged(entries))


def test_an_encoded_tensor_must_be_whole() -> None:
    weight = torch.zeros(900)
    weight[::7] = torch.randint(1, 9, (129,)).float()
    coded = tensors.encode_tensor(weight, codec.TECHNIQUES)
    for end in range(len(coded)):
        with pytest.raises(codec.CorruptFileError):
            codec.from_bytes(forged({"w#coded": blob(coded[:end])}))


def test_random_forgeries_end_in_an_error_or_an_allowed_tensor() -> None:
    rng = random.Random(0)
    entries = safetensors.torch.load(DATA)
    coded = [name for name in entries if name.endswith("#coded")]
    assert len(coded) >= 2
    refused = 0
    for _ in range(600):
        name = rng.choice(coded)
        data = bytearray(entries[name].numpy().tobytes())
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(min(len(data), rng.choice([20, 60, 10**6])))] = rng.randrange(256)
        try:
            state, size = codec.from_bytes(forged({name: blob(data)}), max_bytes=10**6)
        except codec.CorruptFileError:
            refused += 1
            continue
        (tensor,) = state.values()
        assert tensor.nbytes == size.decoded_bytes <= 10**6
        assert bool(torch.isfinite(tensor).all())
    assert 100 < refused < 600


def test_limits_are_the_callers_and_the_models(tmp_path: Path) -> None:
    codec.save({"w": torch.zeros(10**6)}, tmp_path / "m")
    assert codec.load_state(tmp_path / "m", max_bytes=4 * 10**6)["w"].numel() == 10**6
    with pytest.raises(codec.CorruptFileError, match="exceeds the 3999999 bytes allowed"):
        codec.load_state(tmp_path / "m", max_bytes=4 * 10**6 - 1)
    with pytest.raises(codec.CorruptFileError, match="exceeds the 12 bytes allowed"):
        codec.load(tmp_path / "m", nn.Linear(2, 1))
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(50 * 2**30)  # sparse: 50 GB that take no disk
    with pytest.raises(codec.CorruptFileError, match="more than"):
        codec.load(tmp_path / "huge", nn.Linear(2, 1))
    for wrong, error in ((-1, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="max_bytes"):
            codec.load_state(tmp_path / "m", max_bytes=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "model",
    [
        nn.Linear(3, 2),
        nn.Linear(2, 3, bias=False),
        nn.Sequential(nn.Linear(2, 3)),
        nn.Linear(2, 3).double(),
        nn.Linear(1, 6),
    ],
)
def test_a_file_of_another_model_is_refused(model: nn.Module, tmp_path: Path) -> None:
    codec.save(nn.Linear(2, 3), tmp_path / "m")
    with pytest.raises(codec.CorruptFileError, match=r"(differ|but the model's)"):
        codec.load(tmp_path / "m", model, max_bytes=1000)


def test_tied_weights_must_agree_in_the_file(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2, bias=False)
    codec.save({"0.weight": torch.ones(2, 2), "1.weight": torch.zeros(2, 2)}, tmp_path / "m")
    with pytest.raises(codec.CorruptFileError, match="shared in the model"):
        codec.load(tmp_path / "m", nn.Sequential(layer, layer))


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    codec.save({"w": torch.ones(3)}, tmp_path / "m")
    with pytest.raises(ValueError, match="finite"):
        codec.save({"w": torch.tensor([np.nan])}, tmp_path / "m")
    assert torch.equal(codec.load_state(tmp_path / "m")["w"], torch.ones(3))


def test_load_wants_a_model(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="an nn"):
        codec.load(tmp_path / "m", {})  # type: ignore[arg-type]


def test_tensor_size_is_public() -> None:
    assert isinstance(codec.inspect.__doc__, str)
    assert fileformat.TensorSize is codec.TensorSize


# the arithmetic code


def smallest(state: dict[str, torch.Tensor]) -> bytes:
    return codec.to_bytes(state, techniques=codec.TECHNIQUES)


def sparse_weights(rows: int, columns: int, density: float, levels: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(1, levels + 1, (rows, columns), generator=generator) / 8
    return values * (torch.rand(rows, columns, generator=generator) < density)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), max_size=200),
    st.lists(st.integers(0, 2**32 - 2), max_size=20),
)
def test_a_reader_decides_as_the_writer_did(
    decisions: list[tuple[int, int]], numbers: list[int]
) -> None:
    def walk(coder: Writer | Reader, decisions: list, numbers: list) -> tuple[list, list]:
        bits = [coder.bit(context, value) for context, value in decisions]
        return bits, [coder.number("n", value) for value in numbers]

    writer = Writer(10**6)
    walk(writer, decisions, numbers)
    reader = Reader(writer.finish(), 10**6)
    blank = [(context, 0) for context, _ in decisions], [0] * len(numbers)
    assert walk(reader, *blank) == ([value for _, value in decisions], numbers)
    reader.finish()
    assert reader.spent() == writer.spent()


@pytest.mark.parametrize("share", [0.003, 0.1, 0.5, 0.97])
def test_a_decision_costs_its_information_and_learning_costs_a_logarithm(share: float) -> None:
    count = 20_000
    values = np.random.default_rng(0).random(count) < share
    writer = Writer(count)
    for value in values:
        writer.bit("x", int(value))
    ideal = count * codec.entropy([values.mean(), 1 - values.mean()])
    size = 8 * len(writer.finish())
    # Krichevsky and Trofimov: half a log2 of the count and a bit; forgetting costs the rest.
    assert ideal <= size + 1e-6
    assert size <= 1.01 * ideal + 0.5 * math.log2(count) + 1 + 32


def test_a_fair_coin_costs_a_bit_and_the_forgetful_counts_stay_positive() -> None:
    writer = Writer(10**6)
    for step in range(10_000):
        writer.bit("x", 0 if step < 9_000 else step % 2)
    assert min(writer.counts["x"]) >= 1
    assert sum(writer.counts["x"]) < 2**12


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (0,), (0, 5), (5, 0), (1,), (3, 1, 7), (6, 4, 3, 3)])
@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_every_tensor_survives_the_joint_code(
    dtype: torch.dtype, shape: tuple[int, ...], density: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(-3, 4, shape, generator=generator).abs()
    state = {
        "a.w": (values * (torch.rand(shape, generator=generator) < density)).to(dtype),
        "a.x": torch.randn(3, 2, generator=generator),
        "µ": torch.ones(2, dtype=torch.bool),
    }
    code = joint.encode_joint(state, half=True, codebook=True)
    decoded = joint.decode_joint(code, 10**5)
    assert [part.name.decode() for _, part in decoded] == list(state)
    assert all(same(tensor, state[part.name.decode()]) for tensor, part in decoded)


def test_the_joint_code_is_much_shorter_where_form_weighs_most() -> None:
    state = {f"fc{i}.weight": sparse_weights(30, 40, 0.1) for i in (1, 2, 3)}
    state["fc2.weight"], state["fc3.weight"] = -state["fc2.weight"], state["fc3.weight"] * 2
    weights = sum(int(tensor.count_nonzero()) for tensor in state.values())
    ideal = 3 * 1200 * codec.entropy([0.1, 0.9]) + 2 * weights
    assert len(codec.to_bytes(state)) > 1.5 * len(smallest(state))
    assert len(smallest(state)) < ideal / 8 + 128 + 90  # envelope; names, shapes and learning


def test_dead_rows_and_columns_are_nearly_free() -> None:
    weight = sparse_weights(20, 30, 0.3)
    wide = torch.zeros(200, 600)
    wide[:20, :30] = weight
    extra = len(smallest({"w": wide})) - len(smallest({"w": weight}))
    assert 0 <= extra <= 16


def test_neighbours_are_found_and_pay() -> None:
    image = torch.zeros(40, 28, 28)  # every row of the matrix sees one patch of an image
    for row in range(40):
        top, left = row % 20, (7 * row) % 20
        image[row, top : top + 6, left : left + 6] = 0.5
    patches = {"w": image.flatten(1)}
    shuffled = {
        "w": patches["w"][:, torch.randperm(784, generator=torch.Generator().manual_seed(0))]
    }
    assert set(joint._distances(patches["w"].numpy() != 0)) == {1, 28}
    assert 2 * len(smallest(patches)) < len(smallest(shuffled))


def test_arithmetic_files_are_exact_deterministic_and_booked_to_the_byte(tmp_path: Path) -> None:
    model = small_model()
    size = codec.save(model, tmp_path / "m", techniques=codec.TECHNIQUES)
    assert size.total_bytes < codec.save(model, tmp_path / "h").total_bytes
    codec.save(model, tmp_path / "again", techniques=codec.TECHNIQUES)
    assert (tmp_path / "m").read_bytes() == (tmp_path / "again").read_bytes()
    loaded = codec.load(tmp_path / "m", model)
    assert torch.equal(loaded(inputs()), model(inputs()))
    assert {tensor.name for tensor in size.tensors} == set(model.state_dict())
    parts = (size.weight_bytes, size.index_bytes, size.codebook_bytes, size.header_bytes)
    assert min(parts) > 0
    sparse = next(tensor for tensor in size.tensors if tensor.name == "4.weight")
    assert sparse.coding == "half+sparse+codebook+arithmetic" or "sparse" in sparse.coding
    assert 0 < sparse.index_bytes < 33 * 180 / 8


def test_a_tensor_beyond_the_limit_is_coded_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"big": sparse_weights(40, 50, 0.1), "small": sparse_weights(5, 6, 0.5)}
    monkeypatch.setattr(fileformat, "MOST_VALUES", 100)
    loaded, size = codec.from_bytes(smallest(state))
    assert all(same(loaded[name], state[name]) for name in state)
    assert "huffman" in next(t.coding for t in size.tensors if t.name == "big")
    monkeypatch.setattr(joint, "_MOST_DECISIONS", 20)
    assert smallest(state) == codec.to_bytes(state)


JOINT = joint.encode_joint({"w": sparse_weights(20, 30, 0.2), "b": torch.rand(7)}, True, True)


def test_a_part_of_a_joint_code_is_never_taken_for_the_whole() -> None:
    whole, _ = codec.from_bytes(forged({"#joint": blob(JOINT)}))
    assert set(whole) == {"w", "b"}
    refused = 0
    for end in range(len(JOINT)):
        try:
            part, _ = codec.from_bytes(forged({"#joint": blob(JOINT[:end])}), max_bytes=10**5)
        except codec.CorruptFileError:
            refused += 1
            continue
        assert part.keys() != whole.keys() or not all(same(part[n], whole[n]) for n in whole)
    assert refused > 0.9 * len(JOINT)
    for more in (b"\x00", b"\xff", bytes(8)):
        with pytest.raises(codec.CorruptFileError, match="are not the code"):
            codec.from_bytes(forged({"#joint": blob(JOINT + more)}))


def test_forged_joint_codes_end_in_an_error_or_an_allowed_tensor() -> None:
    rng = random.Random(0)
    refused = 0
    for _ in range(300):
        data = bytearray(JOINT)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(rng.choice([4, 20, len(data)]))] = rng.randrange(256)
        try:
            state, size = codec.from_bytes(forged({"#joint": blob(data)}), max_bytes=10**5)
        except codec.CorruptFileError:
            refused += 1
            continue
        assert sum(tensor.nbytes for tensor in state.values()) == size.decoded_bytes <= 10**5
        assert all(bool(torch.isfinite(tensor.float()).all()) for tensor in state.values())
    assert refused > 100


def bomb(*shape: int, count: int = 1) -> bytes:
    """A code that announces tensors of zeros, which cost hardly a bit."""
    writer = Writer(10**7)
    for number in range(count):
        writer.bit("more", 1)
        part = joint.Part(bytes([97 + number]), (0, 0))
        joint._code_name(writer, part, bytes([96 + number]) if number else b"")
        for code in part.types:
            writer.symbol("type", 4, code)
        writer.number("axes", len(shape))
        for length in shape:
            writer.number("length", length)
        writer.number("codebook", 0)
        joint._code_alive(writer, "column", [False] * min(shape[-1], 10**5))
        joint._code_alive(writer, "row", [False] * min(shape[0], 10**5))
        for _ in range(2):
            writer.symbol("distance", 6, 0)
    writer.bit("more", 0)
    return writer.finish()


def test_announced_sizes_meet_a_limit_before_memory_is_taken() -> None:
    def read(data: bytes, max_bytes: int) -> dict[str, torch.Tensor]:
        return codec.from_bytes(forged({"#joint": blob(data)}), max_bytes=max_bytes)[0]

    assert read(bomb(100, 100), 40_000)["a"].shape == (100, 100)
    for data, limit, words in (
        (bomb(100, 100), 39_999, "exceeds 39999 bytes"),
        (bomb(100, 100, count=2), 79_999, "exceeds 39999 bytes"),
        (bomb(2**30, 2**30), 2**30, "too large"),
        (bomb(2**30, 0), 2**30, "too large"),
        (bomb(*[1] * 17), 2**30, "17 axes"),
    ):
        with pytest.raises(codec.CorruptFileError, match=words):
            read(data, limit)


def test_a_name_of_the_joint_entry_is_refused() -> None:
    with pytest.raises(ValueError, match="plain name"):
        codec.to_bytes({"#joint": torch.ones(3)})
    with pytest.raises(codec.CorruptFileError, match="stored twice"):
        codec.from_bytes(forged({"#joint": blob(JOINT), "w": torch.ones(3)}))
