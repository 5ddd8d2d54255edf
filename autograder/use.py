"""What a submission uses, watched from outside: memory, disk, processes."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Disk:
    """The student's home as this process reaches it; `fixed` if it cannot outgrow its size."""

    home: str
    fixed: bool

    def is_full(self) -> bool:
        """Whether nothing more can be written to a home of fixed size."""
        with contextlib.suppress(OSError):
            return self.fixed and shutil.disk_usage(self.home).free < 2**20
        return False

    def used(self) -> int:
        """Bytes of the files in a home that can grow."""
        paths = () if self.fixed else Path(self.home).rglob("*")
        total = 0
        for path in paths:
            with contextlib.suppress(OSError):
                total += path.lstat().st_size
        return total


def tree(pid: int, most: int) -> list[psutil.Process]:
    """A process and all below it, or just more than `most` of them; empty once it is gone.

    Read often, so from Linux's lists of children, which may miss some while others end; psutil
    reads every process of the machine. Without `most`, processes that fork without end would
    keep the reader busy without end.
    """
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *_below(process, most)]
    return []


def forks_too_much(processes: list[psutil.Process], most: int) -> bool:
    """Whether processes have more than `most` threads together, each at least one, by forking.

    At the limit Linux refuses the next thread, which ends a loop that starts threads; processes
    that fork go on trying, and leave the grader little of the machine.
    """
    if len(processes) <= most // 2:
        return False
    threads = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            threads += process.num_threads()
    return threads > most


def uses_more(processes: list[psutil.Process], most: int) -> bool:
    """Whether processes together use more than `most` bytes of memory.

    Pages that are shared since the fork count once: Linux's "proportional set size", which is
    slow to ask for, so only where the sum of the simple sizes is too large.
    """

    def total(of: Callable[[psutil.Process], int]) -> int:
        used = 0
        for process in processes:
            with contextlib.suppress(psutil.Error):
                used += of(process)
        return used

    if total(lambda process: int(process.memory_info().rss)) <= most:
        return False
    return total(lambda process: int(getattr(process.memory_full_info(), "pss", most + 1))) > most


def kill_descendants(but_not: int = 0) -> None:
    """Kill every process below this one, again until none is left; `but_not` may linger."""
    for _ in range(20):
        children = psutil.Process().children(recursive=True)
        children = [child for child in children if child.pid != but_not]
        if not children:
            return
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(children, timeout=0.5)


def _below(process: psutil.Process, most: int) -> list[psutil.Process]:
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        return process.children(recursive=True)
    found: list[psutil.Process] = []
    waiting = [process.pid]
    while waiting and len(found) <= most:
        for pid in _children(waiting.pop()):
            waiting.append(pid)
            with contextlib.suppress(psutil.Error):
                found.append(psutil.Process(pid))
    return found


def _children(pid: int) -> list[int]:
    """The children of every thread of a process; none once it is gone."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found
