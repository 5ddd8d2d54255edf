"""A student's first click: JupyterLab in a headless Chromium runs a lesson and moves a slider."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LESSON = "01_cost_of_inference.ipynb"
HANGS_AFTER_S = 900  # for the whole lesson, on a machine that may be busy with other things
SHOWN = "document.querySelector('.widget-vbox figure img').src"


@pytest.mark.browser
def test_a_lesson_runs_in_jupyterlab_and_its_widget_answers_the_keyboard(
    lab_in: Callable[[Path, str], str], page: Any, tmp_path: Path
) -> None:
    lesson = Path(shutil.copy(ROOT / "notebooks" / LESSON, tmp_path))
    page.goto(lab_in(tmp_path, f"lab/tree/{LESSON}"))
    run_all_cells(page)
    code = finished_cells(page, lesson)
    assert [cell.id for cell in code if cell.execution_count is None] == []
    assert [out for cell in code for out in cell.outputs if out.output_type == "error"] == []

    widget = page.locator(".widget-vbox").first
    widget.scroll_into_view_if_needed()
    picture = widget.locator("figure img")
    before = picture.get_attribute("src"), picture.get_attribute("alt")
    slider = widget.get_by_role("slider").first
    slider.focus()
    slider.press("ArrowRight")  # from 32 bits per weight to 16
    page.wait_for_function(f"src => {SHOWN} !== src", arg=before[0])
    BUILD.mkdir(exist_ok=True)
    page.screenshot(path=BUILD / "lesson_in_jupyterlab.png")
    assert picture.get_attribute("alt") not in ("", None, before[1])
    widget.get_by_role("button", name="Reset").press("Enter")
    page.wait_for_function(f"src => {SHOWN} === src", arg=before[0])


def run_all_cells(page: Any) -> None:
    """Choose Run All Cells from the menu as soon as the kernel is there."""
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()


def finished_cells(page: Any, lesson: Path) -> list[NotebookNode]:
    """The code cells once all have run or one has failed; JupyterLab stops at an error."""
    deadline = time.monotonic() + HANGS_AFTER_S
    while True:
        time.sleep(3)
        code = [cell for cell in saved(page, lesson).cells if cell.cell_type == "code"]
        failed = any(out.output_type == "error" for cell in code for out in cell.outputs)
        if failed or code[-1].execution_count or time.monotonic() > deadline:
            return code


def saved(page: Any, lesson: Path) -> NotebookNode:
    """Save the notebook as a student would, and read what came to lie on the disk."""
    before = lesson.stat().st_mtime_ns
    page.keyboard.press("Control+s")
    deadline = time.monotonic() + 60
    while lesson.stat().st_mtime_ns == before:
        assert time.monotonic() < deadline, "the notebook was not saved"
        time.sleep(0.2)
    return nbformat.read(lesson, as_version=4)
