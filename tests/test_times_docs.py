"""docs/TIMES.md shows the seconds of every cell of every lesson, and that they keep the budget."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
_spec = importlib.util.spec_from_file_location("make_times", ROOT / "docs" / "make_times.py")
assert _spec is not None
assert _spec.loader is not None
make_times = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_times)

AGAIN = "run `make test TESTS=tests/test_notebooks.py`, then `python docs/make_times.py`"
HARDWARE = {
    "cpu": "Some CPU",
    "logical_cores": 2,
    "memory_bytes": 8 * 2**30,
    "python": "3.11.7",
    "torch": "2.13.0",
}


def ledger(name: str, seconds: dict[str, float]) -> dict:
    cells = [{"id": cell, "seconds": value} for cell, value in seconds.items()]
    total = round(sum(seconds.values()), 2)
    return {
        "notebook": name,
        "total_s": total,
        "budget_s": 180,
        "cells": cells,
        "hardware": HARDWARE,
    }


def test_every_cell_of_every_lesson_is_shown() -> None:
    text = make_times.PAGE.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    lessons = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
    assert list(sections) == list(lessons), AGAIN
    for name, path in lessons.items():
        cells = [c.id for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        assert re.findall(r"^\| (\S+) \| [<\d]", sections[name], re.M) == cells, (name, AGAIN)


def test_the_lessons_kept_their_budgets() -> None:
    text = make_times.PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S+) \| (\d+) \| (\d+) \|", text, re.M)
    assert rows[-1][0] == "all"
    for name, seconds, budget in rows:
        assert int(seconds) <= int(budget), f"{name} took {seconds} s of {budget}"
    assert abs(sum(int(s) for _, s, _ in rows[:-1]) - int(rows[-1][1])) <= len(rows) / 2


def test_a_page_is_made_of_its_ledgers(tmp_path: Path) -> None:
    for name, seconds in (("02_b", {"x": 1.25, "y": 30.0}), ("01_a", {"only": 0.01})):
        (tmp_path / f"{name}.json").write_text(json.dumps(ledger(name, seconds)))
    text = make_times.page(make_times.read_ledgers(tmp_path))
    assert "Some CPU, 2 logical cores, 8 GiB of memory, Python 3.11.7, PyTorch 2.13.0" in text
    assert "| 01_a | 0 | 180 | only | 0.0 |\n| 02_b | 31 | 180 | y | 30.0 |\n| all | 31 |" in text
    assert text.endswith("| only | < 0.1 |\n\n## 02_b\n\n| cell | seconds |\n| --- | ---: |\n"
                         "| x | 1.2 |\n| y | 30.0 |\n")  # fmt: skip


def test_without_a_run_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run `make test TESTS=tests/test_notebooks"):
        make_times.read_ledgers(tmp_path)
