"""Low rank and sharing against linear algebra: errors are the theory's, full rank is exact."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from course_lib import cost, lowrank

SHAPES = [(1, 1), (1, 7), (7, 1), (5, 5), (12, 30), (30, 12)]
KERNELS = [(6, 4, 3, 3), (5, 1, 5, 5), (1, 5, 3, 1), (30, 1, 2, 2), (4, 7, 1, 1)]


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    torch.manual_seed(0)


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def numpy_tail(matrix: Tensor, rank: int) -> float:
    return float(np.linalg.norm(np.linalg.svd(matrix.numpy(), compute_uv=False)[rank:]))


def params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# linear layers


@pytest.mark.parametrize("shape", SHAPES)
def test_truncation_error_is_the_tail_of_the_singular_values(shape: tuple[int, int]) -> None:
    matrix = normal(*shape)
    for rank in range(1, min(shape) + 1):
        left, right = lowrank.svd_factors(matrix, rank)
        assert left.shape == (shape[0], rank)
        assert right.shape == (rank, shape[1])
        error = float((left @ right - matrix).norm())
        assert error == pytest.approx(numpy_tail(matrix, rank), abs=1e-12)
        assert lowrank.tail_error(matrix, rank) == pytest.approx(error, abs=1e-12)


def test_nothing_of_rank_zero_is_as_far_as_the_matrix_is_large() -> None:
    matrix = normal(4, 6)
    assert lowrank.tail_error(matrix, 0) == pytest.approx(float(matrix.norm()))
    assert lowrank.tail_error(matrix, 4) == 0.0


def test_factors_share_the_size_equally() -> None:
    left, right = lowrank.svd_factors(normal(8, 20), 3)
    torch.testing.assert_close(left.norm(dim=0), right.norm(dim=1))


@given(st.integers(0, 10**6))
def test_no_random_matrix_of_the_rank_comes_nearer(seed: int) -> None:
    matrix = normal(6, 8)
    left, _ = lowrank.svd_factors(matrix, 2)
    other_left = left + 0.1 * normal(6, 2, seed=seed)
    best_right = torch.linalg.lstsq(other_left, matrix).solution
    assert (other_left @ best_right - matrix).norm() >= lowrank.tail_error(matrix, 2) - 1e-12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
def test_full_rank_split_is_the_layer(bias: bool, dtype: torch.dtype) -> None:
    layer = nn.Linear(9, 5, bias=bias).to(dtype)
    split = lowrank.split_linear(layer, 5)
    assert [type(module) for module in split] == [nn.Linear, nn.Linear]
    assert split[0].bias is None
    assert (split[1].bias is not None) == bias
    assert all(parameter.dtype == dtype for parameter in split.parameters())
    inputs = normal(4, 9).to(dtype)
    # Rounding of factors, products (9 and 5 terms) and the SVD, all relative to the magnitudes.
    sizes = [split[1].weight, split[0].weight, inputs.T]
    left, right, columns = (size.detach().double().abs() for size in sizes)
    bound = (9 + 5 + 2) * torch.finfo(dtype).eps * (left @ (right @ columns)).T
    bound += torch.finfo(dtype).eps * (0 if layer.bias is None else layer.bias.abs().double())
    error = (split(inputs).double() - layer(inputs).double()).abs()
    assert bool((error <= bound).all())


def test_split_is_new_and_trainable() -> None:
    layer = nn.Linear(4, 3)
    before = copy.deepcopy(layer.state_dict())
    split = lowrank.split_linear(layer, 2)
    split(torch.ones(1, 4)).sum().backward()
    with torch.no_grad():
        split[1].bias.zero_()
    assert all(torch.equal(before[name], now) for name, now in layer.state_dict().items())
    assert layer.weight.grad is None
    assert all(parameter.grad is not None for parameter in split.parameters())


@given(st.integers(1, 200), st.integers(1, 200))
def test_break_even_is_the_last_rank_that_saves(inputs: int, outputs: int) -> None:
    rank = lowrank.break_even_rank(inputs, outputs)
    dense = inputs * outputs
    if rank:
        assert lowrank.factored_params(inputs, outputs, rank, bias=False) < dense
    assert lowrank.factored_params(inputs, outputs, rank + 1, bias=False) >= dense


@pytest.mark.parametrize("bias", [True, False])
def test_factored_params_are_those_of_the_split(bias: bool) -> None:
    split = lowrank.split_linear(nn.Linear(11, 6, bias=bias), 4)
    assert lowrank.factored_params(11, 6, 4, bias=bias) == params(split)


@pytest.mark.parametrize("energy", [0.0, 0.1, 0.5, 0.9, 0.999, 1.0])
def test_rank_for_energy_is_the_smallest_that_holds_it(energy: float) -> None:
    matrix = normal(10, 14) @ torch.diag(torch.logspace(0, -3, 14, dtype=torch.float64))
    squares = np.linalg.svd(matrix.numpy(), compute_uv=False) ** 2
    rank = lowrank.rank_for_energy(matrix, energy)
    assert squares[:rank].sum() >= energy * squares.sum() * (1 - 1e-12)
    assert rank == 1 or squares[: rank - 1].sum() < energy * squares.sum()


def test_rank_for_energy_of_rank_deficient_and_zero_matrices() -> None:
    assert lowrank.rank_for_energy(normal(9, 2) @ normal(2, 9), 1 - 1e-12) == 2
    assert lowrank.rank_for_energy(torch.zeros(4, 4), 1.0) == 1
    assert lowrank.rank_for_energy(torch.eye(4), 1.0) == 4


@given(st.integers(1, 60), st.integers(0, 3000) | st.integers(1, 60).map(lambda n: 37 * n))
def test_rank_for_budget_is_the_largest_that_fits(max_rank: int, budget: int) -> None:
    def cost(rank: int) -> int:
        return 37 * rank

    if budget < 37:
        with pytest.raises(ValueError, match="at least 37"):
            lowrank.rank_for_budget(cost, budget, max_rank)
        return
    assert lowrank.rank_for_budget(cost, budget, max_rank) == min(budget // 37, max_rank)


@pytest.mark.parametrize(
    ("matrix", "rank", "error"),
    [
        (torch.ones(3, 4), 0, ValueError),
        (torch.ones(3, 4), 4, ValueError),
        (torch.ones(3, 4), 1.0, TypeError),
        (torch.ones(3), 1, ValueError),
        (torch.ones(3, 0), 1, ValueError),
        (torch.ones(3, 4).int(), 1, TypeError),
        (torch.full((2, 2), math.nan), 1, ValueError),
        ([[1.0]], 1, TypeError),
    ],
)
def test_svd_refuses_bad_matrices_and_ranks(
    matrix: Tensor, rank: int, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"(matrix|rank) must"):
        lowrank.svd_factors(matrix, rank)


def test_energy_as_a_percentage_gets_a_hint() -> None:
    with pytest.raises(ValueError, match=r"write 0\.9"):
        lowrank.rank_for_energy(torch.eye(2), 90)


# convolutions


def unfold(kernel: Tensor, axis: int) -> Tensor:
    return kernel.movedim(axis, 0).reshape(kernel.shape[axis], -1)


def tucker_weight(core: Tensor, out: Tensor, into: Tensor) -> Tensor:
    return torch.einsum("rshw,or,is->oihw", core, out, into)


def cp_weight(out: Tensor, into: Tensor, height: Tensor, width: Tensor) -> Tensor:
    return torch.einsum("or,ir,hr,wr->oihw", out, into, height, width)


@pytest.mark.parametrize("shape", KERNELS)
def test_tucker_error_lies_between_the_bounds(shape: tuple[int, ...]) -> None:
    kernel = normal(*shape)
    for out_rank in {1, (shape[0] + 1) // 2, shape[0]}:
        for in_rank in {1, (shape[1] + 1) // 2, shape[1]}:
            core, out, into = lowrank.tucker2(kernel, out_rank, in_rank)
            assert core.shape == (out_rank, in_rank, *shape[2:])
            torch.testing.assert_close(out.T @ out, torch.eye(out_rank).double())
            torch.testing.assert_close(into.T @ into, torch.eye(in_rank).double())
            error = float((tucker_weight(core, out, into) - kernel).norm())
            tails = [
                numpy_tail(unfold(kernel, 0), out_rank),
                numpy_tail(unfold(kernel, 1), in_rank),
            ]
            assert max(tails) - 1e-9 <= error <= math.hypot(*tails) + 1e-9


@pytest.mark.parametrize("axis", [0, 1])
def test_tucker_of_one_side_has_exactly_its_tail_error(axis: int) -> None:
    kernel = normal(8, 6, 3, 3)
    ranks = [8, 6]
    ranks[axis] = 3
    error = (tucker_weight(*lowrank.tucker2(kernel, *ranks)) - kernel).norm()
    assert float(error) == pytest.approx(numpy_tail(unfold(kernel, axis), 3), rel=1e-10)


def test_tucker_iterations_only_help_and_recover_a_planted_kernel() -> None:
    kernel = normal(10, 9, 3, 3)
    errors = [
        float((tucker_weight(*lowrank.tucker2(kernel, 3, 2, iterations=n)) - kernel).norm())
        for n in (0, 1, 5, 20)
    ]
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(errors))
    assert errors[-1] < errors[0]
    planted = tucker_weight(normal(3, 2, 3, 3), normal(10, 3, seed=1), normal(9, 2, seed=2))
    assert float((tucker_weight(*lowrank.tucker2(planted, 3, 2)) - planted).norm()) < 1e-11


SETTINGS = [
    {},
    {"stride": 2, "padding": 1, "bias": False},
    {"stride": (1, 2), "padding": (2, 0), "dilation": (1, 2)},
    {"padding": "same", "dilation": 2},
    {"padding": "valid"},
    {"padding": (1, 2), "padding_mode": "circular"},
    {"padding": 1, "padding_mode": "reflect"},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kernel_size", [(3, 3), (1, 3), (1, 1)])
def test_full_rank_convolutions_are_the_layer(
    settings: dict, kernel_size: tuple[int, int]
) -> None:
    layer = nn.Conv2d(3, 4, kernel_size, **settings).double()
    inputs = normal(2, 3, 9, 8)
    tucker = lowrank.split_conv_tucker(layer, 4, 3)
    torch.testing.assert_close(tucker(inputs), layer(inputs))
    rank = 3 * kernel_size[0] * kernel_size[1]
    parallel = lowrank.split_conv_cp(layer, rank, iterations=2)
    torch.testing.assert_close(parallel(inputs), layer(inputs))
    for split in (tucker, parallel):
        assert all(type(module) is nn.Conv2d for module in split)
        assert [module.bias is not None for module in split][:-1] == [False] * (len(split) - 1)
        assert (split[-1].bias is None) == (layer.bias is None)


@pytest.mark.parametrize("settings", SETTINGS)
def test_split_convolutions_apply_the_approximated_kernel(settings: dict) -> None:
    layer = nn.Conv2d(3, 4, 3, **settings).double()
    inputs, weight = normal(2, 3, 9, 8), layer.weight.detach()
    near = copy.deepcopy(layer)
    near.weight.data = tucker_weight(*lowrank.tucker2(weight, 2, 2))
    torch.testing.assert_close(lowrank.split_conv_tucker(layer, 2, 2)(inputs), near(inputs))
    near.weight.data = cp_weight(*lowrank.cp(weight, 3, seed=4))
    torch.testing.assert_close(lowrank.split_conv_cp(layer, 3, seed=4)(inputs), near(inputs))


@pytest.mark.parametrize("shape", KERNELS)
def test_params_of_the_splits_are_the_formulas(shape: tuple[int, ...]) -> None:
    layer = nn.Conv2d(shape[1], shape[0], shape[2:], bias=False)
    ranks = (max(1, shape[0] // 2), max(1, shape[1] // 2))
    split = lowrank.split_conv_tucker(layer, *ranks)
    assert lowrank.tucker_params(shape, *ranks) == params(split)
    assert lowrank.cp_params(shape, 3) == params(lowrank.split_conv_cp(layer, 3, iterations=1))


@pytest.mark.parametrize("shape", KERNELS)
def test_cp_of_enough_components_is_exact(shape: tuple[int, ...]) -> None:
    kernel = normal(*shape)
    factors = lowrank.cp(kernel, math.prod(shape[1:]), iterations=1)
    assert [len(factor) for factor in factors] == list(shape)
    torch.testing.assert_close(cp_weight(*factors), kernel)


def test_cp_of_rank_one_is_no_worse_than_any_unfoldings_best() -> None:
    kernel = normal(6, 5, 3, 3)
    error = float((cp_weight(*lowrank.cp(kernel, 1)) - kernel).norm())
    assert error >= max(numpy_tail(unfold(kernel, axis), 1) for axis in range(4)) - 1e-9
    planted = cp_weight(*(normal(n, 1, seed=n) for n in (6, 5, 4, 3)))
    torch.testing.assert_close(cp_weight(*lowrank.cp(planted, 1)), planted)


def test_cp_of_a_1x1_kernel_reaches_the_best_matrix() -> None:
    kernel = normal(8, 6, 1, 1)
    error = float((cp_weight(*lowrank.cp(kernel, 2, iterations=200)) - kernel).norm())
    assert error == pytest.approx(numpy_tail(kernel[:, :, 0, 0], 2), rel=1e-6)


def test_cp_error_never_rises_and_the_seed_decides() -> None:
    kernel = normal(7, 6, 3, 3)
    errors = [
        float((cp_weight(*lowrank.cp(kernel, 4, iterations=n)) - kernel).norm())
        for n in range(1, 30)
    ]
    assert all(b <= a + 1e-9 for a, b in itertools.pairwise(errors))
    first, again, other = (lowrank.cp(kernel, 4, seed=seed)[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_cp_components_share_their_size_among_the_factors() -> None:
    norms = torch.stack([f.norm(dim=0) for f in lowrank.cp(normal(7, 6, 3, 3), 4)])
    torch.testing.assert_close(norms, norms[:1].expand(4, -1))


def test_zero_kernels_stay_zero() -> None:
    zero = torch.zeros(3, 2, 3, 3)
    assert not cp_weight(*lowrank.cp(zero, 2)).any()
    assert not tucker_weight(*lowrank.tucker2(zero, 2, 1)).any()


@pytest.mark.parametrize("energy", [0.5, 0.9, 1.0])
def test_tucker_ranks_for_energy_bound_the_error(energy: float) -> None:
    kernel = normal(12, 10, 3, 3)
    ranks = lowrank.tucker_ranks_for_energy(kernel, energy)
    error = (tucker_weight(*lowrank.tucker2(kernel, *ranks)) - kernel).norm() / kernel.norm()
    assert float(error) ** 2 <= 2 * (1 - energy) + 1e-12


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 5), st.integers(1, 9000))
def test_tucker_ranks_for_budget_fit_and_grow(o: int, i: int, k: int, budget: int) -> None:
    shape = (o, i, k, k)
    least = lowrank.tucker_params(shape, 1, 1)
    if budget < least:
        with pytest.raises(ValueError, match="budget"):
            lowrank.tucker_ranks_for_budget(shape, budget)
        return
    out_rank, in_rank = lowrank.tucker_ranks_for_budget(shape, budget)
    assert 1 <= out_rank <= o
    assert 1 <= in_rank <= i
    assert lowrank.tucker_params(shape, out_rank, in_rank) <= budget
    if budget >= lowrank.tucker_params(shape, o, i):
        assert (out_rank, in_rank) == (o, i)


def test_grouped_and_foreign_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="groups = 1, got 2"):
        lowrank.split_conv_tucker(nn.Conv2d(4, 4, 3, groups=2), 1, 1)
    for split in (lambda x: lowrank.split_conv_cp(x, 1), lambda x: lowrank.split_linear(x, 1)):
        with pytest.raises(TypeError, match="got ReLU"):
            split(nn.ReLU())
    with pytest.raises(ValueError, match=r"out_rank must be an integer in 1\.\.4"):
        lowrank.split_conv_tucker(nn.Conv2d(3, 4, 3), 5, 1)


def test_the_counter_agrees_on_the_multiply_adds() -> None:
    split = lowrank.split_linear(nn.Linear(30, 20), 4)
    counted = cost.count(split, (7, 30)).macs
    assert counted == 7 * lowrank.factored_params(30, 20, 4, bias=False)
    tucker = lowrank.split_conv_tucker(nn.Conv2d(6, 8, 3, padding=1, bias=False), 4, 3)
    counted = cost.count(tucker, (1, 6, 5, 5)).macs
    assert counted == 25 * lowrank.tucker_params((8, 6, 3, 3), 4, 3)


@pytest.mark.parametrize(
    ("kernel", "error"),
    [
        (torch.full((2, 2, 3, 3), math.nan), ValueError),
        (torch.ones(2, 2, 3), ValueError),
        (torch.ones(2, 0, 3, 3), ValueError),
        (torch.ones(2, 2, 3, 3).int(), TypeError),
    ],
)
def test_kernels_must_be_finite_and_four_dimensional(
    kernel: Tensor, error: type[Exception]
) -> None:
    with pytest.raises(error, match="weight must"):
        lowrank.tucker2(kernel, 1, 1)
    with pytest.raises(error, match="weight must"):
        lowrank.cp(kernel, 1)


# whole models


def test_factorize_replaces_the_named_layers_in_a_copy() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(4, 6, 3)), nn.Flatten()
    ).append(nn.Linear(96, 10))
    model, inputs = model.double(), torch.randn(2, 1, 8, 8).double()
    before = copy.deepcopy(model.state_dict())
    exact = lowrank.factorize(model, {"0": 9, "2.0": (6, 4), "4": 10})
    torch.testing.assert_close(exact(inputs), model(inputs))
    assert [len(exact[0]), len(exact[2][0]), len(exact[4])] == [4, 3, 2]
    smaller = lowrank.factorize(model, {"4": 2})
    assert params(smaller) == params(model) - 96 * 10 + 2 * (96 + 10)
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def test_factorize_keeps_a_shared_layer_shared() -> None:
    layer = nn.Linear(8, 8)
    smaller = lowrank.factorize(nn.Sequential(layer, nn.ReLU(), layer), {"0": 2})
    assert smaller[0] is smaller[2]
    assert params(smaller) == 8 * 2 * 2 + 8


@pytest.mark.parametrize(
    ("ranks", "error"),
    [
        ({"7": 1}, ValueError),
        ({"": 1}, ValueError),
        ({"1": 1}, TypeError),
        ({"0": (1, 1)}, TypeError),
        ({"0": 9}, ValueError),
    ],
)
def test_factorize_names_what_does_not_fit(ranks: dict, error: type[Exception]) -> None:
    with pytest.raises(error, match="rank"):
        lowrank.factorize(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), ranks)


# sharing


@pytest.mark.parametrize("buckets", [1, 2, 7, 10_000])
@pytest.mark.parametrize("bias", [True, False])
def test_a_hashed_layer_multiplies_by_its_shared_weights(buckets: int, bias: bool) -> None:
    layer = lowrank.HashedLinear(6, 5, buckets, bias=bias, seed=3)
    bucket, sign = lowrank.hash_buckets((5, 6), buckets, seed=3)
    inputs = torch.randn(2, 4, 6)
    dense = torch.empty(5, 6)
    for i in range(5):
        for j in range(6):
            dense[i, j] = sign[i, j] * layer.values[bucket[i, j]].detach()
    torch.testing.assert_close(layer.weight, dense)
    expected = inputs @ dense.T + (layer.bias if bias else 0)
    torch.testing.assert_close(layer(inputs), expected)
    assert params(layer) == buckets + 5 * bias
    assert set(layer.state_dict()) == {"values", "bias"} - (set() if bias else {"bias"})


def test_the_gradient_of_a_shared_value_sums_over_its_uses() -> None:
    layer = lowrank.HashedLinear(6, 5, 3)
    inputs = torch.randn(4, 6)
    layer(inputs).square().sum().backward()
    dense = layer.weight.detach().requires_grad_()
    (inputs @ dense.T + layer.bias.detach()).square().sum().backward()
    for value in range(3):
        used = layer.bucket == value
        expected = (dense.grad * layer.sign)[used].sum()
        torch.testing.assert_close(layer.values.grad[value], expected)


def test_the_hash_is_even_balanced_and_the_same_everywhere() -> None:
    bucket, sign = lowrank.hash_buckets((400, 300), 16, seed=0)
    counts = bucket.flatten().bincount(minlength=16).double()
    expected = 400 * 300 / 16
    # Chi-squared with 15 degrees of freedom exceeds 50 with probability 1e-5.
    assert float(((counts - expected) ** 2 / expected).sum()) < 50
    assert abs(float(sign.mean())) < 5 / math.sqrt(120_000)
    assert set(sign.unique().tolist()) == {-1.0, 1.0}
    correlation = np.corrcoef(bucket.flatten().numpy(), sign.flatten().numpy())[0, 1]
    assert abs(correlation) < 5 / math.sqrt(120_000)
    # SplitMix64 from state 0, as published with the algorithm: its first two outputs.
    outputs = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]
    bucket, sign = lowrank.hash_buckets((1, 2), 1000, seed=0)
    assert bucket[0].tolist() == [output % 2**63 % 1000 for output in outputs]
    assert sign[0].tolist() == [-1.0, 1.0]


def test_seeds_hash_differently() -> None:
    a, b = (lowrank.hash_buckets((30, 30), 1000, seed=seed)[0] for seed in (0, 1))
    assert float((a == b).double().mean()) < 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_hash_linear_is_the_least_squares_fit(dtype: torch.dtype) -> None:
    layer = nn.Linear(9, 7).to(dtype)
    hashed = lowrank.hash_linear(layer, 5, seed=2)
    design = torch.zeros(63, 5, dtype=torch.float64)
    rows = torch.arange(63)
    design[rows, hashed.bucket.flatten()] = hashed.sign.double().flatten()
    best = torch.linalg.lstsq(design, layer.weight.detach().double().flatten()).solution
    torch.testing.assert_close(hashed.values.detach(), best.to(dtype))
    assert torch.equal(hashed.bias, layer.bias)
    assert hashed(torch.randn(2, 9, dtype=dtype)).dtype == dtype


def test_hashing_with_a_bucket_for_almost_every_weight_restores_most() -> None:
    layer = nn.Linear(20, 20)
    errors = [
        float((lowrank.hash_linear(layer, k).weight - layer.weight).norm().detach())
        for k in (10, 100, 1000, 10**6)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1 * errors[0]


def test_a_shared_stack_counts_once_and_applies_often() -> None:
    layer = nn.Linear(6, 6)
    stack = lowrank.SharedStack(layer, 4)
    inputs = torch.randn(3, 6)
    torch.testing.assert_close(stack(inputs), layer(layer(layer(layer(inputs)))))
    assert params(stack) == params(layer)
    assert len(stack.state_dict()) == 2
    with pytest.raises(ValueError, match="repeats"):
        lowrank.SharedStack(layer, 0)


@pytest.mark.parametrize("arguments", [(0, 3, 2), (3, 0, 2), (3, 3, 0), (3, 3, 2.5)])
def test_hashed_layers_refuse_sizes_that_are_none(arguments: tuple) -> None:
    with pytest.raises((ValueError, TypeError), match="must be an integer"):
        lowrank.HashedLinear(*arguments)


# circulant


@pytest.mark.parametrize("size", [1, 2, 3, 8, 17, 100])
def test_circulant_matrix_is_scipys_and_the_fft_multiplies_by_it(size: int) -> None:
    column, inputs = normal(size), normal(4, 3, size, seed=1)
    dense = lowrank.circulant_matrix(column)
    np.testing.assert_array_equal(dense.numpy(), scipy.linalg.circulant(column.numpy()))
    torch.testing.assert_close(lowrank.circulant_product(column, inputs), inputs @ dense.T)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_circulant_product_keeps_the_dtype(dtype: torch.dtype) -> None:
    column, inputs = normal(7).to(dtype), normal(2, 7, seed=1).to(dtype)
    exact = inputs.double() @ lowrank.circulant_matrix(column.double()).T
    product = lowrank.circulant_product(column, inputs)
    assert product.dtype == dtype
    tolerance = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(product.double(), exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("n_in", "n_out"), [(1, 1), (5, 5), (9, 4), (4, 9), (1, 6)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_circulant_layer_equals_its_dense_weights(n_in: int, n_out: int, bias: bool) -> None:
    layer = lowrank.CirculantLinear(n_in, n_out, bias=bias).double()
    inputs = normal(2, 3, n_in)
    assert layer.weight.shape == (n_out, n_in)
    expected = nn.functional.linear(inputs, layer.weight, layer.bias)
    torch.testing.assert_close(layer(inputs), expected)
    assert params(layer) == max(n_in, n_out) + n_out * bias
    gradients = []
    for output in (layer(inputs), expected):
        layer.zero_grad()
        output.square().sum().backward(retain_graph=True)
        gradients.append(layer.first_column.grad.clone())
    torch.testing.assert_close(*gradients)


def test_circulant_layers_refuse_inputs_of_another_length() -> None:
    for wrong in (4, 6):
        with pytest.raises(ValueError, match=rf"\[\.\.\., 5\], got \(2, {wrong}\)"):
            lowrank.CirculantLinear(5, 3)(torch.zeros(2, wrong))
    with pytest.raises(ValueError, match="inputs must be"):
        lowrank.circulant_product(torch.zeros(5), torch.tensor(1.0))
    with pytest.raises(ValueError, match="must not be empty"):
        lowrank.circulant_matrix(torch.zeros(0))
