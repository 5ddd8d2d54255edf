"""What seeds say: means with their spread, losses against the unchanged network, comparisons."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from course_lib import pareto
from course_lib.results import Table

Rows = list[dict[str, Any]]


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
