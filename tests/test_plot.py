"""Figures: readable without colour, never without alternative text, and no global state."""

from __future__ import annotations

import base64
import functools
import io
import itertools
import math
import re
import subprocess
import sys
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib import image as mpimg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from course_lib import plot
from course_lib.cost import Roofline

# Full dichromacy in linear RGB: Machado, Oliveira and Fernandes (2009), severity 1.0.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
SRGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
JUST_NOTICEABLE = 2.3  # difference in CIE Lab: Mahy, Van Eycken and Oosterlinck (1994)


def linear_rgb(color: str) -> np.ndarray:
    value = np.array(to_rgb(color))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE Lab of a linear RGB colour, against the white of the screen."""
    t = (SRGB_TO_XYZ @ rgb) / SRGB_TO_XYZ.sum(axis=1)
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def worst_difference(colors: list[str], vision: str) -> float:
    seen = [lab(np.clip(VISION[vision] @ linear_rgb(color), 0, 1)) for color in colors]
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))


def default_colors() -> list[str]:
    return [to_hex(color) for color in matplotlib.color_sequences["tab10"][: len(plot.PALETTE)]]


def decoded_image(text: str) -> np.ndarray:
    data = re.search(r"base64,([A-Za-z0-9+/=]+)", text)
    assert data is not None
    return mpimg.imread(io.BytesIO(base64.b64decode(data[1])), format="png")


def alt_of(text: str) -> str:
    match = re.search(r'<img alt="([^"]*)"', text)
    assert match is not None
    return match[1]


# The palette


@pytest.mark.parametrize("vision", VISION)
def test_no_two_colours_look_alike_to_anyone(vision: str) -> None:
    worst_default = min(worst_difference(default_colors(), name) for name in VISION)
    worst = worst_difference(list(plot.PALETTE.values()), vision)
    assert worst > 2 * worst_default
    assert worst > 5 * JUST_NOTICEABLE


def test_the_first_four_colours_differ_in_lightness_alone() -> None:
    lightness = [lab(linear_rgb(color))[0] for color in list(plot.PALETTE.values())[:4]]
    gaps = [abs(a - b) for a, b in itertools.combinations(lightness, 2)]
    assert min(gaps) > 5 * JUST_NOTICEABLE


def test_every_colour_stands_out_from_the_grid() -> None:
    def against_white(color: str) -> float:  # contrast ratio of WCAG 2
        return 1.05 / (float(SRGB_TO_XYZ[1] @ linear_rgb(color)) + 0.05)

    assert min(map(against_white, plot.PALETTE.values())) > against_white("#D9D9D9")


def test_series_differ_in_marker_and_in_dash_so_that_grey_print_tells_them_apart() -> None:
    looks = [plot.look(i) for i in range(len(plot.PALETTE))]
    for key in ("color", "marker", "linestyle"):
        assert len({str(item[key]) for item in looks}) == len(looks)


@functools.cache
def grey_picture(index: int | None) -> np.ndarray:
    """A series drawn with the look of that number, its colour taken away; None draws nothing."""
    figure, axes = plot.subplots(size=(3, 2))
    axes.set(xlim=(0, 3), ylim=(0, 1))
    if index is not None:
        axes.plot([0, 1, 2, 3], [0, 1, 0, 1], **(plot.look(index) | {"color": "0.4"}))
    return decoded_image(plot.figure_html(figure, "a line", dpi=50))


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(range(7), 2)))
def test_two_series_drawn_in_grey_give_different_pictures(first: int, second: int) -> None:
    different = (grey_picture(first) != grey_picture(second)).any(axis=-1).sum()
    drawn = (grey_picture(first) != grey_picture(None)).any(axis=-1).sum()
    assert different > 0.05 * drawn


def test_looks_repeat_after_the_last() -> None:
    assert plot.look(len(plot.PALETTE)) == plot.look(0)


@pytest.mark.parametrize(
    ("index", "error"), [(-1, ValueError), (0.5, TypeError), (True, TypeError)]
)
def test_look_rejects_what_is_no_index(index: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="index"):
        plot.look(index)  # type: ignore[arg-type]


# Showing


@pytest.mark.parametrize("alt", ["", "  \n", None, 3])
def test_a_figure_without_alternative_text_is_refused(alt: object) -> None:
    with pytest.raises(ValueError, match="alt must say in words"):
        plot.show(plot.subplots()[0], alt=alt)  # type: ignore[arg-type]


def test_showing_something_else_than_a_figure_says_so() -> None:
    with pytest.raises(TypeError, match="figure must be a matplotlib Figure, got str"):
        plot.show("figure", alt="words")  # type: ignore[arg-type]


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the code under test hands to the notebook."""
    shown: list[Any] = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    return shown


def test_show_displays_one_image_with_alternative_text(displayed: list[Any]) -> None:
    figure, axes = plot.subplots(size=(4, 3))
    axes.plot([1, 2], [3, 4])
    plot.show(figure, alt="A line that rises.")
    assert len(displayed) == 1
    text = displayed[0].data
    assert alt_of(text) == "A line that rises."
    height, width, _ = decoded_image(text).shape
    assert width / height == pytest.approx(4 / 3)


def test_alternative_text_cannot_break_out_of_its_attribute() -> None:
    figure, _ = plot.subplots(size=(1, 1))
    text = plot.figure_html(figure, '"><script>alert(1)</script> 3 < 4 & 5')
    assert "<script" not in text
    assert alt_of(text) == "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt; 3 &lt; 4 &amp; 5"


def test_a_figure_from_pyplot_is_closed_once_it_is_shown(displayed: list[Any]) -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    figure = pyplot.figure()
    plot.show(figure, alt="An empty figure.")
    assert pyplot.get_fignums() == before


# No global state


def test_style_holds_inside_the_block_only_even_after_an_error() -> None:
    def a_block_that_fails() -> None:
        with plot.style():
            assert matplotlib.rcParams["axes.grid"] is True
            raise ZeroDivisionError

    before = matplotlib.rcParams.copy()
    with pytest.raises(ZeroDivisionError):
        a_block_that_fails()
    assert matplotlib.rcParams.copy() == before


def test_helpers_leave_the_settings_alone_and_never_import_pyplot() -> None:
    code = (
        "import sys; from course_lib import plot\n"
        "assert 'matplotlib' not in sys.modules, 'import is not lazy'\n"
        "import matplotlib; before = matplotlib.rcParams.copy()\n"
        "from course_lib.cost import Roofline\n"
        "plot.bubbles([1e9], [70], [1e6]); plot.roofline(Roofline(1e9, 1e9), {'a': (1, 1)})\n"
        "plot.figure_html(plot.subplots()[0], 'empty')\n"
        "assert matplotlib.rcParams.copy() == before, 'settings leak'\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'pyplot was imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_subplots_gives_one_axes_or_an_array_of_them() -> None:
    figure, axes = plot.subplots(2, 3, size=(9, 4), sharey=True)
    assert isinstance(figure, Figure)
    assert axes.shape == (2, 3)
    assert tuple(figure.get_size_inches()) == (9, 4)
    assert plot.subplots()[1].get_subplotspec().get_gridspec().get_geometry() == (1, 1)


def test_lines_drawn_without_a_look_follow_the_palette() -> None:
    _, axes = plot.subplots()
    lines = [axes.plot([0, 1])[0] for _ in plot.PALETTE]
    assert [line.get_color() for line in lines] == list(plot.PALETTE.values())
    assert len({str(line.get_linestyle()) + str(line._dash_pattern) for line in lines}) == 7


# Tables


def test_table_formats_numbers_and_escapes_text() -> None:
    rows = [
        {"name": "a<b", "macs": 1234567, "share": 0.123456, "ok": True, "note": None},
        {"name": "c", "macs": np.int64(5), "share": np.float32(2.0), "ok": False},
    ]
    text = plot.table(rows, caption="R & D").data
    assert "<caption>R &amp; D</caption>" in text
    cells = [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td.*?</td>", text)]
    assert cells == ["a&lt;b", "1,234,567", "0.1235", "True", "", "c", "5", "2", "False", ""]


def test_table_chooses_orders_and_renames_columns() -> None:
    text = plot.table([{"a": 1, "b": 2}], columns={"b": "Second", "a": "First"}).data
    assert re.findall(r"<th scope[^>]*>(.*?)</th>", text) == ["Second", "First"]
    assert re.findall(r"<td[^>]*>(.*?)</td>", text) == ["2", "1"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.0, 1e300])
def test_table_prints_any_float(value: float) -> None:
    assert f">{value:.4g}<" in plot.table([{"x": value}]).data


def test_an_empty_table_needs_columns() -> None:
    assert "<tbody></tbody>" in plot.table([], columns=["a"]).data
    with pytest.raises(ValueError, match="rows must hold at least one row"):
        plot.table([])
    with pytest.raises(ValueError, match="columns must name"):
        plot.table([{}])


# The course's own figures


def test_bubble_areas_are_proportional_to_the_parameters() -> None:
    params = [1e6, 5e6, 2e7]
    figure = plot.bubbles([1e8, 1e9, 1e10], [60, 70, 80], params, ["a", "", "c"])
    points = [c for c in figure.axes[0].collections if len(c.get_offsets()) and c.get_sizes().size]
    area = {float(c.get_offsets()[0][0]): float(c.get_sizes()[0]) for c in points}
    assert area[1.0] / area[0.1] == pytest.approx(5)
    assert area[10.0] / area[1.0] == pytest.approx(4)
    assert {text.get_text() for text in figure.axes[0].texts} - {""} == {"a", "c"}


def test_bubbles_name_each_group_once() -> None:
    figure = plot.bubbles([1, 2, 3], [1, 2, 3], [1, 2, 3], groups=["cnn", "vit", "cnn"])
    names = [t.get_text() for artist in figure.axes[0].artists for t in artist.get_texts()]
    assert names == ["cnn", "vit"]


@pytest.mark.parametrize(
    ("macs", "accuracy", "params"),
    [([], [], []), ([1], [1, 2], [1]), ([0], [1], [1]), ([1], [1], [-1]), ([math.nan], [1], [1])],
)
def test_bubbles_reject_what_cannot_be_drawn(macs: list, accuracy: list, params: list) -> None:
    with pytest.raises(ValueError, match=r"macs|params"):
        plot.bubbles(macs, accuracy, params)


def test_the_roof_is_the_lower_of_the_two_limits() -> None:
    figure = plot.roofline(Roofline(8e9, 2e9), {"below": (0.5, 1e9), "above": (40.0, 7e9)})
    x, y = figure.axes[0].lines[0].get_data()
    np.testing.assert_allclose(y, np.minimum(8e9, np.asarray(x) * 2e9))
    assert x[1] == pytest.approx(4.0)  # the ridge
    assert x[0] < 0.5
    assert x[-1] > 40


@pytest.mark.parametrize("bad", [0, -1, math.nan, math.inf])
def test_roofline_rejects_what_a_log_axis_cannot_show(bad: float) -> None:
    with pytest.raises(ValueError, match="the intensity of a"):
        plot.roofline(Roofline(1, 1), {"a": (bad, 1)})
    with pytest.raises(ValueError, match="the speed of a"):
        plot.roofline(Roofline(1, 1), {"a": (1, bad)})
