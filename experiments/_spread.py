"""What seeds say: means with their spread, losses against the unchanged network, comparisons."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from course_lib import pareto
from course_lib.results import Table

Rows = list[dict[str, Any]]
CHANCE = 0.1135  # of MNIST's test images show the commonest digit, which a network may always name
COMPARISONS = (  # what `verdicts` gives, in a reading
    "Comparisons give the difference of two losses and its 95 % interval (Welch), not corrected "
    "for many comparisons; two networks are both at chance if no seed of them is three standard "
    f"errors above the {100 * CHANCE:.2f} % of always naming the commonest digit."
)


def where(table: Table, **wanted: Any) -> Rows:
    """The rows with these values in these columns."""
    return [row for row in table.rows if all(row[name] == wanted[name] for name in wanted)]


def drops(rows: Iterable[dict[str, Any]], unchanged: Iterable[dict[str, Any]]) -> list[float]:
    """The test accuracy that each row has lost against the unchanged network of its seed."""
    before = {(row["net"], row["seed"]): row["accuracy"] for row in unchanged}
    return [before[row["net"], row["seed"]] - row["accuracy"] for row in rows]


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and the sample standard deviation (NaN for one value)."""
    spread = statistics.stdev(values) if len(values) > 1 else math.nan
    return statistics.fmean(values), spread


def points(values: Sequence[float]) -> str:
    """Fractions in percentage points, mean ± standard deviation: "1.23 ± 0.10"."""
    mean, spread = mean_and_spread(values)
    return f"{100 * mean:z.2f}" + ("" if math.isnan(spread) else f" ± {100 * spread:.2f}")


def compare(first: Sequence[float], second: Sequence[float]) -> str:
    """Whether the first is larger than the second: difference, 95 % interval, verdict."""
    difference = statistics.fmean(first) - statistics.fmean(second)
    text = f"{100 * difference:+z.2f} points"
    if min(len(first), len(second)) < 2:
        return f"{text}, one seed each, so not tested"
    low, high = pareto.difference_interval(first, second)
    verdict = "larger" if low > 0 else "smaller" if high < 0 else "no difference shown"
    return f"{text}, 95 % interval {100 * low:+z.2f} to {100 * high:+z.2f}: {verdict}"


def deviation(rows: Iterable[dict[str, Any]]) -> str:
    """What ± and error bars are: "standard deviation over 3 seeds"."""
    count = len({row["seed"] for row in rows})
    return f"standard deviation over {count} seeds" if count > 1 else "none, for one seed"


def above_chance(row: Mapping[str, Any]) -> bool:
    """Whether a network is clearly better than always naming the commonest digit of MNIST."""
    standard_error = math.sqrt(CHANCE * (1 - CHANCE) / row["test_images"])
    return bool(row["accuracy"] > CHANCE + 3 * standard_error)


def last_above_chance(pairs: Mapping[float, tuple[Rows, Rows]]) -> float:
    """The highest level at which one of two is above chance in every seed; else the lowest."""
    for level in sorted(pairs, reverse=True):
        if all(pairs[level]) and any(all(map(above_chance, rows)) for rows in pairs[level]):
            return level
    return min(pairs)


def verdicts(pairs: Mapping[str, tuple[Rows, Rows]], unchanged: Iterable[dict[str, Any]]) -> str:
    """Named comparisons, sorted by what they show: "more lost with a +0.50 (0.10 to 0.90)".

    Numbers are by how many points the first rows of a pair lose more than the second, and the
    95 % interval. Where no seed is above chance, none is given; a pair without rows is left out.
    """
    unchanged = list(unchanged)
    found: dict[str, list[str]] = {}
    for name, (first, second) in pairs.items():
        if first and second:
            verdict, numbers = "both at chance", ""
            if any(map(above_chance, [*first, *second])):
                verdict, numbers = _tested(drops(first, unchanged), drops(second, unchanged))
            found.setdefault(verdict, []).append(name + numbers)
    order = ("more lost", "less lost", "no difference shown", "both at chance", "not tested")
    return "; ".join(f"{said} with {', '.join(found[said])}" for said in order if said in found)


def _tested(first: Sequence[float], second: Sequence[float]) -> tuple[str, str]:
    """The verdict, and the difference in points with its interval."""
    numbers = f" {100 * (statistics.fmean(first) - statistics.fmean(second)):+z.2f}"
    if min(len(first), len(second)) < 2:
        return "not tested", f"{numbers} (one seed)"
    low, high = pareto.difference_interval(first, second)
    numbers += f" ({100 * low:z.2f} to {100 * high:z.2f})"
    if low > 0:
        return "more lost", numbers
    return "less lost" if high < 0 else "no difference shown", numbers


def ratios(
    rows: Iterable[dict[str, Any]], unchanged: Iterable[dict[str, Any]], column: str
) -> list[float]:
    """What each row has in a column over what the unchanged network of its seed has there."""
    before = {(row["net"], row["seed"]): row[column] for row in unchanged}
    return [row[column] / before[row["net"], row["seed"]] for row in rows]


def with_deviation(values: Sequence[float], form: str = ".2f") -> str:
    """Mean ± standard deviation, the mean formatted as asked: "+1.1 ± 1.2" for "+.1f"."""
    mean, spread = mean_and_spread(values)
    return f"{mean:{form}}" + ("" if math.isnan(spread) else f" ± {spread:{form.lstrip('+')}}")


def changes(found: Iterable[float]) -> str:
    """Ratios as changes in percent: "+1.1 ± 1.2 %"."""
    return with_deviation([100 * (ratio - 1) for ratio in found], "+z.1f") + " %"


def draw_means(axes: Axes, found: Mapping[Any, Sequence[float]], **look: Any) -> None:
    """Means with error bars, the standard deviation; what has no values is left out."""
    drawn = {x: mean_and_spread(values) for x, values in found.items() if values}
    if drawn:
        means, spreads = (np.nan_to_num(v) for v in zip(*drawn.values(), strict=True))
        axes.errorbar(list(drawn), means, spreads, capsize=3, **look)
