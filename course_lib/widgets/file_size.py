"""Explorer: what a compressed network weighs as a file, and what the bytes are spent on.

Sparsity, codebook and coder are chosen with sliders. Every choice writes the bytes of a real
file and checks that they give back the network that was run on all images. The bar shows the
accounts of the file, and the entropy of its weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from course_lib import codec, plot, prune, published, quantize
from course_lib._validate import check_choice, check_int
from course_lib.data import Split
from course_lib.widgets._explorer import WIDE, Picture, explorer, start_titles

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

BITS = (2, 3, 4, 5, 6, 32)
FLOAT = 32  # no codebook
CODERS: Mapping[str, tuple[str, ...]] = {
    "fixed width": ("half", "sparse", "codebook"),
    "Huffman": codec.DEEP_COMPRESSION,
}
ACCOUNTS = ("weights", "positions", "codebooks", "names and checksum")
_BATCH = 1000
_ERROR_TICKS = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)


@dataclass(frozen=True)
class Settings:
    """Which of the pruned networks, bits of an index into the codebook (32: none), and coder."""

    sparsity: float = 0.9
    bits: int = 4
    coder: str = "Huffman"

    def __post_init__(self) -> None:
        if check_int("bits", self.bits) not in BITS:
            raise ValueError(f"bits must be one of {BITS}, got {self.bits}.")
        check_choice("coder", self.coder, tuple(CODERS))

    def __str__(self) -> str:
        values = "float32" if self.bits == FLOAT else f"{self.bits}-bit codebook"
        return f"{self.sparsity:.1%} zeros, {values}, {self.coder}"


@dataclass(frozen=True)
class Point:
    """What `compute` found: `parts` are the bytes of each of ACCOUNTS, which add up to the file.

    entropy_bytes: what the weights, zeros included, would weigh in an ideal code that knows only
    how frequent each value is in its layer; a file that codes gaps can be smaller. Or None.
    """

    settings: Settings
    accuracy: float
    size_bytes: int
    parts: tuple[int, int, int, int]
    entropy_bytes: float | None


@dataclass(frozen=True)
class Shared:
    """A network as it will be written, and what is too slow to find at every step of a slider."""

    model: nn.Module
    accuracy: float
    entropy_bytes: float | None


class Subject:
    """Pruned networks of one kind, by their sparsity, and the images that they are tried on.

    networks: sparsity (a fraction) -> network; the least sparse one is the reference. paper: a
    network of `published.table("deep_compression")` to mark on the plane.
    """

    def __init__(
        self, networks: Mapping[float, nn.Module], images: Split, paper: str | None = None
    ) -> None:
        if not networks:
            raise ValueError("networks must hold at least one network, got none.")
        self.networks = dict(sorted(networks.items()))
        self.labels = images.labels
        self.batches = images.inputs().split(_BATCH)
        self.known = cache(self._share)
        dense = next(iter(self.networks.values()))
        self.dense_bytes = len(codec.to_bytes(dense, techniques=()))
        self.dense_accuracy = self.accuracy(dense)
        rows = published.table("deep_compression").rows
        self.paper = next((row for row in rows if row["network"] == paper), None)

    def _share(self, sparsity: float, bits: int) -> Shared:
        model = self.networks[sparsity]
        if bits == FLOAT:
            return Shared(model, self.accuracy(model), None)
        model = shared(model, bits)
        return Shared(model, self.accuracy(model), weight_entropy_bytes(model))

    @torch.inference_mode()
    def accuracy(self, model: nn.Module) -> float:
        """Return the fraction of the images that `model` labels correctly."""
        model.eval()
        guesses = torch.cat([model(batch).argmax(dim=1) for batch in self.batches])
        return (guesses == self.labels).double().mean().item()


def shared(model: nn.Module, bits: int) -> nn.Module:
    """Return a plain copy whose layers have codebooks of `bits` bits, all values in float16."""
    copy = quantize.plain(quantize.share_weights(model, bits))
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.copy_(parameter.half())
    return copy


def compute(subject: Subject, settings: Settings) -> Point:
    """Write the network as `settings` say, read it back, count the bytes.

    ValueError for a sparsity of which there is no network; RuntimeError if what was read differs.
    """
    if settings.sparsity not in subject.networks:
        choices = ", ".join(map(str, subject.networks))
        raise ValueError(f"sparsity must be one of {choices}; got {settings.sparsity}.")
    known = subject.known(settings.sparsity, settings.bits)
    data = codec.to_bytes(known.model, techniques=CODERS[settings.coder])
    state, size = codec.from_bytes(data)
    written = known.model.state_dict()
    if not all(torch.equal(state[name], value) for name, value in written.items()):
        raise RuntimeError(f"The file for {settings} does not give back what was written.")
    return Point(
        settings,
        accuracy=known.accuracy,
        size_bytes=size.total_bytes,
        parts=(size.weight_bytes, size.index_bytes, size.codebook_bytes, size.header_bytes),
        entropy_bytes=known.entropy_bytes,
    )


def weight_entropy_bytes(model: nn.Module) -> float:
    """Return sum over layers of n H / 8: n weights of entropy H, each coded on its own."""
    weights = [weight.detach() for weight in prune.prunable_weights(model).values()]
    counts = [weight.unique(return_counts=True)[1].numpy() for weight in weights]
    return sum(codec.entropy(each) * each.sum() for each in counts) / 8


def file_size_table(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return one row per point: setting, accuracy, size_bytes, the accounts, entropy_bytes."""
    return [
        {
            "setting": str(point.settings),
            "accuracy": point.accuracy,
            "size_bytes": point.size_bytes,
            **dict(zip(ACCOUNTS, point.parts, strict=True)),
            "entropy_bytes": None if point.entropy_bytes is None else round(point.entropy_bytes),
        }
        for point in points
    ]


def file_size_summary(subject: Subject, point: Point) -> str:
    """Say in a sentence what the point weighs and what it can do."""
    return (
        f"{point.settings}: a file of {point.size_bytes:,} bytes, "
        f"{subject.dense_bytes / point.size_bytes:.1f} times smaller than the dense one, "
        f"{point.accuracy:.2%} right."
    )


def file_size_figure(subject: Subject, points: Sequence[Point]) -> Figure:
    """Draw the accounts of the last point, and all points, a trail, on the plane."""
    if not points:
        raise ValueError("points must hold at least one result of compute, got none.")
    board = _Board(subject)
    board.draw(points)
    return board.figure


def file_size(subject: Subject, settings: Settings | None = None) -> VBox:
    """Return the explorer for a notebook; it starts at `settings`, or at the densest network."""
    import ipywidgets as widgets

    first = settings or Settings(next(iter(subject.networks)))
    for sparsity in subject.networks:  # what is slower than a slider comes first
        for bits in BITS:
            subject.known(sparsity, bits)
    board, trail = _Board(subject), list[Point]()
    known = cache(lambda chosen: compute(subject, chosen))

    def draw(**values: Any) -> tuple[Picture, str]:
        trail.append(known(replace(first, **values)))
        board.draw(trail)
        return board.picture, file_size_summary(subject, trail[-1])

    controls = {
        "sparsity": widgets.SelectionSlider(
            options=[(f"{sparsity:.1%}", sparsity) for sparsity in subject.networks],
            value=first.sparsity, description="zeros among weights", **WIDE,
        ),
        "bits": widgets.SelectionSlider(
            options=[(f"{bits}" if bits != FLOAT else "no codebook", bits) for bits in BITS],
            value=first.bits, description="bits of an index", **WIDE,
        ),
        "coder": widgets.SelectionSlider(
            options=tuple(CODERS), value=first.coder, description="coder", **WIDE
        ),
    }  # fmt: skip
    return explorer(controls, draw, start_over=trail.clear)


class _Board:
    """One figure whose artists move: see `Picture`."""

    def __init__(self, subject: Subject) -> None:
        from matplotlib.figure import Figure

        self._subject = subject
        self.figure = Figure(figsize=(9.0, 3.6))
        with plot.style():
            self._bar, self._plane = self.figure.subplots(1, 2)
        self.figure.subplots_adjust(left=0.09, right=0.985, top=0.9, bottom=0.15, wspace=0.26)
        self._start_bar()
        self._start_plane()
        self._titles = start_titles([self._bar, self._plane])
        moving = [*self._parts, self._entropy, *self._labels, self._trail, self._here]
        self.picture = Picture(self.figure, [*moving, *self._titles])

    def _start_bar(self) -> None:
        axes = self._bar
        axes.set(xlim=(-0.75, 2.6), ylim=(0, 1.45), ylabel="share of the file", xticks=[])
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        colors = [plot.PALETTE[name] for name in ("blue", "orange", "green", "black")]
        look: dict[str, Any] = {"width": 1.0, "edgecolor": "black", "linewidth": 0.6}
        self._parts = [axes.bar(0, 0, color=color, **look)[0] for color in colors]
        (self._entropy,) = axes.plot([], [], color=plot.PALETTE["vermillion"], linewidth=2.5)
        self._labels = [axes.text(0.6, 0, "", va="center", fontsize=9) for _ in range(5)]
        self._labels[4].set_color(plot.PALETTE["vermillion"])

    def _start_plane(self) -> None:
        axes, subject = self._plane, self._subject
        kilobytes = subject.dense_bytes / 1e3
        ticks = [kilobytes / 2**power for power in range(7, -1, -1)]
        axes.set(xscale="log", xlim=(kilobytes / 160, 1.4 * kilobytes), xlabel="size [kB]")
        axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
        axes.set(yscale="log", ylim=(1, 0.008), ylabel="accuracy (error on a log scale)")
        axes.set_yticks(_ERROR_TICKS, [f"{1 - error:.0%}" for error in _ERROR_TICKS])
        axes.minorticks_off()
        error = max(1 - subject.dense_accuracy, 0.009)
        axes.plot(kilobytes, error, "s", color="black", label="dense")
        if subject.paper is not None:
            size: Any = subject.paper["compressed_size_kb"]
            percent: Any = subject.paper["compressed_top1_error_percent"]
            label = "Deep Compression (2016)"
            axes.plot(size, percent / 100, "X", color="black", markersize=9, label=label)
        blue, red = plot.PALETTE["blue"], plot.PALETTE["vermillion"]
        (self._trail,) = axes.plot([], [], "o-", color=blue, alpha=0.4, label="visited")
        (self._here,) = axes.plot([], [], "*", color=red, markersize=15, label="here")
        axes.legend(loc="lower right", fontsize=9)

    def draw(self, points: Sequence[Point]) -> None:
        """Move the artists to the last of the points and its trail."""
        last = points[-1]
        self._draw_bar(last)
        places = [(p.size_bytes / 1e3, max(1 - p.accuracy, 0.009)) for p in points]
        self._trail.set_data(*zip(*places, strict=True))
        self._here.set_data(*zip(*places[-1:], strict=True))
        times = self._subject.dense_bytes / last.size_bytes
        self._titles[0].set_text(f"{last.size_bytes:,} bytes, {times:.1f} times smaller")
        self._titles[1].set_text(f"{last.size_bytes / 1e3:.1f} kB, {last.accuracy:.2%} right")

    def _draw_bar(self, point: Point) -> None:
        bottom, lowest = 0.0, 0.0
        for bar, label, name, size in zip(
            self._parts, self._labels, ACCOUNTS, point.parts, strict=False
        ):
            share = size / point.size_bytes
            bar.set(y=bottom, height=share)
            place = max(bottom + share / 2, lowest)  # labels of thin parts do not overlap
            label.set(y=place, text=f"{name}: {size:,}")
            bottom, lowest = bottom + share, place + 0.075
        if point.entropy_bytes is None:
            self._entropy.set_data([], [])
            self._labels[4].set_text("")
            return
        height = min(point.entropy_bytes / point.size_bytes, 1.3)
        self._entropy.set_data([-0.6, 0.55], [height, height])
        text = f"entropy of the weights: {point.entropy_bytes:,.0f}"
        self._labels[4].set(x=-0.7, y=1.4, text=text)
