"""`make results-quick` has the shape of the full tables, and shows what is large in them.

Every direction is a sentence and numbers that must rise: in the quick version, and in results/.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any

import pytest

from course_lib.results import Table, read
from experiments import runner
from experiments.__main__ import NAMES
from experiments.provenance import provenance

ROOT = Path(__file__).resolve().parent.parent
STAMP = (*provenance(), "seconds", "seed")
NEW = {"nas_benchmark": {"latency_commit"}}  # columns that a table gets when it is next made
Rising = Callable[[Table], list[float]]


def mean(table: Table, column: str, **cells: Any) -> float:
    """The mean of a column over the rows with these cells."""
    rows = [row for row in table.rows if all(row[k] == v for k, v in cells.items())]
    assert rows, f"no row of {table.name} has {cells}"
    return fmean(row[column] for row in rows)  # type: ignore[type-var]


def over(column: str, name: str, *values: Any, **cells: Any) -> Rising:
    """The means of a column for one value of another column after the other."""
    return lambda table: [mean(table, column, **{name: value}, **cells) for value in values]


def bits(column: str, net: str, *values: int, granularity: str = "tensor") -> Rising:
    cells = {"method": "ptq", "scheme": "symmetric", "granularity": granularity}
    cells |= {"range": "min_max", "net": net}
    batch_norm = "none" if net == "lenet_300_100" else "kept"
    return over(column, "bits", *values, activation_bits=32, batch_norm=batch_norm, **cells)


def granularities(table: Table) -> list[float]:
    return [
        bits("accuracy", "lenet_300_100", 2, granularity=name)(table)[0]
        for name in ("tensor", "channel")
    ]


def sparse(column: str, name: str, *values: Any, **cells: Any) -> Rising:
    cells = {"criterion": "magnitude", "structure": "unstructured_global"} | cells
    cells = {"net": "lenet_300_100", "study": "sweep", "schedule": "one_shot"} | cells
    return over(column, name, *values, **{k: v for k, v in cells.items() if k != name})


def densities(column: str) -> Rising:
    """At 90 % zeros, 50 % and none."""
    return lambda table: [
        *sparse(column, "sparsity", 0.9, 0.5)(table),
        mean(table, column, net="lenet_300_100", study="dense", schedule="none"),
    ]


def first_point(column: str, *stages: str) -> Rising:
    """Of the largest network of Deep Compression's curve."""
    return lambda table: [
        *over(column, "stage", *stages, network="lenet_300_100", kept=18_500)(table),
        mean(table, column, network="lenet_300_100", stage="dense"),
    ]


def by_queries(table: Table) -> list[float]:
    """Regret of a random search for accuracy, after most queries and after fewest."""
    counts = [row["queries"] for row in table.rows]
    ends = max(counts), min(counts)  # type: ignore[type-var]
    return over("regret_median", "queries", *ends, objective="accuracy", method="random")(table)


def largest_and_smallest(column: str) -> Rising:
    return lambda table: [
        mean(table, column, width=at(widths), resolution=at(resolutions), depth=0)
        for at in (min, max)
        for widths in [{row["width"] for row in table.rows}]
        for resolutions in [{row["resolution"] for row in table.rows}]
    ]


def frontier(column: str) -> Rising:
    """Along the frontier of MNIST by bytes."""

    def values(table: Table) -> list[float]:
        rows: list[dict[str, Any]] = [dict(row) for row in table.rows]
        best = [row for row in rows if row["dataset"] == "mnist" and row["frontier_bytes"]]
        points = {(row["size_bytes"], row["accuracy"]): row[column] for row in best}
        return [points[point] for point in sorted(points)]

    return values


SMALL_NETS = ("w8-k3-separable-x1-separable-x1", "w8-k3-dense-x1-dense-x1")
ARCHITECTURES = (*SMALL_NETS, "w16-k3-dense-x2-dense-x1")

DIRECTIONS: dict[str, dict[str, Rising]] = {
    "checkpoints": {
        "a trained network beats chance": lambda t: [0.1, mean(t, "value", name="lenet_300_100")],
    },
    "deep_compression": {
        "every stage makes the file smaller": first_point(
            "size_bytes", "arithmetic", "Huffman", "codebook", "prune"
        ),
        "the dense network errs least": lambda t: first_point(
            "test_error_percent", "arithmetic"
        )(t)[::-1],
    },
    "compression_order": {
        "quantizing first leaves a smaller file, and both are far below the dense one": over(
            "size_bytes", "order", "quantize, prune", "prune, quantize", "dense"
        ),
        "pruning first errs less": over(
            "test_error_percent", "order", "dense", "prune, quantize", "quantize, prune"
        ),
    },
    "distillation_mnist": {
        "a student errs less with a teacher, and more than it": over(
            "errors_count", "training", "teacher", "distilled", "alone"
        ),
    },
    "missing_digit": {
        "a teacher tells of a digit that was never shown": over(
            "errors_on_missing_count", "targets", "teacher", "labels", transfer_set="all but 3"
        ),
        "most of what is missed is a matter of the bias": over(
            "errors_on_missing_count", "bias", "chosen on validation", "as learned",
            transfer_set="all but 3", targets="teacher",
        ),
    },
    "temperature_bits": {
        "2 bits err more than 4": over("errors_count", "bits", 4, 2, hidden=30),
        "a wider student errs less": over("errors_count", "hidden", 30, 10, bits=32),
    },
    "ensemble_to_single": {
        "an ensemble errs less than its members": over(
            "errors_count", "training", "ensemble", "alone"
        ),
    },
    "distillation_cifar": {
        "the teacher is better than its student": over("accuracy", "training", "alone", "teacher"),
    },
    "quantization": {
        "fewer bits make smaller files": bits("size_bytes", "lenet_300_100", 2, 4, 8),
        "2 bits cost accuracy": bits("accuracy", "lenet_300_100", 2, 4),
        "2 bits cost the efficient network more": bits("accuracy", "mobilenet_mnist", 2, 4),
        "a scale per channel is worth accuracy at 2 bits": granularities,
    },
    "pruning": {
        "zeros make smaller files": densities("size_bytes"),
        "zeros cost accuracy": densities("accuracy"),
        "magnitudes are better than chance": sparse(
            "accuracy", "criterion", "random", "magnitude", sparsity=0.9
        ),
        "retraining brings accuracy back": sparse(
            "accuracy", "schedule", "one_shot", "one_shot_retrained",
            sparsity=0.9, structure="channels",
        ),
    },
    "width_resolution": {
        "a larger network multiplies more": largest_and_smallest("macs"),
        "a larger network is more accurate": largest_and_smallest("test_accuracy"),
    },
    "equal_bytes": {
        "pruning by magnitude beats pruning at random": over(
            "test_accuracy", "contestant", "pruned at random", "pruned", budget_bytes=8192
        ),
    },
    "nas_benchmark": {
        "larger networks multiply more": over("macs", "architecture", *ARCHITECTURES),
        "larger networks are more accurate": over("test_accuracy", "architecture", *ARCHITECTURES),
    },
    "nas_search": {"more queries, less regret": by_queries},
    "engines": {
        "int8 files are smaller": over(
            "size_bytes", "engine", "onnxruntime_int8", "onnxruntime", net="lenet_300_100"
        ),
    },
    "a4_students": {
        "a student learns more from a teacher than from few labels": over(
            "validation_accuracy", "training", "labels alone", "taught"
        ),
    },
    "plane": {
        "bytes rise along the frontier": frontier("size_bytes"),
        "accuracy rises along the frontier": frontier("accuracy"),
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[ModuleType, Table]]:
    """The module of a table and its quick version, made once."""
    folder = tmp_path_factory.mktemp("quick")
    made: dict[str, tuple[ModuleType, Table]] = {}

    def table(name: str) -> tuple[ModuleType, Table]:
        if name not in made:
            module = importlib.import_module(f"experiments.{name}")
            made[name] = module, read(runner.run(module, folder, True, lambda text: None))
        return made[name]

    return table


def test_every_table_says_which_way_it_points():
    assert set(DIRECTIONS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_quick_run_has_the_shape_of_the_full_table(name: str, quick: Any):
    module, table = quick(name)
    assert len(table)
    full = read(ROOT / "results" / f"{name}.csv")
    assert set(table.columns) <= set(full.columns) | NEW.get(name, set())
    for column in (*module.KEY, *module.SPREAD, *STAMP):
        assert column in table.columns
    keys = [tuple(row[column] for column in module.KEY) for row in table.rows]
    assert len(keys) == len(set(keys))
    assert len(module.reading(table).split()) > 30
    figure, alt = module.figure(table)
    assert figure.axes
    assert alt


@pytest.mark.parametrize(
    ("name", "sentence"), [(n, sentence) for n, said in DIRECTIONS.items() for sentence in said]
)
def test_a_quick_run_points_where_the_full_table_does(name: str, sentence: str, quick: Any):
    rising = DIRECTIONS[name][sentence]
    for table in (read(ROOT / "results" / f"{name}.csv"), quick(name)[1]):
        values = rising(table)
        assert len(values) > 1
        assert all(a < b for a, b in pairwise(values)), (sentence, values)
