"""The numbers of the report: scores, items, failures, cost of running, containment.

Item statistics follow classical test theory. Difficulty is the mean fraction of the points that
a question gave. Discrimination is the corrected item-total correlation: between a question's
points and the total of all *other* questions, so that a question is not compared with itself
(Nunnally and Bernstein, Psychometric Theory, 3rd ed. 1994, section 8).
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader import api

from autograder import leaderboard
from autograder.course import Course
from autograder.engine.ledger import per_cell
from autograder.errors import CourseError
from autograder.export import grade_rows
from autograder.gradebook import open_gradebook
from autograder.result import Result

MIN_STUDENTS = 5  # a correlation over fewer says nothing
_NUMBERS = re.compile(r"[-+]?\d[\d.,e+-]*")


@dataclass(frozen=True)
class Item:
    """One graded cell: points, how many were marked, difficulty, discrimination, failures."""

    cell: str
    max_score: float
    marked: int
    difficulty: float | None  # mean fraction of the points; None where nobody is marked
    discrimination: float | None  # None where it is not defined
    failures: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Cost:
    """Time and memory that one cell took over the class; memory is None where not measured."""

    cell: str
    median_s: float
    max_s: float
    max_bytes: int | None


@dataclass(frozen=True)
class Analysis:
    """Everything the page shows. Nobody is named in it."""

    assignment: str
    students: int
    waiting: int  # submissions with answers that a person has yet to mark
    not_graded: int
    max_score: float
    scores: tuple[float, ...]
    items: tuple[Item, ...]
    costs: tuple[Cost, ...]
    events: tuple[tuple[str, str, int], ...]  # kind, cell, how often
    notes: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    board: tuple[tuple[str, tuple[float | str | None, ...]], ...]

    @property
    def mean(self) -> float:
        return statistics.mean(self.scores)

    @property
    def median(self) -> float:
        return statistics.median(self.scores)

    @property
    def deviation(self) -> float:
        return statistics.stdev(self.scores) if len(self.scores) > 1 else 0.0


@dataclass
class _Tally:
    """What is collected over the class, one notebook at a time."""

    reasons: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    examples: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    peaks: dict[str, int] = field(default_factory=dict)
    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    entries: dict[str, leaderboard.Entry] = field(default_factory=dict)

    def add(self, result: Result, executed: NotebookNode) -> None:
        for cell in result.cells:
            if cell.score is not None and not cell.full:
                kind = _kind(cell.reason)
                self.reasons[cell.cell][kind] += 1
                self.examples.setdefault(kind, cell.reason)
        self.events.update((event.kind, event.cell) for event in result.events)
        for note in result.notes:
            kind = _kind(note)
            self.notes[kind] += 1
            self.examples.setdefault(kind, note)
        for name, cost in _costs(executed):
            self.seconds[name].append(float(cost.get("seconds") or 0.0))
            if cost.get("peak_bytes"):
                self.peaks[name] = max(self.peaks.get(name, 0), int(cost["peak_bytes"]))

    def common(self, counts: Counter[str], most: int) -> tuple[tuple[str, int], ...]:
        return tuple((self.examples[kind], count) for kind, count in counts.most_common(most))


def analyse(course: Course, assignment: str) -> Analysis:
    """Collect the numbers of all who are graded; CourseError where nobody is."""
    rows = grade_rows(course, assignment)
    graded = [row for row in rows if row["status"] == "graded"]
    if not graded:
        raise CourseError(f"Nobody is graded yet: run `autograder grade {assignment}` first.")
    tally = _Tally()
    for row in graded:
        for result, executed in _executed(course, assignment, row["student_id"]):
            tally.add(result, executed)
            entry = leaderboard.entry_of(executed)
            if entry:
                name = leaderboard.pseudonym(course, row["student_id"])
                tally.entries[name] = entry
    columns = leaderboard.columns(tally.entries)
    return Analysis(
        assignment=assignment,
        students=len(graded),
        waiting=sum(bool(row["needs_manual_grade"]) for row in graded),
        not_graded=sum(row["status"] == "not graded" for row in rows),
        max_score=graded[0]["max_score"],
        scores=tuple(row["score"] for row in graded),
        items=_items(course, assignment, tally),
        costs=tuple(
            Cost(name, statistics.median(taken), max(taken), tally.peaks.get(name))
            for name, taken in tally.seconds.items()
        ),
        events=tuple((*what, count) for what, count in tally.events.most_common()),
        notes=tally.common(tally.notes, 10),
        columns=tuple(columns),
        board=tuple(
            (name, tuple(entry.get(column) for column in columns))
            for name, entry in leaderboard.ranked(tally.entries)
        ),
    )


def corrected_item_total(scores: Sequence[float], totals: Sequence[float]) -> float | None:
    """Correlation of an item with the rest of the test; None for a tiny or constant class."""
    rest = [total - score for score, total in zip(scores, totals, strict=True)]
    if len(scores) < MIN_STUDENTS or _constant(scores) or _constant(rest):
        return None
    return statistics.correlation(scores, rest)


def _items(course: Course, assignment: str, tally: _Tally) -> tuple[Item, ...]:
    """Statistics of every cell that gives points, in the order of the notebooks."""
    marks: dict[str, dict[str, float]] = defaultdict(dict)
    points: dict[str, float] = {}
    with open_gradebook(course) as gradebook:
        for notebook in gradebook.find_assignment(assignment).notebooks:
            graded = (*notebook.grade_cells, *notebook.task_cells)
            points |= {cell.name: cell.max_score for cell in graded if cell.max_score}
        grade = api.Grade.__table__
        query = per_cell(
            assignment, grade, grade.c.auto_score, grade.c.manual_score, grade.c.extra_credit
        )
        for student, _, cell, automatic, manual, extra in gradebook.db.execute(query):
            score = manual if manual is not None else automatic
            if cell in points and score is not None:
                marks[cell][student] = score + (extra or 0.0)
    totals: dict[str, float] = defaultdict(float)
    for by_student in marks.values():
        for student, score in by_student.items():
            totals[student] += score
    order = [name for name in tally.seconds if name in points]
    return tuple(
        _item(name, points[name], marks[name], totals, tally)
        for name in dict.fromkeys((*order, *points))
    )


def _item(
    name: str, points: float, marks: dict[str, float], totals: dict[str, float], tally: _Tally
) -> Item:
    scores = list(marks.values())
    return Item(
        cell=name,
        max_score=points,
        marked=len(scores),
        difficulty=statistics.mean(scores) / points if scores else None,
        discrimination=corrected_item_total(scores, [totals[student] for student in marks]),
        failures=tally.common(tally.reasons[name], 3),
    )


def _executed(
    course: Course, assignment: str, student: str
) -> Iterator[tuple[Result, NotebookNode]]:
    """The executed notebooks of one student with the results they carry."""
    for name in course.notebooks(assignment):
        path = course.autograded(student, assignment) / f"{name}.ipynb"
        try:
            notebook = nbformat.read(path, as_version=4)
            yield Result.from_json(notebook.metadata.autograder.result), notebook
        except (OSError, ValueError, AttributeError, TypeError):
            continue  # graded by plain nbgrader: points, but no reasons and times


def _costs(executed: NotebookNode) -> Iterator[tuple[str, dict[str, Any]]]:
    for cell in executed.cells:
        cost = cell.metadata.get("autograder")
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name and isinstance(cost, dict):
            yield name, cost


def _kind(message: str) -> str:
    """A message without its numbers, which fresh random inputs make different each time."""
    return _NUMBERS.sub("#", " ".join(message.split())[:300])


def _constant(values: Sequence[float]) -> bool:
    return all(math.isclose(value, values[0], abs_tol=1e-9) for value in values)
