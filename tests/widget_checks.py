"""What the tests of every explorer ask alike: of its controls, its Reset, its picture, its import.

An explorer is a box of controls, the button Reset and a page: see `course_lib.widgets._explorer`.
Its tests list MOVES, one for each control: its description, and a value that it does not start at.
"""

from __future__ import annotations

import io
import math
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import image as mpimg

if TYPE_CHECKING:
    from ipywidgets import VBox

Moves = Sequence[tuple[str, Any]]
HEAVY = {"matplotlib", "ipywidgets", "torchvision", "PIL", "onnx", "optuna"}
PICTURE, DESCRIPTION = 'base64,([^"]*)', 'alt="([^"]*)'  # of the picture, on the page


def control(widget: VBox, description: str) -> Any:
    """Return the control with this description."""
    return {child.description: child for child in widget.children[:-1]}[description]


def page(widget: VBox) -> str:
    """Return the HTML below the controls."""
    return widget.children[-1].value


def descriptions(widget: VBox) -> list[str]:
    """Return what stands beside each control, in order, Reset included."""
    return [child.description for child in widget.children[:-1]]


def pixels(png: bytes) -> np.ndarray:
    """Return the colours of a picture, without its opacity: [height, width, 3]."""
    return mpimg.imread(io.BytesIO(png), format="png")[..., :3]


def check_descriptions(widget: VBox, moves: Moves) -> None:
    """Every control says what it chooses, with its unit, just as `moves` does."""
    found, wanted = descriptions(widget), [*(description for description, _ in moves), "Reset"]
    assert found == wanted, f"the controls say {found}, not {wanted}"


def check_keyboard_reach(widget: VBox) -> None:
    """No control is disabled or out of the order of Tab. `test_browser` presses the keys."""
    for child in widget.children[:-1]:
        assert not child.disabled, f"{child.description} is disabled"
        assert child.tabbable is not False, f"Tab passes over {child.description}"


def check_page_follows(widget: VBox, description: str, value: Any) -> None:
    """Moving this control changes both the picture and its description."""
    before = page(widget)
    control(widget, description).value = value
    for pattern in (PICTURE, DESCRIPTION):
        found = re.search(pattern, page(widget))
        assert found is not None, f"nothing on the page matches {pattern}"
        assert found[1] not in before, f"{description} does not change {pattern}"


def check_reset(widget: VBox, moves: Moves) -> None:
    """Reset puts all controls and the page back; then the same moves show the same pages."""
    for child in widget.children[:-1]:
        _check_stands(child)
    start, first = _values(widget), page(widget)
    pages = _pages_after(widget, moves)
    assert pages[-1] != first, "the moves change nothing"
    control(widget, "Reset").click()
    assert page(widget) == first, "the page is not what it was before the moves"
    assert _values(widget) == start, "a control is not where it was before the moves"
    assert _pages_after(widget, moves) == pages, "the controls do not work as before Reset"


def check_moved_picture(used: Any, fresh: Any, *drawn: Any) -> None:
    """A board that has drawn other things before shows the same pixels as a fresh one."""
    used.draw(*drawn)
    moved = pixels(used.picture.png())
    fresh.draw(*drawn)
    np.testing.assert_array_equal(moved, pixels(fresh.picture.png()))


def check_import_is_light(module: str) -> None:
    """Importing this module of `course_lib.widgets` loads no library for pictures or sliders."""
    code = (
        f"import sys; import course_lib.widgets.{module}\n"
        f"loaded = {HEAVY} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _check_stands(child: Any) -> None:
    """A slider starts at a whole number of steps; a browser would move it to the next one."""
    if hasattr(child, "step"):
        place = math.log(child.value, child.base) if hasattr(child, "base") else child.value
        steps = (place - child.min) / child.step
        assert abs(steps - round(steps)) < 1e-6, f"{child.description} cannot stay where it starts"


def _values(widget: VBox) -> list[Any]:
    return [child.value for child in widget.children if hasattr(child, "value")]


def _pages_after(widget: VBox, moves: Moves) -> list[str]:
    """Return the page after each of the moves."""
    pages = []
    for description, value in moves:
        control(widget, description).value = value
        pages.append(page(widget))
    return pages
