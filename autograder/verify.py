"""Prove that an assignment's grader gives every corpus answer what it deserves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from autograder import sandboxed
from autograder.corpus_files import Variant, variants
from autograder.course import Course
from autograder.engine.pool import in_parallel
from autograder.execute import Limits
from autograder.grade import grade_intake, supply_files
from autograder.intake import repair
from autograder.result import Result
from autograder.template import Template


@dataclass(frozen=True)
class Verdict:
    """A variant, what the grader said, and in which ways that was wrong."""

    variant: Variant
    result: Result | None
    faults: tuple[str, ...]


def verify(template: Template, course: Course, limits: Limits, jobs: int) -> Iterator[Verdict]:
    """Grade the solution, the release and every corpus file; yield verdicts as they come."""
    sandboxed.require(limits)
    supplies = supply_files(course, template.assignment)

    def work(variant: Variant) -> Result:
        intake = repair(variant.notebook, template)
        return grade_intake(variant.name, intake, template, supplies, limits).result

    for variant, outcome in in_parallel(work, variants(template), jobs):
        if isinstance(outcome, Exception) or outcome.problem:
            why = outcome if isinstance(outcome, Exception) else outcome.problem
            yield Verdict(variant, None, (f"the grader failed: {why}",))
        else:
            yield Verdict(variant, outcome, tuple(variant.faults(outcome, template)))


def summary_of(template: Template, verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain data: accepted answers, faults, points."""
    result = verdict.result
    graded = {answer: tests for answer, tests in template.tests.items() if tests}
    return {
        "assignment": template.assignment,
        "notebook": template.notebook,
        "variant": verdict.variant.name,
        "kind": verdict.variant.kind,
        "score": result.score if result else None,
        "seconds": result.seconds if result else None,
        "accepted": [
            answer
            for answer, tests in graded.items()
            if result and all(result.cell(test).full for test in tests)
        ],
        "faults": list(verdict.faults),
    }


def matrix(template: Template, verdicts: Sequence[Verdict]) -> Table:
    """Cell x variant: + full points, - lost points as it must, ! a fault of the grader."""
    table = Table(
        title=f"{template.assignment}: + accepted, - rejected, ! wrongly judged",
        title_justify="left",
        box=None,
        padding=0,
    )
    table.add_column("answer ", no_wrap=True)
    order = {"solution": 0, "release": 1, "correct": 2, "wrong": 3}
    verdicts = sorted(verdicts, key=lambda v: (order[v.variant.kind], v.variant.name))
    for number, _ in enumerate(verdicts, 1):
        table.add_column(str(number), justify="right", width=3)
    for answer, tests in template.tests.items():
        if tests:
            marks = [_mark(verdict, answer, tests) for verdict in verdicts]
            table.add_row(answer, *marks)
    legend = "\n".join(f"{n:3} {escape(v.variant.name)}" for n, v in enumerate(verdicts, 1))
    table.caption = legend
    table.caption_justify = "left"
    return table


def _mark(verdict: Verdict, answer: str, tests: list[str]) -> str:
    names = {answer, *tests}
    if verdict.result is None or any(fault.split(":")[0] in names for fault in verdict.faults):
        return "[bold red]![/]"
    return "+" if all(verdict.result.cell(test).full for test in tests) else "-"
