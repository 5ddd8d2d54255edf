"""The picture of the attention explorer: one figure whose artists move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from course_lib import plot
from course_lib._validate import check_int
from course_lib.widgets._explorer import Picture, set_titles, start_titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from course_lib.widgets.attention import Reading, Subject

BATCHES = (1, 4, 16, 64, 256, 1024)
SHOWN = 8  # likeliest bytes in the picture and the table
_NAMES = {" ": "␣", "\n": "↵", "\t": "⇥"}
_LETTERS: dict[str, Any] = {"family": "monospace", "clip_on": False}


def byte_name(byte: int) -> str:
    """Return how a byte is shown: printable ASCII as it is, others by a sign or in hex.

    >>> byte_name(97), byte_name(32), byte_name(10), byte_name(200)
    ('a', '␣', '↵', 'C8')
    """
    character = chr(check_int("byte", byte, 0, 255))
    if character in _NAMES:
        return _NAMES[character]
    return character if "!" <= character <= "~" else f"{byte:02X}"


class Board:
    """One figure whose artists move: see `Picture`. Texts of any length share the same axes."""

    def __init__(self, subject: Subject) -> None:
        from matplotlib.figure import Figure

        self._subject = subject
        self.figure = Figure(figsize=(10.0, 4.9))
        with plot.style():
            panels = self.figure.subplot_mosaic(
                [["map", "row", "row"], ["map", "next", "cache"]], width_ratios=(2.15, 1, 1.25)
            )
        self.figure.subplots_adjust(0.04, 0.115, 0.985, 0.93, wspace=0.42, hspace=0.42)
        self._start_map(panels["map"])
        self._start_row(panels["row"])
        self._start_next(panels["next"])
        self._start_cache(panels["cache"])
        self._titles = start_titles(panels.values())
        self.picture = Picture(
            self.figure,
            [
                self._image, self._frame, *self._sides, *self._below, *self._bars, *self._names,
                *self._chances, *self._following, *self._percents, self._line, self._here,
                *self._titles,
            ],
        )  # fmt: skip

    def _start_map(self, axes: Axes) -> None:
        from matplotlib.colors import PowerNorm
        from matplotlib.patches import Rectangle

        norm = PowerNorm(0.5, vmin=0, vmax=1)  # a square root: weights of 0.01 can be seen
        self._image = axes.imshow(
            np.zeros((1, 1)), cmap="Blues", norm=norm, extent=(0, 1, 1, 0), interpolation="nearest"
        )
        self._frame = Rectangle((0, 0), 1, 1, fill=False, color=plot.PALETTE["vermillion"])
        axes.add_patch(self._frame)
        axes.set(xticks=[], yticks=[])
        axes.set_xlabel("is read", labelpad=16)
        axes.set_ylabel("asks", labelpad=14)
        axes.grid(visible=False)
        bar = self.figure.colorbar(self._image, ax=axes, fraction=0.035, pad=0.01)
        bar.set_ticks([0, 0.01, 0.1, 0.3, 1], labels=["0", ".01", ".1", ".3", "1"])
        bar.ax.tick_params(labelsize=8)
        style, count = _LETTERS | {"fontsize": 7}, range(self._subject.longest)
        self._sides = [axes.text(-0.012, 0, "", ha="right", va="center", **style) for _ in count]
        self._below = [axes.text(0, 1.012, "", ha="center", va="top", **style) for _ in count]

    def _start_row(self, axes: Axes) -> None:
        count = self._subject.longest
        blue = plot.PALETTE["blue"]
        self._bars = list(axes.bar(range(count), [0] * count, color=blue, width=0.8))
        axes.set(xlim=(-0.7, count - 0.3), ylim=(0, 1.02), xticks=[], ylabel="weight")
        style = _LETTERS | {"fontsize": 8}
        self._names = [
            axes.text(place, -0.03, "", ha="center", va="top", **style) for place in range(count)
        ]

    def _start_next(self, axes: Axes) -> None:
        color: dict[str, Any] = {"color": plot.PALETTE["orange"], "edgecolor": "black"}
        self._chances = list(axes.barh(range(SHOWN), [0] * SHOWN, linewidth=0.5, **color))
        axes.set(xlim=(0, 1.25), ylim=(SHOWN - 0.4, -0.6), yticks=[], xticks=[0, 0.5, 1])
        axes.set(xlabel="probability at T")
        style, ranks = _LETTERS | {"fontsize": 9}, range(SHOWN)
        self._following = [
            axes.text(-0.03, r, "", ha="right", va="center", **style) for r in ranks
        ]
        self._percents = [axes.text(0, r, "", va="center", fontsize=8) for r in ranks]

    def _start_cache(self, axes: Axes) -> None:
        subject, context = self._subject, self._subject.model.context
        highest = subject.cache_bytes(context, BATCHES[-1])
        axes.set(xscale="log", yscale="log", xlabel="bytes of text", ylabel="bytes")
        axes.set_yticks([10**p for p in (4, 6, 8)], ["10 k", "1 M", "100 M"])
        axes.set_xticks([1, 10, 100], ["1", "10", "100"])
        axes.set(xlim=(1, context), ylim=(subject.cache_bytes(1, 1), 2 * highest))
        axes.minorticks_off()
        axes.axhline(subject.weight_bytes, color="black", linestyle=":", label="weights")
        (self._line,) = axes.plot([1], [1], color=plot.PALETTE["blue"], label="cache")
        marks: dict[str, Any] = {"color": plot.PALETTE["vermillion"], "markersize": 8}
        (self._here,) = axes.plot([1], [1], "o", **marks)
        axes.legend(fontsize=8, loc="upper left")

    def draw(self, reading: Reading) -> None:
        """Move the artists to what the reading says."""
        chosen, count = reading.settings, len(reading.tokens)
        names = [byte_name(token) for token in reading.tokens]
        self._image.set_data(reading.weights.numpy())
        self._frame.set_bounds(0, reading.asking / count, 1, 1 / count)
        for place in range(self._subject.longest):
            name, middle = names[place] if place < count else "", (place + 0.5) / count
            self._sides[place].set(text=name, y=middle)
            self._below[place].set(text=name, x=middle)
            read = place <= reading.asking
            self._bars[place].set_height(reading.row[place].item() if read else 0)
            self._names[place].set(text=name, alpha=1.0 if read else 0.4)
        chances, following = reading.probabilities.topk(SHOWN)
        for rank, (chance, byte) in enumerate(
            zip(chances.tolist(), following.tolist(), strict=True)
        ):
            self._chances[rank].set_width(chance)
            self._following[rank].set_text(byte_name(byte))
            self._percents[rank].set(text=f"{chance:.1%}", x=chance + 0.02)
        context = self._subject.model.context
        ends = [self._subject.cache_bytes(tokens, chosen.batch) for tokens in (1, context)]
        self._line.set_data([1, context], ends)
        self._here.set_data([count], [reading.cache_bytes])
        head = f"head {chosen.head}" if chosen.head else "mean of heads"
        words = (
            f"layer {chosen.layer}, {head}",
            f"what byte {reading.asking + 1} reads",
            f"next byte, T = {chosen.temperature:.3g}",
            f"cache: {reading.cache_bytes:,} bytes",
        )
        set_titles(self._titles, words)
