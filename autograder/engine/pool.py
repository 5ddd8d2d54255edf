"""As many submissions at a time as this machine has cores and memory for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import TypeVar

import psutil

from autograder import sandboxed

T = TypeVar("T")
R = TypeVar("R")

_CGROUP = Path("/sys/fs/cgroup")


def fitting_jobs(memory_bytes: int) -> int:
    """One submission per core, fewer where the memory would not do; at least one."""
    return max(1, min(cores(), available_memory() // memory_bytes))


def cores() -> int:
    """Cores that this process may use."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def available_memory() -> int:
    """Bytes that can still be had, also inside a container with a limit of its own."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no control group, or one without a limit ("max")
        return free
    return max(0, min(free, limit - used))


def in_parallel(
    work: Callable[[T], R],
    items: Iterable[T],
    jobs: int,
    failed: Callable[[R | Exception], bool] = lambda outcome: False,
    attempts: int = 3,
) -> Iterator[tuple[T, R | Exception]]:
    """Yield (item, result or exception) as each is done; Ctrl-C ends the running ones.

    What `failed` is tried again later, `attempts` times in all. Items are taken from their
    iterable as places become free, and a result is forgotten once it is yielded, so a class of
    any size needs the memory of a few submissions.
    """
    waiting = iter(items)
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        running: dict[Future[R], tuple[T, int]] = {}
        try:
            while True:
                for item in islice(waiting, max(0, 2 * jobs - len(running))):
                    running[pool.submit(work, item)] = item, 1
                if not running:
                    return
                future = next(iter(wait(running, return_when=FIRST_COMPLETED).done))
                item, attempt = running.pop(future)
                outcome: R | Exception = _outcome(future)
                if failed(outcome) and attempt < attempts:
                    running[pool.submit(work, item)] = item, attempt + 1
                    continue
                yield item, outcome
                del future, outcome
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            sandboxed.stop_all()
            raise


def _outcome(future: Future[R]) -> R | Exception:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, Exception):
        return error
    raise error
