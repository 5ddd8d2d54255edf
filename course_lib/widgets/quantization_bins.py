"""Explorer: into which bins the weights of a network fall, and what that costs in accuracy.

Bits, scheme, granularity and the part of the range that the bins cover are chosen with sliders.
Every choice quantizes the weights of the whole network and runs it on all images that it was
given. The plane of accuracy and bytes keeps the trail of the points visited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import plot, quantize
from course_lib._validate import check_choice, check_int, check_number
from course_lib.data import Split
from course_lib.quantize.replace import Layer, replace_layers
from course_lib.widgets._explorer import WIDE, Picture, explorer, set_titles, start_titles

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

SCHEMES = ("symmetric", "affine", "codebook")
GRANULARITIES = ("tensor", "channel")
_BATCH = 1000
_ERROR_TICKS = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)


@dataclass(frozen=True)
class Settings:
    """How to quantize every weight. `kept`: the fraction of the min-max range under the bins.

    A codebook is one per layer and knows no range: granularity and kept do not apply to it.
    """

    bits: int = 4
    scheme: str = "symmetric"
    granularity: str = "tensor"
    kept: float = 1.0

    def __post_init__(self) -> None:
        check_int("bits", self.bits, minimum=2, maximum=8)
        check_choice("scheme", self.scheme, SCHEMES)
        check_choice("granularity", self.granularity, GRANULARITIES)
        check_number("kept", self.kept, minimum=0.01, maximum=1.0)

    def __str__(self) -> str:
        if self.scheme == "codebook":
            return f"{self.bits} bits, codebook of each layer"
        clipped = f", {self.kept:.0%} of the range" if self.kept < 1 else ""
        return f"{self.bits} bits, {self.scheme}, per {self.granularity}{clipped}"


@dataclass(frozen=True)
class Point:
    """What `compute` found. `bins`: the values that the weights in `shown` may take.

    Granularity "channel" shows one channel, whose number is `channel`; else that is None and the
    whole layer is shown. `size_bytes`: packed levels, scales, zero points, codebooks and biases.
    """

    settings: Settings
    accuracy: float
    size_bytes: int
    sqnr_db: float
    shown: Tensor = field(repr=False)
    bins: Tensor = field(repr=False)
    channel: int | None = None


class Subject:
    """A trained network and the images that it is tried on, kept ready for `compute`.

    `layer` names the layer whose weights are drawn (default: the first of several dimensions).
    ValueError if there is no such layer.
    """

    def __init__(self, model: nn.Module, images: Split, layer: str | None = None) -> None:
        layers = {
            name: module
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear | nn.Conv2d)
        }
        if not layers:
            raise ValueError("model must have a Linear or Conv2d layer to quantize.")
        self.layer = check_choice("layer", layer or next(iter(layers)), tuple(layers))
        self.model = model
        self.weight = layers[self.layer].weight.detach().clone()
        self.labels = images.labels
        self.batches = images.inputs().split(_BATCH)
        self.codebooks = cache(lambda bits: quantize.share_weights(model, bits))
        self.float_bytes = quantize.size_bytes(model)
        self.float_accuracy = self.accuracy(model)

    @torch.inference_mode()
    def accuracy(self, model: nn.Module) -> float:
        """Return the fraction of the images that `model` labels correctly."""
        model.eval()
        guesses = torch.cat([model(batch).argmax(dim=1) for batch in self.batches])
        return (guesses == self.labels).double().mean().item()


def compute(subject: Subject, settings: Settings) -> Point:
    """Quantize the network's weights as `settings` say, run it on all images, and look inside."""
    if settings.scheme == "codebook":
        model = subject.codebooks(settings.bits)
        fast = quantize.plain(model)  # the same weights without looking them up in each batch
    else:
        model = fast = replace_layers(subject.model, lambda _, layer: _on_grid(layer, settings))
    weight = cast(Layer, fast.get_submodule(subject.layer))
    values = getattr(weight, "layer", weight).weight.detach()
    if settings.scheme == "codebook":
        shown, bins, channel = subject.weight, values.unique(), None
    else:
        shown, bins, channel = _one_grid(model.get_submodule(subject.layer), subject.weight)
    return Point(
        settings,
        accuracy=subject.accuracy(fast),
        size_bytes=quantize.size_bytes(model),
        sqnr_db=quantize.sqnr_db(subject.weight, values),
        shown=shown,
        bins=bins,
        channel=channel,
    )


def quantization_bins_table(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return one row per point: setting, bins, sqnr_db, size_bytes, accuracy (a fraction)."""
    return [
        {
            "setting": str(point.settings),
            "bins": len(point.bins),
            "sqnr_db": point.sqnr_db,
            "size_bytes": point.size_bytes,
            "accuracy": point.accuracy,
        }
        for point in points
    ]


def quantization_bins_summary(point: Point) -> str:
    """Say in a sentence what the point costs and what it can do."""
    return (
        f"{point.settings}: {point.size_bytes:,} bytes, {point.accuracy:.2%} right, "
        f"signal to noise {point.sqnr_db:.1f} dB."
    )


def quantization_bins_figure(subject: Subject, points: Sequence[Point]) -> Figure:
    """Draw the bins of the last point, and all points, a trail, on the plane."""
    if not points:
        raise ValueError("points must hold at least one result of compute, got none.")
    board = _Board(subject)
    board.draw(points)
    return board.figure


def quantization_bins(subject: Subject, settings: Settings | None = None) -> VBox:
    """Return the explorer for a notebook; it starts at `settings`.

    Codebooks of all sizes are found before it opens, because k-means is slower than a slider.
    """
    import ipywidgets as widgets

    first = settings or Settings()
    for bits in range(2, 9):
        subject.codebooks(bits)
    board, trail = _Board(subject), list[Point]()
    known = cache(lambda chosen: compute(subject, chosen))

    def draw(**values: Any) -> tuple[Picture, str]:
        trail.append(known(replace(first, **values)))
        board.draw(trail)
        return board.picture, quantization_bins_summary(trail[-1])

    controls = {
        "bits": widgets.IntSlider(first.bits, 2, 8, description="bits per weight", **WIDE),
        "scheme": widgets.Dropdown(
            options=SCHEMES, value=first.scheme, description="scheme", **WIDE
        ),
        "granularity": widgets.Dropdown(
            options=[("one per tensor", "tensor"), ("one per channel", "channel")],
            value=first.granularity,
            description="scales",
            **WIDE,
        ),
        "kept": widgets.FloatSlider(
            first.kept, min=0.1, max=1, step=0.05, readout_format=".0%",
            description="range covered by bins", **WIDE,
        ),
    }  # fmt: skip
    return explorer(controls, draw, start_over=trail.clear)


def _on_grid(layer: Layer, settings: Settings) -> nn.Module:
    dim = 0 if settings.granularity == "channel" else None
    low, high = (end * settings.kept for end in quantize.min_max(layer.weight, dim))
    symmetric = settings.scheme == "symmetric"
    grid = quantize.params_from_range(low, high, settings.bits, symmetric=symmetric)
    return quantize.QuantizedLayer(layer, *grid, settings.bits)


def _one_grid(layer: nn.Module, weight: Tensor) -> tuple[Tensor, Tensor, int | None]:
    """Weights that share a grid, the grid, and the channel, which is one of median range."""
    assert isinstance(layer, quantize.QuantizedLayer)
    scale, zero_point, channel = layer.weight_scale, layer.weight_zero_point, None
    if layer.dim is not None:
        channel = int(scale.argsort()[len(scale) // 2])
        weight, scale, zero_point = weight[channel], scale[channel], zero_point[channel]
    lowest, highest = quantize.integer_range(layer.weight_bits)
    levels = torch.arange(lowest, highest + 1)
    return weight, quantize.dequantize(levels, scale, zero_point), channel


class _Board:
    """One figure whose artists move: see `Picture`."""

    def __init__(self, subject: Subject) -> None:
        from matplotlib.collections import LineCollection
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(9.0, 3.6))
        with plot.style():
            self._bins, self._plane = self.figure.subplots(1, 2)
        self.figure.subplots_adjust(left=0.07, right=0.985, top=0.9, bottom=0.15, wspace=0.24)
        edge = 1.05 * subject.weight.abs().max().item()
        self._edges = np.linspace(-edge, edge, 101)
        self._bins.set(xlim=(-edge, edge), xlabel=f"weight of {subject.layer}", yticks=[])
        self._bins.set(ylim=(0, 1), ylabel="how many weights")
        grey = {"color": "0.75", "edgecolor": "0.4", "linewidth": 0.6}
        self._weights = self._bins.stairs(np.zeros(100), self._edges, fill=True, **grey)
        self._lines = LineCollection([], colors=plot.PALETTE["vermillion"])
        self._bins.add_collection(self._lines, autolim=False)
        self._start_plane(subject)
        self._titles = start_titles([self._bins, self._plane])
        moving = [self._weights, self._lines, self._trail, self._here, *self._titles]
        self.picture = Picture(self.figure, moving)

    def _start_plane(self, subject: Subject) -> None:
        axes = self._plane
        kilobytes = subject.float_bytes / 1e3
        axes.set(xscale="log", xlim=(kilobytes / 24, 1.3 * kilobytes), xlabel="size [kB]")
        axes.set(yscale="log", ylim=(1, 0.008), ylabel="accuracy (error on a log scale)")
        axes.set_yticks(_ERROR_TICKS, [f"{1 - error:.0%}" for error in _ERROR_TICKS])
        ticks = [kilobytes / 16, kilobytes / 8, kilobytes / 4, kilobytes / 2, kilobytes]
        axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
        axes.minorticks_off()
        start = (kilobytes, max(1 - subject.float_accuracy, 0.009))
        axes.plot(*start, "s", color="black", label="float32")
        blue = plot.PALETTE["blue"]
        (self._trail,) = axes.plot([], [], "o-", color=blue, alpha=0.4, label="visited")
        (self._here,) = axes.plot(
            [], [], "*", color=plot.PALETTE["vermillion"], markersize=15, label="here"
        )
        axes.legend(loc="lower right", fontsize=9)

    def draw(self, points: Sequence[Point]) -> None:
        """Move the artists to the last of the points and its trail."""
        last = points[-1]
        counts, _ = np.histogram(last.shown.numpy(), self._edges)
        self._weights.set_data(counts / counts.max() * 0.95)
        few = len(last.bins) <= 16
        height = 1.0 if few else 0.1  # many lines would hide the weights
        self._lines.set_segments([[(x, 0.0), (x, height)] for x in last.bins.tolist()])
        self._lines.set_linewidth(1.6 if few else 0.6)
        where = "the layer" if last.channel is None else f"channel {last.channel}"
        bins = f"{len(last.bins)} bins (lines) for {where}, {last.sqnr_db:.1f} dB"
        here = f"{last.size_bytes / 1e3:.1f} kB, {last.accuracy:.2%} right"
        set_titles(self._titles, (bins, here))
        places = [(p.size_bytes / 1e3, max(1 - p.accuracy, 0.009)) for p in points]
        self._trail.set_data(*zip(*places, strict=True))
        self._here.set_data(*zip(*places[-1:], strict=True))
