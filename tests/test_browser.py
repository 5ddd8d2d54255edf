"""A student's first click: JupyterLab in a headless Chromium runs a lesson and moves a slider."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import playwright.sync_api as playwright
import pytest
from nbformat import NotebookNode
from nbformat.reader import NotJSONError

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
SCREENS = BUILD / "lessons"
LESSON = "01_cost_of_inference"
WIDGET = "application/vnd.jupyter.widget-view+json"
HANGS_AFTER_S = 900  # for the whole lesson, on a machine that may be busy with other things
SHOWN = "document.querySelector('.widget-vbox figure img').src"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One lesson, or with --every-lesson all of them and the explorer."""
    if "lesson" in metafunc.fixturenames:
        every = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
        chosen = every if metafunc.config.getoption("--every-lesson") else [LESSON]
        metafunc.parametrize("lesson", chosen)


@pytest.mark.browser
def test_a_lesson_runs_in_jupyterlab_and_its_widget_answers_the_keyboard(
    lab_in: Callable[[Path, str], str], page: Any, tmp_path: Path, lesson: str
) -> None:
    notebook = Path(shutil.copy(ROOT / "notebooks" / f"{lesson}.ipynb", tmp_path))
    page.goto(lab_in(tmp_path, f"lab/tree/{lesson}.ipynb"))
    run_all_cells(page)
    code = finished_cells(page, notebook)
    assert [cell.id for cell in code if cell.execution_count is None] == []
    assert [out for cell in code for out in cell.outputs if out.output_type == "error"] == []
    assert page.get_by_text("Jupyter news").count() == 0, "JupyterLab asks for the network"
    shown = [out.data for cell in code for out in cell.outputs if WIDGET in out.get("data", {})]
    if not any(data["text/plain"].startswith("VBox") for data in shown):
        return  # a progress bar at most

    widget = page.locator(".widget-vbox").first
    widget.scroll_into_view_if_needed()
    picture = widget.locator("figure img").first
    before = picture.get_attribute("src"), picture.get_attribute("alt")
    SCREENS.mkdir(parents=True, exist_ok=True)
    widget.screenshot(path=SCREENS / f"{lesson}_before.png")
    move_a_control(page, widget, before[0])
    widget.screenshot(path=SCREENS / f"{lesson}_after.png")
    assert picture.get_attribute("alt") not in ("", None, before[1])
    widget.get_by_role("button", name="Reset").press("Enter")
    page.wait_for_function(f"src => {SHOWN} === src", arg=before[0])


def move_a_control(page: Any, widget: Any, shown: str) -> None:
    """Move the first slider or choice with the keyboard, until the picture is another."""
    for control in (*widget.get_by_role("slider").all(), *widget.get_by_role("combobox").all()):
        for key in ("ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"):
            control.focus()
            control.press(key)
            try:
                page.wait_for_function(f"src => {SHOWN} !== src", arg=shown, timeout=8_000)
            except playwright.TimeoutError:
                continue
            return
    raise AssertionError("No control changes the picture.")


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
    while True:
        assert time.monotonic() < deadline, "the notebook was not saved"
        time.sleep(0.2)
        if lesson.stat().st_mtime_ns != before:
            with contextlib.suppress(NotJSONError):  # half of it is written
                return nbformat.read(lesson, as_version=4)
