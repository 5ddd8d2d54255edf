"""Figures that everyone can read: colour-blind-safe, distinct in grey, with alternative text.

The colours are Okabe and Ito's ("Color Universal Design", 2008) without yellow, which vanishes on
white. Series differ by marker and dash as well as by colour, so that a grey print still tells them
apart. Figures are made without pyplot: no global state, nothing to close, nothing shown twice.
"""

from __future__ import annotations

import base64
import html
import io
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from course_lib._validate import check_int, check_number

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from course_lib.cost import Roofline

# Ordered so that the first four differ most in lightness, which is all that a grey print keeps.
PALETTE: Mapping[str, str] = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "black": "#000000",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "sky blue": "#56B4E9",
    "purple": "#CC79A7",
}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES: tuple[Any, ...] = (
    "-",
    "--",
    "-.",
    ":",
    (0, (7, 2, 1, 2, 1, 2)),
    (0, (3, 1)),
    (0, (1, 4)),
)
_STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
    "grid.color": "#D9D9D9",
    "grid.linewidth": 0.6,
}
_DPI = 144  # sharp on a high-resolution screen
_CSS_PIXELS_PER_INCH = 96
_TINY = sys.float_info.min  # the lower limit of what a logarithmic axis can show
_LARGEST_BUBBLE = 1000.0  # area in square points
_BUBBLE: dict[str, Any] = {"alpha": 0.6, "edgecolor": "black", "linewidth": 0.7}


def look(index: int) -> dict[str, Any]:
    """Return the colour, marker and dash of series number `index`, to pass to `axes.plot`.

    There are seven looks; the eighth series repeats the first, so a figure with more than seven
    series should be two figures. Raises ValueError for a negative index.

    >>> look(0)
    {'color': '#0072B2', 'marker': 'o', 'linestyle': '-'}
    """
    index = check_int("index", index, minimum=0) % len(PALETTE)
    return {
        "color": list(PALETTE.values())[index],
        "marker": _MARKERS[index],
        "linestyle": _DASHES[index],
    }


@contextmanager
def style() -> Iterator[None]:
    """Apply the course's look to figures made inside the `with` block, and only there."""
    import matplotlib
    from cycler import cycler

    looks = [look(index) for index in range(len(PALETTE))]
    cycle = cycler("color", [item["color"] for item in looks])
    cycle += cycler("linestyle", [item["linestyle"] for item in looks])
    with matplotlib.rc_context({**_STYLE, "axes.prop_cycle": cycle}):
        yield


def subplots(
    rows: int = 1, columns: int = 1, *, size: tuple[float, float] = (7.0, 4.2), **options: Any
) -> tuple[Figure, Any]:
    """Return a new Figure of `size` inches and its Axes, in the course's style, without pyplot.

    `options` go to `Figure.subplots` (`sharey=True`, `width_ratios=...`). As there, the second
    result is one Axes for a 1 x 1 grid and an array of them otherwise.
    """
    from matplotlib.figure import Figure

    rows, columns = check_int("rows", rows), check_int("columns", columns)
    with style():
        figure = Figure(figsize=size)
        return figure, figure.subplots(rows, columns, **options)


def show(figure: Figure, *, alt: str) -> None:
    """Display a figure in the notebook as an image with alternative text, and close it.

    `alt` says in a sentence or two what a reader should see in the picture: screen readers speak
    it, and it stands in for the image wherever that is missing. Raises ValueError if it is blank.
    """
    from IPython.display import HTML, display

    display(HTML(figure_html(figure, alt)))
    if "matplotlib.pyplot" in sys.modules:  # a figure that came from pyplot would be shown twice
        sys.modules["matplotlib.pyplot"].close(figure)


def figure_html(figure: Figure, alt: str, dpi: int = _DPI) -> str:
    """Return the figure as an HTML `<figure>` with an embedded PNG and alternative text."""
    from matplotlib.figure import Figure

    if not isinstance(figure, Figure):
        raise TypeError(f"figure must be a matplotlib Figure, got {type(figure).__name__}.")
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(
            f"alt must say in words what the figure shows, got {alt!r}. "
            'Write for example alt="Accuracy falls slowly until 4 bits, then steeply."'
        )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    width = round(figure.get_figwidth() * _CSS_PIXELS_PER_INCH)
    return (
        f'<figure style="margin: 0"><img alt="{html.escape(alt.strip())}" '
        f'style="width: {width}px; max-width: 100%; background: white" '
        f'src="data:image/png;base64,{data}"></figure>'
    )


def table(
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str] | Sequence[str] | None = None,
    caption: str = "",
) -> HTML:
    """Return the rows as an HTML table, which a notebook displays as the last value of a cell.

    `columns` chooses and orders the columns, as names or as {name: heading}; by default those of
    the first row. Integers get thousands separators, other numbers four significant digits, and a
    missing value or None an empty cell. Raises ValueError if there is neither a row nor a column.
    """
    from IPython.display import HTML

    if columns is None:
        if not rows:
            raise ValueError("rows must hold at least one row where columns is not given.")
        columns = list(rows[0])
    headings = columns if isinstance(columns, Mapping) else {name: name for name in columns}
    if not headings:
        raise ValueError("columns must name at least one column, got none.")
    sample = rows[0] if rows else {}
    head = "".join(
        _cell('th scope="col"', sample.get(name), str(text)) for name, text in headings.items()
    )
    body = "".join(
        f"<tr>{''.join(_cell('td', row.get(name)) for name in headings)}</tr>" for row in rows
    )
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return HTML(f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def bubbles(
    macs: Sequence[float],
    accuracy: Sequence[float],
    params: Sequence[float],
    labels: Sequence[str] | None = None,
    *,
    groups: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Return accuracy [%] against operations [MACs, log scale] with area = number of parameters.

    The four sequences have one entry per model; an empty label is not drawn. `groups` colours the
    models by family. After Canziani et al., "An Analysis of Deep Neural Network Models" (2016).
    Raises ValueError if the lengths differ, there is no model, or a count is not positive.
    """
    count = len(macs)
    labels = [""] * count if labels is None else labels
    groups = [""] * count if groups is None else groups
    if count == 0 or any(len(values) != count for values in (accuracy, params, labels, groups)):
        raise ValueError(
            "macs, accuracy, params, labels and groups must have one entry per model, got "
            f"{count}, {len(accuracy)}, {len(params)}, {len(labels)} and {len(groups)} entries."
        )
    for i in range(count):
        check_number(f"macs[{i}]", macs[i], minimum=_TINY)
        check_number(f"params[{i}]", params[i], minimum=_TINY)
    colors = {group: look(i)["color"] for i, group in enumerate(dict.fromkeys(groups))}
    largest = max(params)
    figure, axes = subplots(size=(8.0, 5.2))
    for i in sorted(range(count), key=lambda i: -params[i]):  # the small ones on top
        area = _LARGEST_BUBBLE * params[i] / largest
        axes.scatter(macs[i] / 1e9, accuracy[i], s=area, color=colors[groups[i]], **_BUBBLE)
        beside = (area**0.5 / 2 + 2, -3)  # points, from the centre to the right of the rim
        place = (macs[i] / 1e9, accuracy[i])
        axes.annotate(labels[i], place, beside, textcoords="offset points", fontsize=8)
    axes.set(xscale="log", xlabel="billion MACs per image", ylabel="top-1 accuracy [%]")
    axes.set_title(title)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(0.1)
    _bubble_legend(axes, {group: color for group, color in colors.items() if group}, largest)
    return figure


def roofline(
    machine: Roofline, points: Mapping[str, tuple[float, float]], title: str = ""
) -> Figure:
    """Return a machine's roofline: speed [MACs/s] against intensity [MACs/byte], both log.

    `points` maps a label to (intensity, measured speed); they are drawn below the roof that
    `machine.attainable` gives (Williams et al., "Roofline", 2009). Raises ValueError where a
    point is not positive and finite.
    """
    for label, (intensity, speed) in points.items():
        check_number(f"the intensity of {label}", intensity, minimum=_TINY)
        check_number(f"the speed of {label}", speed, minimum=_TINY)
    ridge = machine.ridge_point
    intensities = [ridge, *(intensity for intensity, _ in points.values())]
    corners = [min(intensities) / 4, ridge, max(intensities) * 4]
    roof = [machine.attainable(intensity) for intensity in corners]
    figure, axes = subplots()
    axes.plot(corners, roof, color="black", linewidth=2)
    axes.axvline(ridge, color="grey", linestyle=":")
    for index, (label, (intensity, speed)) in enumerate(points.items()):
        axes.plot(intensity, speed, **(look(index) | {"linestyle": "none"}), label=label)
    beside = {"xytext": (5, 4), "textcoords": "offset points"}
    axes.annotate(f"ridge: {ridge:.3g} MACs/byte", (ridge, min(roof)), **beside)
    axes.set(xscale="log", xlabel="arithmetic intensity [MACs per byte moved]")
    axes.set(yscale="log", ylabel="speed [MACs per second]", title=title)
    if points:
        axes.legend(loc="lower right")
    return figure


def _cell(tag: str, value: Any, text: str | None = None) -> str:
    """Return a table cell: numbers to the right, where their digits line up, all else left."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if text is None:
        if number:
            text = f"{value:,}" if isinstance(value, Integral) else f"{float(value):.4g}"
        else:
            text = "" if value is None else str(value)
    side = "right" if number else "left"
    return f'<{tag} style="text-align: {side}">{html.escape(text)}</{tag[:2]}>'


def _bubble_legend(axes: Axes, colors: Mapping[str, str], largest: float) -> None:
    """Explain the colours, and the areas by the powers of ten below the largest count."""
    if colors:  # empty series: the legend shows their markers at one size
        families = [
            axes.scatter([], [], s=60, color=color, **_BUBBLE) for color in colors.values()
        ]
        axes.add_artist(axes.legend(families, list(colors), loc="upper left"))
    power = 10 ** math.floor(math.log10(largest))
    counts = [power / 100, power / 10, power]
    sizes = [
        axes.scatter([], [], s=_LARGEST_BUBBLE * count / largest, **(_BUBBLE | {"color": "white"}))
        for count in counts
    ]
    names = [f"{count / 1e6:g} M" for count in counts]
    axes.legend(
        sizes,
        names,
        title="parameters",
        loc="lower right",
        labelspacing=1.2,
        handletextpad=1.6,
        borderpad=0.9,
    )
