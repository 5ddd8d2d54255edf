"""The `autograder` command. Exit status: 0 all well, 1 something needs a look, 2 usage."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from autograder import screen
from autograder.errors import CourseError

NEEDS_A_LOOK = 1
USAGE = 2

app = typer.Typer(
    help="Release, grade and give feedback on the assignments of this course, with nbgrader's "
    "own records. Every command works from any folder of the course.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

CourseOption = Annotated[
    Path | None, typer.Option("--course", help="Course folder; default: the one you are in.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the results as JSON.")]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", min=1, help="Notebooks at a time; default: your cores.")
]
CellTime = Annotated[float, typer.Option("--cell-seconds", min=0.1, help="Limit for one cell.")]
NotebookTime = Annotated[
    float, typer.Option("--notebook-seconds", min=0.1, help="Limit for one notebook.")
]
Memory = Annotated[int, typer.Option("--memory-mb", min=100, help="Limit for one notebook.")]


def command(example: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a command whose help ends with an example and whose CourseErrors exit with 2."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except CourseError as error:
                screen.errors.print(f"Error: {error}", style="red", markup=False)
                raise typer.Exit(USAGE) from None
            except KeyboardInterrupt:
                screen.errors.print("Stopped. What was done is kept; run it again to go on.")
                raise typer.Exit(NEEDS_A_LOOK) from None

        app.command(epilog=f"Example: `{example}`")(guarded)
        return guarded

    return register


@command("autograder release a1_cost_of_inference")
def release(assignment: str, course: CourseOption = None) -> None:
    """Make the students' version of an assignment, and prove that it gives nothing away."""
    from autograder.release import release as run

    folder = run(_course(course), assignment)
    screen.console.print(f"Released to {folder}", soft_wrap=True, markup=False)


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
    as_json: JsonOption = False,
) -> None:
    """Grade submissions into the grade book, each on its own and within limits."""
    from autograder.execute import Limits
    from autograder.grade import default_jobs, grade_class

    where = _course(course)
    where.check_assignment(assignment)
    there = where.submitters(assignment)
    unknown = sorted(set(students or []) - set(there))
    if unknown:
        raise CourseError(f"Nothing was handed in for {assignment} by {', '.join(unknown)}.")
    if not there:
        raise CourseError(
            f"Nothing was handed in for {assignment}: there is no folder like "
            f"{where.submitted('STUDENT', assignment)}."
        )
    chosen = students or there
    limits = Limits(cell_seconds, notebook_seconds, memory_mb * 2**20)
    results = _graded(
        grade_class(where, assignment, chosen, limits, jobs or default_jobs()),
        len(chosen) * len(where.notebooks(assignment)),
    )
    _show(results, assignment, as_json)
    raise typer.Exit(NEEDS_A_LOOK if any(result.needs_a_look for result in results) else 0)


@command("autograder feedback a1_cost_of_inference")
def feedback(
    assignment: str,
    students: Annotated[list[str] | None, typer.Argument(help="Default: all graded.")] = None,
    course: CourseOption = None,
) -> None:
    """Write one feedback page per student, without hidden tests and safe to open."""
    from autograder.feedback import write_feedback

    where = _course(course)
    where.check_assignment(assignment)
    graded = [s for s in where.submitters(assignment) if where.autograded(s, assignment).is_dir()]
    chosen = students or graded
    if not chosen:
        raise CourseError(f"Nobody is graded yet: run `autograder grade {assignment}` first.")
    pages = ((student, write_feedback(where, assignment, student)) for student in chosen)
    written = [page for some in screen.progress(pages, len(chosen), "feedback") for page in some]
    folder = written[0].parent.parent.parent
    screen.console.print(f"Wrote {len(written)} pages below {folder}", soft_wrap=True)


@command("autograder export --to grades.csv")
def export(
    assignment: Annotated[str | None, typer.Argument(help="Default: all assignments.")] = None,
    to: Annotated[Path, typer.Option("--to", help="File to write.")] = Path("grades.csv"),
    course: CourseOption = None,
) -> None:
    """Write the grades as CSV that a spreadsheet opens safely."""
    from autograder.export import export as run

    where = _course(course)
    if assignment is not None:
        where.check_assignment(assignment)
    rows = run(where, to, assignment)
    screen.console.print(f"Wrote {rows} rows to {to}", soft_wrap=True, markup=False)


@command("autograder check my_copy_of_a1.ipynb")
def check(
    notebook: Path,
    course: CourseOption = None,
    cell_seconds: CellTime = 30.0,
    notebook_seconds: NotebookTime = 300.0,
    as_json: JsonOption = False,
) -> None:
    """Grade one notebook file for yourself: no grade book, nothing is written."""
    from autograder.check import check as run
    from autograder.execute import Limits

    with screen.errors.status("running your notebook in a fresh kernel"):
        result = run(_course(course), notebook, Limits(cell_seconds, notebook_seconds))
    if as_json:
        screen.print_json([result])
    else:
        for note in result.notes:
            screen.console.print(note, markup=False)
        screen.console.print(screen.cells_table(result))
    raise typer.Exit(0 if result.score == result.automatic_max else NEEDS_A_LOOK)


@command("autograder verify a1_cost_of_inference")
def verify(
    assignments: Annotated[list[str] | None, typer.Argument(help="Default: all.")] = None,
    course: CourseOption = None,
    jobs: JobsOption = None,
) -> None:
    """Prove the graders on their corpus: correct answers pass, wrong ones are named."""
    from autograder.corpus_files import variants
    from autograder.execute import Limits
    from autograder.grade import default_jobs
    from autograder.template import Template
    from autograder.verify import matrix
    from autograder.verify import verify as run

    where = _course(course)
    faults = 0
    for assignment in assignments or where.assignments():
        where.check_assignment(assignment)
        for name in where.notebooks(assignment):
            template = Template.load(where, assignment, name)
            verdicts = run(template, where, Limits(), jobs or default_jobs())
            named = ((verdict.variant.name, verdict) for verdict in verdicts)
            done = list(screen.progress(named, len(variants(template)), assignment))
            screen.console.print(matrix(template, done))
            for verdict in done:
                for fault in verdict.faults:
                    faults += 1
                    screen.console.print(f"{verdict.variant.name}: {fault}", markup=False)
    screen.console.print(
        f"{faults} faults" if faults else "The graders judged every answer right."
    )
    raise typer.Exit(NEEDS_A_LOOK if faults else 0)


@command("autograder doctor")
def doctor(course: CourseOption = None) -> None:
    """Say whether this machine is fit to grade, and what to do if not."""
    from rich.markup import escape

    from autograder.doctor import examine

    findings = examine(_course(course))
    for finding in findings:
        mark = "[green]ok  [/]" if finding.ok else "[red]LOOK[/]"
        screen.console.print(f"{mark} {finding.check}: {escape(finding.says)}", soft_wrap=True)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else NEEDS_A_LOOK)


@command("autograder demo --folder /tmp/demo")
def demo(
    folder: Annotated[Path | None, typer.Option(help="Default: demo/ in the course.")] = None,
    assignment: str = "a1_cost_of_inference",
    course: CourseOption = None,
    jobs: JobsOption = None,
) -> None:
    """Release, hand in, grade and give feedback on a sample class, from start to end."""
    from autograder import demo as sample
    from autograder.execute import Limits
    from autograder.export import export as write_csv
    from autograder.feedback import write_feedback
    from autograder.grade import default_jobs, grade_class
    from autograder.release import release as make_release
    from autograder.template import Template

    home = _course(course)
    home.check_assignment(assignment)
    where = sample.set_up(home, folder or home.root / "demo", assignment)
    screen.console.print(f"1. Releasing {assignment}")
    make_release(where, assignment)
    template = Template.load(where, assignment, where.notebooks(assignment)[0])
    submissions = sample.sample_class(template)
    for submission in submissions:
        sample.hand_in(where, assignment, submission)
    screen.console.print(f"2. Grading {len(submissions)} submissions")
    students = [submission.student for submission in submissions]
    limits = Limits(cell_s=10.0)
    results = _graded(
        grade_class(where, assignment, students, limits, jobs or default_jobs()), len(students)
    )
    screen.console.print("3. Writing feedback and grades.csv")
    pages = ((student, write_feedback(where, assignment, student)) for student in students)
    written = [page for some in screen.progress(pages, len(students), "feedback") for page in some]
    write_csv(where, where.root / "grades.csv")
    _show(results, f"{assignment}: the sample class", as_json=False)
    for what, path in {
        "a feedback page": written[4],
        "grades as CSV": where.root / "grades.csv",
        "the grade book": where.root / "gradebook.db",
        "nbgrader's own view": f"cd {where.root} && jupyter lab, then Nbgrader > Formgrader",
    }.items():
        screen.console.print(f"{what + ':':22}{path}", soft_wrap=True, markup=False)


def _course(folder: Path | None) -> Any:
    from autograder.course import Course

    return Course.find(folder)


def _graded(results: Iterable[Any], total: int) -> list[Any]:
    named = ((result.student, result) for result in results)
    return sorted(screen.progress(named, total, "grading"), key=lambda result: result.student)


def _show(results: list[Any], title: str, as_json: bool) -> None:
    if as_json:
        screen.print_json(results)
    else:
        screen.console.print(screen.results_table(results, title))


if __name__ == "__main__":
    app()
