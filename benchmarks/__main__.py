"""Run the comparisons: `python -m benchmarks [--quick] [NAME ...]`."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

import torch

from benchmarks import binary, counting, grading, huffman, integer, report, sparse, widgets

BENCHMARKS = {
    "counting": counting,
    "integer": integer,
    "binary": binary,
    "sparse": sparse,
    "huffman": huffman,
    "grading": grading,
    "widgets": widgets,
}
FOLDER = Path(__file__).resolve().parent.parent / "build" / "benchmarks"


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write; `arguments` are those of the command line."""
    parser = _parser()
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in BENCHMARKS:
            parser.error(f"NAME must be one of {', '.join(BENCHMARKS)}, got {name!r}.")
    torch.set_num_threads(1)
    machine = report.machine()
    print("Every contestant runs on 1 thread. ratio = its time / that of the one in column `of`,")
    print(
        "within each round of turns (A B A B): below 1 is faster. IQR is relative to the median."
    )
    print("  ".join(f"{key}: {value}" for key, value in machine.items()), flush=True)
    for name in options.names or BENCHMARKS:
        module = BENCHMARKS[name]
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        begin = time.perf_counter()
        with warnings.catch_warnings():  # peers and PyTorch about their own deprecations
            warnings.simplefilter("ignore")
            table = module.measure(**(module.QUICK if options.quick else module.FULL))
        path = table.write_csv(options.output, {**machine, "quick": options.quick})
        print(f"\n{table.text()}\n[{time.perf_counter() - begin:.0f} s; {path}]", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure course_lib beside its peers, in turns, on one thread.",
        epilog="example: python -m benchmarks --quick counting huffman",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer rounds")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder for the CSV files")
    return parser


if __name__ == "__main__":
    main()
