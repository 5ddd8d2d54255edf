"""The report as one self-contained page: tables, two pictures in SVG, no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from autograder.files import write_text
from autograder.report.analysis import MIN_STUDENTS, Analysis, Item

TEMPLATES = Path(__file__).parents[1] / "templates"
BINS = 10
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#666666"  # Okabe and Ito: safe for colour-blind eyes


def write_report(analysis: Analysis, path: Path) -> None:
    """Write the page to `path`."""
    write_text(path, render(analysis))


def render(analysis: Analysis) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"number": _number, "percent": _percent, "megabytes": _megabytes}
    return environment.get_template("report.html.j2").render(
        report=analysis,
        histogram=histogram(analysis.scores, analysis.max_score),
        scatter=scatter(analysis.items),
        advice=advice,
        min_students=MIN_STUDENTS,
    )


def histogram(scores: Sequence[float], max_score: float) -> Markup:
    """How many students got how many points, in ten bins."""
    width = (max_score or 1.0) / BINS
    counts = [0] * BINS
    for score in scores:
        counts[min(max(math.floor(score / width), 0), BINS - 1)] += 1
    tallest = max(counts) or 1
    bars = []
    for index, count in enumerate(counts):
        height = 150 * count / tallest
        x, y = 40 + index * 56, 170 - height
        ends = f"{index * width:g}\u2013{(index + 1) * width:g}"
        bars.append(_rectangle(x, y, 50, height, BLUE, f"{ends} points: {count} students"))
        if count:
            bars.append(_label(x + 25, y - 5, str(count)))
    marks = [_label(40 + index * 56 - 3, 188, f"{index * width:g}") for index in range(BINS + 1)]
    axis = '<line x1="36" y1="170" x2="600" y2="170" stroke="#333"/>'
    said = f"Histogram of {len(scores)} scores from 0 to {max_score:g} points"
    return _picture(640, 210, said, [axis, *bars, *marks, _label(320, 206, "points")])


def scatter(items: Sequence[Item]) -> Markup:
    """Every question by difficulty and discrimination; those to look at in orange."""
    shown = [i for i in items if i.difficulty is not None and i.discrimination is not None]
    if not shown:
        return Markup()
    parts = [
        '<line x1="50" y1="130" x2="600" y2="130" stroke="#333"/>',
        '<line x1="50" y1="20" x2="50" y2="240" stroke="#333"/>',
        '<line x1="50" y1="108" x2="600" y2="108" stroke="#999" stroke-dasharray="4"/>',
        *(
            _label(30, 134 - 100 * value, f"{value:+.1f}" if value else "0")
            for value in (-1, -0.5, 0, 0.5, 1)
        ),
        *(_label(50 + 550 * value, 256, f"{value:.0%}") for value in (0, 0.25, 0.5, 0.75, 1)),
        _label(325, 272, "mean share of the points (right: easy)"),
    ]
    for item in shown:
        x, y = 50 + 550 * (item.difficulty or 0.0), 130 - 100 * (item.discrimination or 0.0)
        says = f"{item.cell}: {_percent(item.difficulty)}, {_number(item.discrimination, 2)}"
        colour, mark = (ORANGE, "\u25b2") if advice(item) else (BLUE, "\u25cf")
        parts.append(
            f'<text x="{x:.1f}" y="{y + 5:.1f}" text-anchor="middle" fill="{colour}" '
            f'font-size="14">{mark}<title>{escape(says)}</title></text>'
        )
    said = "Questions by difficulty (across) and discrimination (up)"
    return _picture(640, 280, said, parts)


def advice(item: Item) -> str:
    """A sentence about a question that should be looked at; empty for the others."""
    if item.discrimination is not None and item.discrimination < 0:
        return "Those who did well elsewhere lost points here: is the test right?"
    if item.difficulty is not None and item.difficulty < 0.2:
        return "Hardly anybody got it: is the question clear?"
    if item.difficulty is not None and item.difficulty > 0.97 and item.marked >= MIN_STUDENTS:
        return "Nearly everybody got it: it tells nobody apart."
    return ""


def _picture(width: int, height: int, says: str, parts: Sequence[str]) -> Markup:
    return Markup(
        f'<svg role="img" aria-label="{escape(says)}" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif">{"".join(parts)}</svg>'
    )


def _rectangle(x: float, y: float, width: float, height: float, fill: str, says: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width}" height="{height:.1f}" fill="{fill}">'
        f"<title>{escape(says)}</title></rect>"
    )


def _label(x: float, y: float, text: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" text-anchor="middle" '
        f'fill="#333">{escape(text)}</text>'
    )


def _number(value: Any, digits: int = 1) -> str:
    if isinstance(value, str):
        return value
    if value is None or not math.isfinite(value):
        return "\u2013"
    return f"{value:,.{digits}f}" if not float(value).is_integer() else f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.0%}"


def _megabytes(value: int | None) -> str:
    return "\u2013" if value is None else f"{value / 2**20:,.0f} MB"
