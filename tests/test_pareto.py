"""Dominance, frontier and volume against their definitions; noise against SciPy's Welch test."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from course_lib import pareto


@st.composite
def planes(draw: st.DrawFn, most: int = 4, points: int = 12) -> tuple[np.ndarray, list[str]]:
    """Points on a coarse grid, so that ties and duplicates are common."""
    metrics = draw(st.integers(1, most))
    directions = draw(
        st.lists(st.sampled_from(["max", "min"]), min_size=metrics, max_size=metrics)
    )
    rows = st.lists(st.integers(-3, 3), min_size=metrics, max_size=metrics)
    drawn = draw(st.lists(rows, max_size=points))
    return np.array(drawn, dtype=float).reshape(-1, metrics), directions


def beats(a: np.ndarray, b: np.ndarray, directions: list[str]) -> bool:
    """The definition, metric by metric."""
    pairs = [
        (x, y) if way == "max" else (-x, -y) for x, y, way in zip(a, b, directions, strict=True)
    ]
    return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)


def volume_by_inclusion_exclusion(extents: np.ndarray) -> float:
    """|A1 or A2 or ...| = sum |Ai| - sum |Ai and Aj| + ...; boxes from 0 meet in their minimum."""
    total = 0.0
    for size in range(1, len(extents) + 1):
        for subset in itertools.combinations(extents, size):
            total += (-1) ** (size + 1) * math.prod(np.min(subset, axis=0).tolist())
    return total


# dominance and frontier


@given(planes())
def test_dominance_and_frontier_are_the_definitions(plane: tuple[np.ndarray, list[str]]) -> None:
    points, directions = plane
    for a, b in itertools.product(points, points):
        assert pareto.dominates(a, b, directions) is beats(a, b, directions)
    expected = [
        i for i, b in enumerate(points) if not any(beats(a, b, directions) for a in points)
    ]
    found = pareto.frontier(points, directions)
    assert found.tolist() == expected
    assert found.dtype == np.int64


def test_frontier_keeps_every_copy_of_a_point_and_the_input_order() -> None:
    points = [[1, 1], [0, 2], [1, 1], [2, 0], [0, 0]]
    assert pareto.frontier(points, ["max", "max"]).tolist() == [0, 1, 2, 3]
    assert pareto.frontier([[5, 5]] * 3, ["min", "max"]).tolist() == [0, 1, 2]


@pytest.mark.parametrize("empty", [[], np.zeros((0, 2))])
def test_nothing_has_an_empty_frontier_and_no_volume(empty: object) -> None:
    assert pareto.frontier(empty, ["max", "min"]).tolist() == []  # type: ignore[arg-type]
    assert pareto.hypervolume(empty, [0, 0], ["max", "min"]) == 0.0  # type: ignore[arg-type]


def test_units_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((200, 3))
    scaled = points * [1e-9, 1, 1e12]
    directions = ["max", "min", "max"]
    np.testing.assert_array_equal(
        pareto.frontier(points, directions), pareto.frontier(scaled, directions)
    )


def test_a_large_frontier_of_a_large_cloud_is_found() -> None:
    angle = np.linspace(0.01, 1.5, 2000)
    front = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    inside = front * np.random.default_rng(0).uniform(0.1, 0.99, (2000, 1))
    points = np.concatenate([inside, front])
    found = pareto.frontier(points, ["max", "max"])
    np.testing.assert_array_equal(found, np.arange(2000, 4000))


def test_tensors_are_points_too() -> None:
    assert pareto.frontier(torch.tensor([[1.0], [2.0]]), ["max"]).tolist() == [1]


@pytest.mark.parametrize(
    ("points", "directions", "error", "match"),
    [
        ([[1, math.nan]], ["max", "min"], ValueError, "finite, got nan"),
        ([[1, math.inf]], ["max", "min"], ValueError, "finite, got inf"),
        ([[1, 2]], ["max"], ValueError, "1 metrics"),
        ([1, 2], ["max", "min"], ValueError, "shape"),
        ([["a", "b"]], ["max", "min"], TypeError, "numbers"),
        ([[True, False]], ["max", "min"], TypeError, "numbers"),
        ([[1, 2]], ["max", "lower"], ValueError, "max, min; got 'lower'"),
        ([[1, 2]], "max", TypeError, "directions must be a list"),
        ([[]], [], TypeError, "directions must be a list"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    points: object, directions: list[str], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        pareto.frontier(points, directions)  # type: ignore[arg-type]
    with pytest.raises(error):
        pareto.hypervolume(points, [0] * len(directions), directions)  # type: ignore[arg-type]


def test_dominance_names_the_argument_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="b must have 2 metrics"):
        pareto.dominates([1, 2], [1], ["max", "min"])
    with pytest.raises(ValueError, match="a must be finite"):
        pareto.dominates([1, math.nan], [1, 2], ["max", "min"])


# hypervolume


@settings(deadline=None)
@given(planes(most=3, points=7), st.integers(-2, 4))
def test_hypervolume_is_inclusion_exclusions(
    plane: tuple[np.ndarray, list[str]], level: int
) -> None:
    points, directions = plane
    signs = np.array([1 if way == "max" else -1 for way in directions])
    reference = -level * signs
    extents = (points - reference) * signs
    expected = volume_by_inclusion_exclusion(extents[np.all(extents > 0, axis=1)])
    assert pareto.hypervolume(points, reference, directions) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("metrics", [1, 2, 3])
def test_hypervolume_counts_cells_of_a_fine_grid_exactly(metrics: int) -> None:
    points = np.random.default_rng(metrics).integers(0, 12, (30, metrics))
    cells = np.stack(np.meshgrid(*[np.arange(12)] * metrics, indexing="ij"), -1).reshape(
        -1, metrics
    )
    covered = (cells[:, None] < points[None]).all(-1).any(1).sum()
    volume = pareto.hypervolume(points, [0] * metrics, ["max"] * metrics)
    assert volume == covered


@given(planes(most=3))
def test_hypervolume_depends_on_the_frontier_alone(plane: tuple[np.ndarray, list[str]]) -> None:
    points, directions = plane
    reference = [-4.0 if way == "max" else 4.0 for way in directions]
    whole = pareto.hypervolume(points, reference, directions)
    front = points[pareto.frontier(points, directions)]
    assert pareto.hypervolume(front, reference, directions) == pytest.approx(whole)
    twice = np.concatenate([points, points[::-1]])
    assert pareto.hypervolume(twice, reference, directions) == pytest.approx(whole)


def test_a_point_at_or_beyond_the_reference_adds_nothing() -> None:
    assert pareto.hypervolume([[1, 5], [0, 9], [2, 0]], [0, 0], ["max", "max"]) == 5
    assert pareto.hypervolume([[-1, 5]], [0, 0], ["max", "max"]) == 0


def test_hypervolume_keeps_to_three_metrics_and_a_finite_reference() -> None:
    with pytest.raises(ValueError, match="1 to 3 metrics, got 4"):
        pareto.hypervolume([[1] * 4], [0] * 4, ["max"] * 4)
    with pytest.raises(ValueError, match="reference must be finite"):
        pareto.hypervolume([[1]], [math.inf], ["min"])
    with pytest.raises(ValueError, match="reference must have 2 metrics"):
        pareto.hypervolume([[1, 1]], [0], ["max", "max"])


# noise


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("freedom", [1.0, 1.02, 1.7, 2.0, 4.3, 30.0, 999.0])
def test_quantiles_are_students(confidence: float, freedom: float) -> None:
    expected = stats.t.ppf((1 + confidence) / 2, freedom)
    assert pareto._student_t(confidence, freedom) == pytest.approx(expected, rel=1e-5)


def test_quantiles_of_many_degrees_of_freedom_err_to_the_safe_side() -> None:
    normal = stats.norm.ppf(0.975)
    assert normal < pareto._student_t(0.95, 1e7) < 1.002 * normal


@pytest.mark.parametrize("sizes", [(2, 2), (3, 5), (10, 4)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_the_interval_is_scipys_welch_interval(sizes: tuple[int, int], confidence: float) -> None:
    rng = np.random.default_rng(sum(sizes))
    a, b = rng.normal(0, 1, sizes[0]), rng.normal(0.3, 4, sizes[1])
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(confidence)
    low, high = pareto.difference_interval(a, b, confidence=confidence)
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-5)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=5), st.floats(-1, 1))
def test_one_metric_dominates_exactly_where_the_interval_excludes_zero(
    a: list[float], shift: float
) -> None:
    b = [*(value * 0.5 + shift for value in a[:-1]), shift + 1]
    low, high = pareto.difference_interval(a, b)
    columns = np.array(a)[:, None], np.array(b)[:, None]
    assert pareto.dominates_beyond_noise(*columns, ["max"]) is (low > 0)
    assert pareto.dominates_beyond_noise(*columns, ["min"]) is (high < 0)


GOOD = [[0.95, 100], [0.96, 100], [0.94, 100]]
NOISY = [[0.951, 120], [0.97, 120], [0.93, 120]]  # better on average, but not beyond noise
BAD = [[0.80, 100], [0.81, 100], [0.79, 100]]


def test_differences_within_the_noise_are_ties() -> None:
    ways = ["max", "min"]
    assert not pareto.dominates(np.mean(GOOD, 0), np.mean(NOISY, 0), ways)
    assert pareto.dominates_beyond_noise(GOOD, NOISY, ways)
    assert not pareto.dominates_beyond_noise(NOISY, GOOD, ways)
    assert pareto.dominates_beyond_noise(GOOD, BAD, ways)
    assert not pareto.dominates_beyond_noise(NOISY, BAD, ways), "it is larger, without any noise"
    assert not pareto.dominates_beyond_noise(GOOD, GOOD, ways)


def test_ranks_count_the_dominators() -> None:
    ranks = pareto.ranks_beyond_noise([NOISY, BAD, GOOD, GOOD], ["max", "min"])
    assert ranks.tolist() == [2, 2, 0, 0]
    assert pareto.ranks_beyond_noise([], ["max"]).tolist() == []


@given(st.lists(st.lists(st.integers(-3, 3), min_size=2, max_size=2), min_size=1, max_size=6))
def test_without_noise_rank_zero_is_the_frontier(means: list[list[int]]) -> None:
    runs = [
        np.repeat([mean], seeds, axis=0) for mean, seeds in zip(means, itertools.cycle([2, 3]))
    ]
    ranks = pareto.ranks_beyond_noise(runs, ["max", "min"])
    front = pareto.frontier(means, ["max", "min"])
    np.testing.assert_array_equal(np.flatnonzero(ranks == 0), front)


def test_a_constant_metric_is_exact_whatever_its_binary_fraction() -> None:
    low, high = pareto.difference_interval([0.1] * 3, [0.1] * 7)
    assert (low, high) == (0.0, 0.0)
    assert pareto.dominates_beyond_noise([[0.1]] * 2, [[math.nextafter(0.1, 1)]] * 3, ["min"])


def test_more_confidence_never_adds_dominance() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (4, 1)), rng.normal(-1.5, 1, (4, 1))
    verdicts = [
        pareto.dominates_beyond_noise(a, b, ["max"], confidence=c)
        for c in (0.01, 0.5, 0.9, 0.9999)
    ]
    assert verdicts == sorted(verdicts, reverse=True)
    assert verdicts[0] != verdicts[-1]


def test_three_metrics_can_go_round_in_a_circle() -> None:
    spread = np.array([[-0.1], [0.1]])
    centres = [[2, 1, 0], [0, 2, 1], [1, 0, 2]]
    runs = [np.array([centre]) + spread * 2.2 for centre in centres]
    assert pareto.ranks_beyond_noise(runs, ["max"] * 3).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("a", "confidence", "error", "match"),
    [
        ([[1.0, 2.0]], 0.95, ValueError, "two seeds or more"),
        ([1.0, 2.0], 0.95, ValueError, "a_runs must have 2 metrics"),
        ([[1.0, math.nan]] * 2, 0.95, ValueError, "a_runs must be finite"),
        ([[1.0, 2.0]] * 2, 0.0, ValueError, "confidence"),
        ([[1.0, 2.0]] * 2, 1.0, ValueError, "confidence"),
        ([[1.0, 2.0]] * 2, 95, ValueError, "confidence"),
        ([[1.0, 2.0]] * 2, "high", TypeError, "confidence"),
    ],
)
def test_noise_needs_seeds_and_a_confidence(
    a: object, confidence: float, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        pareto.dominates_beyond_noise(a, [[1, 2]] * 2, ["max", "min"], confidence=confidence)  # type: ignore[arg-type]
