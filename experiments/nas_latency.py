"""Measure the latencies of `nas_benchmark` again: `python -m experiments.nas_latency`

Training takes an hour and does not mind company; a measurement of time takes a minute and does.
This replaces the three latency columns of the finished table, on the machine that made it, once
that has nothing else to do; `latency_commit` says by which code, `commit` that of the training.
Afterwards: `python -m experiments --report nas_benchmark`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import torch

from course_lib.results import Table, read
from experiments import nas_benchmark, runner
from experiments._nas_statistics import latency_spread
from experiments._small_training import Timing
from experiments.provenance import commit, provenance
from experiments.runner import Row

_SAME = ("hardware", "torch", "threads")  # what the row says must hold for its latency too


def main() -> int:
    """Measure and rewrite the table in results/; say how far the quartiles were apart."""
    torch.set_num_threads(1)
    path = runner.RESULTS / "nas_benchmark.csv"
    table = read(path)
    stamp = {name: value for name, value in provenance().items() if name in _SAME}
    rows = with_latencies(table, nas_benchmark.latencies(None), stamp, commit())
    runner._write(path, rows)
    before, after = latency_spread(table), latency_spread(read(path))
    print(f"quartiles apart by {before:.0%} of the median before, {after:.0%} now", flush=True)
    return 0


def with_latencies(
    table: Table, timings: Mapping[str, Timing], stamp: Mapping[str, object], commit: str
) -> list[Row]:
    """The rows of the table with other latencies, measured by the code of `commit`.

    Raises ValueError if `stamp` is not that of a row.
    """
    rows = []
    for row in map(Row, table.rows):
        for name, value in stamp.items():
            if row[name] != value:
                raise ValueError(
                    f"{name} of the table is {row[name]!r}, here it is {value!r}: measure on the "
                    "machine and with the version that made the table, or make it again."
                )
        timing = timings[str(row["architecture"])]
        times = {
            "latency_s": timing.median_s,
            "latency_q1_s": timing.q1_s,
            "latency_q3_s": timing.q3_s,
            "latency_commit": commit,
        }
        rows.append(row | times)
    return rows


if __name__ == "__main__":
    sys.exit(main())
