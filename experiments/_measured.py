"""What a pruned network costs: bytes of its file, operations, and time on this processor."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import cost, measure, prune
from experiments import _channels
from experiments._nets import Subject, channels_last, through_file
from experiments.runner import Row

BATCH = 256  # less, and the time of the small network is that of launching its layers


def measured(about: Subject, model: nn.Module) -> Row:
    """Everything about a pruned network."""
    row, read = read_back(about, model)
    return row | times(about, {"": read}, passes=1)[""]


def read_back(about: Subject, model: nn.Module) -> tuple[Row, nn.Module]:
    """What comes back from a file of non-zeros: its accuracy, bytes and counts."""
    read, size = through_file(model, ["sparse"])
    return about.scores(read) | {"size_bytes": size} | _counts(about, read), read


def times(about: Subject, models: Mapping[Any, nn.Module], passes: int) -> dict[Any, Row]:
    """Median and interquartile range per model; all take turns, in another order each pass."""
    rng, found = random.Random(0), {name: Row() for name in models}
    for prefix, batch in (("", BATCH), ("single_", 1)):
        inputs = about.dataset.train.inputs(slice(0, batch))
        wall: dict[Any, list[float]] = {name: [] for name in models}
        cpu: dict[Any, list[float]] = {name: [] for name in models}
        for _ in range(passes):
            for name in rng.sample(list(models), len(models)):
                clocks = _clocks(channels_last(models[name]), inputs)
                wall[name] += clocks[0]
                cpu[name] += clocks[1]
        for name, row in found.items():
            row[f"{prefix}batch"] = batch
            for kind, seconds in (("latency", wall[name]), ("cpu", cpu[name])):
                low, median, high = (1e3 * np.percentile(seconds, [25, 50, 75])).tolist()
                row[f"{prefix}{kind}_ms"] = median
                row[f"{prefix}{kind}_iqr_ms"] = high - low
    return found


def _clocks(model: nn.Module, inputs: Tensor) -> tuple[list[float], list[float]]:
    """Seconds per call by the clock on the wall, and of the processor's time."""
    cpu: list[float] = []

    def call(inputs: Tensor) -> None:
        begin = time.process_time()
        model(inputs)
        cpu.append(time.process_time() - begin)

    with torch.inference_mode():
        latency = measure.latency(call, inputs, warmup=5, repeats=20, threads=1)
    return list(latency.samples_s), cpu[5:]


def _counts(about: Subject, model: nn.Module) -> Row:
    """`nonzero_macs` are those that a kernel would need that skips every zero weight."""
    counted = cost.count(model, about.example)
    kept = {name: int((w != 0).sum()) for name, w in prune.prunable_weights(model).items()}
    density = {
        name.removesuffix(".weight"): kept[name] / w.numel()
        for name, w in prune.prunable_weights(model).items()
    }
    return {
        "macs": counted.macs,
        "nonzero_macs": round(sum(la.macs * density.get(la.name, 1) for la in counted.layers)),
        "params": counted.params,
        "nonzero_weights": sum(kept.values()),
        "weight_sparsity": 1 - sum(kept.values()) / _channels.weights(about.model),
    }
