"""`autograder grade` beside stock `nbgrader autograde`, on the same well-behaved class.

Every student hands in the instructor's solution or one of the corpus' correct variants of the
first assignment. Both programs run as the commands that an instructor types, start-up included,
in turns, each on a course folder of its own; their grade books must agree on every cell.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from autograder.corpus_files import variants
from autograder.course import CONFIG_NAME, Course
from autograder.engine.pool import cores
from autograder.execute import Limits
from autograder.grade import grade_class
from autograder.release import release
from autograder.snapshot import snapshot
from autograder.template import Template
from benchmarks.report import Row, Table

ASSIGNMENT = "a1_cost_of_inference"
ROOT = Path(__file__).resolve().parent.parent
STOCK, OURS = "nbgrader autograde", "autograder grade"
# nbgrader's own limits are meant for kernels that start on an idle machine.
_PATIENT = ("--ExecutePreprocessor.timeout=600", "--ExecutePreprocessor.iopub_timeout=600")
_AUTOGRADE = ("nbgrader", "autograde", ASSIGNMENT, "--force", *_PATIENT)
_GRADE = ("autograder.cli", "grade", ASSIGNMENT)

QUICK: dict[str, Any] = {"students": 5, "rounds": 2, "unchanged": 5}
FULL: dict[str, Any] = {"students": 60, "rounds": 2, "unchanged": 200}


def measure(students: int, rounds: int, unchanged: int) -> Table:
    """Grade a class of so many `rounds` times by each, then regrade an unchanged class."""
    with class_of(students) as stock, class_of(students) as ours:
        rows = beside(stock, ours, rounds)
        rows.append(one_at_a_time(ours))
    with class_of(unchanged) as large:
        rows.append(unchanged_class(large))
    ratio = rows[1].ratio
    faster = 1 / ratio.median if ratio else float("nan")
    overhead = rows[2].extra["overhead_s"]
    regrade = rows[3].time
    return Table(
        name="grading",
        title=f"Grading a class of {students} (correct answers of {ASSIGNMENT})",
        method=f"Whole commands with their start-up, {OURS} with {cores()} jobs; the grades are "
        f"the same.\noverhead_s: wall time of a submission beyond what its cells took, one at a "
        "time, with the fork server running.",
        rows=tuple(rows),
        reading=f"Reading: {OURS} grades {faster:.1f} times as many submissions in the same time "
        f"as {STOCK}; beyond the cells' own time it needs {overhead:.2f} s for each, and "
        f"{regrade.median if regrade else 0:.1f} s for an unchanged class of {unchanged}.",
    )


@contextmanager
def class_of(students: int) -> Iterator[Course]:
    """A released course in a temporary folder in which so many students handed in."""
    with tempfile.TemporaryDirectory(prefix="grading-") as folder:
        root = Path(folder)
        shutil.copy(ROOT / CONFIG_NAME, root / CONFIG_NAME)
        course = Course(root)
        shutil.copytree(Course(ROOT).source(ASSIGNMENT), course.source(ASSIGNMENT))
        release(course, ASSIGNMENT)
        template = Template.load(course, ASSIGNMENT, ASSIGNMENT)
        right = [each for each in variants(template) if each.kind in ("solution", "correct")]
        for number in range(students):
            where = course.submitted(f"s{number:03}", ASSIGNMENT)
            where.mkdir(parents=True)
            notebook = right[number % len(right)].notebook
            nbformat.write(notebook, where / f"{ASSIGNMENT}.ipynb")
        yield course


def beside(stock: Course, ours: Course, rounds: int) -> list[Row]:
    """Both programs on the same class, in turns; AssertionError unless they agree."""
    samples: dict[str, list[_Spent]] = {STOCK: [], OURS: []}
    for _ in range(rounds):
        samples[STOCK].append(_command(stock, *_AUTOGRADE))
        samples[OURS].append(_command(ours, *_GRADE, "--again"))
        if _scores(stock) != _scores(ours):
            raise AssertionError(f"{STOCK} and {OURS} do not agree on the grades.")
    count = len(ours.submitters(ASSIGNMENT))
    case = f"{count} submissions"
    reference = tuple(spent.wall_s for spent in samples[STOCK])
    return [
        Row(
            case,
            name,
            tuple(spent.wall_s for spent in taken),
            STOCK,
            reference,
            _each(taken, count),
        )
        for name, taken in samples.items()
    ]


def one_at_a_time(course: Course) -> Row:
    """Seconds of each submission with one job, and how many of them its cells did not take."""
    students = course.submitters(ASSIGNMENT)
    list(grade_class(course, ASSIGNMENT, students[:1], Limits(), 1, again=True))  # warms up
    own, samples = 0.0, []
    last = time.perf_counter()
    for result in grade_class(course, ASSIGNMENT, students, Limits(), 1, again=True):
        now = time.perf_counter()
        samples.append(now - last)
        own += result.seconds
        last = now
    seconds = tuple(samples)
    overhead = (sum(seconds) - own) / len(seconds)
    return Row("one at a time", OURS, seconds, OURS, seconds, {"overhead_s": overhead})


def unchanged_class(course: Course) -> Row:
    """The command on a class in which nothing changed since it was graded."""
    _command(course, *_GRADE)
    count = len(course.submitters(ASSIGNMENT))
    taken = [_command(course, *_GRADE) for _ in range(3)]
    seconds = tuple(spent.wall_s for spent in taken)
    return Row(f"{count} unchanged", OURS, seconds, OURS, seconds, _each(taken, count))


@dataclass(frozen=True)
class _Spent:
    """Seconds on the clock, and those that all processes of a command had a processor for."""

    wall_s: float
    cpu_s: float


def _each(taken: list[_Spent], count: int) -> dict[str, float]:
    """Per submission; the processor's share does not depend on what else the machine does."""
    return {
        "wall_s_each": statistics.median(spent.wall_s for spent in taken) / count,
        "cpu_s_each": statistics.median(spent.cpu_s for spent in taken) / count,
    }


def _scores(course: Course) -> list[tuple[Any, ...]]:
    """Automatic points of every cell of every student that is worth any."""
    rows = [row for row in snapshot(course) if row["row"] == "grade" and row["max_score"]]
    return [(row["student"], row["cell"], row["auto_score"]) for row in rows]


def _command(course: Course, module: str, *words: str) -> _Spent:
    """Run a command in the course's folder. RuntimeError where it fails."""
    command = [sys.executable, "-m", module, *words]
    before, start = os.times(), time.perf_counter()
    run = subprocess.run(command, cwd=course.root, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, os.times()
    if run.returncode != 0:
        raise RuntimeError(
            f"{' '.join(command)} failed:\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}"
        )
    user = after.children_user - before.children_user
    return _Spent(wall, user + after.children_system - before.children_system)
