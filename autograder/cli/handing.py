"""From grades to people: feedback pages, files for the LMS, and a report for the instructor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autograder import screen
from autograder.cli.base import (
    CourseOption,
    JsonOption,
    command,
    find_course,
    print_json,
    say,
)
from autograder.errors import CourseError


@command("autograder feedback a1_cost_of_inference")
def feedback(
    assignment: str,
    students: Annotated[list[str] | None, typer.Argument(help="Default: all graded.")] = None,
    course: CourseOption = None,
) -> None:
    """Write one feedback page per student, without hidden tests and safe to open."""
    from autograder.feedback import write_feedback

    where = find_course(course)
    where.check_assignment(assignment)
    graded = [s for s in where.submitters(assignment) if where.autograded(s, assignment).is_dir()]
    chosen = students or graded
    if not chosen:
        raise CourseError(f"Nobody is graded yet: run `autograder grade {assignment}` first.")
    pages = ((student, write_feedback(where, assignment, student)) for student in chosen)
    written = sum(len(some) for some in screen.progress(pages, len(chosen), "feedback"))
    folder = where.feedback("x", assignment).parent.parent
    say(f"Wrote {written} pages below {folder}")


@command("autograder export --preset canvas a1_cost_of_inference --to grades.csv")
def export(
    assignment: Annotated[str | None, typer.Argument(help="Default: all assignments.")] = None,
    to: Annotated[
        Path, typer.Option("--to", help="File to write; for gradescope a folder.")
    ] = Path("grades.csv"),
    preset: Annotated[
        str, typer.Option(help="generic, canvas, moodle or gradescope.")
    ] = "generic",
    roster: Annotated[
        Path | None,
        typer.Option(help="A gradebook exported from Canvas or Moodle, to match people by."),
    ] = None,
    course: CourseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the grades for a spreadsheet or your LMS; nothing in it runs as a formula."""
    from autograder.export import export as run
    from autograder.export import grade_rows

    where = find_course(course)
    if assignment is not None:
        where.check_assignment(assignment)
    if as_json:
        print_json(grade_rows(where, assignment))
        return
    written = run(where, to, assignment, preset, roster)
    say(f"Wrote {written} {'files below' if preset == 'gradescope' else 'rows to'} {to}")


@command("autograder report a1_cost_of_inference --to report.html")
def report(
    assignment: str,
    to: Annotated[Path, typer.Option("--to", help="File to write.")] = Path("report.html"),
    course: CourseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write one page on how the class did and how good the questions were."""
    from autograder.report import analyse, write_report

    where = find_course(course)
    where.check_assignment(assignment)
    analysis = analyse(where, assignment)
    if as_json:
        print_json([analysis])
        return
    write_report(analysis, to)
    say(f"Wrote the report on {analysis.students} students to {to}")
