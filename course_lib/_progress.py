"""A progress bar that suits where it is shown."""

from __future__ import annotations

import sys
from typing import Any


def progress_bar(total: int, desc: str, unit: str, disable: bool = False) -> Any:
    """A tqdm bar: a widget in a notebook, a line on stderr anywhere else.

    `tqdm.auto` draws a widget wherever ipykernel is imported, even if nothing can show it, as
    in the grader.
    """
    if _in_notebook():
        from tqdm.notebook import tqdm
    else:
        from tqdm.std import tqdm
    return tqdm(total=total, desc=desc, unit=unit, disable=disable)


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None
