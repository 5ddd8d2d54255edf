"""Run the jobs of a table one after the other and keep every finished row.

A job is what is computed in one go: a training and the rows that come of it. A job whose rows are
in the file is skipped, so that an interrupted run goes on where it stopped. Rows are written to
a temporary file that then takes the place of the old one, so a kill loses one job at most.
"""

from __future__ import annotations

import csv
import io
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from course_lib.files import write_whole
from course_lib.results import Table, read
from course_lib.train import FitResult
from experiments.provenance import provenance

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
SCRATCH = ROOT / "build" / "experiments"  # what is expensive and can be made again
Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """`key` is the part of KEY that all rows of this job share; `work` computes the rows.

    A row needs the other columns of KEY and everything measured. It may say its own `seconds`
    and `seed`; otherwise the seconds of the job are shared out, and the seed is the key's.
    """

    key: Mapping[str, Any]
    work: Callable[[], Iterable[Row]]


def finished(result: FitResult) -> FitResult:
    """Return the result of a whole training; Ctrl-C ends the run here, too, not the epochs alone.

    `train.fit` gives back what was learned before Ctrl-C. A row must not be made of that.
    """
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def run(
    module: ModuleType,
    folder: Path,
    quick: bool,
    say: Callable[[str], None],
    only: Sequence[str] = (),
) -> Path:
    """Run what is missing of a table; return the path of its CSV file.

    `only` names jobs as they are shown, such as "net=lenet_5 seed=0": others are left out.
    """
    name = module.__name__.rpartition(".")[2]
    path = folder / f"{name}.csv"
    derived = getattr(module, "DERIVED", False)  # from other tables in a moment: made anew
    rows = list(read(path).rows) if path.exists() and not derived else []
    jobs = [job for job in module.jobs(quick) if not only or _show(job.key) in only]
    todo = [job for job in jobs if not _matching(rows, job.key)]
    say(f"{name}: {len(jobs)} jobs, {len(jobs) - len(todo)} done before")
    begin = time.perf_counter()
    for count, job in enumerate(todo, start=1):
        rows += perform(job)
        _write(path, _sorted(rows, module.KEY))
        spent = time.perf_counter() - begin
        left = spent / count * (len(todo) - count)
        say(f"{name}: {count}/{len(todo)} {_show(job.key)}  {spent:.0f} s, {left:.0f} s to go")
    return path


def perform(job: Job) -> list[Row]:
    """Compute the rows of a job and stamp them."""
    begin = time.perf_counter()
    rows = [dict(row) for row in job.work()]
    seconds = (time.perf_counter() - begin) / max(len(rows), 1)
    stamp = provenance()
    return [{**job.key, "seconds": round(seconds, 3), **row, **stamp} for row in rows]


def check(
    module: ModuleType, table: Table, quick: bool, count: int, rng: random.Random
) -> list[str]:
    """Run `count` random jobs again; a sentence for every value outside its stated spread.

    The module's SPREAD gives, for each column to compare, the largest allowed difference; a
    column that it does not name must agree if it is text, and is not compared otherwise.
    """
    jobs = [job for job in module.jobs(quick) if _matching(table.rows, job.key)]
    faults = []
    for job in rng.sample(jobs, min(count, len(jobs))):
        before = _matching(table.rows, job.key)
        for row in perform(job):
            old = next((o for o in before if all(_same(o, row, k) for k in module.KEY)), None)
            if old is None:
                faults.append(f"{_show(job.key)}: no such row in the table: {row}")
                continue
            for column, spread in module.SPREAD.items():
                if not _near(old[column], row[column], spread):
                    faults.append(
                        f"{_show(job.key)}: {column} was {old[column]}, is {row[column]}, "
                        f"allowed difference {spread}"
                    )
    return faults


def _matching(rows: Iterable[Mapping[str, Any]], key: Mapping[str, Any]) -> list[Row]:
    return [dict(row) for row in rows if all(_same(row, key, column) for column in key)]


def _same(a: Mapping[str, Any], b: Mapping[str, Any], column: str) -> bool:
    """Whether two rows agree in a column, however CSV changed the type."""
    x, y = a.get(column), b.get(column)
    if isinstance(x, int | float) and isinstance(y, int | float):
        return math.isclose(x, y)
    return ("" if x is None else str(x)) == ("" if y is None else str(y))


def _near(old: Any, new: Any, spread: float) -> bool:
    if old is None or new is None:
        return old is new or old == new
    return abs(float(old) - float(new)) <= spread


def _sorted(rows: list[Row], key: Sequence[str]) -> list[Row]:
    def order(row: Row) -> list[tuple[int, float, str]]:
        cells = [row.get(column) for column in key]
        return [
            (0, float(c), "") if isinstance(c, int | float) else (1, 0.0, str(c)) for c in cells
        ]

    return sorted(rows, key=order)


def _write(path: Path, rows: list[Row]) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    stamp = [column for column in provenance() if column in columns]
    columns = [c for c in columns if c not in (*stamp, "seconds")] + ["seconds", *stamp]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({c: _cell(v) for c, v in row.items()} for row in rows)
    write_whole(path, text.getvalue().encode())


def _cell(value: Any) -> Any:
    """Six significant digits say more than any of these measurements can."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _show(key: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in key.items())
