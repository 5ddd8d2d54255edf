"""Sparse formats against really written bytes and SciPy, sparse products against dense ones."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import nn

from course_lib import sparse

SHAPES = [(1,), (17,), (1, 1), (3, 8), (5, 1), (1, 300), (7, 3, 5, 5), (0,), (4, 0), (0, 4), ()]
DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.int64]
INDEX_BITS = {"bitmask": [None], "csr": [16, 32, 64], "relative": [1, 3, 4, 8, 16]}
WIDTHS = [(format, bits) for format, widths in INDEX_BITS.items() for bits in widths]


def random_sparse(
    shape: tuple[int, ...], sparsity: float, seed: int = 0, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(1, 100, shape, generator=generator).to(dtype)
    return values * (torch.rand(shape, generator=generator) >= sparsity)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("format", "bits"), WIDTHS)
def test_decoding_gives_the_tensor_back_and_the_formula_counts_the_bytes(
    format, bits, shape, sparsity
):
    tensor = random_sparse(shape, sparsity)
    data = sparse.encode(tensor, format, index_bits=bits)
    assert len(data) == sparse.stored_bytes(tensor, format, index_bits=bits)
    decoded = sparse.decode(data, format, shape, tensor.dtype, index_bits=bits)
    assert decoded.dtype == tensor.dtype
    assert torch.equal(decoded, tensor)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("format", sparse.FORMATS)
def test_every_real_dtype_survives(format, dtype):
    tensor = random_sparse((9, 11), 0.6, dtype=dtype)
    data = sparse.encode(tensor, format)
    assert len(data) == sparse.stored_bytes(tensor, format)
    assert torch.equal(sparse.decode(data, format, (9, 11), dtype), tensor)


@pytest.mark.parametrize("format", sparse.FORMATS)
def test_values_survive_bit_for_bit(format):
    tensor = torch.tensor([0.0, math.inf, -math.inf, math.nan, 1e-45, -3.4e38, 0.1, 0.0])
    decoded = sparse.decode(sparse.encode(tensor, format), format, (8,))
    assert torch.equal(decoded.view(torch.int32), tensor.view(torch.int32))


@pytest.mark.parametrize("format", sparse.FORMATS)
def test_layout_in_memory_does_not_matter(format):
    tensor = random_sparse((6, 10), 0.5)
    turned = tensor.t().requires_grad_()
    assert sparse.encode(turned, format) == sparse.encode(tensor.t().contiguous(), format)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), format=st.sampled_from(sparse.FORMATS))
def test_round_trip_of_any_pattern(data, format):
    rows, columns = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 200))
    kept = data.draw(st.lists(st.integers(0, rows * columns - 1), max_size=20))
    bits = data.draw(st.sampled_from(INDEX_BITS[format]))
    tensor = torch.zeros(rows * columns)
    tensor[kept] = 1.5
    tensor = tensor.view(rows, columns)
    encoded = sparse.encode(tensor, format, index_bits=bits)
    assert len(encoded) == sparse.stored_bytes(tensor, format, index_bits=bits)
    assert torch.equal(sparse.decode(encoded, format, (rows, columns), index_bits=bits), tensor)


@pytest.mark.parametrize("shape", [(1, 1), (6, 50), (50, 6), (4, 3, 2, 2)])
def test_csr_holds_what_scipy_holds(shape):
    tensor = random_sparse(shape, 0.7, seed=3)
    oracle = scipy.sparse.csr_array(tensor.flatten(1).numpy())
    parts = oracle.indptr.astype("<i4"), oracle.indices.astype("<i4"), oracle.data
    assert sparse.encode(tensor, "csr") == b"".join(part.tobytes() for part in parts)


def test_bitmask_is_numpy_packbits_then_values():
    tensor = random_sparse((5, 7), 0.5, seed=1)
    mask = np.packbits(tensor.flatten().numpy() != 0, bitorder="little").tobytes()
    assert sparse.encode(tensor, "bitmask") == mask + tensor[tensor != 0].numpy().tobytes()


def relative_by_hand(values: list[float], index_bits: int) -> list[tuple[int, float]]:
    """(zeros skipped, value) pairs, by walking along the vector."""
    entries, gap = [], 0
    pending: list[tuple[int, float]] = []
    for value in values:
        if value != 0:
            entries += [*pending, (gap, value)]
            pending, gap = [], 0
        elif gap == 2**index_bits - 1:
            pending.append((gap, 0.0))
            gap = 0
        else:
            gap += 1
    return entries


@pytest.mark.parametrize("index_bits", [1, 2, 3, 8])
@pytest.mark.parametrize("sparsity", [0.3, 0.9, 0.99])
def test_relative_entries_are_those_of_a_walk_along_the_vector(index_bits, sparsity):
    tensor = random_sparse((700,), sparsity, seed=index_bits)
    expected = relative_by_hand(tensor.tolist(), index_bits)
    assert sparse.relative_entries(tensor, index_bits) == len(expected)
    data = sparse.encode(tensor, "relative", index_bits=index_bits)
    values = np.frombuffer(data[len(data) - 4 * len(expected) :], dtype="<f4")
    assert values.tolist() == [value for _, value in expected]
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    gaps = bits[: index_bits * len(expected)].reshape(-1, index_bits) @ (
        1 << np.arange(index_bits)
    )
    assert gaps.tolist() == [gap for gap, _ in expected]


@pytest.mark.parametrize(
    ("gap", "entries"), [(0, 1), (6, 1), (7, 1), (8, 2), (15, 2), (16, 3), (23, 3), (24, 4)]
)
def test_fillers_appear_exactly_when_a_gap_outgrows_its_bits(gap, entries):
    tensor = torch.zeros(gap + 1)
    tensor[-1] = 1
    assert sparse.relative_entries(tensor, index_bits=3) == entries


def test_zeros_at_the_end_cost_the_relative_format_nothing():
    assert sparse.relative_entries(torch.tensor([1.0] + [0.0] * 10_000)) == 1


@pytest.mark.parametrize("shape", [(300, 200), (10, 784), (16, 8, 3, 3), (1, 2500)], ids=str)
@pytest.mark.parametrize("format", sparse.FORMATS)
def test_break_even_is_where_a_search_over_real_sizes_finds_it(format, shape):
    size = math.prod(shape)
    even = sparse.break_even_sparsity(format, shape)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(0))

    def pays(zeros: int) -> bool:
        tensor = torch.ones(size)
        tensor[order[:zeros]] = 0
        return sparse.stored_bytes(tensor.view(shape), format) < sparse.dense_bytes(size)

    low, high = 0, size  # pays(low) is False, pays(high) is True
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if pays(middle) else (middle, high)
    assert abs(high - even * size) <= 2  # streams end at whole bytes: less than a weight each


def test_break_even_closed_forms():
    assert sparse.break_even_sparsity("bitmask", (10, 10), value_bits=8) == 1 / 8
    assert sparse.break_even_sparsity("relative", (10, 10), value_bits=5, index_bits=4) == 4 / 9
    csr = sparse.break_even_sparsity("csr", (10, 10), value_bits=8, index_bits=16)
    assert csr == pytest.approx(2 / 3 * 111 / 100)
    assert sparse.break_even_sparsity("csr", (1, 1)) > 1  # never pays


def test_formulas_by_hand():
    assert sparse.dense_bytes(9, value_bits=1) == 2
    assert sparse.bitmask_bytes(9, 0) == 2
    assert sparse.bitmask_bytes(9, 9, value_bits=4) == 2 + 5
    assert sparse.csr_bytes(3, 5, value_bits=16, index_bits=8) == (3 + 1) + 5 + 10
    assert sparse.relative_bytes(3, value_bits=5, index_bits=4) == 2 + 2
    assert sparse.stored_bytes(torch.eye(4), "bitmask", value_bits=4) == 2 + 2


def test_a_column_that_does_not_fit_its_index_is_refused():
    wide = torch.zeros(1, 300)
    wide[0, 299] = 1
    with pytest.raises(ValueError, match=r"index_bits = 8 cannot hold 299"):
        sparse.encode(wide, "csr", index_bits=8)
    assert len(sparse.encode(wide[:, 44:], "csr", index_bits=8)) == 2 + 1 + 4


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: d[:1]])
@pytest.mark.parametrize("format", sparse.FORMATS)
def test_data_of_another_length_is_refused(format, change):
    data = sparse.encode(random_sparse((8, 9), 0.5), format)
    with pytest.raises(ValueError, match="data"):
        sparse.decode(change(data), format, (8, 9))


def test_damaged_positions_are_refused():
    tensor = random_sparse((3, 5), 0.4)
    csr = sparse.encode(tensor, "csr", index_bits=8)
    nonzeros = csr[3]
    for position, value in ((0, 1), (1, 255), (3, 200), (4, 5), (4 + nonzeros - 1, 250)):
        broken = bytearray(csr)
        broken[position] = value
        with pytest.raises(ValueError, match="data"):
            sparse.decode(bytes(broken), "csr", (3, 5), index_bits=8)
    starts, columns, values = bytes([0, 2, 2]), bytes([0, 1]), bytes([7, 8])
    assert sparse.decode(starts + columns + values, "csr", (2, 2), torch.int8, index_bits=8).any()
    for columns in (bytes([1, 0]), bytes([1, 1]), bytes([0, 2])):
        with pytest.raises(ValueError, match="columns that do not fit"):
            sparse.decode(starts + columns + values, "csr", (2, 2), torch.int8, index_bits=8)
    mask = bytearray(sparse.encode(tensor, "bitmask"))
    mask[1] |= 0b1000_0000  # beyond the 15 weights
    with pytest.raises(ValueError, match="padded"):
        sparse.decode(bytes(mask), "bitmask", (3, 5))
    with pytest.raises(ValueError, match="outside"):
        sparse.decode(sparse.encode(torch.ones(20), "relative"), "relative", (3, 5))


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=60), format=st.sampled_from(sparse.FORMATS))
def test_any_bytes_give_a_tensor_or_a_value_error(data, format):
    try:
        decoded = sparse.decode(data, format, (3, 4), torch.int8)
    except ValueError:
        return
    assert decoded.shape == (3, 4)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: sparse.encode(torch.ones(2), "coo"), ValueError),
        (lambda: sparse.encode([1.0], "csr"), TypeError),
        (lambda: sparse.encode(torch.ones(2, dtype=torch.bool), "bitmask"), TypeError),
        (lambda: sparse.encode(torch.ones(2, dtype=torch.complex64), "bitmask"), TypeError),
        (lambda: sparse.encode(torch.ones(2), "csr", index_bits=12), ValueError),
        (lambda: sparse.encode(torch.ones(2), "relative", index_bits=0), ValueError),
        (lambda: sparse.encode(torch.ones(2), "relative", index_bits=4.0), TypeError),
        (lambda: sparse.encode(torch.ones(2), "bitmask", index_bits=2), ValueError),
        (lambda: sparse.decode(b"", "csr", (-1,)), ValueError),
        (lambda: sparse.bitmask_bytes(4, 5), ValueError),
        (lambda: sparse.csr_bytes(-1, 5), ValueError),
        (lambda: sparse.relative_bytes(1, value_bits=0), ValueError),
        (lambda: sparse.break_even_sparsity("csr", (0, 3)), ValueError),
        (lambda: sparse.to_csr(torch.ones(3)), ValueError),
        (lambda: sparse.to_csr(torch.ones(3, 0)), ValueError),
        (lambda: sparse.to_csr(torch.ones(2, 2).half()), TypeError),
        (lambda: sparse.csr_linear(torch.ones(2, 2), torch.ones(2, 2)), TypeError),
        (lambda: sparse.csr_linear(torch.ones(2, 3), sparse.to_csr(torch.eye(2))), ValueError),
        (lambda: sparse.SparseLinear.from_linear(nn.ReLU()), TypeError),
        (lambda: sparse.sparsify(nn.Linear(2, 2), 90), ValueError),
    ],
)
def test_bad_arguments_are_named(call, error):
    with pytest.raises(error, match=r"must (be|have|hold|not)|not be empty"):
        call()


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("batch", [(), (1,), (5,), (2, 3), (0,)], ids=str)
@pytest.mark.parametrize("features", [(1, 1), (1, 7), (7, 1), (33, 20)], ids=str)
def test_sparse_linear_equals_the_dense_layer(features, batch, sparsity):
    linear = nn.Linear(*features).double()
    with torch.no_grad():
        linear.weight.mul_(random_sparse(linear.weight.shape, sparsity) != 0)
    layer = sparse.SparseLinear.from_linear(linear)
    inputs = torch.randn(*batch, features[0], dtype=torch.float64)
    torch.testing.assert_close(layer(inputs), linear(inputs))
    assert layer.sparsity == pytest.approx(float((linear.weight == 0).double().mean()))
    assert layer.values.numel() == int((linear.weight != 0).sum())


def test_sparse_linear_without_bias_in_float32():
    linear = nn.Linear(50, 20, bias=False)
    layer = sparse.SparseLinear.from_linear(linear)
    inputs = torch.randn(3, 50)
    torch.testing.assert_close(layer(inputs), linear(inputs))
    assert list(layer.state_dict()) == ["row_starts", "columns", "values"]


def test_csr_weight_is_that_of_scipy():
    weight = random_sparse((6, 9), 0.6)
    oracle = scipy.sparse.csr_array(weight.numpy())
    csr = sparse.to_csr(weight)
    assert csr.crow_indices().tolist() == oracle.indptr.tolist()
    assert csr.col_indices().tolist() == oracle.indices.tolist()
    assert csr.col_indices().dtype == torch.int32
    np.testing.assert_array_equal(csr.values(), oracle.data)


def test_sparse_layers_save_copy_and_cast_like_any_module():
    layer = sparse.SparseLinear(random_sparse((6, 9), 0.6), torch.ones(6))
    inputs = torch.randn(4, 9)
    other = copy.deepcopy(layer)
    other.load_state_dict(load(save(layer.state_dict())))
    assert torch.equal(other(inputs), layer(inputs))
    torch.testing.assert_close(layer.double()(inputs.double()).float(), other(inputs))


def test_sparsify_replaces_only_layers_that_are_sparse_enough():
    model = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.ReLU(), nn.Linear(8, 4)))
    with torch.no_grad():
        model[0].weight[:7] = 0
    before = copy.deepcopy(model.state_dict())
    converted = sparse.sparsify(model, min_sparsity=0.875)
    assert isinstance(converted[0], sparse.SparseLinear)
    assert type(converted[1][1]) is nn.Linear
    inputs = torch.randn(3, 8)
    torch.testing.assert_close(converted(inputs), model(inputs))
    assert type(model[0]) is nn.Linear
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert isinstance(sparse.sparsify(nn.Linear(2, 2)), sparse.SparseLinear)
