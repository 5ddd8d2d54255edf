"""Explorer: how many directions a network's layers need, and what fewer of them cost.

The singular values of each layer are cut at a rank that is chosen with a slider; the network made
of the factors runs on all images that were given. The plane of accuracy and bytes keeps the trail
of the points visited. Above its break-even rank a split layer is larger than the whole one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import lowrank, plot
from course_lib._validate import check_int
from course_lib.data import Split
from course_lib.widgets._explorer import WIDE, Picture, explorer, set_titles, start_titles

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

Ranks = tuple[int | None, ...]  # one per layer that may be split; None: leave it whole
_STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
_WHOLE = 0  # on a slider, which cannot hold None


@dataclass(frozen=True)
class Point:
    """What `compute` found; `energies`: the fraction of each layer's squared singular values kept.

    `params` are the weights and biases of the split network, `macs` those of one image.
    """

    ranks: Ranks
    accuracy: float
    params: int
    macs: int
    energies: tuple[float, ...]

    @property
    def size_bytes(self) -> int:
        """As float32 numbers, without the header of a file."""
        return 4 * self.params


class Subject:
    """A fully connected network and the images that it is tried on, kept ready for `compute`.

    model: an nn.Sequential of Flatten, Linear, ReLU and Dropout. All Linear layers but the last
    may be split; `layers` are their names. ValueError for any other model.
    """

    def __init__(self, model: nn.Module, images: Split) -> None:
        parts = dict(model.named_children()) if isinstance(model, nn.Sequential) else {}
        known = (nn.Flatten, nn.Linear, nn.ReLU, nn.Dropout)
        linear = {name: part for name, part in parts.items() if isinstance(part, nn.Linear)}
        if len(linear) < 2 or not all(isinstance(part, known) for part in parts.values()):
            raise ValueError(
                "model must be an nn.Sequential of Flatten, ReLU, Dropout and two or more Linear."
            )
        self.model, self.labels = model, images.labels
        self.layers = tuple(linear)[:-1]
        self._parts = [
            (name, part) for name, part in parts.items() if isinstance(part, nn.Linear | nn.ReLU)
        ]
        self.weights = {name: part.weight.detach().clone() for name, part in linear.items()}
        self.biases = {
            name: None if part.bias is None else part.bias.detach().clone()
            for name, part in linear.items()
        }
        self.factors = {
            name: lowrank.svd_factors(self.weights[name], min(self.weights[name].shape))
            for name in self.layers
        }
        self.spectra = {
            name: torch.linalg.svdvals(self.weights[name].double()) for name in self.layers
        }
        self._inputs = images.inputs().flatten(1)
        self._projected: Tensor | None = None
        self.first_outputs = lru_cache(maxsize=32)(self._first_outputs)

    @torch.inference_mode()
    def accuracy(self, ranks: Ranks) -> float:
        """Return the fraction of the images that the network with these ranks labels right."""
        chosen, values = dict(zip(self.layers, ranks, strict=True)), self._inputs
        for name, part in self._parts:
            if isinstance(part, nn.ReLU):
                values = values.relu()
            elif name == self.layers[0]:
                values = self.first_outputs(ranks[0])
            elif chosen.get(name) is None:
                values = F.linear(values, self.weights[name], self.biases[name])
            else:
                left, right = self.factors[name]
                inner = F.linear(values, right[: chosen[name]])
                values = F.linear(inner, left[:, : chosen[name]], self.biases[name])
        return (values.argmax(dim=1) == self.labels).double().mean().item()

    def _first_outputs(self, rank: int | None) -> Tensor:
        name = self.layers[0]
        if rank is None:
            return F.linear(self._inputs, self.weights[name], self.biases[name])
        left, right = self.factors[name]
        if self._projected is None:  # on all directions at once: every rank takes the first few
            self._projected = F.linear(self._inputs, right)
        return F.linear(self._projected[:, :rank], left[:, :rank], self.biases[name])


def compute(subject: Subject, ranks: Ranks) -> Point:
    """Split the layers at `ranks`, run the network on all images, and count what it holds.

    ValueError unless there is one rank per layer, each in 1..min(in, out) or None.
    """
    if len(ranks) != len(subject.layers):
        raise ValueError(f"ranks must name {', '.join(subject.layers)}, got {len(ranks)} of them.")
    weights, energies = 0, []
    for name, rank in zip(subject.layers, ranks, strict=True):
        out, into = subject.weights[name].shape
        spectrum = subject.spectra[name].square()
        if rank is None:
            weights += out * into
            energies.append(1.0)
        else:
            check_int(f"the rank of {name}", rank, 1, min(out, into))
            weights += lowrank.factored_params(into, out, rank, bias=False)
            energies.append((spectrum[:rank].sum() / spectrum.sum()).item())
    weights += sum(w.numel() for n, w in subject.weights.items() if n not in subject.layers)
    biases = sum(bias.numel() for bias in subject.biases.values() if bias is not None)
    return Point(ranks, subject.accuracy(ranks), weights + biases, weights, tuple(energies))


def rank_table(subject: Subject, point: Point) -> list[dict[str, Any]]:
    """Return one row per layer: layer, rank, break_even, energy (a fraction), weights, whole."""
    rows = []
    for name, rank, energy in zip(subject.layers, point.ranks, point.energies, strict=True):
        out, into = subject.weights[name].shape
        split = out * into if rank is None else rank * (out + into)
        row = {"layer": name, "rank": rank, "break_even": lowrank.break_even_rank(into, out)}
        rows.append(row | {"energy": energy, "weights": split, "whole": out * into})
    return rows


def rank_summary(subject: Subject, point: Point) -> str:
    """Say in a sentence what the point costs and what it can do."""
    named = ", ".join(
        f"{name} whole" if rank is None else f"{name} at rank {rank}"
        for name, rank in zip(subject.layers, point.ranks, strict=True)
    )
    return (
        f"{named}: {point.size_bytes / 1e3:,.1f} kB, {point.macs:,} MACs, "
        f"{point.accuracy:.2%} of {len(subject.labels):,} images right."
    )


def rank_figure(subject: Subject, points: Sequence[Point]) -> Figure:
    """Draw the spectra with the cuts of the last point, and all points, a trail, on the plane."""
    if not points:
        raise ValueError("points must hold at least one result of compute, got none.")
    board = _Board(subject)
    board.draw(points)
    return board.figure


def rank(subject: Subject, ranks: Ranks | None = None) -> VBox:
    """Return the explorer for a notebook; it starts at `ranks`, by default with whole layers."""
    import ipywidgets as widgets

    first = ranks or (None,) * len(subject.layers)
    board, trail = _Board(subject), list[Point]()
    known = lru_cache(maxsize=None)(lambda chosen: compute(subject, chosen))

    def draw(**values: Any) -> tuple[Picture, str]:
        trail.append(known(tuple(values[name] or None for name in subject.layers)))
        board.draw(trail)
        return board.picture, rank_summary(subject, trail[-1])

    controls = {}
    for name, start in zip(subject.layers, first, strict=True):
        most = min(subject.weights[name].shape)
        steps = sorted({step for step in (*_STEPS, most, start or 1) if step <= most})
        options = [*((str(step), step) for step in steps), ("whole", _WHOLE)]
        controls[name] = widgets.SelectionSlider(
            options=options, value=start or _WHOLE, description=f"rank of {name}", **WIDE
        )
    return explorer(controls, draw, start_over=trail.clear)


class _Board:
    """One figure whose artists move: see `Picture`."""

    def __init__(self, subject: Subject) -> None:
        from matplotlib.figure import Figure

        self._subject = subject
        self.figure = Figure(figsize=(9.0, 3.6))
        with plot.style():
            self._spectra, self._plane = self.figure.subplots(1, 2)
        self.figure.subplots_adjust(left=0.07, right=0.985, top=0.9, bottom=0.15, wspace=0.24)
        self._cuts = self._start_spectra()
        self._start_plane(subject)
        self._titles = start_titles([self._spectra, self._plane])
        moving = [*self._cuts, self._trail, self._here, *self._titles]
        self.picture = Picture(self.figure, moving)

    def _start_spectra(self) -> list[Any]:
        axes, cuts = self._spectra, []
        for index, (name, values) in enumerate(self._subject.spectra.items()):
            look = {**plot.look(index), "marker": ""}
            axes.plot(np.arange(1, len(values) + 1), values, **look, label=name)
            marker = plot.look(index) | {"linestyle": "none", "markersize": 9}
            cuts += axes.plot([], [], **marker)
        axes.set(xlabel="number of the singular value", ylabel="singular value", ylim=(0, None))
        axes.legend(fontsize=9)
        return cuts

    def _start_plane(self, subject: Subject) -> None:
        axes, whole = self._plane, compute(subject, (None,) * len(subject.layers))
        kilobytes, error = whole.size_bytes / 1e3, max(1 - whole.accuracy, 1e-4)
        axes.set(xscale="log", xlim=(kilobytes / 150, 2 * kilobytes), xlabel="size [kB]")
        axes.set(yscale="log", ylim=(1, error / 1.5), ylabel="accuracy (error on a log scale)")
        ticks = [tick for tick in (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01) if tick > error / 1.5]
        axes.set_yticks(ticks, [f"{1 - tick:.0%}" for tick in ticks])
        sizes = [kilobytes / 100, kilobytes / 30, kilobytes / 10, kilobytes / 3, kilobytes]
        axes.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
        axes.minorticks_off()
        axes.plot(kilobytes, error, "s", color="black", label="whole")
        blue, red = plot.PALETTE["blue"], plot.PALETTE["vermillion"]
        (self._trail,) = axes.plot([], [], "o-", color=blue, alpha=0.4, label="visited")
        (self._here,) = axes.plot([], [], "*", color=red, markersize=15, label="here")
        axes.legend(loc="lower right", fontsize=9)

    def draw(self, points: Sequence[Point]) -> None:
        """Move the artists to the last of the points and its trail."""
        last = points[-1]
        for cut, name, chosen in zip(self._cuts, self._subject.layers, last.ranks, strict=True):
            spectrum = self._subject.spectra[name]
            cut.set_data(*([chosen], [spectrum[chosen - 1]]) if chosen else ([], []))
        kept = ", ".join(f"{energy:.1%}" for energy in last.energies)
        here = f"{last.size_bytes / 1e3:.1f} kB, {last.accuracy:.2%} right"
        set_titles(self._titles, (f"energy kept: {kept}", here))
        places = [(p.size_bytes / 1e3, max(1 - p.accuracy, 1e-4)) for p in points]
        self._trail.set_data(*zip(*places, strict=True))
        self._here.set_data(*zip(*places[-1:], strict=True))
