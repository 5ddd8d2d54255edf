"""Explorer: how wide, how finely resolved and how deep a MobileNet should be for a device.

Costs are counted for every choice of the three multipliers; accuracy is shown where it was
measured, from rows that are given, and nowhere else: nothing is interpolated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from course_lib import devices, models, plot
from course_lib._validate import check_int, check_number
from course_lib.cost import ModelCost, count
from course_lib.widgets._explorer import WIDE, Picture, explorer, set_titles, start_titles

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

WIDTHS = (0.125, 0.25, 0.5, 0.75, 1.0)
RESOLUTIONS = (0.25, 0.5, 0.75, 1.0)
DEPTHS = (0, 1, 2, 5)
_PIXELS = 28  # along a side of an MNIST image
_KIB = 1024


@dataclass(frozen=True)
class Settings:
    """Multipliers of MobileNet V1; `depth` counts its repeated blocks (5 in the paper)."""

    width: float = 0.25
    resolution: float = 1.0
    depth: int = 0

    def __post_init__(self) -> None:
        check_number("width", self.width, minimum=0.01, maximum=4.0)
        check_number("resolution", self.resolution, minimum=0.05, maximum=1.0)
        check_int("depth", self.depth, minimum=0, maximum=20)

    def __str__(self) -> str:
        pixels = round(_PIXELS * self.resolution)
        return f"width {self.width:g}, {pixels} x {pixels} pixels, {self.depth} middle blocks"


@dataclass(frozen=True)
class Sized:
    """What `compute` found. `accuracies`: one per seed, as fractions; empty if not measured."""

    settings: Settings
    cost: ModelCost = field(repr=False)
    accuracies: tuple[float, ...]

    @property
    def accuracy(self) -> float | None:
        """Mean over seeds, or None where nothing was measured."""
        return fmean(self.accuracies) if self.accuracies else None

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds, or None with fewer than two."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else None


class Subject:
    """Measured accuracies by size, and the costs of all sizes, counted when first asked for.

    rows: each holds width, resolution, depth and the column named `accuracy`, a fraction; rows of
    equal size are seeds. A row without one of them raises ValueError.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]], accuracy: str = "test_accuracy") -> None:
        self.accuracies: dict[Settings, tuple[float, ...]] = {}
        for row in rows:
            missing = {"width", "resolution", "depth", accuracy} - set(row)
            if missing:
                raise ValueError(f"rows must hold {', '.join(sorted(missing))}; one does not.")
            size = Settings(row["width"], row["resolution"], row["depth"])
            value = check_number(accuracy, row[accuracy], 0.0, 1.0)
            self.accuracies[size] = (*self.accuracies.get(size, ()), value)
        self.cost = cache(_cost)


def compute(subject: Subject, settings: Settings) -> Sized:
    """Count the network of these settings on one MNIST image; look its accuracy up."""
    return Sized(settings, subject.cost(settings), subject.accuracies.get(settings, ()))


def scaling_table(sized: Sized) -> list[dict[str, Any]]:
    """Return one row per device: device, memory_bytes, needed_bytes, fits, latency_s.

    With 32-bit weights and activations, batch 1. The latency is predicted, not measured.
    """
    return [
        {
            "device": verdict.device.name,
            "memory_bytes": verdict.device.memory_bytes,
            "needed_bytes": verdict.needed_bytes,
            "fits": verdict.fits,
            "latency_s": verdict.latency_s,
        }
        for verdict in devices.verdicts(sized.cost)
    ]


def scaling_summary(sized: Sized) -> str:
    """Say in a sentence what the size costs, where it fits and, if known, how accurate it is."""
    rows = scaling_table(sized)
    room = [row["device"] for row in rows if row["fits"]]
    return (
        f"{sized.settings}: {sized.cost.macs / 1e6:.2f} million MACs, "
        f"{sized.cost.params:,} parameters, {_accuracy_text(sized)}; "
        f"{_kib(rows[0]['needed_bytes'])} fit {room[0] if room else 'no device'}"
        f"{' and larger' if len(room) > 1 else ''}."
    )


def scaling_figure(subject: Subject, sized: Sized) -> Figure:
    """Draw accuracy against MACs, and which devices hold the network."""
    board = _Board(subject)
    board.draw(sized)
    return board.figure


def scaling(subject: Subject, settings: Settings | None = None) -> VBox:
    """Return the explorer for a notebook; it starts at `settings`.

    All sizes that the sliders reach are counted before it opens, because counting is slower than a
    slider.
    """
    import ipywidgets as widgets

    first, board = settings or Settings(), _Board(subject)
    for width in WIDTHS:
        for resolution in RESOLUTIONS:
            for depth in DEPTHS:
                subject.cost(Settings(width, resolution, depth))

    def draw(**values: Any) -> tuple[Picture, str]:
        sized = compute(subject, replace(first, **values))
        board.draw(sized)
        return board.picture, scaling_summary(sized)

    slider = partial(widgets.SelectionSlider, **WIDE)
    sides = [(f"{r:g} ({round(_PIXELS * r)} pixels)", r) for r in RESOLUTIONS]
    controls = {
        "width": slider(options=WIDTHS, value=first.width, description="width"),
        "resolution": slider(options=sides, value=first.resolution, description="resolution"),
        "depth": slider(options=DEPTHS, value=first.depth, description="depth [middle blocks]"),
    }
    return explorer(controls, draw)


def _cost(settings: Settings) -> ModelCost:
    build = partial(
        models.mobilenet_v1,
        settings.width,
        num_classes=10,
        in_channels=1,
        resolution=settings.resolution,
        middle_blocks=settings.depth,
        small_input=True,
    )
    return count(build, (1, 1, _PIXELS, _PIXELS))


def _accuracy_text(sized: Sized) -> str:
    if sized.accuracy is None:
        return "accuracy not measured"
    spread = "" if sized.spread is None else f" ± {100 * sized.spread:.2f}"
    return f"{100 * sized.accuracy:.2f}{spread} % right"


def _kib(size_bytes: float) -> str:
    return f"{size_bytes / _KIB:,.0f} KiB"


class _Board:
    """One figure whose artists move: see `Picture`."""

    def __init__(self, subject: Subject) -> None:
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(9.4, 3.6))
        with plot.style():
            self._plane, self._memory = self.figure.subplots(1, 2, width_ratios=(1.1, 1.0))
        self.figure.subplots_adjust(left=0.075, right=0.985, top=0.9, bottom=0.15, wspace=0.52)
        self._start_plane(subject)
        self._start_memory()
        self._titles = start_titles([self._plane, self._memory])
        moving = [self._macs, self._here, self._needed, *self._words, *self._titles]
        self.picture = Picture(self.figure, moving)

    def _start_plane(self, subject: Subject) -> None:
        axes, groups = self._plane, dict[float, list[Settings]]()
        for size in subject.accuracies:
            groups.setdefault(size.width, []).append(size)
        for index, (width, sizes) in enumerate(sorted(groups.items())):
            look = {**plot.look(index), "linestyle": "none", "label": f"width {width:g}"}
            macs = [subject.cost(size).macs / 1e6 for size in sizes]
            axes.plot(macs, [100 * fmean(subject.accuracies[size]) for size in sizes], **look)
        lowest, highest = (subject.cost(size).macs / 1e6 for size in _extremes())
        axes.set(xscale="log", xlim=(lowest / 1.5, highest * 1.5), xlabel="million MACs")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set(ylabel="accuracy measured [%]")
        if groups:
            axes.legend(fontsize=8, loc="lower right")
        else:
            axes.set(ylim=(0, 100), yticks=[])
        red = plot.PALETTE["vermillion"]
        self._macs = axes.axvline(lowest, color=red, linewidth=1)
        (self._here,) = axes.plot([], [], "*", color=red, markersize=15, scaley=False)

    def _start_memory(self) -> None:
        axes, found = self._memory, devices.all_devices()
        places, ticks = range(len(found)), [_KIB * 32**power for power in (1, 2, 3, 4)]
        axes.set(xscale="log", xlim=(4 * _KIB, 16 * _KIB**3), yticks=places)
        axes.set_yticklabels([device.name for device in found])
        axes.set_xticks(ticks, ["32 KB", "1 MB", "32 MB", "1 GB"])
        axes.minorticks_off()
        axes.grid(visible=False, axis="y")
        memory = [device.memory_bytes for device in found]
        sky = plot.PALETTE["sky blue"]
        axes.barh(places, memory, color=sky, edgecolor="black", linewidth=0.5)
        self._words = [axes.text(5 * _KIB, place, "", va="center") for place in places]
        self._needed = axes.axvline(_KIB, color="black")

    def draw(self, sized: Sized) -> None:
        """Move the artists to the size."""
        macs, rows = sized.cost.macs / 1e6, scaling_table(sized)
        self._macs.set_xdata([macs, macs])
        known = sized.accuracy is not None
        self._here.set_data(*([macs], [100 * (sized.accuracy or 0.0)]) if known else ([], []))
        for word, row in zip(self._words, rows, strict=True):
            speed = f"fits, {1e3 * row['latency_s']:.2g} ms predicted"
            word.set_text(speed if row["fits"] else "too small")
        needed = rows[0]["needed_bytes"]
        self._needed.set_xdata([needed, needed])
        texts = (f"{macs:.2f} million MACs, {_accuracy_text(sized)}", f"{_kib(needed)} needed")
        set_titles(self._titles, texts)


def _extremes() -> tuple[Settings, Settings]:
    ends = (
        (min(WIDTHS), min(RESOLUTIONS), min(DEPTHS)),
        (max(WIDTHS), max(RESOLUTIONS), max(DEPTHS)),
    )
    return Settings(*ends[0]), Settings(*ends[1])
