"""Explorer: what is left of a network when its weakest weights or neurons go.

How much goes, by which score, and in which structure is chosen with sliders. Every choice prunes
the trained network once, without retraining, runs it on all images that it was given, counts the
bytes of its file and times one image in a dense and in a sparse kernel.
For fully connected networks; the mask of the first layer is drawn over the pixels of its input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from course_lib import codec, measure, plot, prune, sparse, surgery
from course_lib._validate import check_choice, check_number
from course_lib.data import Split
from course_lib.widgets._explorer import WIDE, Picture, explorer, set_titles, start_titles

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

CRITERIA = ("magnitude", "taylor", "obd", "random")
STRUCTURES = ("weights, one ranking", "weights, per layer", "neurons")
_BATCH = 1000
_ERROR_TICKS = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)


@dataclass(frozen=True)
class Settings:
    """What goes: the fraction `sparsity` of all weights, or of each hidden layer's neurons."""

    sparsity: float = 0.5
    criterion: str = "magnitude"
    structure: str = STRUCTURES[0]

    def __post_init__(self) -> None:
        check_number("sparsity", self.sparsity, minimum=0.0, maximum=0.995)
        check_choice("criterion", self.criterion, CRITERIA)
        check_choice("structure", self.structure, STRUCTURES)

    def __str__(self) -> str:
        return f"{self.sparsity:.1%} of {self.structure}, by {self.criterion}"


@dataclass(frozen=True)
class Point:
    """What `compute` found.

    size_bytes: the file that `codec.save` would write, without loss and with sparse weights where
    that is shorter. macs: one per weight that is not zero. dense_s and sparse_s: seconds for one
    image in PyTorch's dense layers and in compressed rows. kept: the fraction of each layer's
    weights that is left; pixels: for each input, of the first layer's weights on it.
    """

    settings: Settings
    accuracy: float
    size_bytes: int
    macs: int
    dense_s: float
    sparse_s: float
    kept: Mapping[str, float]
    pixels: Tensor = field(repr=False)


class Subject:
    """A trained, fully connected network, the images it is tried on, and scores of its weights.

    `scored` are the training images from which the scores "taylor" and "obd" are computed.
    ValueError if the model has prunable layers that are not Linear, or no square input.
    """

    def __init__(self, model: nn.Module, images: Split, scored: Split) -> None:
        weights = prune.prunable_weights(model)
        first = next(iter(weights.values()))
        side = round(first.shape[1] ** 0.5)
        if any(weight.ndim != 2 for weight in weights.values()) or side**2 != first.shape[1]:
            raise ValueError(
                "model must be fully connected and take square images of one channel."
            )
        self.model, self.labels = model, images.labels
        self.shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        self.side = side
        self.batches = images.inputs().split(_BATCH)
        inputs, labels = scored.inputs(), scored.labels
        self.scores = {name: prune.score_model(model, name, inputs, labels) for name in CRITERIA}
        self.dense = compute(self, Settings(0.0))

    @torch.inference_mode()
    def accuracy(self, model: nn.Module) -> float:
        """Return the fraction of the images that `model` labels correctly."""
        model.eval()
        guesses = torch.cat([model(batch).argmax(dim=1) for batch in self.batches])
        return (guesses == self.labels).double().mean().item()


def compute(subject: Subject, settings: Settings) -> Point:
    """Prune the network as `settings` say, run it on all images, count bytes and take the time."""
    model = pruned(subject, settings)
    weights = prune.prunable_weights(model)
    left = {name: int(weight.count_nonzero()) for name, weight in weights.items()}
    image = subject.batches[0][:1]
    dense_s, sparse_s = (
        measure.latency(kind, image, warmup=3, repeats=15, threads=1).median_s
        for kind in (model, sparse.sparsify(model))
    )
    first = next(iter(weights.values()))
    return Point(
        settings,
        accuracy=subject.accuracy(model),
        size_bytes=len(codec.to_bytes(model, techniques=("sparse",))),
        macs=sum(left.values()),
        dense_s=dense_s,
        sparse_s=sparse_s,
        kept={name: left[name] / (shape[0] * shape[1]) for name, shape in subject.shapes.items()},
        pixels=(first != 0).sum(dim=0) / next(iter(subject.shapes.values()))[0],
    )


def pruned(subject: Subject, settings: Settings) -> nn.Module:
    """Return the pruned copy: with zeros, or smaller where neurons are cut out."""
    scores = subject.scores[settings.criterion]
    if settings.structure == "neurons":
        image = subject.batches[0][:1]
        weakest = surgery.weakest_channels(subject.model, image, scores, settings.sparsity)
        return surgery.remove_channels(subject.model, image, weakest)
    scope = "global" if settings.structure == STRUCTURES[0] else "layer"
    return prune.prune_model(subject.model, settings.sparsity, scores, scope=scope).model


def pruning_table(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return one row per point: setting, accuracy, size_bytes, macs, dense_s, sparse_s."""
    return [
        {
            "setting": str(point.settings),
            "accuracy": point.accuracy,
            "size_bytes": point.size_bytes,
            "macs": point.macs,
            "dense_s": point.dense_s,
            "sparse_s": point.sparse_s,
        }
        for point in points
    ]


def pruning_summary(point: Point) -> str:
    """Say in a sentence what the point costs and what it can do."""
    return (
        f"Without {point.settings}: {point.accuracy:.2%} right, {point.size_bytes:,} bytes, "
        f"{point.macs:,} MACs that count; one image takes {1e6 * point.dense_s:.0f} µs in dense "
        f"layers and {1e6 * point.sparse_s:.0f} µs in compressed rows."
    )


def pruning_figure(subject: Subject, points: Sequence[Point]) -> Figure:
    """Draw the mask of the last point, and all points, a trail, on the plane."""
    if not points:
        raise ValueError("points must hold at least one result of compute, got none.")
    board = _Board(subject)
    board.draw(points)
    return board.figure


def pruning(subject: Subject, settings: Settings | None = None) -> VBox:
    """Return the explorer for a notebook; it starts at `settings`."""
    import ipywidgets as widgets

    first = settings or Settings()
    board, trail = _Board(subject), list[Point]()
    known = cache(lambda chosen: compute(subject, chosen))

    def draw(**values: Any) -> tuple[Picture, str]:
        trail.append(known(replace(first, **values)))
        board.draw(trail)
        return board.picture, pruning_summary(trail[-1])

    steps = [step / 20 for step in range(20)] + [0.96, 0.97, 0.98, 0.99]
    options = sorted({*steps, first.sparsity})
    controls = {
        "sparsity": widgets.SelectionSlider(
            options=[(f"{option:.1%}", option) for option in options],
            value=first.sparsity, description="share removed", **WIDE,
        ),
        "criterion": widgets.Dropdown(
            options=CRITERIA, value=first.criterion, description="score", **WIDE
        ),
        "structure": widgets.Dropdown(
            options=STRUCTURES, value=first.structure, description="what goes", **WIDE
        ),
    }  # fmt: skip
    return explorer(controls, draw, start_over=trail.clear)


class _Board:
    """One figure whose artists move: see `Picture`."""

    def __init__(self, subject: Subject) -> None:
        from matplotlib.figure import Figure

        self._side = subject.side
        self.figure = Figure(figsize=(9.0, 3.6))
        with plot.style():
            panels = self.figure.subplots(1, 3, width_ratios=(1.1, 0.8, 1.5))
        self._pixels, self._layers, self._plane = panels
        self.figure.subplots_adjust(left=0.02, right=0.985, top=0.9, bottom=0.15, wspace=0.3)
        empty = torch.zeros(subject.side, subject.side).numpy()
        self._image = self._pixels.imshow(empty, cmap="gray_r", vmin=0, vmax=1)
        self._pixels.set(xticks=[], yticks=[], xlabel="input pixels; black: all weights kept")
        self._pixels.grid(visible=False)
        self._pixels.spines[:].set_visible(False)
        names = [name.removesuffix(".weight") for name in subject.shapes]
        self._layers.set(ylim=(0, 1), ylabel="share of weights kept")
        blue = {"color": plot.PALETTE["sky blue"], "edgecolor": "black", "linewidth": 0.6}
        self._bars = self._layers.bar(names, [0.0] * len(names), **blue)
        self._start_plane(subject)
        self._titles = start_titles(panels)
        moving = [self._image, *self._bars, self._trail, self._here, *self._titles]
        self.picture = Picture(self.figure, moving)

    def _start_plane(self, subject: Subject) -> None:
        axes, kilobytes = self._plane, subject.dense.size_bytes / 1e3
        ticks = [kilobytes / 2**power for power in range(6, -1, -1)]
        axes.set(xscale="log", xlim=(kilobytes / 130, 1.4 * kilobytes), xlabel="size [kB]")
        axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
        axes.set(yscale="log", ylim=(1, 0.008), ylabel="accuracy (error on a log scale)")
        axes.set_yticks(_ERROR_TICKS, [f"{1 - error:.0%}" for error in _ERROR_TICKS])
        axes.minorticks_off()
        axes.plot(*_place(subject.dense), "s", color="black", label="dense")
        blue, red = plot.PALETTE["blue"], plot.PALETTE["vermillion"]
        (self._trail,) = axes.plot([], [], "o-", color=blue, alpha=0.4, label="visited")
        (self._here,) = axes.plot([], [], "*", color=red, markersize=15, label="here")
        axes.legend(loc="upper left", fontsize=9)

    def draw(self, points: Sequence[Point]) -> None:
        """Move the artists to the last of the points and its trail."""
        last = points[-1]
        self._image.set_data(last.pixels.reshape(self._side, self._side).numpy())
        for bar, share in zip(self._bars, last.kept.values(), strict=True):
            bar.set_height(share)
        places = [_place(point) for point in points]
        self._trail.set_data(*zip(*places, strict=True))
        self._here.set_data(*zip(*places[-1:], strict=True))
        texts = (
            f"{last.macs:,} MACs left",
            f"{1e6 * last.dense_s:.0f} µs, sparse {1e6 * last.sparse_s:.0f} µs",
            f"{last.size_bytes / 1e3:.1f} kB, {last.accuracy:.2%} right",
        )
        set_titles(self._titles, texts)


def _place(point: Point) -> tuple[float, float]:
    return point.size_bytes / 1e3, max(1 - point.accuracy, 0.009)
