"""Quantization held to torch's own kernels, scikit-learn's k-means and the bound scale / 2."""

from __future__ import annotations

import copy
import math
import warnings
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from course_lib import quantize as qz

pytestmark = pytest.mark.filterwarnings("ignore:.*quantized tensor creation:UserWarning")

MILLION = 1_000_000
BITS = range(2, 9)
FINITE = st.floats(-1e30, 1e30)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def small_net(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(2, 5, 3, padding=1),
            nn.BatchNorm2d(5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(5 * 9, 7),
        ).eval()


IMAGES = normal(11, 2, 6, 6, seed=1)


# The affine map against torch's kernels


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("signed", [True, False])
def test_fake_quantize_equals_torch_bit_for_bit(bits: int, signed: bool) -> None:
    lowest, highest = qz.integer_range(bits, signed)
    ours = (normal(MILLION, seed=bits) * 3).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    upstream = normal(MILLION, seed=99)
    for scale, zero_point in [(0.0237, lowest), (1 / 3, highest), (0.1, (lowest + highest) // 2)]:
        ours.grad = theirs.grad = None
        y = qz.fake_quantize(ours, scale, zero_point, bits, signed=signed)
        z = torch.fake_quantize_per_tensor_affine(theirs, scale, zero_point, lowest, highest)
        y.backward(upstream)
        z.backward(upstream)
        assert torch.equal(y, z)
        assert torch.equal(ours.grad, theirs.grad)
        assert 0 < (ours.grad == 0).sum() < MILLION  # the data reach beyond the range


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_fake_quantize_per_channel_equals_torch_bit_for_bit(dim: int) -> None:
    ours = (normal(100, 101, 102) * 3).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    channels = ours.shape[dim]
    scale = torch.rand(channels, generator=torch.Generator().manual_seed(1)) * 0.05 + 0.001
    zero_point = torch.arange(channels, dtype=torch.int32) - 50
    y = qz.fake_quantize(ours, scale, zero_point, dim=dim)
    z = torch.fake_quantize_per_channel_affine(theirs, scale, zero_point, dim % 3, -128, 127)
    upstream = normal(*ours.shape, seed=5)
    y.backward(upstream)
    z.backward(upstream)
    assert torch.equal(y, z)
    assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize(("dtype", "signed"), [(torch.qint8, True), (torch.quint8, False)])
def test_quantize_equals_torch_where_the_zero_point_is_zero(dtype: object, signed: bool) -> None:
    x = normal(2 * MILLION) * 3
    for scale in (0.0237, 0.1, 1 / 3, 5.0):
        theirs = torch.quantize_per_tensor(x, scale, 0, dtype)
        ours = qz.quantize(x, scale, 0, signed=signed)
        assert torch.equal(ours, theirs.int_repr())
        assert torch.equal(qz.dequantize(ours, scale, 0), theirs.dequantize())


@pytest.mark.parametrize("dim", [0, 1])
def test_quantize_per_channel_equals_torch_where_the_zero_point_is_zero(dim: int) -> None:
    x = normal(1000, 1001) * 3
    scale = torch.rand(x.shape[dim], generator=torch.Generator().manual_seed(1)) * 0.05 + 0.01
    zero_point = torch.zeros(x.shape[dim], dtype=torch.int64)
    theirs = torch.quantize_per_channel(x, scale, zero_point, dim, torch.qint8)
    ours = qz.quantize(x, scale, zero_point, dim=dim)
    assert torch.equal(ours, theirs.int_repr())
    assert torch.equal(qz.dequantize(ours, scale, zero_point, dim=dim), theirs.dequantize())


@pytest.mark.parametrize("zero_point", [-128, -5, 3, 127])
def test_quantize_differs_from_torch_only_at_ties(zero_point: int) -> None:
    """torch.quantize_per_tensor adds the zero point before it rounds, fake_quantize after."""
    x, scale = normal(2 * MILLION) * 3, 0.0237
    theirs = torch.quantize_per_tensor(x, scale, zero_point, torch.qint8)
    ours = qz.quantize(x, scale, zero_point)
    different = ours != theirs.int_repr()
    steps = (x.double() / torch.tensor(scale).double())[different]
    to_tie = (steps - steps.floor() - 0.5).abs()
    # Two float32 roundings, of the product and of the sum with the zero point.
    assert bool((to_tie <= (2 * steps.abs() + abs(zero_point)) * 2.0**-23).all())
    assert different.sum() < 100
    assert (ours.int() - theirs.int_repr().int()).abs().max() <= 1


def test_ties_round_to_even_before_the_zero_point_is_added() -> None:
    x = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    assert qz.quantize(x, 1.0, 0).tolist() == [-2, -2, 0, 0, 2, 2]
    assert qz.quantize(x, 1.0, 1).tolist() == [-1, -1, 1, 1, 3, 3]


def test_huge_values_saturate_where_torch_wraps_around() -> None:
    x = torch.tensor([1e10, -1e10, 3e38, -3e38])
    assert qz.quantize(x, 1e-3, 3).tolist() == [127, -128, 127, -128]
    x = torch.tensor([math.inf, -math.inf, math.nan, 0.0], requires_grad=True)
    y = qz.fake_quantize(x, 1.0, 0)
    y.sum().backward()
    assert y[:2].tolist() == [127, -128]
    assert bool(y[2].isnan())
    assert x.grad.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_float_type_keeps_its_type_and_a_straight_gradient(dtype: torch.dtype) -> None:
    x = normal(50).to(dtype).requires_grad_()
    y = qz.fake_quantize(x, *qz.affine_params(x, 8))
    y.sum().backward()
    assert y.dtype == x.grad.dtype == dtype
    assert bool((x.grad == 1).all())
    # Halves are quantized in float32, so the result is the float32 one, rounded.
    exact = x.detach() if dtype == torch.float64 else x.detach().float()
    assert torch.equal(y, qz.fake_quantize(exact, *qz.affine_params(exact, 8)).to(dtype))


def test_float64_is_quantized_in_float64() -> None:
    x = normal(1000, dtype=torch.float64)
    scale, zero_point = qz.affine_params(x)
    assert scale.dtype == torch.float64
    error = (qz.dequantize(qz.quantize(x, scale, zero_point), scale, zero_point) - x).abs()
    assert error.max() <= scale / 2 * (1 + 1e-12)


def test_gradient_reaches_x_alone() -> None:
    scale = torch.tensor(0.1, requires_grad=True)
    x = normal(5).requires_grad_()
    qz.fake_quantize(x, scale, 0).sum().backward()
    assert x.grad is not None
    assert scale.grad is None


# The two promises of every grid: zero is on it, and the error is at most half a step


@settings(max_examples=200, deadline=None)
@given(
    st.lists(FINITE, min_size=1, max_size=20),
    st.sampled_from(BITS),
    st.booleans(),
    st.booleans(),
)
def test_zero_is_exact_and_the_error_at_most_half_a_step(
    values: list[float], bits: int, symmetric: bool, signed: bool
) -> None:
    w = torch.tensor(values, dtype=torch.float64)
    scale, zero_point = qz.affine_params(w, bits, symmetric=symmetric, signed=signed)
    lowest, highest = qz.integer_range(bits, signed)
    assert lowest <= int(zero_point) <= highest
    assert scale > 0
    with_zero = torch.cat([w, torch.zeros(1, dtype=torch.float64)])
    levels = qz.quantize(with_zero, scale, zero_point, bits, signed=signed)
    back = qz.dequantize(levels, scale, zero_point)
    assert back[-1] == 0
    assert (with_zero - back).abs().max() <= scale / 2 * (1 + 1e-12)
    assert torch.equal(back, qz.fake_quantize(with_zero, scale, zero_point, bits, signed=signed))


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("dim", [None, 0, 1])
def test_error_bound_in_float32(bits: int, symmetric: bool, dim: int | None) -> None:
    w = normal(300, 400) + 0.7
    scale, zero_point = qz.affine_params(w, bits, symmetric=symmetric, dim=dim)
    approx = qz.fake_quantize(w, scale, zero_point, bits, dim=dim)
    half = scale if dim is None else scale.unsqueeze(1 - dim)
    # Of the floats themselves: x / scale, and level * scale, each to 2^-24 of at most 2^bits.
    assert bool(((approx - w).abs() <= half * (0.5 + 2**bits * 2.0**-22)).all())


@pytest.mark.parametrize("bits", BITS)
def test_the_range_uses_all_its_levels(bits: int) -> None:
    w = torch.linspace(-1, 2, 5001)
    levels = qz.quantize(w, *qz.affine_params(w, bits), bits)
    assert levels.unique().tolist() == list(range(-(2 ** (bits - 1)), 2 ** (bits - 1)))
    w = torch.linspace(-2, 2, 5001)
    levels = qz.quantize(w, *qz.affine_params(w, bits, symmetric=True), bits)
    limit = 2 ** (bits - 1) - 1
    assert levels.unique().tolist() == list(range(-limit, limit + 1))


@pytest.mark.parametrize(
    ("values", "signed"),
    [([-0.3, 2.0], True), ([-5.0, 0.1], True), ([0.4, 9.0], False), ([-3.0, -1.0], False)],
)
def test_affine_params_equal_those_of_torchs_observer(values: list[float], signed: bool) -> None:
    from torch.ao.quantization import MinMaxObserver

    x = torch.tensor(values)
    observer = MinMaxObserver(dtype=torch.qint8 if signed else torch.quint8)
    observer(x)
    scale, zero_point = observer.calculate_qparams()
    ours = qz.affine_params(x, 8, signed=signed)
    torch.testing.assert_close(ours[0], scale[0], rtol=2.0**-23, atol=0)
    assert int(ours[1]) == int(zero_point)


def test_symmetric_params_put_the_largest_weight_on_the_last_level() -> None:
    w = torch.tensor([[0.5, -2.54], [1.27, 0.0]])
    scale, zero_point = qz.affine_params(w, symmetric=True, dim=0)
    assert scale.tolist() == pytest.approx([0.02, 0.01])
    assert zero_point.tolist() == [0, 0]
    assert qz.quantize(w, scale, zero_point, dim=0).tolist() == [[25, -127], [127, 0]]
    assert int(qz.affine_params(w, symmetric=True, signed=False)[1]) == 128


@pytest.mark.parametrize("value", [3.7, -3.7, 0.0, 1e-45, 3e38, -1e-30])
@pytest.mark.parametrize("symmetric", [True, False])
def test_constant_and_one_element_tensors(value: float, symmetric: bool) -> None:
    for shape in [(), (1,), (4, 3)]:
        w = torch.full(shape, value)
        scale, zero_point = qz.affine_params(w, symmetric=symmetric)
        assert torch.isfinite(scale)
        approx = qz.fake_quantize(w, scale, zero_point)
        assert approx.shape == w.shape
        # Exact but for the rounding of scale, or half of the smallest step that float32 has.
        tolerance = max(abs(value) * 2.0**-22, torch.finfo(torch.float32).tiny / 2)
        assert (approx - w).abs().max() <= tolerance


def test_an_all_zero_tensor_has_scale_one() -> None:
    for symmetric in (True, False):
        scale, _ = qz.affine_params(torch.zeros(2, 3), symmetric=symmetric, dim=0)
        assert scale.tolist() == [1, 1]


def test_a_range_at_the_end_of_its_type() -> None:
    w = torch.tensor([-1.7e38, 3.3e38])
    scale, zero_point = qz.affine_params(w)
    assert (qz.fake_quantize(w, scale, zero_point) - w).abs().max() <= scale * 0.5001
    for dtype in (torch.float32, torch.float64):
        end = torch.finfo(dtype).max
        with pytest.raises(ValueError, match="too wide"):
            qz.affine_params(torch.tensor([-end, end], dtype=dtype))


def test_per_channel_is_per_tensor_of_each_channel() -> None:
    w = normal(3, 4, 5)
    for dim in range(-3, 3):
        scale, zero_point = qz.affine_params(w, 4, dim=dim)
        approx = qz.fake_quantize(w, scale, zero_point, 4, dim=dim)
        for i in range(w.shape[dim]):
            part = w.select(dim, i)
            params = qz.affine_params(part, 4)
            assert (scale[i], zero_point[i]) == params
            assert torch.equal(approx.select(dim, i), qz.fake_quantize(part, *params, 4))


# What is refused


@pytest.mark.parametrize("bits", [1, 9, 0, -1, 16, 32])
def test_bits_out_of_range_are_refused(bits: int) -> None:
    w = torch.ones(3)
    for call in (
        lambda: qz.affine_params(w, bits),
        lambda: qz.quantize(w, 1.0, 0, bits),
        lambda: qz.fake_quantize(w, 1.0, 0, bits),
        lambda: qz.Observer(bits),
        lambda: qz.mse(w, bits=bits),
        lambda: qz.post_training_dynamic(small_net(), bits=bits),
        lambda: qz.post_training_dynamic(small_net(), activation_bits=bits),
        lambda: qz.quantization_aware(small_net(), bits=bits),
    ):
        with pytest.raises(ValueError, match=f"bits must be .* got {bits}"):
            call()


@pytest.mark.parametrize("bits", [8.0, "8", None, True])
def test_bits_of_another_type_are_refused(bits: object) -> None:
    with pytest.raises(TypeError, match="bits must be"):
        qz.affine_params(torch.ones(3), bits)


@pytest.mark.parametrize("method", ["min_max", "percentile", "mse"])
def test_empty_and_non_finite_tensors_are_refused(method: str) -> None:
    for dim in (None, 0):
        with pytest.raises(ValueError, match="empty"):
            qz.affine_params(torch.zeros(0, 3), dim=dim, method=method)
        with pytest.raises(ValueError, match="NaN or infinite"):
            qz.affine_params(torch.tensor([1.0, math.nan]), dim=dim, method=method)
        with pytest.raises(ValueError, match="NaN or infinite"):
            qz.affine_params(torch.tensor([1.0, -math.inf]), dim=dim, method=method)
    with pytest.raises(TypeError, match="floating"):
        qz.affine_params(torch.arange(3), method=method)
    with pytest.raises(TypeError, match=r"torch\.Tensor"):
        qz.affine_params([1.0, 2.0], method=method)


def test_bad_scales_zero_points_and_dimensions_are_refused() -> None:
    x = normal(3, 4)
    for scale in (0.0, -1.0, math.nan, math.inf, 1e-45):
        with pytest.raises(ValueError, match="scale must be finite"):
            qz.quantize(x, scale, 0)
    for zero_point in (-129, 128):
        with pytest.raises(ValueError, match="zero_point must be a level"):
            qz.quantize(x, 1.0, zero_point)
    with pytest.raises(TypeError, match="zero_point must be an integer"):
        qz.fake_quantize(x, 1.0, 0.5)
    with pytest.raises(ValueError, match=r"scale must be .* of shape \(3,\)"):
        qz.quantize(x, torch.ones(4), torch.zeros(4, dtype=torch.int32), dim=0)
    with pytest.raises(ValueError, match="scale must be one number"):
        qz.quantize(x, torch.ones(3), 0)
    for dim in (2, -3):
        with pytest.raises(ValueError, match="dim must be"):
            qz.affine_params(x, dim=dim)
    with pytest.raises(ValueError, match="without dimensions"):
        qz.affine_params(torch.tensor(1.0), dim=0)
    with pytest.raises(ValueError, match="NaN or infinite"):
        qz.quantize(torch.tensor([math.nan]), 1.0, 0)
    with pytest.raises(TypeError, match="levels must hold integers"):
        qz.dequantize(x, 1.0, 0)
    with pytest.raises(ValueError, match="low must be <= high"):
        qz.params_from_range(1.0, -1.0)
    with pytest.raises(TypeError, match="signed"):
        qz.integer_range(8, "no")
    with pytest.raises(ValueError, match="method must be one of"):
        qz.affine_params(x, method="magic")


def test_an_empty_tensor_can_be_quantized_with_given_params() -> None:
    x = torch.zeros(0, 3)
    assert qz.quantize(x, 1.0, 0).shape == (0, 3)
    assert qz.fake_quantize(x, torch.ones(3), torch.zeros(3, dtype=torch.int32), dim=1).shape == (
        0,
        3,
    )


# Signal to noise


def test_each_bit_is_worth_six_decibels() -> None:
    x = torch.linspace(-1, 1, 100_001, dtype=torch.float64)
    ratios = [qz.sqnr_db(x, qz.fake_quantize(x, *qz.affine_params(x, b), b)) for b in BITS]
    # Uniform signal, b bits: noise scale^2 / 12 against span^2 / 12, so 20 log10(2^b - 1).
    expected = [20 * math.log10(2**b - 1) for b in BITS]
    assert ratios == pytest.approx(expected, abs=0.2)


def test_sqnr_special_cases() -> None:
    x = torch.tensor([1.0, 2.0])
    assert qz.sqnr_db(x, x) == math.inf
    assert qz.sqnr_db(torch.zeros(2), x) == -math.inf
    assert qz.sqnr_db(x, torch.zeros(2)) == 0
    assert qz.sqnr_db(x * 1e-30, x * 0) == 0  # squares in float32 would underflow
    with pytest.raises(ValueError, match="same shape"):
        qz.sqnr_db(x, torch.zeros(3))


# Choosing the range


@pytest.mark.parametrize("coverage", [1.0, 0.999, 0.9, 0.0])
def test_percentile_equals_numpy(coverage: float) -> None:
    w = normal(7, 301)
    low, high = qz.percentile(w, 0, coverage=coverage)
    tail = (1 - coverage) / 2
    expected = np.quantile(w.double().numpy(), [tail, 1 - tail], axis=1)
    np.testing.assert_allclose(torch.stack([low, high]), expected, rtol=1e-6, atol=1e-6)
    assert qz.percentile(w, coverage=1.0) == qz.min_max(w) == (w.min(), w.max())


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("dim", [None, 1])
def test_mse_range_is_the_best_of_its_candidates(
    bits: int, symmetric: bool, dim: int | None
) -> None:
    w = normal(40, 6, seed=bits) ** 3

    def error(low: Tensor, high: Tensor) -> Tensor:
        params = qz.params_from_range(low, high, bits, symmetric=symmetric)
        square = (qz.fake_quantize(w, *params, bits, dim=dim) - w).double().square()
        return square.sum() if dim is None else square.sum(dim=0)

    low, high = qz.min_max(w, dim)
    tried = torch.stack([error(low * k / 100, high * k / 100) for k in range(1, 101)])
    best = error(*qz.mse(w, dim, bits=bits, symmetric=symmetric))
    # The same sums in another order.
    torch.testing.assert_close(best, tried.amin(dim=0), rtol=1e-6, atol=0)
    assert bool((best <= error(low, high) * (1 + 1e-9)).all())


def test_clipping_an_outlier_helps_at_few_bits() -> None:
    w = torch.cat([normal(10_000), torch.tensor([50.0])])
    inside = w.abs() < 5
    ratios = {}
    for method in ("min_max", "percentile", "mse"):
        approx = qz.fake_quantize(w, *qz.affine_params(w, 4, method=method), 4)
        ratios[method] = qz.sqnr_db(w[inside], approx[inside])
    assert ratios["percentile"] > ratios["mse"] > ratios["min_max"] + 3


def test_observer_keeps_the_widest_range() -> None:
    batches = [normal(5, 3, seed=seed) for seed in range(4)]
    observer = qz.Observer(6, symmetric=True)
    for batch in batches:
        observer.update(batch)
    assert observer.range() == qz.min_max(torch.cat(batches))
    assert observer.params() == qz.affine_params(torch.cat(batches), 6, symmetric=True)


def test_observer_with_momentum_is_a_moving_average() -> None:
    batches = [normal(50, seed=seed) * (seed + 1) for seed in range(5)]
    observer = qz.Observer(momentum=0.8)
    low, high = (float(end) for end in qz.min_max(batches[0]))
    observer.update(batches[0])
    for batch in batches[1:]:
        observer.update(batch)
        low = 0.8 * low + 0.2 * float(batch.min())
        high = 0.8 * high + 0.2 * float(batch.max())
    assert [float(end) for end in observer.range()] == pytest.approx([low, high], rel=1e-5)


def test_observer_uses_its_method_and_refuses_to_answer_without_data() -> None:
    observer = qz.Observer(method="percentile")
    assert not observer.has_seen
    with pytest.raises(ValueError, match="seen no data"):
        observer.params()
    x = torch.cat([normal(10_000), torch.tensor([1000.0])])
    observer.update(x)
    assert observer.range()[1] < 10
    restored = qz.Observer()
    restored.load_state_dict(observer.state_dict())
    assert restored.range() == observer.range()


# Codebooks


def inertia(w: Tensor, codebook: Tensor, indices: Tensor) -> float:
    return float((codebook.double()[indices.long()] - w.double()).square().sum())


def weights(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    return {
        "normal": lambda: rng.normal(size=20_000),
        "laplace": lambda: rng.laplace(size=20_000),
        "uniform": lambda: rng.random(20_000) + 100,  # far from zero: no cancellation
        "heavy tails": lambda: rng.standard_cauchy(5_000),
        "few": lambda: rng.normal(size=70),
        "pruned": lambda: np.concatenate([np.zeros(18_000), rng.normal(size=2_000)]),
        "clusters": lambda: np.concatenate([rng.normal(m, 0.01, 99) for m in rng.random(40)]),
    }[kind]().astype(np.float32)


@pytest.mark.parametrize("bits", [1, 2, 4, 6])
@pytest.mark.parametrize(
    "kind", ["normal", "laplace", "uniform", "heavy tails", "few", "pruned", "clusters"]
)
def test_kmeans_is_as_good_as_scikit_learn(kind: str, bits: int) -> None:
    from sklearn.cluster import KMeans

    w = weights(kind)
    codebook, indices = qz.kmeans_codebook(torch.from_numpy(w), bits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = KMeans(2**bits, n_init=3, random_state=0).fit(w.astype(np.float64)[:, None])
    assert inertia(torch.from_numpy(w), codebook, indices) <= 1.01 * peer.inertia_
    assert len(codebook) == 2**bits
    assert bool((codebook.diff() > 0).all())


def test_kmeans_finds_the_optimum_of_small_sets() -> None:
    for seed in range(20):
        w = normal(12, seed=seed, dtype=torch.float64)
        ordered = w.sort().values
        best = min(
            sum(float((part - part.mean()).square().sum()) for part in ordered.tensor_split(cuts))
            for cuts in combinations(range(1, 12), 3)
        )
        assert inertia(w, *qz.kmeans_codebook(w, 2)) == pytest.approx(best, rel=1e-9)


def test_kmeans_indices_are_nearest_and_codebook_entries_are_means() -> None:
    w = normal(30, 40, dtype=torch.float64)
    codebook, indices = qz.kmeans_codebook(w, 4)
    distance = (w[..., None] - codebook).abs()
    assert indices.dtype == torch.uint8
    assert indices.shape == w.shape
    assert torch.equal(distance.gather(-1, indices[..., None].long())[..., 0], distance.amin(-1))
    means = [w[indices == k].mean() for k in range(16)]
    torch.testing.assert_close(codebook, torch.stack(means), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1.0, 1e20, 1e300])
def test_kmeans_does_not_depend_on_the_unit(scale: float) -> None:
    w = normal(500, dtype=torch.float64)
    reference, indices = qz.kmeans_codebook(w, 3)
    codebook, others = qz.kmeans_codebook(w * scale, 3)
    assert torch.equal(indices, others)
    torch.testing.assert_close(codebook / scale, reference, rtol=1e-9, atol=0)


@pytest.mark.parametrize("values", [[2.5], [0.0] * 7, [1.0, -1.0, 1.0], [3.0, 1.0, 2.0, 0.0]])
def test_few_distinct_values_are_kept_exactly(values: list[float]) -> None:
    w = torch.tensor(values)
    codebook, indices = qz.kmeans_codebook(w, 2)
    assert codebook.tolist() == sorted(set(values))
    assert torch.equal(codebook[indices.long()], w)


def test_kmeans_refuses_what_it_cannot_cluster() -> None:
    for bad in (torch.zeros(0), torch.tensor([math.nan, 1.0]), torch.tensor([math.inf, 1.0])):
        with pytest.raises(ValueError, match="w must"):
            qz.kmeans_codebook(bad, 2)
    for bits in (0, 9):
        with pytest.raises(ValueError, match="bits must be"):
            qz.kmeans_codebook(torch.ones(3), bits)
    with pytest.raises(ValueError, match="ascending"):
        qz.nearest(torch.ones(3), torch.tensor([1.0, 0.0]))


def test_codebook_gradient_equals_autograd() -> None:
    w = normal(20, 30, dtype=torch.float64)
    codebook, indices = qz.kmeans_codebook(w, 3)
    codebook.requires_grad_()
    upstream = normal(20, 30, seed=4, dtype=torch.float64)
    (codebook[indices.long()] * upstream).sum().backward()
    ours = qz.codebook_gradient(upstream, indices, 8)
    torch.testing.assert_close(ours, codebook.grad)
    with pytest.raises(ValueError, match=r"indices must lie in 0\.\.3"):
        qz.codebook_gradient(upstream, indices, 4)
    with pytest.raises(ValueError, match="same shape"):
        qz.codebook_gradient(upstream[0], indices, 8)


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_shared_weights_are_the_kmeans_of_each_layer(bits: int) -> None:
    model = small_net()
    shared = qz.share_weights(model, bits)
    for layer, ours in ((model[0], shared[0]), (model[5], shared[5])):
        codebook, indices = qz.kmeans_codebook(layer.weight, bits)
        assert torch.equal(ours.weight, codebook[indices.long()])
    plain = qz.plain(shared)
    assert [type(layer) for layer in plain] == [type(layer) for layer in model]
    assert torch.equal(plain(IMAGES), shared(IMAGES))


def test_fine_tuning_moves_shared_values_and_keeps_the_sharing() -> None:
    shared = qz.share_weights(small_net(), 2).train()
    before = shared[5].weight.detach().clone()
    indices = shared[5].indices.clone()
    optimizer = torch.optim.SGD(shared.parameters(), lr=0.1)
    weight = shared[5].weight
    weight.retain_grad()
    loss = F.linear(shared[:5](IMAGES), weight).square().sum()
    loss.backward()
    expected = qz.codebook_gradient(weight.grad, indices, 4)
    torch.testing.assert_close(shared[5].codebook.grad, expected)
    optimizer.step()
    after = shared[5].weight.detach()
    assert not torch.equal(before, after)
    assert torch.equal(shared[5].indices, indices)
    assert len(after.unique()) <= 4


def test_pruned_weights_stay_zero_when_weights_are_shared() -> None:
    model = small_net()
    with torch.no_grad():
        model[5].weight[:, ::3] = 0
        model[0].weight.zero_()
    shared = qz.share_weights(model, 2)
    with torch.no_grad():
        shared[5].codebook.add_(0.3)  # as training would
    assert torch.equal(shared[5].weight == 0, model[5].weight == 0)
    assert len(shared[5].weight.unique()) == 4  # zero is one of the 2^2 entries
    assert not shared[0].weight.any()
    assert shared(IMAGES).isfinite().all()


# Models


def manual(model: nn.Sequential, x: Tensor, ranges: list[Tensor] | None, bits: int) -> Tensor:
    """Static (ranges given) or dynamic quantization of `small_net`, written out."""
    for i, layer in enumerate(model):
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            seen = x if ranges is None else ranges.pop(0)
            s_x, z_x = qz.affine_params(seen, 8)
            x = qz.fake_quantize(x, s_x, z_x, 8)
            s_w, z_w = qz.affine_params(layer.weight, bits, symmetric=True, dim=0)
            weight = qz.fake_quantize(layer.weight, s_w, z_w, bits, dim=0)
            bias = layer.bias
            if ranges is not None:
                step = s_x.double() * s_w.double()
                bias = (torch.round(bias.double() / step) * step).float()
            padding = getattr(layer, "padding", None)
            x = F.linear(x, weight, bias) if i else F.conv2d(x, weight, bias, padding=padding)
        else:
            x = layer(x)
    return x


@pytest.mark.parametrize("bits", [3, 8])
def test_post_training_models_do_what_their_formulas_say(bits: int) -> None:
    model = small_net()
    batches = [normal(9, 2, 6, 6, seed=seed) for seed in (2, 3)]
    seen = torch.cat(batches)
    with torch.no_grad():
        static = qz.post_training_static(model, batches, bits=bits)
        dynamic = qz.post_training_dynamic(model, bits=bits)
        ranges = [seen, torch.cat([model[:5](batch) for batch in batches])]
        torch.testing.assert_close(static(IMAGES), manual(model, IMAGES, ranges, bits))
        torch.testing.assert_close(dynamic(IMAGES), manual(model, IMAGES, None, bits))


def test_static_bias_lies_on_the_grid_of_the_accumulator() -> None:
    model = small_net()
    static = qz.post_training_static(model, [IMAGES])
    for i in (0, 5):
        step = static[i].bias_scale()
        assert step.shape == model[i].bias.shape
        steps = static[i].layer.bias.double() / step
        # The bias itself is float32, exact to 2^-24 of its size.
        assert bool(((steps - steps.round()).abs() <= steps.abs() * 2.0**-23).all())
        moved = (static[i].layer.bias - model[i].bias).double().abs()
        assert bool((moved <= step / 2 + model[i].bias.abs() * 2.0**-23).all())
        assert moved.max() > 0


def test_weight_only_quantization_leaves_activations_alone() -> None:
    model = small_net()
    quantized = qz.post_training_dynamic(model, bits=4, activation_bits=None)
    assert torch.equal(quantized(IMAGES), qz.plain(quantized)(IMAGES))
    weight = quantized[5].layer.weight
    assert all(len(row.unique()) <= 15 for row in weight)
    assert torch.equal(
        qz.dequantize(
            quantized[5].levels(),
            quantized[5].weight_scale,
            quantized[5].weight_zero_point,
            dim=0,
        ),
        weight,
    )


def test_options_reach_the_layers() -> None:
    model = small_net()
    quantized = qz.post_training_dynamic(
        model, bits=3, per_channel=False, symmetric=False, method="mse"
    )
    scale, zero_point = qz.affine_params(model[5].weight, 3, method="mse")
    assert torch.equal(
        quantized[5].layer.weight, qz.fake_quantize(model[5].weight, scale, zero_point, 3)
    )
    assert quantized[5].weight_scale.ndim == 0
    static = qz.post_training_static(
        model, [IMAGES], activation_bits=4, activation_method="percentile"
    )
    assert static[0].observer.range() == qz.percentile(IMAGES)
    assert static[0].observer.bits == 4


def test_error_shrinks_with_bits_and_per_channel_is_no_worse() -> None:
    model = small_net()
    exact = model(IMAGES)
    last = -math.inf
    for bits in (2, 4, 6, 8):
        ratio = qz.sqnr_db(exact, qz.post_training_static(model, [IMAGES], bits=bits)(IMAGES))
        assert ratio > last
        last = ratio
    with torch.no_grad():
        model[5].weight[0] *= 100  # one channel much larger than the others
    exact = model(IMAGES)[:, 1:]
    coarse = qz.post_training_dynamic(model, bits=4, per_channel=False)(IMAGES)[:, 1:]
    fine = qz.post_training_dynamic(model, bits=4)(IMAGES)[:, 1:]
    assert qz.sqnr_db(exact, fine) > qz.sqnr_db(exact, coarse) + 10


def test_a_pruned_channel_gets_the_largest_scale_of_the_others() -> None:
    model = small_net()
    with torch.no_grad():
        model[5].weight[2] = 0
    quantized = qz.post_training_dynamic(model)
    scale = quantized[5].weight_scale
    assert scale[2] == scale[[0, 1, 3, 4, 5, 6]].max()
    with torch.no_grad():
        model[5].weight.zero_()
    assert bool((qz.post_training_dynamic(model)[5].weight_scale == 1).all())


@pytest.mark.parametrize(
    "change",
    [
        lambda m: qz.post_training_static(m, [IMAGES], bits=3),
        lambda m: qz.post_training_dynamic(m, bits=3),
        lambda m: qz.quantization_aware(m, bits=3)(IMAGES),
        lambda m: qz.share_weights(m, 2),
        lambda m: qz.half_precision(m),
    ],
)
def test_the_model_given_is_not_changed(change: object) -> None:
    model = small_net().train()
    before = copy.deepcopy(model.state_dict())
    change(model)
    assert model.training
    assert [type(layer).__name__ for layer in model][:2] == ["Conv2d", "BatchNorm2d"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_quantized_layer_leaves_the_layer_it_was_made_of_alone() -> None:
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    quantized = qz.QuantizedLayer(layer, *qz.affine_params(layer.weight, 2), 2)
    assert not torch.equal(quantized.layer.weight, before)
    assert torch.equal(layer.weight, before)
    assert layer.weight.requires_grad
    assert quantized.plain().weight.requires_grad


def test_nested_and_shared_layers_are_replaced_once() -> None:
    shared = nn.Linear(4, 4)
    model = nn.Sequential(
        shared, nn.Sequential(nn.ReLU(), shared), nn.ModuleDict({"a": shared})["a"]
    )
    quantized = qz.post_training_dynamic(model)
    assert quantized[0] is quantized[1][1] is quantized[2]
    assert isinstance(quantized[0], qz.QuantizedLayer)
    assert isinstance(qz.post_training_dynamic(nn.Linear(2, 2)), qz.QuantizedLayer)


def test_models_that_cannot_be_quantized_are_refused() -> None:
    for change in (qz.post_training_dynamic, qz.quantization_aware):
        with pytest.raises(ValueError, match="no Linear or Conv2d"):
            change(nn.Sequential(nn.ReLU()))
        with pytest.raises(TypeError, match="model must be"):
            change("model")
    with pytest.raises(ValueError, match="saw no data"):
        qz.post_training_static(small_net(), [])
    with pytest.raises(TypeError, match="calibration batch"):
        qz.post_training_static(small_net(), [[1, 2]])
    broken = small_net()
    with torch.no_grad():
        broken[5].weight[0, 0] = math.nan
    for change in (qz.post_training_dynamic, lambda m: qz.share_weights(m, 4), qz.half_precision):
        with pytest.raises(ValueError, match="NaN or infinite"):
            change(broken)
    with pytest.raises(ValueError, match="no QuantizedLayer or CodebookLayer"):
        qz.plain(small_net())


# Quantization-aware training


def test_aware_layer_equals_torchs_fake_quantize_modules() -> None:
    layer = nn.Linear(30, 20)
    aware = qz.quantization_aware(nn.Sequential(layer), bits=4, activation_bits=8).train()
    x, upstream = normal(16, 30).requires_grad_(), normal(16, 20, seed=2)
    aware(x).backward(upstream)
    x_torch = x.detach().clone().requires_grad_()
    weight = layer.weight.detach().clone().requires_grad_()
    s_x, z_x = qz.affine_params(x, 8)
    s_w, z_w = qz.affine_params(weight, 4, symmetric=True, dim=0)
    rounded = torch.fake_quantize_per_tensor_affine(x_torch, s_x, z_x, -128, 127)
    w = torch.fake_quantize_per_channel_affine(weight, s_w, z_w, 0, -8, 7)
    F.linear(rounded, w, layer.bias.detach()).backward(upstream)
    assert torch.equal(aware[0].layer.weight.grad, weight.grad)
    assert torch.equal(x.grad, x_torch.grad)


def test_master_weights_take_steps_smaller_than_the_grid() -> None:
    aware = qz.quantization_aware(nn.Sequential(nn.Linear(8, 8)), bits=2).train()
    before = aware[0].layer.weight.detach().clone()
    optimizer = torch.optim.SGD(aware.parameters(), lr=1e-4)
    aware(normal(4, 8)).square().sum().backward()
    optimizer.step()
    moved = (aware[0].layer.weight - before).abs()
    assert 0 < moved.max() < aware[0].weight_params()[0].min() / 2


def test_aware_training_beats_post_training_at_two_bits() -> None:
    x = normal(512, 16, seed=3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 4))
    target = net(x).detach()
    aware = qz.quantization_aware(net, bits=2).train()
    optimizer = torch.optim.Adam(aware.parameters(), lr=3e-3)
    for _ in range(150):
        loss = F.mse_loss(aware(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    frozen = qz.freeze(aware)
    after = qz.post_training_static(net, [x], bits=2)
    assert qz.sqnr_db(target, frozen(x)) > qz.sqnr_db(target, after(x)) + 3


def test_freeze_keeps_the_outputs_and_drops_the_master_weights() -> None:
    aware = qz.quantization_aware(small_net(), bits=4).train()
    for seed in range(3):
        aware(normal(8, 2, 6, 6, seed=seed))
    aware.eval()
    frozen = qz.freeze(aware)
    assert all(len(row.unique()) <= 15 for row in frozen[5].layer.weight)
    with torch.no_grad():
        for i in (0, 5):  # biases moved to the grid of the accumulator, and nothing else did
            aware[i].layer.bias.copy_(frozen[i].layer.bias)
    assert torch.equal(frozen(IMAGES), aware(IMAGES))


def test_aware_ranges_follow_only_training_batches() -> None:
    aware = qz.quantization_aware(small_net())
    assert not aware[0].training  # as the model was
    with pytest.raises(ValueError, match="seen no data"):
        aware(IMAGES)
    with pytest.raises(ValueError, match="saw no data"):
        qz.freeze(aware)
    aware.train()(IMAGES)
    low, high = aware[0].observer.range()
    aware.eval()(IMAGES * 100)
    assert aware[0].observer.range() == (low, high)
    with pytest.raises(ValueError, match="no AwareLayer"):
        qz.freeze(small_net())


def test_aware_training_of_weights_only() -> None:
    aware = qz.quantization_aware(small_net(), bits=3, activation_bits=None)
    frozen = qz.freeze(aware)
    assert torch.equal(frozen(IMAGES), aware(IMAGES))


# 16-bit floats


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_halves_the_bytes(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 3))
    half = qz.half_precision(model, dtype)
    y = half(normal(5, 30))
    assert y.dtype == torch.float32
    assert qz.size_bytes(half) * 2 == qz.size_bytes(model)
    # About n roundings of relative size eps / 2 meet along each of the two sums.
    error = (y - model(normal(5, 30))).abs().max()
    assert 0 < error < 30 * torch.finfo(dtype).eps


def test_half_precision_says_where_it_overflows() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight[0, 0] = 1e5
    with pytest.raises(ValueError, match=r"0\.weight has values beyond 65504"):
        qz.half_precision(model)
    assert qz.half_precision(model, torch.bfloat16)(torch.ones(1, 2)).isfinite().all()
    with pytest.raises(ValueError, match="dtype must be"):
        qz.half_precision(model, torch.float64)


# Size is what the file weighs


@pytest.mark.parametrize(
    "make",
    [
        lambda m: m,
        lambda m: qz.post_training_static(m, [IMAGES]),
        lambda m: qz.post_training_static(m, [IMAGES], bits=5, symmetric=False),
        lambda m: qz.post_training_dynamic(m, bits=3, per_channel=False),
        lambda m: qz.freeze(qz.quantization_aware(m, bits=2, activation_bits=None)),
        lambda m: qz.share_weights(m, 3),
        lambda m: qz.half_precision(m),
    ],
    ids=["float", "static8", "affine5", "dynamic3", "aware2", "codebook3", "half"],
)
def test_size_is_that_of_the_file_and_the_file_gives_the_model_back(make, tmp_path) -> None:
    model = make(small_net())
    path = tmp_path / "model.safetensors"
    save_file(qz.stored_tensors(model), path)
    header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    assert path.stat().st_size == header + qz.size_bytes(model)
    other = make(small_net(seed=1))
    assert not torch.equal(other(IMAGES), model(IMAGES))
    assert torch.equal(qz.from_stored(other, load_file(path))(IMAGES), model(IMAGES))


def test_size_counts_scales_zero_points_and_codebooks() -> None:
    model = nn.Linear(1000, 10, bias=False)
    assert qz.size_bytes(model) == 40_000
    for bits in BITS:
        packed = 10_000 * bits // 8
        assert qz.size_bytes(qz.post_training_dynamic(model, bits=bits)) == packed + 10 * 5
        one = qz.post_training_dynamic(model, bits=bits, per_channel=False)
        assert qz.size_bytes(one) == packed + 5
        entries = 2**bits
        assert qz.size_bytes(qz.share_weights(model, bits)) == packed + 4 * entries + 1
    with pytest.raises(ValueError, match="call freeze"):
        qz.size_bytes(qz.quantization_aware(model))


def test_stored_tensors_of_another_length_are_refused() -> None:
    model = qz.post_training_dynamic(small_net(), bits=4)
    stored = qz.stored_tensors(model)
    stored["5.layer.weight"] = stored["5.layer.weight"][:-1]
    with pytest.raises(ValueError, match="bytes for"):
        qz.from_stored(model, stored)
