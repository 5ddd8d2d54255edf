"""How long the explorers of the course take to answer when a control moves.

Every explorer runs as in its notebook, on the trained networks of the course and on as many
images as the test split holds (from the training split: nothing is judged here). A move gives one
control another value; what it takes is computing the new point and drawing the page, without the
way to the browser. Opening an explorer, and its first picture, do not count. Answers that an
explorer remembers are part of how it feels, so that values may come back.
"""

from __future__ import annotations

import importlib
import pkgutil
import random
import time
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch import nn

from benchmarks.report import Cell, Row, Table
from course_lib import data, models, prune, results
from course_lib import widgets as package
from course_lib.attention import GPT

if TYPE_CHECKING:
    from ipywidgets import VBox

IMAGES = 10_000
LIMIT_MS = 150.0
ALL = "all controls"

QUICK: dict[str, Any] = {"names": ("temperature", "plane", "rank"), "moves": 3}
FULL: dict[str, Any] = {"names": None, "moves": 30}


def measure(names: Sequence[str] | None, moves: int) -> Table:
    """Move every control of the named explorers (None: of all) `moves` times."""
    rows: list[Row] = []
    for name in EXPLORERS if names is None else names:
        rows += _explore(name, EXPLORERS[name](), moves)
    whole = [row for row in rows if row.subject == ALL]
    slow = {
        clock: [row.case for row in whole if cast(float, row.extra[f"{clock} p95 ms"]) > LIMIT_MS]
        for clock in ("wall", "CPU")
    }
    said = ", ".join(
        f"{len(whole) - len(late)} of {len(whole)} by the {clock} clock"
        + (f" (not {', '.join(late)})" if late else "")
        for clock, late in slow.items()
    )
    last = max(whole, key=_p95)
    return Table(
        name="widgets",
        title="How long an explorer takes to answer a control",
        method="Seconds from the move to the finished page, by the wall and of the processor; p50 "
        "and p95: the\nmedian and the 95th percentile of the moves. There is no rival: ratios are "
        "those of a row to itself.",
        rows=tuple(rows),
        reading=f"Reading: within {LIMIT_MS:g} ms answer 95 % of the moves of {said}; the clocks "
        "differ by what else the machine does. The slowest is "
        f"{last.case} with a 95th percentile of {_p95(last):.0f} ms.",
    )


def _p95(row: Row) -> float:
    return float(np.percentile(row.samples_s, 95)) * 1e3


def _explore(name: str, widget: VBox, moves: int) -> list[Row]:
    """One row per control and one for all moves of them."""
    rng = random.Random(0)
    controls = {
        control.description: control
        for control in widget.children[:-2]  # then: reset button, page
        if other_values(control, rng)
    }
    wall: dict[str, list[float]] = {text: [] for text in controls}
    cpu: dict[str, list[float]] = {text: [] for text in controls}
    for _ in range(moves):
        for text in rng.sample(list(controls), len(controls)):
            value = rng.choice(other_values(controls[text], rng))
            begin, begin_cpu = time.perf_counter(), time.process_time()
            controls[text].value = value
            wall[text].append(time.perf_counter() - begin)
            cpu[text].append(time.process_time() - begin_cpu)
    for clock in (wall, cpu):
        clock[ALL] = list(chain.from_iterable(clock.values()))
    return [_row(name, text, wall[text], cpu[text]) for text in wall]


def _row(name: str, text: str, wall: Sequence[float], cpu: Sequence[float]) -> Row:
    extra: dict[str, Cell] = {}
    for clock, seconds in (("wall", wall), ("CPU", cpu)):
        for percent in (50, 95):
            extra[f"{clock} p{percent} ms"] = float(np.percentile(seconds, percent)) * 1e3
    extra[f"p95 <= {LIMIT_MS:g} ms"] = float(np.percentile(wall, 95)) * 1e3 <= LIMIT_MS
    return Row(name, text, tuple(wall), text, tuple(wall), extra)


def other_values(control: Any, rng: random.Random) -> list[Any]:
    """Values that the control can take and does not have; TypeError for an unknown control."""
    import ipywidgets as kinds

    if isinstance(control, kinds.Checkbox):
        values: list[Any] = [True, False]
    elif isinstance(control, kinds.Text):
        values = [control.value + letter for letter in "abcdefgh "]
    elif isinstance(control, kinds.SelectMultiple):
        options = _options(control)
        values = [tuple(rng.sample(options, k + 1)) for k in range(len(options))]
    elif hasattr(control, "options"):
        values = _options(control)
    elif isinstance(control, kinds.FloatLogSlider):
        steps = round((control.max - control.min) / control.step)
        values = [control.base ** (control.min + i * control.step) for i in range(steps + 1)]
    elif isinstance(control, kinds.IntSlider | kinds.FloatSlider):
        steps = round((control.max - control.min) / control.step)
        values = [control.min + i * control.step for i in range(steps + 1)]
    else:
        raise TypeError(f"control must be one of the known kinds, got {type(control).__name__}.")
    return [value for value in values if value != control.value]


def _options(control: Any) -> list[Any]:
    """The values behind what a list of choices shows."""
    pairs = [o if isinstance(o, tuple) and len(o) == 2 else (o, o) for o in control.options]
    return [value for _, value in pairs]


# The explorers as their notebooks open them


@cache
def _images() -> data.Split:
    return data.load("mnist").train.head(IMAGES)


@cache
def _lenet() -> nn.Module:
    return models.pretrained("lenet_300_100")


def _device_fit() -> VBox:
    from course_lib.widgets import device_fit

    return device_fit.device_fit()


def _quantization_bins() -> VBox:
    from course_lib.widgets import quantization_bins as explorer

    return explorer.quantization_bins(explorer.Subject(_lenet(), _images()))


def _pruning() -> VBox:
    from course_lib.widgets import pruning as explorer

    scored = data.load("mnist").train.head(256)
    return explorer.pruning(explorer.Subject(_lenet(), _images(), scored))


def _file_size() -> VBox:
    from course_lib.widgets import file_size as explorer

    networks = {s: prune.prune_model(_lenet(), s).model for s in (0.0, 0.5, 0.8, 0.9, 0.95)}
    return explorer.file_size(explorer.Subject(networks, _images(), paper="LeNet-300-100"))


def _temperature() -> VBox:
    from course_lib.widgets import temperature as explorer

    student = models.mlp((30,))
    return explorer.temperature(explorer.Subject(_lenet(), student, _images().head(40)))


def _scaling() -> VBox:
    from course_lib.widgets import scaling as explorer

    known = "width_resolution" in results.names()
    return explorer.scaling(
        explorer.Subject(results.table("width_resolution").rows if known else ())
    )


def _rank() -> VBox:
    from course_lib.widgets import rank as explorer

    return explorer.rank(explorer.Subject(_lenet(), _images()))


def _search_race() -> VBox:
    from course_lib.widgets import search_race as explorer

    return explorer.search_race(explorer.Subject())


def _attention() -> VBox:
    from course_lib.widgets import attention as explorer

    return explorer.attention(explorer.Subject(cast(GPT, models.pretrained("gpt"))))


def _engines() -> VBox:
    from course_lib.widgets import engines as explorer

    samples = {"lenet_300_100": _images().inputs(slice(64))}
    return explorer.engines(explorer.measured() or explorer.live(samples, repeats=3))


def _plane() -> VBox:
    from course_lib.widgets import plane as explorer

    return explorer.plane(explorer.Subject(results.table("plane").rows))


def _workbench() -> VBox:
    from course_lib.widgets import workbench as explorer

    networks = {name: models.pretrained(name) for name in ("lenet_300_100", "lenet_5")}
    rows = results.table("plane").rows
    return explorer.workbench(explorer.Subject(networks, _images(), rows))


EXPLORERS: dict[str, Callable[[], VBox]] = {
    "device_fit": _device_fit,
    "quantization_bins": _quantization_bins,
    "pruning": _pruning,
    "file_size": _file_size,
    "temperature": _temperature,
    "scaling": _scaling,
    "rank": _rank,
    "search_race": _search_race,
    "attention": _attention,
    "engines": _engines,
    "plane": _plane,
    "workbench": _workbench,
}


def explorers_there_are() -> set[str]:
    """The modules of course_lib.widgets that hold an explorer: a function of their own name."""
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    public = [name for name in names if not name.startswith("_")]
    modules = {name: importlib.import_module(f"course_lib.widgets.{name}") for name in public}
    return {name for name, module in modules.items() if hasattr(module, name)}
