"""What grading one notebook yields: plain frozen data with one canonical JSON form."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


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
class Result:
    """The outcome of one student's notebook; `needs_a_look` asks a person to check it."""

    student: str
    assignment: str
    notebook: str
    cells: tuple[CellResult, ...]
    notes: tuple[str, ...] = ()
    needs_a_look: bool = False
    seconds: float = 0.0

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
        fields = json.loads(text)
        fields["cells"] = tuple(CellResult(**cell) for cell in fields["cells"])
        fields["notes"] = tuple(fields["notes"])
        return cls(**fields)
