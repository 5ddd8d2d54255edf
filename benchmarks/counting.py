"""Count multiply-adds: course_lib.cost beside fvcore, torchinfo and ptflops.

The truth is torchvision's published column, which course_lib's tests hold to its last digit. Every
counter gets the same built model, so that building is in nobody's time: once with weights on the
CPU, as the peers document their use, and once moved to the meta device, which course_lib goes to
by itself and on which some of the peers run as well. There they need not multiply anything.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from benchmarks.report import Row, Table
from benchmarks.timing import seconds
from course_lib.cost import count

Counter = Callable[[nn.Module, int], int]  # model, side of the image -> MACs
Counts = Mapping[str, float]

OURS = "course_lib"
HOMES = {"cpu": "Weights on the CPU", "meta": "On the meta device"}
TOLERANCE = 0.005  # of the published number, beyond its rounding
ROUNDING = 0.0005e9  # torchvision publishes thousandths of 10^9

QUICK: dict[str, Any] = {
    "names": (
        "alexnet", "densenet121", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "swin_t",
        "vgg11", "vit_b_16",
    ),
    "rounds": 3,
}  # fmt: skip
FULL: dict[str, Any] = {"names": None, "rounds": 3}


@dataclass
class Tally:
    """What one counter did, by model: seconds per round, relative error, or why it failed."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def wrong(self) -> list[str]:
        return [name for name, error in self.errors.items() if abs(error) > TOLERANCE]

    def totals(self, names: Sequence[str]) -> tuple[float, ...]:
        """Seconds for these models together, one sum per round."""
        return tuple(map(sum, zip(*(self.seconds[name] for name in names), strict=True)))


def measure(names: Sequence[str] | None, rounds: int) -> Table:
    """Count torchvision's classification models `names` (None: all) with every counter."""
    from torchvision import models

    names = tuple(names or models.list_models(module=models))
    counters, missing = _counters()
    tallies = {home: {subject: Tally() for subject in counters} for home in HOMES}
    with torch.no_grad():  # imports and first calls are in nobody's time
        model, warm_up = _built(names[0]), {subject: Tally() for subject in counters}
        _count(model, names[0], *_published(names[0]), counters, warm_up, rounds=1)
    for name in tqdm(names, desc="counting", leave=False):
        side, published = _published(name)
        model = _built(name)
        for home in HOMES:
            with torch.no_grad():
                _count(model.to(home), name, side, published, counters, tallies[home], rounds)
    rows = [row for home in HOMES for row in _rows(home, names, tallies[home], missing)]
    return Table(
        name="counting",
        title=f"Counting {len(names)} classification models of torchvision",
        method="Batch 1, at the smallest input size for which torchvision publishes a cost. Time "
        "is for all models\nthat the counter could count, and the ratio is to course_lib on the "
        "same models. Error: of the MACs, beyond\nthe rounding of "
        "the published number; above 0.5 % it is wrong. Building the models is in no time.",
        rows=tuple(rows),
        reading=_reading(rows),
    )


def _count(
    model: nn.Module,
    name: str,
    side: int,
    published: float,
    counters: Mapping[str, Counter],
    tallies: Mapping[str, Tally],
    rounds: int,
) -> None:
    """Let the counters count one model in turns; who fails once is out for this model."""
    for _ in range(rounds):
        for subject, counter in counters.items():
            tally, macs = tallies[subject], 0
            if name in tally.failures:
                continue

            def call(counter: Counter = counter) -> None:
                nonlocal macs
                macs = counter(model, side)

            try:
                duration = seconds(call)
            except Exception as error:  # whatever a peer dislikes is a finding
                tally.failures[name] = f"{type(error).__name__}: {error}".splitlines()[0]
                tally.seconds.pop(name, None)
                tally.errors.pop(name, None)
            else:
                tally.seconds.setdefault(name, []).append(duration)
                tally.errors[name] = _error(macs, published)


def _error(macs: int, published: float) -> float:
    """Signed relative error; a difference that rounding explains is none."""
    difference = macs - published
    beyond = max(0.0, abs(difference) - ROUNDING)
    return math.copysign(beyond / published, difference)


def _rows(
    home: str, names: Sequence[str], tallies: Mapping[str, Tally], missing: Mapping[str, str]
) -> list[Row]:
    rows = []
    for subject, tally in tallies.items():
        counted = [name for name in names if name in tally.seconds]
        worst = max(tally.wrong, key=lambda name: abs(tally.errors[name]), default=None)
        extra = {
            "counted": len(counted),
            "wrong": len(tally.wrong),
            "fails": len(tally.failures),
            "worst error %": 100 * tally.errors[worst] if worst else None,
            "on": worst or "-",
        }
        first = next(iter(tally.failures.items()), None)
        note = f"{first[0]}: {first[1]:.70}" if first else ""
        reference = tallies[OURS].totals(counted) if counted else ()
        times = tally.totals(counted) if counted else ()
        rows.append(Row(HOMES[home], subject, times, OURS, reference, extra, note))
    return rows + [Row(HOMES[home], name, note=reason) for name, reason in missing.items()]


def _reading(rows: Sequence[Row]) -> str:
    sentences = []
    for case in HOMES.values():
        said = []
        for row in rows:
            if row.case != case:
                continue
            if row.subject == OURS and row.time:
                what = f"{row.time.median:.3g} s"
            elif row.ratio:
                what = f"{row.ratio.median:.3g} times as long"
            else:
                said.append(f"{row.subject} counts none")
                continue
            counted = f"{row.extra['counted']} models"
            said.append(f"{row.subject} takes {what}, wrong on {row.extra['wrong']} of {counted}")
        sentences.append(f"{case}: {'; '.join(said)}.")
    return "Reading. " + " ".join(sentences)


def _published(name: str) -> tuple[int, float]:
    """The smallest input side with a published cost, and that cost in MACs."""
    from torchvision import models

    weights = models.get_model_weights(name)
    sides = {entry.transforms().crop_size[0]: entry.meta["_ops"] * 1e9 for entry in weights}
    return min(sides), sides[min(sides)]


def _built(name: str) -> nn.Module:
    from torchvision import models

    # These two compute good random weights for minutes, unless told that none are needed.
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return models.get_model(name, weights=None, **options).eval()


def _counters() -> tuple[dict[str, Counter], dict[str, str]]:
    """The counters that are installed, and why the others are missing."""
    counters: dict[str, Counter] = {OURS: lambda m, side: count(m, (1, 3, side, side)).macs}
    missing = {}
    for subject, (package, counter) in PEERS.items():
        try:
            importlib.import_module(package)
        except ImportError as error:
            missing[subject] = f"not measured: {error}; install the extra `bench`"
        else:
            counters[subject] = counter
    return counters, missing


def _image(model: nn.Module, side: int) -> torch.Tensor:
    return torch.zeros(1, 3, side, side, device=next(model.parameters()).device)


def _fvcore(model: nn.Module, side: int) -> int:
    from fvcore.nn import FlopCountAnalysis

    logging.getLogger("fvcore").setLevel(logging.ERROR)
    analysis = FlopCountAnalysis(model, _image(model, side)).tracer_warnings("none")
    return int(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())


def _torchinfo(model: nn.Module, side: int) -> int:
    from torchinfo import summary

    image = _image(model, side)
    return int(summary(model, input_data=image, device=image.device, verbose=0).total_mult_adds)


def _ptflops(backend: str) -> Counter:
    def counter(model: nn.Module, side: int) -> int:
        from ptflops import get_model_complexity_info

        with contextlib.redirect_stdout(io.StringIO()) as said:
            macs, _ = get_model_complexity_info(
                model, (3, side, side), print_per_layer_stat=False, as_strings=False,
                backend=backend,
            )  # fmt: skip
        if macs is None:  # how it reports that it could not run the model
            raise RuntimeError(said.getvalue().strip())
        return int(macs)

    return counter


PEERS: dict[str, tuple[str, Counter]] = {
    "fvcore": ("fvcore.nn", _fvcore),
    "torchinfo": ("torchinfo", _torchinfo),
    "ptflops pytorch": ("ptflops", _ptflops("pytorch")),
    "ptflops aten": ("ptflops", _ptflops("aten")),
}
