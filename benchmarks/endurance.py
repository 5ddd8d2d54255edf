"""What takes minutes to prove about grading: `python -m benchmarks.endurance [kills|memory]`.

kills: `autograder grade` is killed (SIGKILL) at random moments, again and again, and then run to
its end: its grade book must equal that of an undisturbed run. memory: a large class is graded,
and the memory of the grader and its fork server must not grow with it.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import psutil

from autograder.course import Course
from autograder.snapshot import snapshot
from benchmarks.grading import ASSIGNMENT, class_of

COMMAND = [sys.executable, "-m", "autograder.cli", "grade", ASSIGNMENT]
START_UP_S = 2.0  # before this, hardly anything can go wrong
MOST_GROWTH = 50 * 2**20  # bytes; one submission's worth of caches and pools


def kills(times: int, students: int, seed: int = 5) -> None:
    """Kill a grader `times` times; AssertionError unless the grade book is as if undisturbed."""
    chance = random.Random(seed)
    with class_of(students) as calm, class_of(students) as disturbed:
        start = time.monotonic()
        subprocess.run(COMMAND, cwd=calm.root, check=True, capture_output=True)
        whole = time.monotonic() - start
        latest = START_UP_S + 3 * whole / times
        for number in range(times):
            grader = _start(disturbed)
            time.sleep(chance.uniform(START_UP_S, max(latest, START_UP_S + 1.0)))
            below = psutil.Process(grader.pid).children(recursive=True)
            grader.kill()
            grader.wait()
            _, alive = psutil.wait_procs(below, timeout=60)  # one may still be importing
            assert not alive, f"These outlive the grader: {alive}"
            print(f"kill {number + 1}: {_graded(disturbed)} of {students} graded", flush=True)
        assert subprocess.run(COMMAND, cwd=disturbed.root, capture_output=True).returncode == 0
        assert snapshot(disturbed) == snapshot(calm), "The grade books differ."
    print(f"Killed {times} times: the grade book equals that of an undisturbed run.")


def memory(students: int) -> None:
    """Grade so many students; AssertionError where the grader grows with their number."""
    with class_of(students) as course:
        grader = _start(course)
        samples = list(_memory_of(grader))
        assert grader.returncode == 0
        assert _graded(course) == students
    later = np.array(samples[len(samples) // 4 :]) / 2**20
    slope = np.polyfit(np.linspace(0.0, 1.0, len(later)), later, 1)[0]
    print(f"{students} students, {len(samples)} samples: median {np.median(later):.0f} MB, ")
    print(f"highest {later.max():.0f} MB, trend over the last three quarters {slope:+.1f} MB")
    assert slope * 2**20 < MOST_GROWTH, "The grader's memory grows with the class."


def _start(course: Course) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen(COMMAND, cwd=course.root, stdout=quiet, stderr=quiet)


def _memory_of(grader: subprocess.Popen[bytes]) -> Iterator[int]:
    """Unique bytes of the grader and its fork server, not of submissions, until it ends."""
    process = psutil.Process(grader.pid)
    while grader.poll() is None:
        try:
            both = [process, *process.children()]
            yield sum(each.memory_full_info().uss for each in both)
        except psutil.Error:
            pass
        time.sleep(0.5)


def _graded(course: Course) -> int:
    return sum(row["row"] == "submission" for row in snapshot(course))


def main(arguments: list[str] | None = None) -> None:
    """Run one of the proofs, or both."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endurance", description=__doc__)
    parser.add_argument("proof", nargs="?", choices=("kills", "memory"), help="default: both")
    parser.add_argument("--times", type=int, default=20, help="kills")
    parser.add_argument("--students", type=int, help="default: 60 for kills, 300 for memory")
    options = parser.parse_args(arguments)
    if options.proof in (None, "kills"):
        kills(options.times, options.students or 60)
    if options.proof in (None, "memory"):
        memory(options.students or 300)


if __name__ == "__main__":
    main()
