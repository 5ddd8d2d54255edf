"""The cells that grading skips (pictures, reports) run too, on the instructor's answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbclient import NotebookClient

from autograder.course import Course
from autograder.template import Template

COURSE = Course(Path(__file__).resolve().parent.parent)


@pytest.mark.notebook
@pytest.mark.parametrize("assignment", COURSE.assignments())
def test_every_cell_of_the_solved_assignment_runs(assignment: str, tmp_path: Path) -> None:
    for name in COURSE.notebooks(assignment):
        template = Template.load(COURSE, assignment, name)
        solved = template.filled_in(template.solutions())
        client = NotebookClient(
            solved,
            timeout=600,
            skip_cells_with_tag="never",
            resources={"metadata": {"path": str(tmp_path)}},
        )
        client.execute()
        shown = [
            cell
            for cell in solved.cells
            if "skip-execution" in cell.metadata.get("tags", [])
            and ("plot.show(" in cell.source or "plot.table(" in cell.source)
        ]
        assert shown
        for cell in shown:
            html = [str(out.get("data", {}).get("text/html", "")) for out in cell.outputs]
            assert any("<table" in text or " alt=" in text for text in html), cell.id
