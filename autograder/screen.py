"""What commands show: one progress bar, one table of results, one form of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Protocol, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from autograder.result import Result

console = Console()
errors = Console(stderr=True)

T = TypeVar("T")


class Named(Protocol):
    """Anything with a name to show beside the progress bar."""

    def __str__(self) -> str: ...


def progress(items: Iterable[tuple[Named, T]], total: int, doing: str) -> Iterator[T]:
    """Yield the second of each pair while a bar shows the name, the count and the time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}"),
    )
    with Progress(*columns, console=errors) as bar:
        task = bar.add_task(doing, total=total, name="")
        for name, item in items:
            bar.update(task, advance=1, name=escape(str(name)))
            yield item


def results_table(results: Iterable[Result], title: str) -> Table:
    """One row per result: points, what waits for a person, and the most telling sentence."""
    table = Table(title=title, title_justify="left")
    table.add_column("student", no_wrap=True)
    for name in ("points", "by hand", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what happened", overflow="fold")
    for result in results:
        table.add_row(
            escape(result.student),
            f"{result.score:g} / {result.max_score:g}",
            f"{result.by_hand:g}" if result.by_hand else "",
            f"{result.seconds:.1f}",
            escape(what_happened(result)),
        )
    return table


def cells_table(result: Result) -> Table:
    """One row per graded cell of one notebook."""
    table = Table(title=f"{result.notebook}: {result.score:g} of {result.automatic_max:g} points")
    table.add_column("cell", no_wrap=True)
    table.add_column("points", justify="right", no_wrap=True)
    table.add_column("what the grader says", overflow="fold")
    for cell in result.cells:
        points = "by hand" if cell.score is None else f"{cell.score:g} / {cell.max_score:g}"
        table.add_row(cell.cell, points, escape(cell.reason))
    return table


def what_happened(result: Result, most: int = 160) -> str:
    """The notes, or else the first lost points with their reason, in one line."""
    lost = [cell for cell in result.cells if cell.score is not None and not cell.full]
    if result.notes:
        return " ".join(result.notes)
    if not lost:
        return "All automatic tests passed."
    reason = " ".join(lost[0].reason.split())
    more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
    return f"{lost[0].cell}: {reason[:most]}{more}"


def print_json(results: Sequence[Result]) -> None:
    """The results on standard output for a program to read."""
    print(json.dumps([asdict(result) for result in results], indent=1, sort_keys=True))
