"""One inert HTML page per student and notebook: points, what failed and why, by hand or machine.

Built from nbgrader's own feedback template. Hidden tests are cut out, whatever a student wrote
or printed is made inert, and a content security policy keeps the page from running or loading
anything. A page that were still not inert is replaced by its overview.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import nbformat
import nbgrader
from jinja2 import pass_context
from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from nbgrader.preprocessors import GetGrades

from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import write_text
from autograder.hidden import Secrets
from autograder.inert import active_parts, clean_cell, clean_html
from autograder.leaderboard import entry_of, pseudonym
from autograder.result import CellResult, Result
from autograder.template import Template, grade_id

POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; "
    "base-uri 'none'; form-action 'none'\">"
)
STYLE = (  # our own overview stands where nbgrader lists "Test cell" forty times
    "<style>#toc { display: none } table td, table th { padding: 2px 10px; vertical-align: top } "
    "pre { white-space: pre-wrap; overflow-wrap: anywhere } "
    ".output pre { max-height: 40em; overflow-y: auto } img { max-width: 100% }</style>"
)
_SCRIPT = re.compile(r"(?is)<script\b.*?</script\s*>")
_REMOTE = re.compile(r"(?i)<link\b[^>]*>|@font-face\s*\{[^}]*\}")


def write_feedback(course: Course, assignment: str, student: str) -> list[Path]:
    """Write a student's feedback pages and return their paths."""
    pages = []
    for name in course.notebooks(assignment):
        executed = course.autograded(student, assignment) / f"{name}.ipynb"
        if not executed.is_file():
            raise CourseError(
                f"{student} has no graded {name}: run `autograder grade {assignment}` first."
            )
        template = Template.load(course, assignment, name)
        page = course.feedback(student, assignment) / f"{name}.html"
        write_text(page, render(course, nbformat.read(executed, 4), student, template))
        pages.append(page)
    return pages


def render(course: Course, notebook: NotebookNode, student: str, template: Template) -> str:
    """The feedback page of one executed notebook, with the grades in the grade book."""
    names = {
        "notebook": template.notebook,
        "assignment": template.assignment,
        "student": student,
        "db_url": course.db_url,
    }
    resources: dict[str, Any] = {"nbgrader": names}
    notebook, resources = GetGrades().preprocess(notebook, resources)
    result = Result.from_json(notebook.metadata.autograder.result)
    entry = entry_of(notebook)
    secrets = Secrets(notebook, template)
    for cell in notebook.cells:
        secrets.hide(cell)
        clean_cell(cell)
        comment = cell.metadata.get("nbgrader", {}).get("comment")
        if comment:
            cell.metadata.nbgrader.comment = _as_text(secrets.scrubbed(comment))
    overview = _overview(notebook, result, template, secrets)
    if entry:
        overview += f"\n\nOn the leaderboard you are **{pseudonym(course, student)}**."
    cells = [nbformat.v4.new_markdown_cell(overview), *notebook.cells]
    try:
        page = _page(cells, resources)
    except RecursionError:  # markup nested deeper than a parser goes
        page = ""
    if not page or active_parts(page):
        cells[0].source += "\n\nThis notebook cannot be shown on a web page."
        page = _page(cells[:1], resources)
    return page


def _overview(notebook: NotebookNode, result: Result, template: Template, secrets: Secrets) -> str:
    """A table of all graded cells with the points now in the grade book, and the notes."""
    lines = ["## What happened", ""]
    lines += [f"- {_as_text(secrets.scrubbed(note))}" for note in result.notes] + [""]
    lines += ["| Part | Points | What the grader says |", "|---|---|---|"]
    cells = {grade_id(cell): cell for cell in notebook.cells}
    for cell in result.cells:
        reason = secrets.scrubbed(cell.reason)
        lines.append(_row(cell, reason, cells.get(cell.cell)))
    return "\n".join(lines)


def _row(cell: CellResult, reason: str, graded: NotebookNode | None) -> str:
    score = graded.metadata.nbgrader.get("score") if graded is not None else cell.score
    waits = cell.score is None and not score
    points = f"{'–' if waits else f'{score or 0:g}'} / {cell.max_score:g}"
    reason = "Marked by a person." if cell.score is None and not waits else reason
    return f"| [{cell.cell}](#{cell.cell}) | {points} | {_as_text(reason)} |"


def _as_text(text: str, most: int = 2000) -> str:
    """Text as one line of markdown that cannot become markup."""
    escaped = html.escape(" ".join(text.split())[:most], quote=False)
    return re.sub(r"([\\`*_\[\]|$#~!])", lambda match: f"&#{ord(match.group())};", escaped)


def _page(cells: list[NotebookNode], resources: dict[str, Any]) -> str:
    notebook = nbformat.v4.new_notebook(cells=cells)
    page, _ = _Exporter.make().from_notebook_node(notebook, dict(resources))
    page = _REMOTE.sub("", _SCRIPT.sub("", page))  # the template's own: MathJax, icon fonts
    return page.replace("<head>", f"<head>\n{POLICY}\n{STYLE}", 1)


class _Exporter(HTMLExporter):
    """nbgrader's template, with the result of every markdown cleaned."""

    @classmethod
    def make(cls) -> _Exporter:
        formgrader = Path(nbgrader.__file__).parent / "server_extensions" / "formgrader"
        styles = formgrader / "static" / "node_modules" / "bootstrap" / "dist" / "css"
        return cls(
            template_name="feedback",
            extra_template_basedirs=[str(formgrader / "templates")],
            extra_template_paths=[str(styles)],
            exclude_anchor_links=True,
        )

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        return clean_html(super().markdown2html(context, source))
