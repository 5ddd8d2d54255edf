"""The formats of three learning management systems, as their documentation describes them.

Canvas      "How do I import grades in the Gradebook?" (community.canvaslms.com): the columns
            Student, ID, SIS User ID, SIS Login ID, Section, then assignments titled
            "Name (id)"; the row under the header holds the points possible; blank cells leave a
            grade as it is; an assignment without an id becomes a new one.
Moodle      docs.moodle.org, "Grade import": any columns, mapped by email address or ID number
            in the dialogue; and "Assignment: offline grading worksheet", whose rows are matched
            by Identifier.
Gradescope  gradescope-autograders.readthedocs.io, "Autograder specifications": results.json.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import write_text
from autograder.hidden import Secrets
from autograder.leaderboard import entry_of
from autograder.result import CellResult, Result
from autograder.template import Template

Table = tuple[Sequence[str], list[list[Any]]]

CANVAS_PEOPLE = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
POINTS_POSSIBLE = "    Points Possible"
MOODLE_PEOPLE = ("First name", "Last name", "ID number", "Email address")
_MATCH_BY = ("SIS Login ID", "SIS User ID", "ID number", "Email address", "ID", "Username")
_CANVAS_ID = re.compile(r"(?P<name>.*?) \((?P<id>\d+)\)")


@dataclass(frozen=True)
class Roster:
    """A file that an LMS exported: its columns and its rows, one person each."""

    header: tuple[str, ...]
    rows: tuple[dict[str, str], ...]

    def of(self, person: dict[str, Any]) -> dict[str, str]:
        """The row of a student of the grade book; an empty one for somebody unknown."""
        known = {str(person[key]).lower() for key in ("student_id", "email", "lms_user_id")}
        known.discard("")
        for name in _MATCH_BY:
            for row in self.rows:
                value = row.get(name, "").strip().lower()
                if value and (value in known or value.partition("@")[0] in known):
                    return row
        return {}


def read_roster(path: Path) -> Roster:
    """Read an exported CSV; CourseError where it is none or names nobody."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except OSError as error:
        raise CourseError(f"The roster {path} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise CourseError(f"The roster {path} is not a CSV file in UTF-8: {error}.") from None
    header = tuple(name.strip() for name in lines[0]) if lines else ()
    if not set(_MATCH_BY) & set(header):
        raise CourseError(
            f"The roster {path} has none of the columns {', '.join(_MATCH_BY)}. Export the "
            "gradebook (Canvas) or the grading worksheet (Moodle) and use that file."
        )
    return Roster(header, tuple(dict(zip(header, line, strict=False)) for line in lines[1:]))


def canvas(rows: Sequence[dict[str, Any]], roster: Roster | None) -> Table:
    """Canvas's gradebook: one row per person, one column per assignment."""
    assignments = {row["assignment"]: row["max_score"] for row in rows}
    titles = [_canvas_title(name, roster) for name in assignments]
    table: list[list[Any]] = [[POINTS_POSSIBLE, "", "", "", "", *assignments.values()]]
    for person, grades in _people(rows):
        known = roster.of(person) if roster else {}
        own = {
            "Student": _name(person) or person["student_id"],
            "ID": person["lms_user_id"],
            "SIS Login ID": person["student_id"],
        }
        who = [known.get(key) or own.get(key, "") for key in CANVAS_PEOPLE]
        table.append([*who, *(grades.get(name, "") for name in assignments)])
    return (*CANVAS_PEOPLE, *titles), table


def moodle(rows: Sequence[dict[str, Any]], roster: Roster | None) -> Table:
    """Moodle's grade import, or its grading worksheet where the roster is one."""
    assignments = list(dict.fromkeys(row["assignment"] for row in rows))
    people = list(_people(rows))
    if roster is not None and "Identifier" in roster.header:
        if len(assignments) != 1:
            raise CourseError("A Moodle grading worksheet holds one assignment: name it.")
        return _worksheet(roster, people, assignments[0])
    table = []
    for person, grades in people:
        known = roster.of(person) if roster else {}
        who = (
            known.get("First name") or person["first_name"],
            known.get("Last name") or known.get("Surname") or person["last_name"],
            known.get("ID number") or person["student_id"],
            known.get("Email address") or person["email"],
        )
        table.append([*who, *(grades.get(name, "") for name in assignments)])
    return (*MOODLE_PEOPLE, *(f"Assignment: {name} (Real)" for name in assignments)), table


def write_gradescope(course: Course, folder: Path, rows: Sequence[dict[str, Any]]) -> int:
    """Write `<folder>/<assignment>/<student>/results.json`; return the number of files."""
    if folder.exists() and not folder.is_dir():
        raise CourseError(f"Gradescope gets one file per student: {folder} must be a folder.")
    templates: dict[str, list[Template]] = {}
    written = 0
    for row in (row for row in rows if row["status"] == "graded"):
        name, student = row["assignment"], row["student_id"]
        if name not in templates:
            notebooks = course.notebooks(name)
            templates[name] = [Template.load(course, name, each) for each in notebooks]
        results = _gradescope(course, row, templates[name])
        text = json.dumps(results, indent=1, ensure_ascii=False)
        write_text(folder / name / student / "results.json", text)
        written += 1
    return written


def _gradescope(course: Course, row: dict[str, Any], templates: list[Template]) -> dict[str, Any]:
    tests: list[dict[str, Any]] = []
    notes: list[str] = []
    board: list[dict[str, Any]] = []
    seconds = 0.0
    for template in templates:
        path = course.autograded(row["student_id"], row["assignment"])
        executed = nbformat.read(path / f"{template.notebook}.ipynb", as_version=4)
        result = Result.from_json(executed.metadata.autograder.result)
        secrets = Secrets(executed, template)
        seconds += result.seconds
        notes += map(secrets.scrubbed, result.notes)
        tests += [_gradescope_test(cell, secrets) for cell in result.cells]
        board += _gradescope_board(executed)
    if row["late_penalty"]:
        notes.append(f"Late: {row['late_penalty']:g} points less.")
    return {
        "score": row["score"],
        "max_score": row["max_score"],
        "execution_time": round(seconds, 3),
        "output": "\n".join(notes),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
        **({"leaderboard": board} if board else {}),
    }


def _gradescope_test(cell: CellResult, secrets: Secrets) -> dict[str, Any]:
    test: dict[str, Any] = {
        "name": cell.cell,
        "max_score": cell.max_score,
        "output": secrets.scrubbed(cell.reason),
        "output_format": "text",
        "visibility": "visible",
    }
    if cell.score is None:  # a person marks it: neither passed nor failed
        return test
    return test | {"score": cell.score, "status": "passed" if cell.full else "failed"}


def _gradescope_board(executed: NotebookNode) -> list[dict[str, Any]]:
    entry = entry_of(executed) or {}
    ascending = ("size", "size_bytes", "latency_s", "macs")
    return [
        {"name": key, "value": value, "order": "asc" if key in ascending else "desc"}
        for key, value in entry.items()
    ]


def _worksheet(
    roster: Roster, people: list[tuple[dict[str, Any], dict[str, Any]]], assignment: str
) -> Table:
    grades = {}
    for person, scores in people:
        known = roster.of(person)
        if known:
            grades[known["Identifier"]] = scores.get(assignment, "")
    table = [
        [grades.get(row.get("Identifier", ""), value) if name == "Grade" else value
         for name, value in row.items()]
        for row in roster.rows
    ]  # fmt: skip
    return roster.header, table


def _people(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each person once, with the scores of the assignments that are graded."""
    people: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for row in rows:
        _, scores = people.setdefault(row["student_id"], (row, {}))
        if row["status"] == "graded":
            scores[row["assignment"]] = row["score"]
    return iter(people.values())


def _canvas_title(name: str, roster: Roster | None) -> str:
    for title in roster.header if roster else ():
        match = _CANVAS_ID.fullmatch(title)
        if match and match["name"].strip().lower() == name.lower():
            return title
    return name


def _name(person: dict[str, Any]) -> str:
    return ", ".join(filter(None, (person["last_name"], person["first_name"])))
