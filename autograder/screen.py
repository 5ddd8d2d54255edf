"""What commands show: one progress bar, tables of results, and a summary."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

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

if TYPE_CHECKING:
    from autograder.collect import Collected

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
            "not graded" if result.problem else f"{result.score:g} / {result.max_score:g}",
            f"{result.by_hand:g}" if result.by_hand and not result.problem else "",
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


def summary(results: Sequence[Result], seconds: float) -> list[str]:
    """What a class came to, in a few lines: grades, what needs a look, what was contained."""
    totals: dict[str, float] = defaultdict(float)
    for result in results:
        if not result.problem:
            totals[result.student] += result.score
    lines = [f"{len(totals)} students graded in {_duration(seconds)}."]
    if totals:
        scores = list(totals.values())
        lines[0] += (
            f" Points so far: mean {statistics.mean(scores):.1f}, "
            f"median {statistics.median(scores):.1f}."
        )
    waiting = sum(not result.problem and result.by_hand > 0 for result in results)
    look = [result.student for result in results if result.needs_a_look]
    failed = [result.student for result in results if result.problem]
    events = Counter(event.kind for result in results for event in result.events)
    repaired = sum(bool(result.notes) for result in results)
    if waiting:
        lines.append(f"{waiting} notebooks have answers that a person marks.")
    if repaired:
        lines.append(f"{repaired} notebooks have notes (repairs, odd files).")
    if events:
        kinds = ", ".join(f"{kind} {count}" for kind, count in events.most_common())
        lines.append(f"Contained: {kinds}.")
    if look:
        lines.append(f"Needs a look: {', '.join(dict.fromkeys(look))}.")
    if failed:
        lines.append(f"NOT graded, try again: {', '.join(dict.fromkeys(failed))}.")
    return lines


def collected_table(collected: Iterable[Collected], assignment: str) -> Table:
    """One row per student whose files were collected."""
    table = Table(title=f"{assignment}: collected", title_justify="left")
    for name in ("student", "status", "received"):
        table.add_column(name, no_wrap=True)
    table.add_column("files and notes", overflow="fold")
    for each in collected:
        files = ", ".join(str(file) for file in each.files)
        says = "; ".join(filter(None, (files, *each.notes)))
        received = str(each.received or "")
        table.add_row(*map(escape, (each.student, each.status, received, says)))
    return table


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
