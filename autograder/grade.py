"""Grade one notebook, many notebooks side by side, or a class into the grade book.

`grade_folder` is a pure function of a submission's files: it touches neither the grade book
nor any other submission. Only `grade_class` writes, one submission at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from nbformat import NotebookNode

from autograder import sandboxed
from autograder.course import Course
from autograder.execute import Limits
from autograder.gradebook import check_gradebook, record
from autograder.intake import Intake, take_in
from autograder.judge import judge, nothing_to_judge
from autograder.result import Result
from autograder.template import Template

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Graded:
    """A result together with the executed notebook that it was read from."""

    result: Result
    notebook: NotebookNode


def grade_folder(
    student: str, folder: Path, template: Template, supplies: Sequence[Path], limits: Limits
) -> Graded:
    """Grade what a student handed in for one notebook; never raises for what is in it."""
    intake = take_in(folder, template)
    return grade_intake(student, intake, template, supplies, limits)


def grade_intake(
    student: str, intake: Intake, template: Template, supplies: Sequence[Path], limits: Limits
) -> Graded:
    """Execute and judge a notebook that was already taken in."""
    if intake.notebook is None:
        return Graded(nothing_to_judge(student, intake, template), template.graded)
    run = sandboxed.run(intake.notebook, supplies, limits)
    result = judge(student, run.notebook, intake, template)
    if run.problem:
        note = f"The grader had trouble with this notebook: {run.problem}"
        result = replace(result, notes=(*result.notes, note), needs_a_look=True)
    return Graded(result, run.notebook)


def grade_class(
    course: Course, assignment: str, students: Iterable[str], limits: Limits, jobs: int
) -> Iterator[Result]:
    """Grade these students' submissions, write each to the grade book, yield its result."""
    templates = [Template.load(course, assignment, name) for name in course.notebooks(assignment)]
    check_gradebook(course, assignment, templates)
    supplies = supply_files(course, assignment)

    def work(student: str) -> list[Graded]:
        folder = course.submitted(student, assignment)
        return [grade_folder(student, folder, each, supplies, limits) for each in templates]

    for student, outcome in in_parallel(work, list(students), jobs):
        if isinstance(outcome, Exception):
            outcome = [_failed(student, template, outcome) for template in templates]
        for graded in outcome:
            record(course, graded.result, graded.notebook)
            yield graded.result


def in_parallel(
    work: Callable[[T], R], items: Sequence[T], jobs: int
) -> Iterator[tuple[T, R | Exception]]:
    """Yield (item, result or exception) as each is done; Ctrl-C ends the running ones."""
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        futures = {pool.submit(work, item): item for item in items}
        try:
            for future in as_completed(futures):
                error = future.exception()
                if error is not None and not isinstance(error, Exception):
                    raise error
                yield futures[future], error if error is not None else future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            sandboxed.stop_all()
            raise


def supply_files(course: Course, assignment: str) -> list[Path]:
    """The instructor's files beside the notebook, which every run gets afresh."""
    return [
        path
        for path in sorted(course.source(assignment).iterdir())
        if path.suffix != ".ipynb" and not path.name.startswith(".")
    ]


def default_jobs() -> int:
    """As many notebooks at a time as this process has cores."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def _failed(student: str, template: Template, error: Exception) -> Graded:
    """The grader itself failed: zero for now, said aloud, and a person is asked to look."""
    why = f"The grader failed ({type(error).__name__}: {error}). Please grade it again."
    intake = Intake(None, (why,), needs_a_look=True)
    return Graded(nothing_to_judge(student, intake, template), template.graded)
