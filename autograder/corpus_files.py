"""The corpus: answers that every grader must accept (correct_*) or reject (wrong_*).

A corpus file holds `# %% <grade_id>` cells that replace answer cells; all other answers are the
instructor's. In a wrong file each cell begins with `# expect: <phrase>`: the message of one of
that answer's own tests must contain the phrase.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode

from autograder.errors import CourseError
from autograder.result import Result
from autograder.template import Template

CORPUS = Path(__file__).parent / "corpus"
_CELL = re.compile(r"^# %% (\w+).*\n", re.MULTILINE)
_EXPECT = re.compile(r"\A\s*# expect: (.+)\n")


@dataclass(frozen=True)
class Variant:
    """One way to fill in an assignment and what the grader must make of it."""

    name: str
    kind: str  # solution, release, correct or wrong
    notebook: NotebookNode
    expect: dict[str, str] = field(default_factory=dict)

    def faults(self, result: Result, template: Template) -> list[str]:
        """Sentences about everything the grader got wrong; empty where all is well."""
        if self.kind == "release":
            return [f"{c.cell}: the release got {c.score} points" for c in result.cells if c.score]
        faults = []
        wrong_tests = {test for answer in self.expect for test in template.tests[answer]}
        for cell in result.cells:
            if cell.cell not in wrong_tests and cell.score is not None and not cell.full:
                faults.append(f"{cell.cell}: lost points although it is right: {cell.reason}")
        for answer, phrase in self.expect.items():
            lost = [c for c in result.cells if c.cell in template.tests[answer] and not c.full]
            if not lost:
                faults.append(f"{answer}: wrong ({phrase}) but got full points")
            elif not any(phrase.lower() in cell.reason.lower() for cell in lost):
                faults.append(f"{answer}: no message says {phrase!r}: {lost[0].reason}")
        return faults


def variants(template: Template) -> list[Variant]:
    """The solution, the release and every corpus file of the template's assignment."""
    fixed = [
        Variant("solution", "solution", template.filled_in(template.solutions())),
        Variant("release", "release", template.filled_in({})),
    ]
    folder = CORPUS / template.assignment
    files = sorted(folder.glob("correct_*.py")) + sorted(folder.glob("wrong_*.py"))
    return fixed + [read_variant(path, template) for path in files]


def read_variant(path: Path, template: Template) -> Variant:
    """Parse a corpus file; CourseError names the file and what is wrong with it."""
    kind = path.stem.partition("_")[0]
    parts = _CELL.split(path.read_text(encoding="utf-8"))
    answers: dict[str, str] = {}
    expect: dict[str, str] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        if name in answers:
            raise CourseError(f"{path.name} has two cells called {name}; keep one.")
        phrase = _EXPECT.match(body)
        if kind == "wrong":
            if phrase is None:
                raise CourseError(f"{path.name}, cell {name}: begin it with `# expect: phrase`.")
            expect[name] = phrase.group(1).strip()
            body = body[phrase.end() :]
        answers[name] = body.strip()
    if not answers:
        raise CourseError(f"{path.name} has no `# %% grade_id` cell.")
    return Variant(path.stem, kind, template.filled_in(template.solutions() | answers), expect)
