"""Where and with what a row was made: the columns that every row of `results/` ends with."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import torch

from course_lib import measure


def provenance() -> dict[str, str | int]:
    """Hardware, threads, versions and the commit of the code, "+" if it had been changed."""
    machine = measure.hardware()
    return {
        "hardware": f"{machine['cpu']}, {machine['logical_cores']} cores",
        "threads": torch.get_num_threads(),
        "torch": str(machine["torch"]),
        "python": str(machine["python"]),
        "commit": commit(),
    }


@cache
def commit() -> str:
    """The first 10 digits of the commit; "unknown" outside a git checkout."""
    root = Path(__file__).resolve().parent.parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        sources = ("course_lib", "experiments", ":(exclude)course_lib/assets/checkpoints")
        changed = git("status", "--porcelain", "--", *sources)
        return git("rev-parse", "HEAD")[:10] + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
