"""What explorers share: controls above a page, drawn again whenever one of them moves.

The page is HTML with the figure as an image, so that a change sends one picture and one sentence.
Drawing axes, ticks and legends takes longer than all the rest; they are drawn once.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

WIDE: Mapping[str, Any] = {
    "style": {"description_width": "14em"},
    "layout": {"width": "36em"},
}
_DPI = 100  # a compromise: sharp enough to read, small enough to send at every step of a slider


class Picture:
    """A figure in which only the `moving` artists change after it was first drawn.

    They are drawn last, in the order given, above all that stands still. A figure that is saved
    as usual shows the same.
    """

    def __init__(self, figure: Figure, moving: Sequence[Artist]) -> None:
        self.figure, self._moving = figure, tuple(moving)
        for above, artist in enumerate(self._moving, start=10):
            artist.set_animated(True)
            artist.set_zorder(above)
        self._canvas: Any = None
        self._still: Any = None

    def png(self) -> bytes:
        """Return the figure with its moving artists where they are now."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from PIL import Image

        if self._canvas is None:
            self.figure.set_dpi(_DPI)
            self._canvas = FigureCanvasAgg(self.figure)
            self._canvas.draw()
            self._still = self._canvas.copy_from_bbox(self.figure.bbox)
        self._canvas.restore_region(self._still)
        for artist in self._moving:
            self.figure.draw_artist(artist)
        file = io.BytesIO()
        pixels = np.asarray(self._canvas.buffer_rgba())[..., :3]
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, format="png", compress_level=1)
        return file.getvalue()

    def html(self, alt: str) -> str:
        """Return the picture as an HTML `<figure>` with alternative text."""
        data = base64.b64encode(self.png()).decode("ascii")
        return (
            f'<figure style="margin: 0"><img alt="{html.escape(alt)}" '
            f'style="max-width: 100%" src="data:image/png;base64,{data}"></figure>'
        )


def start_titles(panels: Iterable[Axes]) -> list[Text]:
    """Return an empty title above each of the panels, at a place that does not move."""
    return [axes.set_title("", fontsize=10, y=1.0) for axes in panels]


def set_titles(titles: Iterable[Text], words: Iterable[str]) -> None:
    """Put new words into each of the titles."""
    for title, text in zip(titles, words, strict=True):
        title.set_text(text)


def explorer(
    controls: Mapping[str, Any],
    draw: Callable[..., tuple[Picture, str]],
    start_over: Callable[[], None] = lambda: None,
) -> VBox:
    """Return the controls, a reset button and a page with what `draw` returns for their values.

    draw: called with one keyword argument per control; returns a picture and a sentence on it,
    which is announced to screen readers and is the picture's description. Reset puts every
    control back to where it was, calls `start_over` and draws once.
    """
    import ipywidgets as widgets

    reset = widgets.Button(description="Reset", tooltip="Put every control back to where it began")
    page = widgets.HTML()
    start = {name: control.value for name, control in controls.items()}

    def redraw(_: object = None) -> None:
        picture, says = draw(**{name: control.value for name, control in controls.items()})
        page.value = f'<p role="status">{html.escape(says)}</p>{picture.html(says)}'

    def put_back(_: object) -> None:
        for control in controls.values():
            control.unobserve(redraw, "value")
        for name, control in controls.items():
            control.value = start[name]
        for control in controls.values():
            control.observe(redraw, "value")
        start_over()
        redraw()

    for control in controls.values():
        control.observe(redraw, "value")
    reset.on_click(put_back)
    redraw()
    return widgets.VBox([*controls.values(), reset, page])
