"""Make the tables of `results/`: `python -m experiments [--quick] [NAME ...]`."""

from __future__ import annotations

import argparse
import importlib
import random
import sys
from pathlib import Path
from types import ModuleType

import torch

from course_lib.results import read
from experiments import provenance, runner
from experiments.report import write_report

NAMES = (  # in the order in which they build on each other
    "checkpoints",
    "deep_compression",
    "compression_order",
    "distillation_mnist",
    "missing_digit",
    "temperature_bits",
    "ensemble_to_single",
    "distillation_cifar",
    "quantization",
    "pruning",
    "width_resolution",
    "equal_bytes",
    "nas_benchmark",
    "nas_search",
    "engines",
    "a4_students",
    "plane",
)


def main(arguments: list[str] | None = None) -> int:
    """Run, check or report; `arguments` are those of the command line."""
    parser = _parser()
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in NAMES:
            parser.error(f"NAME must be one of {', '.join(NAMES)}, got {name!r}.")
    running = not (options.quick or options.report or options.check or options.output)
    if running and provenance.commit().endswith("+"):
        parser.error(
            "course_lib/ or experiments/ have changes that are in no commit, so that a row of "
            "results/ would name a commit that cannot make it again. Commit them, or name another "
            "folder with --output."
        )
    torch.set_num_threads(options.threads)
    folder = options.output or (
        runner.ROOT / "build" / "results-quick" if options.quick else runner.RESULTS
    )
    faults = 0
    for name in options.names or NAMES:
        module = importlib.import_module(f"experiments.{name}")
        if options.check:
            faults += _check(module, folder, options)
        elif options.report:
            write_report(module, folder)
        else:
            runner.run(module, folder, options.quick, _say, options.only)
            write_report(module, folder)
    return 1 if faults else 0


def _check(module: ModuleType, folder: Path, options: argparse.Namespace) -> int:
    name = module.__name__.rpartition(".")[2]
    table = read(folder / f"{name}.csv")
    rng = random.Random(options.seed)
    faults = runner.check(module, table, options.quick, options.check, rng)
    for fault in faults:
        print(f"{name}: {fault}", flush=True)
    print(f"{name}: {options.check} jobs run again, {len(faults)} values differ", flush=True)
    return len(faults)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments",
        description="Train, sweep and time what the course shows; finished rows are kept, so an "
        "interrupted run goes on where it stopped.",
        epilog="example: python -m experiments --quick pruning",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="a small version, in minutes")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="JOB",
        help='only this job, named as in the progress, such as "name=resnet20" (repeatable)',
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="folder of the tables (default: results/, and build/results-quick/ with --quick)",
    )
    parser.add_argument("--threads", type=int, default=1, help="PyTorch's threads (default: 1)")
    parser.add_argument("--report", action="store_true", help="only write readings and figures")
    parser.add_argument(
        "--check", type=int, metavar="N", help="run N random jobs again and compare"
    )
    parser.add_argument("--seed", type=int, help="for the choice of --check")
    return parser


if __name__ == "__main__":
    sys.exit(main())
