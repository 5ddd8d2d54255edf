"""What seeds say: means with their spread, losses against the unchanged network, comparisons."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from course_lib import pareto
from course_lib.results import Table

Rows = list[dict[str, Any]]
CHANCE = 0.1135  # of MNIST's test images show the commonest digit, which a network may always name
VERDICTS = ("more lost", "less lost", "no difference shown", "both at chance", "not tested")
NAMED = 4  # as many comparisons are named in a sentence even if all have the same verdict
Pairs = Mapping[tuple[str, str, str], tuple[Rows, Rows]]  # by network, what is compared, and level


@dataclass(frozen=True)
class Comparison:
    """Whether some networks lose more accuracy than others, by the losses of their seeds."""

    network: str
    what: str
    level: str  # a number and its unit, such as "90 %"
    first: Sequence[float]
    second: Sequence[float]
    at_chance: bool  # whether no seed of either is above chance

    @property
    def difference(self) -> float:
        """How much more the first lose than the second."""
        return statistics.fmean(self.first) - statistics.fmean(self.second)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the difference; None at chance, and for single seeds."""
        if self.at_chance or min(len(self.first), len(self.second)) < 2:
            return None
        return pareto.difference_interval(self.first, self.second)

    @property
    def verdict(self) -> str:
        """One of VERDICTS."""
        if self.at_chance:
            return "both at chance"
        if self.interval is None:
            return "not tested"
        low, high = self.interval
        if low > 0:
            return "more lost"
        return "less lost" if high < 0 else "no difference shown"

    @property
    def cells(self) -> list[str]:
        """The row of a table."""
        numbers = "–" if self.at_chance else f"{100 * self.difference:+z.2f}"
        bounds = " to ".join(f"{100 * bound:z.2f}" for bound in self.interval or ()) or "–"
        losses = points(self.first), points(self.second)
        return [self.network, self.what, self.level, *losses, numbers, bounds, self.verdict]


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
    """Fractions in percentage points, mean ± standard deviation: "1.23 ± 0.10"; "–" of none."""
    if not values:
        return "–"
    mean, spread = mean_and_spread(values)
    return f"{100 * mean:z.2f}" + ("" if math.isnan(spread) else f" ± {100 * spread:.2f}")


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


def compared(pairs: Pairs, unchanged: Iterable[dict[str, Any]]) -> list[Comparison]:
    """The comparison of every pair; one without rows is left out."""
    unchanged = list(unchanged)
    return [
        Comparison(
            *name,
            drops(first, unchanged),
            drops(second, unchanged),
            at_chance=not any(map(above_chance, [*first, *second])),
        )
        for name, (first, second) in pairs.items()
        if first and second
    ]


def summary(kind: str, found: Iterable[Comparison]) -> str:
    """What comparisons of a kind show, by name, with the largest difference where there is one.

    Such as "Structures, LeNet: more lost with channels at 80 and 90 % (up to +29.22); ...". What
    all share is not named, or once, nor a network that `kind` names. Without comparisons, nothing.
    """
    found = list(found)
    if not found:
        return ""
    if len({one.level for one in found}) == 1:
        kind = f"{kind} at {found[0].level}"
    if len(found) > NAMED and len({one.verdict for one in found}) == 1:
        return f"{kind}: in all {len(found)} {found[0].verdict}{_largest(found)}."
    networks: dict[str, list[str]] = {}
    for network, verdict in product(dict.fromkeys(one.network for one in found), VERDICTS):
        if mine := [one for one in found if (one.network, one.verdict) == (network, verdict)]:
            said = f"{verdict} {_names(mine, among=found)}{_largest(mine)}"
            networks.setdefault(network, []).append(said)
    if all(network in kind for network in networks):
        return f"{kind}: {'; '.join(*networks.values())}."
    parts = [f"{network}: {'; '.join(said)}" for network, said in networks.items()]
    return f"{kind}, {'; '.join(parts)}."


def _names(mine: Iterable[Comparison], among: Sequence[Comparison]) -> str:
    """Each of some comparisons by what sets it apart: "with a and b at 80 and 90 %"."""
    levels: dict[str, list[str]] = {}
    for one in mine:
        levels.setdefault(one.what, []).append(one.level)
    together: dict[tuple[str, ...], list[str]] = {}
    for what, at in levels.items():
        together.setdefault(tuple(at), []).append(what)
    if len({one.level for one in among}) == 1:
        return f"with {in_words(list(levels))}"
    if len({one.what for one in among}) == 1:
        return _at(*together)
    said = [f"{in_words(names)} {_at(at)}" for at, names in together.items()]
    return f"with {', '.join(said)}"


def _at(levels: Sequence[str]) -> str:
    """Levels with their unit once: "at 80 and 90 %"."""
    unit = levels[0].partition(" ")[2]
    return f"at {in_words([level.partition(' ')[0] for level in levels])} {unit}"


def _largest(found: Sequence[Comparison]) -> str:
    """The largest difference in brackets, if differences were shown."""
    if found[0].verdict not in VERDICTS[:2]:
        return ""
    largest = max((one.difference for one in found), key=abs)
    return f" ({'up to ' if len(found) > 1 else ''}{100 * largest:+z.2f})"


def in_words(names: Sequence[str]) -> str:
    """Names in a sentence: "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def widths(found: Iterable[Comparison]) -> str:
    """How wide intervals are that show no difference, in a sentence; empty if there are none."""
    wide = [
        100 * (one.interval[1] - one.interval[0])
        for one in found
        if one.interval and one.verdict == "no difference shown"
    ]
    if not wide:
        return ""
    return f"Intervals showing no difference are {min(wide):.1f} to {max(wide):.1f} points wide."


def legend(deviation: str, unchanged: str) -> str:
    """Above tables of comparisons: what their words and numbers mean."""
    text = (
        f"Losses are percentage points of test accuracy against the {unchanged} network of the "
        f"same seed (±: {deviation}); a difference is the first loss minus the second, with its "
        '95 % interval (Welch), not corrected for many comparisons. "More lost" and "less lost": '
        'the interval leaves out zero; "no difference shown": it holds zero, so that a difference '
        'may still exist; "both at chance": no seed of either is three standard errors above the '
        f"{100 * CHANCE:.2f} % of always naming the commonest digit, so nothing is compared; "
        '"not tested": single seeds, which have no interval.'
    )
    return "\n".join(["## Comparisons", "", *textwrap.wrap(text, 99)])


def comparison_table(
    heading: str, caption: str, labels: Sequence[str], found: Iterable[Comparison]
) -> str:
    """A section of comparisons, if any; `labels` head network, what, level and two losses."""
    head = [*labels, "difference", "95 % interval", "verdict"]
    rows = [one.cells for one in found]
    return section(f"### {heading}", caption, head, rows) if rows else ""


def section(heading: str, caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A heading, a caption and a table, in Markdown."""
    lines = [list(head), *map(list, rows)]
    sizes = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * size for size in sizes])
    drawn = [
        f"| {' | '.join(cell.ljust(size) for cell, size in zip(line, sizes, strict=True))} |"
        for line in lines
    ]
    return "\n".join([heading, "", *textwrap.wrap(caption, 99), "", *drawn])


def ratios(
    rows: Iterable[dict[str, Any]], unchanged: Iterable[dict[str, Any]], column: str
) -> list[float]:
    """What each row has in a column over what the unchanged network of its seed has there."""
    before = {(row["net"], row["seed"]): row[column] for row in unchanged}
    return [row[column] / before[row["net"], row["seed"]] for row in rows]


def with_deviation(values: Sequence[float], form: str = ".2f") -> str:
    """Mean ± standard deviation, the mean in a form: "+1.1 ± 1.2" for "+.1f"; "–" of none."""
    if not values:
        return "–"
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
