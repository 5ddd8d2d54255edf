"""What students must not read, and how to keep it out of what they are shown.

Hidden tests and mark schemes are in every executed notebook. A page for a student shows each of
the instructor's cells as it was released, of a test's errors the message alone, and no line of
the hidden parts anywhere else, be it in a traceback, a print or a comment.
"""

from __future__ import annotations

import html
from functools import cached_property

from nbformat import NotebookNode

from autograder.leaderboard import is_entry
from autograder.template import Template, grade_id

HIDDEN = "[a line of a hidden test]"
MIN_LENGTH = 9  # shorter lines, such as `return x`, give nothing away and are everywhere


class Secrets:
    """The lines of hidden tests and mark schemes, and how to keep them off a page."""

    def __init__(self, notebook: NotebookNode, template: Template) -> None:
        self.notebook, self.template = notebook, template
        self.released = {cell.get("id"): cell for cell in template.released.cells}

    @cached_property
    def lines(self) -> list[str]:
        """What only the instructor's version says; not what a student wrote as well."""
        known = _lines(self.template.released.cells)
        own = [cell for cell in self.notebook.cells if self._is_students(cell)]
        secret = _lines(self.template.graded.cells) - known - _lines(own)
        return sorted((line for line in secret if len(line) >= MIN_LENGTH), key=len, reverse=True)

    def hide(self, cell: NotebookNode) -> None:
        """Show an instructor's cell as it was released, and of a test only its message."""
        if not self._is_students(cell):
            original = self._original(cell)
            if original is not None:
                tells = cell.source != original.source
                cell.source = original.source
                if cell.cell_type == "code":
                    cell.outputs = [out for out in cell.outputs if _harmless(out, tells)]
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = self.scrubbed(str(output.text))
            elif output.output_type == "error":
                output.evalue = self.scrubbed(str(output.evalue))
                mine = self._is_students(cell)
                lines = output.traceback if mine else [f"{output.ename}: {output.evalue}"]
                output.traceback = [self.scrubbed(str(line)) for line in lines]
            else:
                for kind in ("text/plain", "text/html"):
                    if kind in output.get("data", {}):
                        output.data[kind] = self.scrubbed(str(output.data[kind]))

    def scrubbed(self, text: str) -> str:
        """The text without any secret line, also where it is escaped or part of a line."""
        for line in self.lines:
            escaped = html.escape(line), html.escape(line, quote=False), repr(line)[1:-1]
            for form in {line, *escaped}:
                if form in text:
                    text = text.replace(form, HIDDEN)
        return text

    def _original(self, cell: NotebookNode) -> NotebookNode | None:
        named = self.template.released_cells.get(grade_id(cell) or "")
        return named if named is not None else self.released.get(cell.get("id"))

    def _is_students(self, cell: NotebookNode) -> bool:
        return grade_id(cell) in self.template.answers or self._original(cell) is None


def _harmless(output: NotebookNode, tells: bool) -> bool:
    """Whether a test cell's output may be seen; of one with hidden lines, hardly anything."""
    if not tells or output.output_type == "error":
        return True
    return output.output_type == "stream" and all(map(is_entry, output.text.splitlines()))


def _lines(cells: list[NotebookNode]) -> set[str]:
    return {line.strip() for cell in cells for line in cell.source.splitlines()}
