"""The plane: every table in the same columns, frontiers held to a search of all pairs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from course_lib import pareto, results
from course_lib.results import Table
from experiments import _plane_sources as sources
from experiments import equal_bytes, plane
from experiments._plane_sources import SOURCES, TECHNIQUES, Run

COSTS = tuple(plane.COSTS.items())
MEASURED = {"seed": 0, "size_bytes": 1000, "macs": 5000}


def run(accuracy: float, size: int, **changes: Any) -> Run:
    arguments: dict[str, Any] = {
        "dataset": "mnist",
        "technique": "dense",
        "network": f"net {size} {accuracy}",
        "setting": "",
        "table": "checkpoints",
        "seed": 0,
        "accuracy": accuracy,
        "validation_accuracy": accuracy,
        "size_bytes": size,
        "macs": 10 * size,
        "latency_s": None,
    }
    return Run(**(arguments | changes))


def scattered(count: int = 150) -> list[Run]:
    """Few different values, so that many tie in one metric or in both; some lack a latency."""
    rng = np.random.default_rng(0)
    return [
        run(
            rng.integers(0, 12) / 12,
            int(rng.integers(1, 12)),
            network=f"net {i}",
            macs=int(rng.integers(1, 12)),
            latency_s=float(rng.integers(1, 9)) if i % 3 else None,
        )
        for i in range(count)
    ]


def beaten(row: dict[str, Any], rows: list[dict[str, Any]], cost: str) -> bool:
    """Whether any other row is no worse in accuracy and cost and better in one of them."""
    return any(
        other["accuracy"] >= row["accuracy"]
        and other[cost] <= row[cost]
        and (other["accuracy"], other[cost]) != (row["accuracy"], row[cost])
        for other in rows
        if other[cost] is not None
    )


def checked(rows: list[dict[str, Any]]) -> int:
    """Compare the flags of one data set with a search of all pairs; count the frontiers."""
    for short, cost in COSTS:
        apart = [row for row in rows if (row["technique"], cost) == ("engine", "macs")]
        assert all(row[f"frontier_{short}"] is None for row in apart)
        for row in (row for row in rows if row not in apart):
            expected = None if row[cost] is None else int(not beaten(row, rows, cost))
            assert row[f"frontier_{short}"] == expected, (row, short)
    return sum(row[f"frontier_{short}"] or 0 for row in rows for short, _ in COSTS)


# Frontiers


def test_the_frontier_is_what_no_other_network_beats():
    rows = plane.rows_of(scattered())
    assert len(rows) == 150
    assert 0 < checked(rows) < 100


def test_the_frontier_of_means_is_that_of_the_rows_as_written():
    """Three seeds whose mean has endless digits tie with one run that has the rounded value."""
    three = [run(value, 7, network="a", seed=s) for s, value in enumerate((0.9, 0.9, 0.9001))]
    one = run(0.900033, 7, network="b")
    rows = plane.rows_of([*three, one])
    assert [row["accuracy"] for row in rows] == [0.900033] * 2
    assert [row["frontier_bytes"] for row in rows] == [1, 1]


def test_seeds_become_one_row_with_their_mean_and_spread():
    values = (0.91, 0.93, 0.98)
    runs = [run(v, 100 + s, network="a", seed=s) for s, v in enumerate(values)]
    (row,) = plane.rows_of(reversed(runs))
    assert (row["seed"], row["seeds_count"], row["size_bytes"]) == ("0 1 2", 3, 101)
    assert row["accuracy"] == pytest.approx(0.94)
    assert row["accuracy_std"] == pytest.approx(np.std(values, ddof=1))


def test_one_name_for_two_networks_is_refused():
    with pytest.raises(ValueError, match="Two networks have one name"):
        plane.rows_of([run(0.9, 5, network="a"), run(0.8, 6, network="a")])


def test_a_rank_counts_who_is_better_when_noise_makes_ties():
    """b is larger than a and no more accurate than chance explains; c is, and d has one seed."""
    accuracies = {"a": (0.90, 0.91, 0.92), "b": (0.905, 0.915, 0.925), "c": (0.97, 0.97, 0.97)}
    sizes = {"a": 10, "b": 20, "c": 30}
    runs = [
        run(value, sizes[name], network=name, seed=seed)
        for name, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    rows = plane.rows_of([*runs, run(0.99, 40, network="d"), run(0.5, 50, network="e")])
    found = {row["network"]: (row["frontier_bytes"], row["rank_bytes"]) for row in rows}
    assert found == {"a": (1, 0), "b": (1, 1), "c": (1, 0), "d": (1, None), "e": (0, None)}


def test_a_technique_contributes_what_nothing_else_reaches():
    """Squares of one decade times one point, above 90 % and below 1,000 bytes."""
    rows = plane.rows_of(
        [
            run(0.91, 10, technique="pruning"),  # 2 x 1, of which 1 is reached by no other
            run(0.92, 100, technique="quantization"),  # 1 x 2, of which 1
            run(0.91, 100, technique="distillation"),  # inside of both
            run(0.5, 1000, technique="dense"),
        ]
    )
    assert plane.contributions(rows, "size_bytes") == {
        "pruning": pytest.approx(1 / 3),
        "quantization": pytest.approx(1 / 3),
        "dense": 0,
        "distillation": 0,
    }


# Sources


def row_of(name: str, /, **cells: Any) -> Table:
    row = MEASURED | {"accuracy": 0.9, "validation_accuracy": 0.8} | cells
    return Table(name, tuple(row), (row,))


QUANTIZED = {
    "net": "lenet_5", "method": "ptq", "scheme": "affine", "granularity": "channel",
    "range": "mse", "bits": 4, "activation_bits": 8, "batch_norm": "none",
}  # fmt: skip
PRUNED = {
    "net": "lenet_5", "study": "sweep", "criterion": "taylor", "structure": "channels",
    "schedule": "gradual", "sparsity": 0.8, "kept": "any", "single_latency_ms": 2.0,
}  # fmt: skip
SAMPLES: list[tuple[str, str, dict[str, Any]]] = [
    ("checkpoints", "dense", {"builder": "resnet20", "name": "r", "metric": "test_accuracy"}),
    (
        "checkpoints", "architecture",
        {"builder": "mobilenet_v1", "name": "m", "metric": "test_accuracy"},
    ),
    ("deep_compression", "dense", {"network": "n", "stage": "dense", "kept": 9}),
    ("deep_compression", "pruning", {"network": "n", "stage": "prune", "kept": 9}),
    ("deep_compression", "deep compression", {"network": "n", "stage": "Huffman", "kept": 9}),
    (
        "compression_order", "deep compression",
        {"order": "prune, quantize", "sparsity": 0.9, "bits": 4, "retraining": 3},
    ),
    ("compression_order", "dense", {"order": "dense"}),
    ("distillation_mnist", "dense", {"model": "n", "training": "alone", "temperature": None}),
    (
        "distillation_cifar", "distillation",
        {"model": "n", "training": "distilled", "temperature": 4.0},
    ),
    ("temperature_bits", "dense", {"hidden": 30, "bits": 32, "temperature": None}),
    ("temperature_bits", "distillation", {"hidden": 30, "bits": 32, "temperature": 2.0}),
    ("temperature_bits", "quantization", {"hidden": 30, "bits": 4, "temperature": 2.0}),
    ("ensemble_to_single", "dense", {"training": "ensemble"}),
    ("ensemble_to_single", "distillation", {"training": "distilled from one"}),
    ("quantization", "quantization", QUANTIZED),
    ("quantization", "dense", QUANTIZED | {"scheme": "float", "method": "finetuned"}),
    ("pruning", "pruning", PRUNED),
    ("pruning", "baseline", PRUNED | {"criterion": "random"}),
    ("pruning", "dense", PRUNED | {"study": "dense", "criterion": "none"}),
    ("width_resolution", "architecture", {"width": 0.5, "resolution": 1.0, "depth": 2}),
    ("equal_bytes", "low rank", {"contestant": "low rank", "budget_bytes": 4096}),
    ("nas_benchmark", "architecture", {"architecture": "w8"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "technique", "cells"), SAMPLES)
def test_every_row_goes_to_its_technique(name: str, technique: str, cells: dict[str, Any]):
    (found,) = sources.runs({name: row_of(name, **cells)})
    assert (found.table, found.technique, found.accuracy) == (name, technique, 0.9)
    assert (found.size_bytes, found.macs) == (1000, 5000)
    assert found.latency_s == (0.002 if name == "pruning" else None)


def test_every_source_has_a_sample_and_every_technique_a_look_of_its_own():
    assert {name for name, _, _ in SAMPLES} == set(SOURCES)
    assert {technique for _, technique, _ in SAMPLES} | {"engine"} == set(TECHNIQUES)
    assert set(sources._CONTESTANTS) == set(equal_bytes.CONTESTANTS)


def test_errors_in_percent_become_accuracies():
    cells = {"network": "n", "stage": "dense", "kept": 9, "test_error_percent": 2.0}
    (found,) = sources.runs(
        {"deep_compression": row_of("deep_compression", **cells, accuracy=None)}
    )
    assert math.isclose(found.accuracy, 0.98)


def test_what_was_judged_on_a_part_of_the_images_is_a_data_set_of_its_own():
    (found,) = sources.runs(
        {"quantization": row_of("quantization", **QUANTIZED, test_images=2000, dataset="d")}
    )
    assert found.dataset == "d, 2,000 test images"


def test_a_contestant_without_a_network_is_left_out():
    cells = {"contestant": "linear", "budget_bytes": 4096, "accuracy": None, "size_bytes": None}
    assert list(sources.runs({"equal_bytes": row_of("equal_bytes", **cells)})) == []


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 1),
        ({"max_abs_error": 0.01}, 0),
        ({"agreement": 0.98}, 0),
        ({"batch": 64}, 0),
        ({"latency_ms": None}, 0),
        ({"note": "another function"}, 0),
        ({"net": "unknown"}, 0),
    ],
)
def test_only_engines_that_compute_the_same_have_its_accuracy(changes: dict[str, Any], count: int):
    engine = {
        "net": "lenet_5", "engine": "onnxruntime", "batch": 1, "latency_ms": 0.5,
        "max_abs_error": 1e-6, "agreement": 1.0, "note": None,
    }  # fmt: skip
    card = {"name": "lenet_5", "metric": "bits_per_byte", "value": 0.99, "dataset": "mnist"}
    tables = {
        "engines": row_of("engines", **(engine | changes)),
        "checkpoints": row_of("checkpoints", **card),
    }
    found = list(sources.runs(tables))
    assert len(found) == count
    assert all((run.accuracy, run.latency_s) == (0.99, 0.0005) for run in found)


# The tables of this course


def test_the_plane_of_the_measured_tables():
    rows = [row for job in plane.jobs(quick=True) for row in job.work()]
    assert len(rows) >= 250
    assert {row["technique"] for row in rows} <= set(TECHNIQUES)
    for row in rows:
        assert 0 < row["accuracy"] < 1
        assert min(row["size_bytes"], row["macs"]) > 0
    searched = [row for row in rows if row["table"] == "nas_benchmark"]
    assert {row["seeds_count"] for row in searched} == {3}


def test_the_plane_in_results_is_that_of_the_other_tables():
    """If this fails: rm results/plane.csv; python -m experiments plane."""
    if "plane" not in results.names():
        pytest.skip("results/plane.csv has not been made yet")
    made = {}
    for job in plane.jobs(quick=False):
        for row in job.work():
            key = {**job.key, **row}
            made[tuple(str(key[name]) for name in plane.KEY)] = key
    kept = {
        tuple("" if row[name] is None else str(row[name]) for name in plane.KEY): row
        for row in results.table("plane").rows
    }
    assert set(kept) == set(made)
    for key, row in kept.items():
        for column in (*plane.SPREAD, "rank_bytes", "rank_macs", "frontier_latency"):
            assert row[column] == pytest.approx(made[key][column]), (key, column)
    for dataset in {row["dataset"] for row in kept.values()}:
        checked([dict(row) for row in kept.values() if row["dataset"] == dataset])


def test_the_reading_and_the_figure_say_what_is_there():
    runs = scattered(30)
    runs += [run(0.9, 5, dataset="cifar10", technique=t, network=t) for t in TECHNIQUES]
    rows = []
    for name in ("mnist", "cifar10"):
        rows += plane.rows_of(r for r in runs if r.dataset == name)
    table = Table("plane", tuple(rows[0]), tuple(rows))
    text = plane.reading(table)
    assert "39 rows from 1 tables" in text
    assert "nas_benchmark" in text, "it says which tables are absent"
    figure, alt = plane.figure(table)
    assert [ax.get_title() for ax in figure.axes] == ["mnist", "mnist", "cifar10", "cifar10"]
    assert alt
    for panel, (name, cost) in zip(figure.axes[:2], COSTS[:2], strict=True):
        steps = next(line for line in panel.lines if line.get_label() == "Pareto frontier")
        best = [r for r in rows if r["dataset"] == "mnist" and r[f"frontier_{name}"]]
        assert best
        assert sorted(steps.get_xdata()) == sorted(row[cost] for row in best)


def test_ranks_come_from_the_library():
    rng = np.random.default_rng(1)
    groups = {f"n{i}": rng.normal(0.9 + 0.01 * i, 0.01, 3) for i in range(6)}
    runs = [
        run(float(value), 10 + i, network=name, seed=seed)
        for i, (name, values) in enumerate(groups.items())
        for seed, value in enumerate(values)
    ]
    rows = plane.rows_of(runs)
    best = [i for i, row in enumerate(rows) if row["frontier_bytes"]]
    points = [[(float(v), 10 + i) for v in groups[f"n{i}"]] for i in best]
    expected = pareto.ranks_beyond_noise(points, ("max", "min")).tolist()
    assert [rows[i]["rank_bytes"] for i in best] == expected


def test_the_reading_leaves_networks_of_one_seed_out_of_the_noise():
    """Three seeds each of a small and a large network, and one of the largest, which leads."""
    runs = [run(0.80 + s / 1000, 10, network="small", seed=s) for s in range(3)]
    runs += [run(0.90 + s / 1000, 20, network="large", seed=s) for s in range(3)]
    runs += [run(0.95, 30, network="lucky", seed=0)]
    rows = plane.rows_of(runs)
    text = " ".join(plane.reading(Table("plane", tuple(rows[0]), tuple(rows))).split())
    assert (
        "2 of 2 (1 more with one seed) by bytes, 2 of 2 (1 more with one seed) by macs are" in text
    )


def test_an_engine_counts_where_it_changes_a_cost_and_repeats_nothing_elsewhere():
    """The second engine is another file of the same network: smaller, faster, as many MACs."""
    same = {"network": "a", "macs": 100}
    runs = [
        run(0.95, 60, **same, latency_s=3.0),
        run(0.95, 50, **same, technique="engine", setting="slow", latency_s=4.0),
        run(0.95, 40, **same, technique="engine", setting="quick", latency_s=2.0),
        run(0.92, 70, network="b", macs=90, latency_s=5.0, technique="pruning"),
        run(0.90, 80, network="c", macs=1000, technique="baseline"),  # the reference
    ]
    rows = plane.rows_of(runs)
    assert [row["frontier_macs"] for row in rows] == [1, None, None, 1, 0]
    assert [row["frontier_bytes"] for row in rows] == [0, 0, 1, 0, 0]
    assert [row["frontier_latency"] for row in rows] == [0, 0, 1, 0, None]
    text = " ".join(plane.reading(Table("plane", tuple(rows[0]), tuple(rows))).split())
    assert "5 rows; on the frontier 1 by bytes, 2 by macs, 1 by latency" in text
    # Points above 90 % times decades below 1,000: dense 5 x 1; pruning 2 x 1.046, of which all but
    # 2 x 0.046 lies inside.
    assert f"by macs: dense {(5 - 2) / (5 + 2 * 0.04576):.1%}" in text, "its engine stands for it"


def test_rows_at_one_point_are_counted_as_one():
    runs = [run(0.9, 50, network="a", setting=code) for code in ("Huffman", "arithmetic")]
    rows = plane.rows_of([*runs, run(0.95, 60, network="b")])
    text = " ".join(plane.reading(Table("plane", tuple(rows[0]), tuple(rows))).split())
    assert "on the frontier 2 (3 rows) by bytes, 2 (3 rows) by macs" in text


def test_the_reading_counts_the_noise_of_latency_too():
    runs = [run(0.8 + s / 1000, 10, network="a", seed=s, latency_s=1.0) for s in range(3)]
    rows = plane.rows_of(runs)
    text = " ".join(plane.reading(Table("plane", tuple(rows[0]), tuple(rows))).split())
    assert "1 of 1 by bytes, 1 of 1 by macs, 1 of 1 by latency are dominated by none" in text
