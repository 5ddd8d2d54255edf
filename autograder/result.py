"""What grading one notebook yields: plain frozen data with one canonical JSON form."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode


@dataclass(frozen=True)
class CellResult:
    """The outcome of one graded cell. `score` is None while a person has yet to mark it."""

    cell: str
    score: float | None
    max_score: float
    reason: str
    seconds: float = 0.0

    @property
    def full(self) -> bool:
        """Whether the cell got all its points."""
        return self.score is not None and self.score >= self.max_score


@dataclass(frozen=True)
class Event:
    """Something that had to be contained: `kind` is an error name of `execute.STOPPED`."""

    kind: str
    cell: str


@dataclass(frozen=True)
class Result:
    """The outcome of one student's notebook; `needs_a_look` asks a person to check it.

    `problem` says that the grader itself failed: then this is no grade, and nobody records it.
    `isolation` is how the student's code was confined.
    """

    student: str
    assignment: str
    notebook: str
    cells: tuple[CellResult, ...]
    notes: tuple[str, ...] = ()
    needs_a_look: bool = False
    seconds: float = 0.0
    events: tuple[Event, ...] = ()
    isolation: str = ""
    problem: str = ""

    @property
    def score(self) -> float:
        """Points given so far."""
        return sum(cell.score or 0.0 for cell in self.cells)

    @property
    def max_score(self) -> float:
        """Points that can be had, hand-graded ones included."""
        return sum(cell.max_score for cell in self.cells)

    @property
    def automatic_max(self) -> float:
        """Points that can be had without a person."""
        return sum(cell.max_score for cell in self.cells if cell.score is not None)

    @property
    def by_hand(self) -> float:
        """Points that await a person."""
        return sum(cell.max_score for cell in self.cells if cell.score is None)

    def cell(self, name: str) -> CellResult:
        """The result of one graded cell."""
        return next(cell for cell in self.cells if cell.cell == name)

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no blanks."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Result:
        """The inverse of `to_json`."""
        return cls.from_fields(json.loads(text))

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Result:
        """A result from what its JSON form holds."""
        fields = dict(fields)
        fields["cells"] = tuple(CellResult(**cell) for cell in fields["cells"])
        fields["notes"] = tuple(fields["notes"])
        fields["events"] = tuple(Event(**event) for event in fields.get("events", ()))
        return cls(**fields)


@dataclass(frozen=True)
class Graded:
    """A result together with the executed notebook that it was read from."""

    result: Result
    notebook: NotebookNode

    def to_json(self) -> str:
        """Both as one canonical JSON text."""
        both = {"result": asdict(self.result), "notebook": self.notebook}
        return json.dumps(both, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Graded:
        """The inverse of `to_json`."""
        both = json.loads(text)
        import nbformat  # slow, and not needed to show results

        return cls(Result.from_fields(both["result"]), nbformat.from_dict(both["notebook"]))
