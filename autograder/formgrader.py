"""An executed notebook as nbgrader's formgrader may open it: nothing in it acts.

Formgrader shows HTML, SVG and JavaScript outputs and HTML in markdown as they come, on a page
from which every grade can be changed. So what a student's code drew is made inert before the
notebook is stored, and a student's text whose HTML would act is stored as the text that it is.
"""

from __future__ import annotations

import html

from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from autograder.inert import MAX_MARKDOWN, active_parts, clean_cell
from autograder.intake import is_extra
from autograder.nodes import copy_of


def safe_to_open(executed: NotebookNode) -> NotebookNode:
    """A copy of an executed notebook with inert outputs and inert texts of the student."""
    notebook = copy_of(executed)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            inert = copy_of(cell)
            clean_cell(inert)
            cell.outputs = inert.outputs
        elif _is_students(cell) and _acts(cell):
            cell.source = f"<pre>{html.escape(cell.source)}</pre>"
    return notebook


def _is_students(cell: NotebookNode) -> bool:
    info = cell.metadata.get("nbgrader", {})
    return is_extra(cell) or bool(info.get("solution") or info.get("task"))


def _acts(cell: NotebookNode) -> bool:
    """Whether a text would run, load or send something when a browser shows it as HTML."""
    if len(cell.source) > MAX_MARKDOWN:
        return True
    try:
        renderer = IPythonRenderer(escape=False, attachments=cell.get("attachments", {}))
        page = cell.source + "\n\n" + MarkdownWithMath(renderer=renderer).render(cell.source)
    except Exception:  # a parser that gives up, for one of many reasons
        return True
    return any(not part.startswith("<img src=") for part in active_parts(page))
