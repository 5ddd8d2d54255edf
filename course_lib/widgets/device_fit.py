"""Explorer: which devices hold a model, and what one batch would cost there.

Model, bits per weight, sparsity and batch size are chosen with sliders; memory, latency and energy
are what `course_lib.devices` predicts, next to the latency measured on this machine. The widget
redraws one figure in place, so that it answers while a slider moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from course_lib import devices, models, plot
from course_lib._validate import check_int, check_number
from course_lib.cost import ModelCost, count, energy_j

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

    from course_lib.measure import Latency

BITS = (32, 16, 8, 4, 2, 1)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
COURSE_INPUTS = {  # one input of each network of the course, batch included
    "lenet_300_100": (1, 1, 28, 28),
    "lenet_5": (1, 1, 28, 28),
    "resnet20": (1, 3, 32, 32),
    "mobilenet_v1": (1, 3, 224, 224),
}
DEFAULT_MODELS = (*COURSE_INPUTS, "mobilenet_v2", "resnet50", "vgg16")
HERE = "this machine"
_DPI = 100  # a compromise: sharp enough to read, small enough to send at every step of a slider
_KIB = 1024


def count_models(names: Iterable[str] = DEFAULT_MODELS) -> dict[str, ModelCost]:
    """Count one forward pass of each named network of this course or of torchvision.

    torchvision's run on one image of 224 x 224 pixels. ValueError for a name that neither knows.
    """
    from torchvision.models import get_model

    costs = {}
    for name in names:
        build: Callable[..., Any] = models.by_name if name in COURSE_INPUTS else get_model
        shape = COURSE_INPUTS.get(name, (1, 3, 224, 224))
        costs[name] = count(partial(build, name), shape)
    return costs


def device_fit_table(
    cost: ModelCost,
    *,
    bits: int = 32,
    sparsity: float = 0.0,
    batch: int = 1,
    measured_s: float | None = None,
) -> list[dict[str, Any]]:
    """Return one row per published device, and a last one for the machine that runs this.

    A row holds device, memory_bytes, needed_bytes, fits, latency_s and energy_j of one batch of
    the model that `cost` was counted on with batch 1. Activations are stored with `bits` bits too,
    but not below 8. `measured_s` is the latency measured here with 32-bit weights; without it the
    last row's latency is None. Raises as `devices.verdicts` does.
    """
    import psutil

    found = devices.verdicts(cost, **_assumptions(bits), sparsity=sparsity, batch=batch)
    rows = [
        {
            "device": verdict.device.name,
            "memory_bytes": verdict.device.memory_bytes,
            "needed_bytes": verdict.needed_bytes,
            "fits": verdict.fits,
            "latency_s": verdict.latency_s,
            "energy_j": verdict.energy_j,
        }
        for verdict in found
    ]
    memory, needed = psutil.virtual_memory().total, rows[0]["needed_bytes"]
    here = {"device": HERE, "memory_bytes": memory, "needed_bytes": needed}
    if measured_s is not None:
        check_number("measured_s", measured_s, minimum=0.0)
    return [*rows, here | {"fits": needed <= memory, "latency_s": measured_s, "energy_j": None}]


def device_fit_energy(
    cost: ModelCost, *, bits: int = 32, sparsity: float = 0.0, batch: int = 1
) -> tuple[float, float]:
    """Return joules per input for the arithmetic, and for fetching the weights from DRAM.

    The weights are fetched once per batch, so a batch shares that part among its inputs.
    """
    assumed = _assumptions(bits)
    weights = devices.stored_weight_bytes(cost.params, bits=bits, sparsity=sparsity)
    arithmetic = energy_j(cost.macs, precision=assumed["precision"])
    return arithmetic, energy_j(0, weights) / check_int("batch", batch)


def device_fit_figure(
    cost: ModelCost,
    *,
    title: str = "",
    bits: int = 32,
    sparsity: float = 0.0,
    batch: int = 1,
    measured_s: float | None = None,
) -> Figure:
    """Draw `device_fit_table`: memory, latency, and where the energy goes."""
    board = _Board()
    board.draw(cost, title, bits=bits, sparsity=sparsity, batch=batch, measured_s=measured_s)
    return board.figure


def device_fit_summary(rows: list[dict[str, Any]]) -> str:
    """Say in a sentence which of the devices in `device_fit_table`'s rows hold the model."""
    holding = [row["device"] for row in rows if row["fits"] and row["device"] != HERE]
    needed = _bytes_text(rows[0]["needed_bytes"])
    if not holding:
        return f"{needed} are needed: more than any of the devices has."
    return f"{needed} are needed; there is room on {', '.join(holding)}."


def device_fit(
    costs: Mapping[str, ModelCost] | None = None,
    measured: Mapping[str, Mapping[int, Latency]] | None = None,
) -> VBox:
    """Return the explorer for a notebook.

    costs: the models to choose from, each counted with batch 1; by default `count_models()`.
    measured: for a model's name, what `measure.latency_by_batch` returned on this machine; its
        latency is marked at the batch sizes that were measured.
    """
    import ipywidgets as widgets

    costs = count_models() if costs is None else costs
    if not costs:
        raise ValueError("costs must hold at least one model, got none.")
    measured = measured or {}
    wide = {"style": {"description_width": "12em"}, "layout": {"width": "34em"}}
    model = widgets.Dropdown(options=list(costs), description="model", **wide)
    bits = widgets.SelectionSlider(options=BITS, description="bits per weight", **wide)
    sparsity = widgets.FloatSlider(
        max=0.95, step=0.05, readout_format=".0%", description="zeros among weights", **wide
    )
    batch = widgets.SelectionSlider(options=BATCHES, description="batch [inputs]", **wide)
    reset = widgets.Button(description="Reset", tooltip="Put every control back to where it began")
    page = widgets.HTML()
    controls = (model, bits, sparsity, batch)
    start = [control.value for control in controls]
    board = _Board()

    def redraw(_: object = None) -> None:
        here = measured.get(model.value, {}).get(batch.value)
        settings = {"bits": bits.value, "sparsity": sparsity.value, "batch": batch.value}
        latency = here.median_s if here else None
        rows = board.draw(costs[model.value], model.value, measured_s=latency, **settings)
        summary = device_fit_summary(rows)
        picture = plot.figure_html(board.figure, f"{model.value}: {summary}", dpi=_DPI)
        page.value = f'<p role="status">{summary}</p>{picture}'

    def put_back(_: object) -> None:
        for control in controls:
            control.unobserve(redraw, "value")
        for control, value in zip(controls, start, strict=True):
            control.value = value
        for control in controls:
            control.observe(redraw, "value")
        redraw()

    for control in controls:
        control.observe(redraw, "value")
    reset.on_click(put_back)
    redraw()
    return widgets.VBox([*controls, reset, page])


class _Board:
    """One figure whose artists move: making a new figure for every step would be too slow."""

    def __init__(self) -> None:
        from matplotlib.figure import Figure

        # Outside of plot.style, which would fit the margins anew at every step: that is slow.
        self.figure = Figure(figsize=(9.0, 4.6))
        with plot.style():
            panels = self.figure.subplot_mosaic(
                [["memory", "latency"], ["energy", "energy"]],
                height_ratios=(7, 1),
                gridspec_kw={"hspace": 0.7, "wspace": 0.06},
            )
        self.figure.subplots_adjust(left=0.16, right=0.965, top=0.86, bottom=0.12)
        names = [device.name for device in devices.all_devices()] + [HERE]
        self._memory, self._latency, self._energy = panels.values()
        self._start_memory(names)
        self._start_latency()
        self._start_energy()

    def draw(self, cost: ModelCost, title: str, **settings: Any) -> list[dict[str, Any]]:
        """Move the artists to where `settings` put them; return the rows that they show."""
        rows = device_fit_table(cost, **settings)
        self.figure.suptitle(title, x=0.02, ha="left")
        self._draw_memory(rows)
        self._draw_latency(rows)
        energy = {key: value for key, value in settings.items() if key != "measured_s"}
        self._draw_energy(*device_fit_energy(cost, **energy))
        return rows

    def _start_memory(self, names: list[str]) -> None:
        ticks = [_KIB * 32**power for power in range(1, 6)]
        axes, places = self._memory, range(len(names))
        axes.set(xscale="log", xlim=(4 * _KIB, _KIB**4), yticks=places, yticklabels=names)
        axes.set_xticks(ticks, [_bytes_text(tick) for tick in ticks])
        axes.minorticks_off()
        axes.grid(visible=False, axis="y")
        self._bars = axes.barh(places, [_KIB] * len(names), edgecolor="black", linewidth=0.5)
        self._words = [axes.text(5 * _KIB, place, "", va="center") for place in places]
        (self._needed,) = axes.plot([_KIB, _KIB], [-0.6, len(names) - 0.4], color="black")

    def _draw_memory(self, rows: list[dict[str, Any]]) -> None:
        needed = rows[0]["needed_bytes"]
        self._needed.set_xdata([needed, needed])
        self._memory.set_title(f"memory: {_bytes_text(needed)} needed (line)", fontsize=10, y=1.0)
        for bar, word, row in zip(self._bars, self._words, rows, strict=True):
            bar.set_width(row["memory_bytes"])
            bar.set_facecolor(plot.PALETTE["sky blue"] if row["fits"] else "white")
            word.set_text("fits" if row["fits"] else "too small")

    def _start_latency(self) -> None:
        axes = self._latency
        marks: dict[str, Any] = {"linestyle": "none", "markersize": 8}
        axes.set(xscale="log", xlim=(1e-6, 1e6), ylim=self._memory.get_ylim())
        axes.set_yticks([])
        axes.set_xticks([1e-6, 1e-3, 1, 1e3, 1e6], ["1 µs", "1 ms", "1 s", "17 min", "12 days"])
        axes.minorticks_off()
        blue = plot.PALETTE["blue"]
        (self._holding,) = axes.plot([], [], "o", color=blue, label="predicted", **marks)
        (self._lacking,) = axes.plot(
            [], [], "o", color=blue, fillstyle="none", label="if there were room", **marks
        )
        (self._measured,) = axes.plot(
            [], [], "*", color=plot.PALETTE["vermillion"], label="measured, 32 bits", **marks
        )
        below: dict[str, Any] = {
            "loc": "center right",
            "bbox_to_anchor": (0.975, 0.29),
            "frameon": False,
        }
        self.figure.legend(*axes.get_legend_handles_labels(), ncols=3, fontsize=9, **below)

    def _draw_latency(self, rows: list[dict[str, Any]]) -> None:
        for marks, fits in ((self._holding, True), (self._lacking, False)):
            shown = [i for i, row in enumerate(rows[:-1]) if row["fits"] is fits]
            marks.set_data([rows[i]["latency_s"] for i in shown], shown)
        here = rows[-1]["latency_s"]
        self._measured.set_data([[here], [len(rows) - 1]] if here else [[], []])
        text = f", {_text(here, 's')} measured here" if here else ""
        self._latency.set_title(f"latency of a batch{text}", fontsize=10, y=1.0)

    def _start_energy(self) -> None:
        axes = self._energy
        axes.set(xlim=(0, 1), ylim=(-0.5, 0.5), xticks=[], yticks=[])
        (self._arithmetic,) = axes.barh([0], [1], height=0.9, color=plot.PALETTE["blue"])
        (self._fetching,) = axes.barh([0], [0], height=0.9, color=plot.PALETTE["orange"])

    def _draw_energy(self, arithmetic: float, fetching: float) -> None:
        total = arithmetic + fetching
        share = arithmetic / total if total else 0.0
        self._arithmetic.set_width(share)
        self._fetching.set(x=share, width=1 - share)
        self._energy.set_title(
            f"energy per input: {_text(arithmetic, 'J')} to multiply and add (left), "
            f"{_text(fetching, 'J')} to fetch the weights (right)",
            fontsize=10,
            y=1.0,
        )


def _assumptions(bits: int) -> dict[str, Any]:
    """What `devices` is told about activations and arithmetic beside weights of `bits` bits."""
    bits = check_int("bits", bits, maximum=32)
    precision = "fp32" if bits > 16 else "fp16" if bits > 8 else "int8"
    return {"bits": bits, "activation_bits": max(8, bits), "precision": precision}


def _bytes_text(size_bytes: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if size_bytes < _KIB:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= _KIB
    return f"{size_bytes:.3g} TB"


def _text(value: float, unit: str) -> str:
    from matplotlib.ticker import EngFormatter

    return EngFormatter(unit, places=1)(value)
