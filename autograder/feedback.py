"""One inert HTML page per student and notebook: points, what failed and why, by hand or machine.

Built from nbgrader's own feedback template. Hidden tests are cut out, outputs are sanitized, and
a content security policy in the page keeps whatever is left from running or loading anything.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

import nbformat
import nbgrader
from nbconvert.exporters import HTMLExporter
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbformat import NotebookNode
from nbgrader.preprocessors import GetGrades

from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import write_text
from autograder.result import CellResult, Result
from autograder.template import Template, grade_id

POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:\">"
)
STYLE = (  # our own overview stands where nbgrader lists "Test cell" forty times
    "<style>#toc { display: none } table td, table th "
    "{ padding: 2px 10px; vertical-align: top }</style>"
)
_FIGURE = re.compile(r'src="data:image/png;base64,([A-Za-z0-9+/=\s]+)"')


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
    resources: dict[str, object] = {"nbgrader": names}
    notebook, resources = GetGrades().preprocess(notebook, resources)
    result = Result.from_json(notebook.metadata.autograder.result)
    for cell in notebook.cells:
        _hide(cell, template)
    notebook, resources = _sanitizer().preprocess(notebook, resources)
    for cell in notebook.cells:
        comment = cell.metadata.get("nbgrader", {}).get("comment")
        if comment:
            cell.metadata.nbgrader.comment = _as_text(comment)
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell(_overview(notebook, result, template)))
    page, _ = _exporter().from_notebook_node(notebook, resources)
    page = re.sub(r"""(?i)href=(["'])\s*javascript:[^"']*""", r"href=\1#", page)
    return page.replace("<head>", f"<head>\n{POLICY}\n{STYLE}", 1)


def _hide(cell: NotebookNode, template: Template) -> None:
    """Show a locked cell as it was released, and of its errors only the message."""
    name = grade_id(cell)
    original = template.released_cells.get(name or "")
    locked = original is not None and name not in template.answers
    if original is not None and locked:
        cell.source = original.source
    for output in cell.get("outputs", []):
        if locked and output.output_type == "error":
            output.traceback = [f"{output.ename}: {output.evalue}"]
        figure = _FIGURE.search(str(output.get("data", {}).get("text/html", "")))
        if figure:
            output.data = NotebookNode({"image/png": figure.group(1)})


def _overview(notebook: NotebookNode, result: Result, template: Template) -> str:
    """A table of all graded cells with the points now in the grade book, and the notes."""
    lines = ["## What happened", ""]
    lines += [f"- {_as_text(note)}" for note in result.notes] + [""]
    lines += ["| Part | Points | What the grader says |", "|---|---|---|"]
    cells = {grade_id(cell): cell for cell in notebook.cells}
    for cell in result.cells:
        lines.append(_row(cell, cells.get(cell.cell), template))
    return "\n".join(lines)


def _row(cell: CellResult, graded: NotebookNode | None, template: Template) -> str:
    score = graded.metadata.nbgrader.get("score") if graded is not None else cell.score
    waits = cell.score is None and not score
    points = f"{'–' if waits else f'{score or 0:g}'} / {cell.max_score:g}"
    reason = "Marked by a person." if cell.score is None and not waits else cell.reason
    return f"| [{cell.cell}](#{cell.cell}) | {points} | {_as_text(reason)} |"


def _as_text(text: str) -> str:
    """Text as one line of markdown that cannot become markup."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_\[\]|$#~!])", lambda match: f"&#{ord(match.group())};", escaped)


def _sanitizer() -> SanitizeHTML:
    sanitizer = SanitizeHTML()
    sanitizer.enabled = True
    return sanitizer


def _exporter() -> HTMLExporter:
    formgrader = Path(nbgrader.__file__).parent / "server_extensions" / "formgrader"
    styles = formgrader / "static" / "node_modules" / "bootstrap" / "dist" / "css"
    return HTMLExporter(
        template_name="feedback",
        extra_template_basedirs=[str(formgrader / "templates")],
        extra_template_paths=[str(styles)],
    )
