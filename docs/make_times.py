"""Write docs/TIMES.md from the last run of the lessons: `python docs/make_times.py`.

`make test TESTS=tests/test_notebooks.py` runs every lesson and leaves one ledger each, in
build/notebook_times/: this page is made of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path(__file__).with_name("TIMES.md")
LEDGERS = ROOT / "build" / "notebook_times"
TOGETHER_S = 20 * 60
SHORT_S = 0.05  # shown as less than 0.1
HEAD = """\
# Seconds per cell

Written by `python docs/make_times.py` from the ledgers that the tests of the notebooks leave; do
not edit. One run each, from a cleared state and without network, one thread per lesson, beside
another test on the same machine: what a lesson alone takes is less, and another machine differs.
"""

Ledger = dict[str, Any]


def read_ledgers(folder: Path = LEDGERS) -> list[Ledger]:
    """Return the ledgers in the order of the lessons.

    Raises FileNotFoundError if there is none.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise FileNotFoundError(
            f"There is no ledger in {folder}: run `make test TESTS=tests/test_notebooks.py` first."
        )
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def page(ledgers: list[Ledger]) -> str:
    """Return the whole of TIMES.md."""
    machines = sorted({_machine(ledger["hardware"]) for ledger in ledgers})
    total = sum(ledger["total_s"] for ledger in ledgers)
    summary = [
        f"Hardware: {'; '.join(machines)}.",
        "",
        "| lesson | seconds | budget | longest cell | its seconds |",
        "| --- | ---: | ---: | --- | ---: |",
        *(_summary(ledger) for ledger in ledgers),
        f"| all | {total:.0f} | {TOGETHER_S} | | |",
    ]
    return "\n".join([HEAD, *summary, *(_section(ledger) for ledger in ledgers)]) + "\n"


def _machine(hardware: dict[str, Any]) -> str:
    memory = hardware["memory_bytes"] / 2**30
    return (
        f"{hardware['cpu']}, {hardware['logical_cores']} logical cores, {memory:.0f} GiB of "
        f"memory, Python {hardware['python']}, PyTorch {hardware['torch']}"
    )


def _summary(ledger: Ledger) -> str:
    longest = max(ledger["cells"], key=lambda cell: cell["seconds"])
    name, total, budget = ledger["notebook"], ledger["total_s"], ledger["budget_s"]
    return f"| {name} | {total:.0f} | {budget} | {longest['id']} | {longest['seconds']:.1f} |"


def _section(ledger: Ledger) -> str:
    rows = [f"| {cell['id']} | {_seconds(cell['seconds'])} |" for cell in ledger["cells"]]
    head = ["| cell | seconds |", "| --- | ---: |"]
    return "\n".join(["", f"## {ledger['notebook']}", "", *head, *rows])


def _seconds(seconds: float) -> str:
    return "< 0.1" if seconds < SHORT_S else f"{seconds:.1f}"


if __name__ == "__main__":
    PAGE.write_text(page(read_ledgers()), encoding="utf-8")
    print(f"Wrote {PAGE.name}.")
