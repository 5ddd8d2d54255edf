"""Make the students' version of an assignment with nbgrader, and prove that it gives nothing
away: no solution line and no hidden test may be anywhere in the released folder."""

from __future__ import annotations

import logging
from pathlib import Path

import nbformat
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from autograder.course import Course
from autograder.errors import CourseError
from autograder.template import Template

MARKERS = ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN TESTS", "MARK SCHEME")


def release(course: Course, assignment: str) -> Path:
    """Write release/<assignment> and register its cells in the grade book; return the folder."""
    course.check_assignment(assignment)
    templates = [Template.load(course, assignment, name) for name in course.notebooks(assignment)]
    config = Config(course.config)
    config.CourseDirectory.assignment_id = assignment
    converter = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config)
    converter.force = True
    problems = _Messages()
    converter.log = logging.getLogger("autograder.release")
    converter.log.addHandler(problems)
    converter.log.propagate = False
    try:
        converter.start()
    except (Exception, SystemExit) as error:
        raise CourseError(
            f"nbgrader could not release {assignment}: {problems or error}"
        ) from None
    finally:
        converter.log.removeHandler(problems)
    folder = course.released(assignment)
    for template in templates:
        leaks = find_leaks(folder, template)
        if leaks:
            raise CourseError(f"The release of {assignment} gives answers away: {leaks[0]}")
    return folder


def find_leaks(folder: Path, template: Template) -> list[str]:
    """Sentences about every secret of the template that a file of `folder` contains."""
    leaks = []
    secrets = secret_lines(template)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".ipynb":
            text = _all_text(nbformat.reads(text, as_version=4))
        lines = {line.strip() for line in text.splitlines()}
        leaks += [f"{path.name} has a marker {mark!r}." for mark in MARKERS if mark in text]
        leaks += [f"{path.name} has the line {line!r}." for line in sorted(secrets & lines)]
    return leaks


def secret_lines(template: Template) -> set[str]:
    """Lines of solutions, hidden tests and mark schemes that students must not see."""
    released = {line.strip() for line in _all_text(template.released).splitlines()}
    source = {line.strip() for line in _all_text(template.source).splitlines()}
    return {line for line in source - released if len(line) > 8}


def _all_text(notebook: nbformat.NotebookNode) -> str:
    """Every string anywhere in a notebook, metadata, outputs and attachments included."""
    found: list[str] = []

    def walk(value: object) -> None:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            for part in value.values():
                walk(part)
        elif isinstance(value, list):
            for part in value:
                walk(part)

    walk(notebook)
    return "\n".join(found)


class _Messages(logging.Handler):
    """Keeps nbgrader's error messages, to say them in our own sentence."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage().strip().splitlines()[-1])

    def __str__(self) -> str:
        return "; ".join(dict.fromkeys(self.lines))

    def __bool__(self) -> bool:
        return bool(self.lines)
