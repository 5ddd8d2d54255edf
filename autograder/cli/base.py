"""What the commands share: the application, options, and how an error becomes a sentence."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autograder import quick_start, screen
from autograder.errors import CourseError

if TYPE_CHECKING:
    from autograder.course import Course
    from autograder.result import Result

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
    int | None,
    typer.Option("--jobs", min=1, help="Notebooks at a time; default: what cores and memory fit."),
]
CellTime = Annotated[float, typer.Option("--cell-seconds", min=0.1, help="Limit for one cell.")]
NotebookTime = Annotated[
    float, typer.Option("--notebook-seconds", min=0.1, help="Limit for one notebook.")
]
Memory = Annotated[int, typer.Option("--memory-mb", min=100, help="Limit for one notebook.")]
UnsafeLocal = Annotated[
    bool,
    typer.Option(
        "--unsafe-local",
        help="Run students' code unconfined, as you. Recorded with every grade. Only for code "
        "that you trust, or on a machine set apart for it.",
    ),
]


def command(example: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a command whose help ends with an example and whose CourseErrors exit with 2."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            quick_start.skip_slow_imports()
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


def find_course(folder: Path | None) -> Course:
    """The course of `folder`, or of the working directory."""
    from autograder.course import Course

    return Course.find(folder)


def collected(results: Iterable[Result], total: int) -> list[Result]:
    """All results in the order of the students, while a bar shows how far it is."""
    named = ((result.student, result) for result in results)
    done = list(screen.progress(named, total, "grading"))
    return sorted(done, key=lambda result: (result.student, result.notebook))


def say(text: object) -> None:
    """One line on standard output, never folded and never taken for markup."""
    screen.console.print(str(text), soft_wrap=True, markup=False, highlight=False)


def print_json(values: Iterable[Any]) -> None:
    """A list of dataclasses or plain values on standard output, for a program to read."""
    plain = [
        asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        for value in values
    ]
    print(json.dumps(plain, indent=1, sort_keys=True, default=str))


def exit_with(needs_a_look: bool) -> None:
    """End the command with 1 where a person should look, else with 0."""
    raise typer.Exit(NEEDS_A_LOOK if needs_a_look else 0)
