"""The Pareto frontier: which models are worth having when more than one number counts.

A model dominates another if it is no worse in every metric and better in one; the frontier is what
nothing dominates, and the hypervolume is how much it dominates in all (Zitzler and Thiele 1999).
Measured metrics scatter over seeds, so a ranking should only count what exceeds the scatter.
A metric is "max" where more is better (accuracy) and "min" where less is (size_bytes, latency_s).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from course_lib._validate import check_choice, check_number

Floats = npt.NDArray[np.float64]


def dominates(a: npt.ArrayLike, b: npt.ArrayLike, directions: Sequence[str]) -> bool:
    """Return whether `a` is no worse than `b` in every metric and better in at least one.

    `a`, `b`: [M] metrics; `directions`: M times "max" or "min". Equal points do not dominate.

    >>> dominates([0.99, 40e3], [0.98, 50e3], ["max", "min"])
    True
    """
    cost_a, cost_b = _point("a", a, directions), _point("b", b, directions)
    return bool(np.all(cost_a <= cost_b) and np.any(cost_a < cost_b))


def frontier(points: npt.ArrayLike, directions: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the indices, ascending, of the points that no other point dominates.

    `points`: [N, M] metrics, finite; `directions`: M times "max" or "min". Of equal points either
    all are on the frontier or none is; points that tie in one metric compete in the others.
    No points have an empty frontier. Raises ValueError for NaN/inf and shapes that do not fit.

    >>> frontier([[0.99, 40], [0.98, 50], [0.97, 10], [0.99, 40]], ["max", "min"])
    array([0, 2, 3])
    """
    costs = _costs("points", points, directions)
    # Sorted by the first metric, then the next, the first point left is never dominated.
    left = np.lexsort(costs.T[::-1])
    kept = [left[:0]]
    while left.size:
        no_better = np.all(costs[left[0]] <= costs[left], axis=1)
        equal = np.all(costs[left[0]] == costs[left], axis=1)
        kept.append(left[equal])
        left = left[~no_better]
    return np.sort(np.concatenate(kept)).astype(np.int64)


def hypervolume(
    points: npt.ArrayLike, reference: npt.ArrayLike, directions: Sequence[str]
) -> float:
    """Return the volume of metric space that the points dominate, bounded by a reference point.

    `points`: [N, M] with M = 1, 2 or 3; `reference`: [M], usually the worst acceptable value of
    each metric. The unit is the product of the metrics' units. A point that is not better than
    the reference in every metric adds nothing; neither do dominated points and duplicates.
    Exact, in O(N log N) for two metrics. Source: Zitzler and Thiele 1999.

    >>> hypervolume([[0.5, 2.0], [0.25, 1.0]], reference=[0.0, 4.0], directions=["max", "min"])
    1.25
    """
    costs = _costs("points", points, directions)
    limit = _point("reference", reference, directions)
    if len(limit) > 3:
        raise ValueError(f"points must have 1 to 3 metrics, got {len(limit)}.")
    return _volume(limit - costs[np.all(costs < limit, axis=1)])


def dominates_beyond_noise(
    a_runs: npt.ArrayLike,
    b_runs: npt.ArrayLike,
    directions: Sequence[str],
    *,
    confidence: float = 0.95,
) -> bool:
    """Return whether `a` dominates `b` when differences within the noise count as ties.

    `a_runs` [S, M] and `b_runs` [T, M]: one row of metrics per seed, at least two each. In one
    metric a is better if its mean is, by more than the half-width of `difference_interval`. A
    metric that does not vary, such as a size, counts exactly. Dominance then is: better in one
    metric, worse in none. Not corrected for many comparisons.
    """
    better, worse = _compare(
        _runs("a_runs", a_runs, directions), _runs("b_runs", b_runs, directions), confidence
    )
    return bool(better.any() and not worse.any())


def ranks_beyond_noise(
    runs: Sequence[npt.ArrayLike], directions: Sequence[str], *, confidence: float = 0.95
) -> npt.NDArray[np.int64]:
    """Return for each model how many others dominate it beyond noise, [N]; 0 is the frontier.

    `runs`: one [seeds, M] array per model, as for `dominates_beyond_noise`.
    Because ties within noise are not transitive, with three or more metrics models can dominate
    one another in a circle, and then none of these has rank 0.
    Source of counting: Fonseca and Fleming 1993.
    """
    checked = [_runs(f"runs[{i}]", model, directions) for i, model in enumerate(runs)]
    ranks = np.zeros(len(checked), dtype=np.int64)
    for i, j in itertools.combinations(range(len(checked)), 2):
        better, worse = _compare(checked[i], checked[j], confidence)
        ranks[j] += better.any() and not worse.any()
        ranks[i] += worse.any() and not better.any()
    return ranks


def difference_interval(
    a: npt.ArrayLike, b: npt.ArrayLike, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the two-sided confidence interval of mean(a) - mean(b); variances may differ.

    `a` [S], `b` [T]: one number per seed, at least two each. Source: Welch 1947.

    >>> low, high = difference_interval([0.92, 0.93, 0.94], [0.90, 0.91, 0.92])
    >>> round(low, 4), round(high, 4)
    (-0.0027, 0.0427)
    """
    a = _runs("a", np.reshape(_numbers("a", a), (-1, 1)), ["min"])
    b = _runs("b", np.reshape(_numbers("b", b), (-1, 1)), ["min"])
    difference, half_width = _difference(a, b, confidence)
    return float(difference[0] - half_width[0]), float(difference[0] + half_width[0])


def _compare(a: Floats, b: Floats, confidence: float) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """In which metrics a costs less, and in which more, than b beyond noise."""
    difference, half_width = _difference(a, b, confidence)
    return difference < -half_width, difference > half_width


def _difference(a: Floats, b: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Difference of the means and half-width of its confidence interval, per column."""
    confidence = check_number("confidence", confidence, 0.0, 1.0)
    if confidence in (0.0, 1.0):
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence:g}.")
    mean_a, var_a = _mean_and_variance(a)
    mean_b, var_b = _mean_and_variance(b)
    half_width = np.sqrt(var_a + var_b)
    for column in np.flatnonzero(half_width):
        share = var_a[column] / (var_a[column] + var_b[column])
        freedom = 1 / (share**2 / (len(a) - 1) + (1 - share) ** 2 / (len(b) - 1))
        half_width[column] *= _student_t(confidence, freedom)
    return mean_a - mean_b, half_width


def _mean_and_variance(runs: Floats) -> tuple[Floats, Floats]:
    """Mean over seeds, and variance of that mean; exact where a metric does not vary."""
    rest = runs - runs[0]
    return runs[0] + rest.mean(axis=0), rest.var(axis=0, ddof=1) / len(runs)


def _student_t(confidence: float, freedom: float) -> float:
    """The t with P(|T| < t) = confidence for Student's distribution.

    With T = sqrt(freedom) sinh(u) the density is cosh(u)^-freedom, smooth and soon zero, so a
    table of its integral can be read backwards. Above 1000 degrees of freedom those of 1000 serve,
    which errs to the safe side.
    """
    freedom = min(freedom, 1000.0)
    u = np.linspace(0, 40 / math.sqrt(freedom), 20_001)
    density = np.cosh(u) ** -freedom
    inside = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    found = np.interp(confidence * inside[-1], inside, u)
    return float(math.sqrt(freedom) * math.sinh(found))


def _volume(extents: Floats) -> float:
    """Volume of the union of boxes that all have one corner at 0 and the other at `extents`."""
    if len(extents) == 0:
        return 0.0
    if extents.shape[1] == 1:
        return float(extents.max())
    extents = extents[np.argsort(-extents[:, -1], kind="stable")]
    if extents.shape[1] == 2:  # from the tallest box on, each adds what is wider than all before
        widest = np.maximum.accumulate(extents[:, 0])
        return float(np.diff(widest, prepend=0.0) @ extents[:, 1])
    heights = extents[:, -1] - np.append(extents[1:, -1], 0.0)
    return sum(
        height * _volume(extents[: i + 1, :-1]) for i, height in enumerate(heights) if height > 0
    )


def _numbers(name: str, values: npt.ArrayLike) -> Floats:
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold numbers, got values of type {array.dtype}.")
    return array.astype(np.float64)


def _costs(name: str, points: npt.ArrayLike, directions: Sequence[str]) -> Floats:
    """The points [N, M] with the sign turned so that less is better in every metric."""
    array = _numbers(name, points)
    signs = _signs(directions)
    if array.size == 0 and array.ndim == 1:
        array = array.reshape(0, len(signs))
    if array.ndim != 2 or array.shape[1] != len(signs):
        raise ValueError(
            f"{name} must have {len(signs)} metrics as directions do, got shape {array.shape}."
        )
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)][0]}.")
    return array * signs


def _point(name: str, point: npt.ArrayLike, directions: Sequence[str]) -> Floats:
    return _costs(name, _numbers(name, point)[None], directions)[0]


def _signs(directions: Sequence[str]) -> Floats:
    if isinstance(directions, str) or len(directions) == 0:
        raise TypeError(f'directions must be a list of "max" and "min", got {directions!r}.')
    for direction in directions:
        check_choice("directions", direction, ("max", "min"))
    return np.array([1.0 if direction == "min" else -1.0 for direction in directions])


def _runs(name: str, runs: npt.ArrayLike, directions: Sequence[str]) -> Floats:
    costs = _costs(name, runs, directions)
    if len(costs) < 2:
        raise ValueError(
            f"{name} must hold two seeds or more to know the noise, got {len(costs)}."
        )
    return costs
