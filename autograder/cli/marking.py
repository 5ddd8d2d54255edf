"""From an assignment to grades: release, collect, grade, and check for oneself."""

from __future__ import annotations

import time
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autograder import screen
from autograder.cli.base import (
    CellTime,
    CourseOption,
    JobsOption,
    JsonOption,
    Memory,
    NotebookTime,
    UnsafeLocal,
    collected,
    command,
    exit_with,
    find_course,
    print_json,
    say,
)
from autograder.errors import CourseError

if TYPE_CHECKING:
    from autograder.course import Course


@command("autograder release a1_cost_of_inference")
def release(assignment: str, course: CourseOption = None) -> None:
    """Make the students' version of an assignment, and prove that it gives nothing away."""
    from autograder.release import release as run

    say(f"Released to {run(find_course(course), assignment)}")


@command("autograder collect a1_cost_of_inference submissions.zip")
def collect(
    assignment: str,
    archive: Annotated[Path, typer.Argument(help="A zip file or folder from your LMS.")],
    preset: Annotated[
        str, typer.Option(help="auto, canvas, moodle, gradescope or plain.")
    ] = "auto",
    roster: Annotated[
        Path | None,
        typer.Option(help="CSV of the platform's names: gradebook, worksheet or roster."),
    ] = None,
    course: CourseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sort what students uploaded into one folder per student; nothing unsafe is unpacked."""
    from autograder.collect import collect as run

    where = find_course(course)
    where.check_assignment(assignment)
    found = run(where, assignment, archive, preset, roster)
    if as_json:
        print_json(found)
    else:
        screen.console.print(screen.collected_table(found, assignment))
    exit_with(not found or any(each.status == "refused" for each in found))


@command("autograder grade a1_cost_of_inference")
def grade(
    assignment: str,
    students: Annotated[
        list[str] | None, typer.Argument(help="Default: all who handed in.")
    ] = None,
    course: CourseOption = None,
    jobs: JobsOption = None,
    cell_seconds: CellTime = 30.0,
    notebook_seconds: NotebookTime = 300.0,
    memory_mb: Memory = 4096,
    scheduler: Annotated[
        str | None, typer.Option(help="Grade on the Dask cluster with this scheduler address.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Grade again even what has not changed.")
    ] = False,
    unsafe_local: UnsafeLocal = False,
    as_json: JsonOption = False,
) -> None:
    """Grade submissions into the grade book, each on its own and within limits.

    Stop it whenever you like: run again, it goes on where it was. What did not change is not
    graded again.
    """
    from autograder import fork_server

    if scheduler is None:
        fork_server.begin()
    from autograder.execute import Limits
    from autograder.grade import default_jobs, grade_class, grade_contents

    where = find_course(course)
    chosen = _chosen(where, assignment, students)
    limits = Limits(cell_seconds, notebook_seconds, memory_mb * 2**20, unsafe_local=unsafe_local)
    start = time.monotonic()
    with _cluster(scheduler) as cluster:
        results = grade_class(
            where,
            assignment,
            chosen,
            limits,
            jobs or (cluster.jobs if cluster else default_jobs(limits)),
            grader=cluster.grade if cluster else grade_contents,
            again=again,
        )
        done = collected(results, len(chosen) * len(where.notebooks(assignment)))
    if as_json:
        print_json(done)
    else:
        screen.console.print(screen.results_table(done, assignment))
        for line in screen.summary(done, time.monotonic() - start):
            say(line)
    exit_with(any(result.needs_a_look for result in done))


@command("autograder check my_copy_of_a1.ipynb")
def check(
    notebook: Path,
    course: CourseOption = None,
    cell_seconds: CellTime = 30.0,
    notebook_seconds: NotebookTime = 300.0,
    unsafe_local: Annotated[
        bool,
        typer.Option(
            "--unsafe-local/--sandbox",
            help="Your own code needs no sandbox on your own machine. "
            "Use --sandbox for somebody else's notebook.",
        ),
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Grade one notebook file for yourself: no grade book, nothing is written."""
    from autograder import fork_server

    fork_server.begin()
    from autograder.check import check as run
    from autograder.execute import Limits

    limits = Limits(cell_seconds, notebook_seconds, unsafe_local=unsafe_local)
    with screen.errors.status("running your notebook in a fresh kernel"):
        result = run(find_course(course), notebook, limits)
    if as_json:
        print_json([result])
    else:
        for note in result.notes:
            say(note)
        screen.console.print(screen.cells_table(result))
    exit_with(bool(result.problem) or result.score != result.automatic_max)


def _chosen(course: Course, assignment: str, students: list[str] | None) -> list[str]:
    """The students to grade; CourseError where there is nothing to grade."""
    course.check_assignment(assignment)
    there = course.submitters(assignment)
    unknown = sorted(set(students or []) - set(there))
    if unknown:
        raise CourseError(f"Nothing was handed in for {assignment} by {', '.join(unknown)}.")
    if not there:
        raise CourseError(
            f"Nothing was handed in for {assignment}: there is no folder like "
            f"{course.submitted('STUDENT', assignment)}. `autograder collect` makes them."
        )
    return list(dict.fromkeys(students or there))


def _cluster(address: str | None) -> Any:
    if address is None:
        return nullcontext()
    from autograder.engine.cluster import Cluster

    return closing(Cluster(address))
