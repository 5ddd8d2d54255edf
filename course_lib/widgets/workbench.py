"""Explorer of the whole course: compress a network and see where it lands among all others.

Network, technique, strength and device are chosen; nothing is retrained. Every choice is run on
test images, live, as it comes back from a file: accuracy, bytes, multiply-adds, the latency
measured here, and the energy and the fit that notebook 01 predicts, on the plane of everything
that the course has measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from course_lib import cost, devices, measure
from course_lib._validate import check_choice, check_int
from course_lib.data import Split
from course_lib.widgets import _plane
from course_lib.widgets._explorer import WIDE, Picture, explorer
from course_lib.widgets._plane import AXES
from course_lib.widgets._workbench import STRENGTHS, TECHNIQUES, UNCHANGED, Built, built
from course_lib.widgets._workbench_board import Board

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

FEW = 1000  # images, for a network too slow for all of them
LIVE_MACS = 3e9  # what a slider has time for
_BATCH = 250


@dataclass(frozen=True)
class Settings:
    """`strength` 0 leaves the network as it is; `axis` is the cost on the plane."""

    network: str = "lenet_300_100"
    technique: str = "quantize"
    strength: int = 0
    device: str = "Cortex-M7"
    axis: str = "bytes"

    def __post_init__(self) -> None:
        check_choice("technique", self.technique, tuple(TECHNIQUES))
        check_int("strength", self.strength, minimum=0, maximum=STRENGTHS)
        check_choice("axis", self.axis, tuple(AXES))
        devices.device(self.device)

    @property
    def level(self) -> float | None:
        """What the strength means for the technique."""
        return TECHNIQUES[self.technique].levels[self.strength - 1] if self.strength else None

    def __str__(self) -> str:
        if self.level is None:
            return f"{self.network}, unchanged"
        return f"{self.network}, {TECHNIQUES[self.technique].says.format(self.level)}"


@dataclass(frozen=True)
class Point:
    """What `compute` found. `images`: how many judged the accuracy; `latency_s`: measured here.

    energy_j: of one image at 45 nm, multiply-adds in float32 and the file read from DRAM once.
    needed_bytes: the file and the peak of the activations; predicted_s: on the device.
    """

    settings: Settings
    accuracy: float
    images: int
    size_bytes: int
    macs: int
    latency_s: float
    energy_j: float
    needed_bytes: int
    fits: bool
    predicted_s: float

    def cost(self, axis: str) -> float:
        """What it costs on an axis of the plane."""
        value: float = getattr(self, AXES[axis][0])
        return value


class Subject:
    """Trained networks, the images they are tried on, and the measured ones beside them.

    rows: of `results.table("plane")`; those of `dataset` are drawn. May be empty. A network that
    is too slow for all images is tried on the first FEW of them.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        images: Split,
        rows: Iterable[Mapping[str, Any]] = (),
        dataset: str = "mnist",
    ) -> None:
        if not networks:
            raise ValueError("networks must hold at least one network, got none.")
        self.networks, self.labels = dict(networks), images.labels
        inputs = images.inputs()
        self.image = inputs[:1]
        self.batches = inputs.contiguous(memory_format=torch.channels_last).split(_BATCH)
        here = [row for row in rows if row["dataset"] == dataset]
        self.measured = _plane.Subject(here).models if here else ()
        self.built, self.judged = cache(self._built), cache(self._judged)
        self.counts = {name: self._count(name) for name in networks}

    def _built(self, network: str, technique: str, level: float | None) -> Built:
        return built(self.networks[network], self.image, technique, level)

    def _judged(self, network: str, technique: str, level: float | None) -> tuple[float, float]:
        """The accuracy, and the median seconds for one image, of one choice: measured once."""
        model = self.built(network, technique, level).model
        latency = measure.latency(model, self.image, warmup=3, repeats=15, threads=1)
        return self.accuracy(model, self.counts[network]), latency.median_s

    def _count(self, name: str) -> int:
        macs = cost.count(self.networks[name], self.image).macs * len(self.labels)
        return len(self.labels) if macs <= LIVE_MACS else min(FEW, len(self.labels))

    @torch.inference_mode()
    def accuracy(self, model: nn.Module, count: int) -> float:
        """Return the fraction of the first `count` images that `model` labels correctly."""
        batches = self.batches[: -(-count // _BATCH)]
        guesses = torch.cat([model(batch).argmax(dim=1) for batch in batches])[:count]
        return (guesses == self.labels[:count]).double().mean().item()

    def better(self, point: Point) -> int:
        """Return how many of the measured networks dominate the point on its axis."""
        axis, ours = point.settings.axis, (point.accuracy, point.cost(point.settings.axis))
        theirs = [(m.accuracy, c) for m in self.measured if (c := m.cost(axis)) is not None]
        return sum(t[0] >= ours[0] and t[1] <= ours[1] and t != ours for t in theirs)


def compute(subject: Subject, settings: Settings) -> Point:
    """Compress the network as `settings` say, run what its file gives back, take the time."""
    name = check_choice("network", settings.network, tuple(subject.networks))
    technique = UNCHANGED if settings.level is None else settings.technique
    made = subject.built(name, technique, settings.level)
    accuracy, latency_s = subject.judged(name, technique, settings.level)
    device = devices.device(settings.device)
    needed = made.size_bytes + made.peak_activation_bytes
    return Point(
        settings,
        accuracy=accuracy,
        images=subject.counts[name],
        size_bytes=made.size_bytes,
        macs=made.macs,
        latency_s=latency_s,
        energy_j=cost.energy_j(made.macs, made.size_bytes),
        needed_bytes=needed,
        fits=devices.fits(device, needed),
        predicted_s=devices.predicted_latency_s(device, made.macs),
    )


def workbench_table(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return one row per point: what it is, can do, costs, and needs on the device."""
    return [
        {
            "setting": str(point.settings),
            "accuracy": point.accuracy,
            "images": point.images,
            "size_bytes": point.size_bytes,
            "macs": point.macs,
            "latency_s": point.latency_s,
            "energy_j": point.energy_j,
            "device": point.settings.device,
            "needed_bytes": point.needed_bytes,
            "fits": point.fits,
            "predicted_s": point.predicted_s,
        }
        for point in points
    ]


def workbench_summary(subject: Subject, point: Point) -> str:
    """Say in a sentence or two what the point can do, where it fits, and who is better."""
    device, room = point.settings.device, "fits" if point.fits else "does not fit"
    better = subject.better(point)
    rank = (
        f"{better} of {len(subject.measured)} measured networks are no worse in accuracy and in "
        f"{point.settings.axis}."
    )
    return (
        f"{point.settings}: {point.accuracy:.2%} of {point.images:,} test images right, "
        f"{point.size_bytes:,} bytes, {point.macs:,} MACs, {1e6 * point.latency_s:.0f} µs here, "
        f"{1e6 * point.energy_j:.2f} µJ predicted. It {room} on {device} "
        f"({point.needed_bytes:,} bytes needed; {1e3 * point.predicted_s:.3g} ms predicted). "
        + (rank if subject.measured else "")
    ).strip()


def workbench_figure(subject: Subject, points: Sequence[Point]) -> Figure:
    """Draw all points, a trail, on the plane, and the last one beside its unchanged network."""
    if not points:
        raise ValueError("points must hold at least one result of compute, got none.")
    board = Board(subject.measured, points[-1].settings.axis)
    board.draw(points, _unchanged(subject, points[-1].settings))
    return board.figure


def workbench(subject: Subject, settings: Settings | None = None) -> VBox:
    """Return the explorer, for a notebook or as an app; it starts at `settings`.

    Every network of every technique is made before it opens; what runs live is its evaluation.
    """
    import ipywidgets as widgets

    first = settings or Settings(next(iter(subject.networks)))
    for name in subject.networks:
        _unchanged(subject, replace(first, network=name))
        for technique, how in TECHNIQUES.items():
            for level in how.levels:
                subject.built(name, technique, level)
    boards = {axis: Board(subject.measured, axis) for axis in AXES}
    for board in boards.values():  # the first drawing is slower than a slider
        board.picture.png()
    trail: list[Point] = []

    def draw(**values: Any) -> tuple[Picture, str]:
        trail.append(compute(subject, replace(first, **values)))
        board = boards[trail[-1].settings.axis]
        board.draw(trail, _unchanged(subject, trail[-1].settings))
        return board.picture, workbench_summary(subject, trail[-1])

    def choice(options: Iterable[str], value: str, description: str) -> Any:
        return widgets.Dropdown(
            options=tuple(options), value=value, description=description, **WIDE
        )

    names = [device.name for device in devices.all_devices()]
    controls = {
        "network": choice(subject.networks, first.network, "network"),
        "technique": choice(TECHNIQUES, first.technique, "technique"),
        "strength": widgets.IntSlider(
            first.strength, 0, STRENGTHS, description="strength (0: unchanged)", **WIDE
        ),
        "device": choice(names, first.device, "device"),
        "axis": choice(AXES, first.axis, "cost on the plane"),
    }
    return explorer(controls, draw, start_over=trail.clear)


def _unchanged(subject: Subject, settings: Settings) -> Point:
    return compute(subject, replace(settings, strength=0))
