"""What the tables of many small trainings share: seeds, files that are read back, fair timing."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import codec, measure

SEEDS = (0, 1, 2)
TECHNIQUES = ("half", "sparse", "codebook", "huffman")


def built(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """The network that `build` makes with the random weights of `seed`."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = build()
    # Trains faster. (PyTorch's stubs lack this form of `to`.)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def through_file(
    model: nn.Module, techniques: Collection[str] = TECHNIQUES
) -> tuple[nn.Module, int]:
    """The model as it comes back from a file, and the bytes of that file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        codec.save(model, path, techniques=techniques)
        return codec.load(path, model).eval(), path.stat().st_size


@dataclass(frozen=True)
class Timing:
    """Quartiles of the time of one call, in seconds."""

    median_s: float
    q1_s: float
    q3_s: float


def interleaved_latency(
    models: Mapping[str, nn.Module],
    inputs: Mapping[str, Tensor],
    rounds: int = 20,
    calls: int = 5,
) -> dict[str, Timing]:
    """Time all models in turn, many times over, on one thread.

    A machine is now faster and now slower. Whoever times one model after the other takes that
    for a difference between models; here it reaches all of them alike. Every round goes through
    them in another order and gives each 2 calls that do not count and `calls` that do.
    """
    order, rng = list(models), random.Random(0)
    samples: dict[str, list[float]] = {name: [] for name in order}
    for _ in range(rounds):
        rng.shuffle(order)
        for name in order:
            timed = measure.latency(models[name], inputs[name], warmup=2, repeats=calls)
            samples[name] += timed.samples_s
    return {name: _timing(samples[name]) for name in models}


def _timing(samples: Sequence[float]) -> Timing:
    q1, median, q3 = np.percentile(samples, [25, 50, 75]).tolist()
    return Timing(median, q1, q3)
