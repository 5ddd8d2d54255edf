"""Beside every table: a paragraph that reads it, a figure, and sometimes its numbers in full."""

from __future__ import annotations

import textwrap
from pathlib import Path
from types import ModuleType

from course_lib.results import read


def write_report(module: ModuleType, folder: Path) -> None:
    """Write NAME.md (title, reading, figure) and NAME.png beside NAME.csv.

    A module may have more to say: `details(table)` is Markdown that follows the figure, such as
    a table of intervals, and `documents(table)` maps names of other files to their text.
    """
    name = module.__name__.rpartition(".")[2]
    table = read(folder / f"{name}.csv")
    figure, alt = module.figure(table)
    figure.savefig(folder / f"{name}.png", dpi=110)
    title = (module.__doc__ or name).strip().splitlines()[0]
    reading = "\n".join(textwrap.wrap(" ".join(module.reading(table).split()), 99))
    text = f"# {title}\n\n{reading}\n\n![{alt}]({name}.png)\n"
    if details := getattr(module, "details", lambda table: "")(table):
        text += f"\n{details}\n"
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    documents: dict[str, str] = getattr(module, "documents", lambda table: {})(table)
    for file, content in documents.items():
        (folder / file).write_text(content, encoding="utf-8")
