"""Grade one submission, or a class into the grade book.

`grade_contents` is a pure function of a submission's files and the terms: it touches neither
the grade book nor any other submission, so a thread, a cluster or a student's own machine may
call it. Only `grade_class` writes, one submission at a time, and everything that it has done is
on disk before it goes on: kill it anywhere, start it again, and it continues.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autograder import sandboxed
from autograder.course import Course
from autograder.engine.cache import FOLDER, Cache
from autograder.engine.contents import Contents
from autograder.engine.ledger import Ledger
from autograder.engine.pool import fitting_jobs, in_parallel
from autograder.engine.terms import Terms
from autograder.errors import CourseError, NoSandboxError
from autograder.execute import NOT_RUN, STOPPED, Limits
from autograder.files import only_one
from autograder.gradebook import check_gradebook, recorder
from autograder.intake import Intake, take_in
from autograder.judge import judge, nothing_to_judge
from autograder.result import CellResult, Event, Graded, Result
from autograder.template import Template, grade_id

ATTEMPTS = 3
CONTAINED = set(STOPPED) - {NOT_RUN}  # what did not run was not contained

Grader = Callable[[str, Contents, Terms], Graded]


@dataclass(frozen=True)
class Task:
    """One student's notebook that has to be graded."""

    student: str
    terms: Terms


def grade_contents(student: str, contents: Contents, terms: Terms) -> Graded:
    """Grade the files that a student handed in; never raises for what is in them."""
    with tempfile.TemporaryDirectory(prefix="submission-", ignore_cleanup_errors=True) as scratch:
        supplies = sorted(terms.supplies.write(Path(scratch, "supplies")).iterdir())
        handed_in = contents.write(Path(scratch, "submitted"))
        intake = take_in(handed_in, terms.template, supplies)
        if contents.left_out:
            notes = (*intake.notes, *contents.left_out)
            intake = replace(intake, notes=notes, needs_a_look=True)
        return grade_intake(student, intake, terms.template, supplies, terms.limits)


def grade_intake(
    student: str, intake: Intake, template: Template, supplies: Sequence[Path], limits: Limits
) -> Graded:
    """Execute and judge a notebook that was already taken in."""
    if intake.notebook is None:
        return Graded(nothing_to_judge(student, intake, template), template.graded)
    run = sandboxed.run(
        intake.notebook, supplies, limits, template=template, files=_files_of(intake)
    )
    result = judge(student, run.notebook, intake, template)
    events = tuple(
        Event(output.ename, grade_id(cell) or f"cell {number}")
        for number, cell in enumerate(run.notebook.cells, 1)
        for output in cell.get("outputs", [])
        if output.output_type == "error" and output.ename in CONTAINED
    )
    result = replace(result, events=events, isolation=run.isolation, problem=run.problem)
    return Graded(result, run.notebook)


def grade_class(
    course: Course,
    assignment: str,
    students: Iterable[str],
    limits: Limits,
    jobs: int,
    *,
    grader: Grader = grade_contents,
    again: bool = False,
) -> Iterator[Result]:
    """Grade these students' submissions, write each to the grade book, yield its result.

    What is already graded with the same files, terms and versions is not graded again, and
    what the grade book already holds is not written again, unless `again`. NoSandboxError
    where one has to be graded and this machine cannot confine it.
    """
    templates = [Template.load(course, assignment, name) for name in course.notebooks(assignment)]
    check_gradebook(course, assignment, templates)
    supplies = supply_contents(course, assignment)
    terms = [Terms(template, supplies, limits) for template in templates]
    tasks = (Task(student, each) for student in students for each in terms)
    caches = {each.template.notebook: Cache(course, each.template) for each in terms}

    def work(task: Task) -> Graded:
        contents = Contents.read(course.submitted(task.student, assignment))
        cache = caches[task.terms.template.notebook]
        key = task.terms.key(task.student, contents)
        graded = None if again else cache.get(task.student, key)
        if graded is None:
            graded = grader(task.student, contents, task.terms)
            if not graded.result.problem:
                cache.put(task.student, key, graded)
        return graded

    def failed(outcome: Graded | Exception) -> bool:
        return bool(_problem_of(outcome)) and not isinstance(outcome, NoSandboxError)

    with (
        only_one(course.root / FOLDER / "lock"),
        contextlib.closing(Ledger(course, assignment)) as ledger,
        recorder(course) as record,
    ):
        for task, outcome in in_parallel(work, tasks, jobs, failed, ATTEMPTS):
            if isinstance(outcome, NoSandboxError):
                raise outcome
            problem = _problem_of(outcome)
            if problem or isinstance(outcome, Exception):
                yield _ungraded(task, problem)
                continue
            if again or not ledger.holds(outcome.result):
                try:
                    record(outcome.result, outcome.notebook)
                except (ValueError, OSError) as error:  # never stops the class
                    yield _ungraded(task, f"the grade could not be recorded: {error}")
                    continue
                ledger.note(outcome.result)
            yield outcome.result


def default_jobs(limits: Limits | None = None) -> int:
    """As many submissions at a time as this machine can take under these limits."""
    return fitting_jobs((limits or Limits()).memory_bytes)


def _files_of(intake: Intake) -> dict[str, Path]:
    """The student's data files by their path beside the notebook."""
    if intake.folder is None:
        return {path.name: path for path in intake.files}
    return {path.relative_to(intake.folder).as_posix(): path for path in intake.files}


def _problem_of(outcome: Graded | Exception) -> str:
    """What went wrong with the grader itself; empty where it gave a grade."""
    if isinstance(outcome, Exception):
        return f"{type(outcome).__name__}: {outcome}"
    return outcome.result.problem


def _ungraded(task: Task, problem: str) -> Result:
    """The grader failed, again and again: no score, not even a zero, and a person must look."""
    template = task.terms.template
    cells = tuple(
        CellResult(name, None, points, "Not graded.") for name, points in template.points.items()
    )
    note = f"Not graded, because the grader failed: {problem}"
    return Result(
        task.student,
        template.assignment,
        template.notebook,
        cells,
        notes=(note,),
        needs_a_look=True,
        problem=problem,
    )


def supply_contents(course: Course, assignment: str) -> Contents:
    """The instructor's files beside the notebooks, which every run gets afresh."""
    everything = Contents.read(course.source(assignment), ignore=())
    if everything.left_out:
        raise CourseError(f"In {course.source(assignment)}: {' '.join(everything.left_out)}")
    wanted = [each for each in everything.files if _is_supply(each[0])]
    return Contents(tuple(wanted))


def supply_files(course: Course, assignment: str) -> list[Path]:
    """The same as paths, where they are."""
    folder = course.source(assignment)
    files = supply_contents(course, assignment).files
    return sorted({folder / Path(name).parts[0] for name, _ in files})


def _is_supply(name: str) -> bool:
    top = Path(name).parts[0]
    return not top.startswith(".") and not (top == name and name.endswith(".ipynb"))
