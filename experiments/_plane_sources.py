"""What each table of results/ contributes to the plane: its rows, brought to the same columns.

A run is one training and what followed from it, judged on the test split: a mark on the plane is
the mean of the runs that differ by their seed alone. Rows that lack accuracy, bytes or MACs, such
as those of a contestant that found no room, are no runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from course_lib.results import Table
from experiments.runner import Row

TECHNIQUES = (
    "dense",
    "baseline",
    "quantization",
    "pruning",
    "deep compression",
    "distillation",
    "architecture",
    "low rank",
    "engine",
)
Tables = Mapping[str, Table]
Label = tuple[str, str, str]  # technique, network, setting
ALL_TEST_IMAGES = 10_000  # of MNIST and of CIFAR-10
SAME_FUNCTION = 1e-3  # largest difference of logits that rounding explains


@dataclass(frozen=True)
class Run:
    """One judged network. `latency_s`: one image, one thread of a CPU, eager unless it says so."""

    dataset: str
    technique: str
    network: str
    setting: str
    table: str
    seed: int
    accuracy: float
    validation_accuracy: float | None
    size_bytes: int
    macs: int
    latency_s: float | None


def runs(tables: Tables) -> Iterator[Run]:
    """All runs of the tables that are there, in the order of SOURCES."""
    for name, label in SOURCES.items():
        for row in tables[name].rows if name in tables else ():
            found = label(dict(row))
            if found is not None:
                yield from _run(name, dict(row), found)
    if "engines" in tables and "checkpoints" in tables:
        yield from _engines(tables["engines"], tables["checkpoints"])


def _run(name: str, row: Row, label: Label) -> Iterator[Run]:
    accuracy = _accuracy(row, "test")
    if accuracy is None or not row["size_bytes"] or not row["macs"]:
        return
    latency_ms = row.get("single_latency_ms")
    yield Run(
        _dataset(row),
        *label,
        name,
        row["seed"],
        accuracy,
        _accuracy(row, "validation"),
        row["size_bytes"],
        row["macs"],
        row.get("latency_s") if latency_ms is None else latency_ms / 1e3,
    )


def _accuracy(row: Row, split: str) -> float | None:
    """The accuracy as a fraction, whatever the table calls it."""
    percent = row.get(f"{split}_error_percent")
    if percent is not None:
        return 1 - percent / 100
    names = (f"{split}_accuracy", *(("accuracy", "value") if split == "test" else ()))
    return next((row[name] for name in names if row.get(name) is not None), None)


def _dataset(row: Row) -> str:
    """The data set, and how much of its test split was used if that was not all."""
    name = str(row.get("dataset") or "mnist")
    images = row.get("test_images") or row.get("test_images_count") or ALL_TEST_IMAGES
    return name if images == ALL_TEST_IMAGES else f"{name}, {images:,} test images"


def _checkpoint(row: Row) -> Label | None:
    if row["metric"] != "test_accuracy":
        return None
    kind = "architecture" if str(row["builder"]).startswith("mobilenet") else "dense"
    return kind, row["name"], "checkpoint"


def _deep_compression(row: Row) -> Label:
    stage = str(row["stage"])
    if stage.startswith("dense"):
        return "dense", row["network"], stage
    kind = "pruning" if stage == "prune" else "deep compression"
    return kind, row["network"], f"{row['kept']:,} weights, {stage}"


def _compression_order(row: Row) -> Label:
    if row["order"] == "dense":
        return "dense", "lenet_300_100", "dense"
    how = f"{row['sparsity']:.0%} zeros, {row['bits']} bits, {row['retraining']} epochs each"
    return "deep compression", "lenet_300_100", f"{row['order']}: {how}"


def _distilled(row: Row) -> Label:
    if row["temperature"] is None:
        return "dense", str(row["model"]), str(row["training"])
    return "distillation", str(row["model"]), f"{row['training']}, T = {row['temperature']:g}"


def _ensemble(row: Row) -> Label:
    kind = "distillation" if str(row["training"]).startswith("distilled") else "dense"
    return kind, "2 x 100", str(row["training"])


def _temperature_bits(row: Row) -> Label:
    heat = "labels" if row["temperature"] is None else f"T = {row['temperature']:g}"
    network = f"2 x {row['hidden']}"
    if row["bits"] < 32:
        return "quantization", network, f"{row['bits']} bits, {heat}"
    return "dense" if row["temperature"] is None else "distillation", network, heat


def _quantization(row: Row) -> Label:
    if row["scheme"] == "float":
        return "dense", row["net"], "trained on" if row["method"] == "finetuned" else "float"
    setting = (
        f"{row['method']}, {row['scheme']} per {row['granularity']}, range {row['range']}, "
        f"{row['bits']} bits, activations {row['activation_bits']} bits, "
        f"batch norm {row['batch_norm']}"
    )
    return "quantization", row["net"], setting


def _pruning(row: Row) -> Label:
    if row["study"] == "dense":
        return "dense", row["net"], str(row["schedule"])
    kind = "baseline" if row["criterion"] == "random" else "pruning"
    goal = f"{row['sparsity']:.0%}" if row["study"] == "sweep" else f"channels {row['kept']}"
    setting = f"{row['criterion']}, {row['structure']}, {row['schedule']}, {goal}"
    return kind, row["net"], setting


def _size(row: Row) -> Label:
    shape = f"width {row['width']:g}, resolution {row['resolution']:g}, depth {row['depth']}"
    return "architecture", "mobilenet_v1", shape


_CONTESTANTS = {
    "linear": "baseline",
    "small dense": "baseline",
    "pruned at random": "baseline",
    "distilled": "distillation",
    "small conv": "architecture",
    "quantized": "quantization",
    "pruned": "pruning",
    "pruned and quantized": "deep compression",
    "low rank": "low rank",
}


def _contestant(row: Row) -> Label:
    name = str(row["contestant"])
    return _CONTESTANTS[name], name, f"at most {row['budget_bytes']:,} bytes"


def _searched(row: Row) -> Label:
    return "architecture", str(row["architecture"]), "14 x 14 pixels"


SOURCES: Mapping[str, Callable[[Row], Label | None]] = {
    "checkpoints": _checkpoint,
    "deep_compression": _deep_compression,
    "compression_order": _compression_order,
    "distillation_mnist": _distilled,
    "temperature_bits": _temperature_bits,
    "ensemble_to_single": _ensemble,
    "distillation_cifar": _distilled,
    "quantization": _quantization,
    "pruning": _pruning,
    "width_resolution": _size,
    "equal_bytes": _contestant,
    "nas_benchmark": _searched,
}
NAMES = (*SOURCES, "engines")


def _engines(engines: Table, checkpoints: Table) -> Iterator[Run]:
    """Engines that compute what the checkpoint does, whose accuracy then is the checkpoint's."""
    cards: dict[str, Row] = {str(row["name"]): dict(row) for row in checkpoints.rows}
    for row in map(Row, engines.rows):
        card, error = cards.get(row["net"]), row["max_abs_error"]
        same = error is not None and error <= SAME_FUNCTION and row["agreement"] == 1
        if not same or row["note"] or row["batch"] != 1 or not card or not row["latency_ms"]:
            continue
        yield Run(
            str(card["dataset"]),
            "engine",
            str(row["net"]),
            str(row["engine"]),
            "engines",
            card["seed"],
            card["value"],
            card["validation_accuracy"],
            row["size_bytes"],
            row["macs"],
            row["latency_ms"] / 1e3,
        )
