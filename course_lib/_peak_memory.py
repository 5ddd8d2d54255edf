"""How much memory a call needs at its worst moment, as the operating system counts it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib._evaluate import inference


@dataclass(frozen=True)
class PeakMemory:
    """Bytes of memory that a call needed at its worst moment, beyond what was held before.

    `method` is "VmHWM" (the kernel's own high-water mark) or "sampled" (looked at about every
    millisecond: a lower bound).
    """

    bytes: int
    method: str


def peak_memory(fn: Callable[..., Any], *inputs: Any) -> PeakMemory:
    """Run `fn(*inputs)` once and return how far this process's memory rose at its peak.

    Memory held before does not count. The first call of an operator also loads its code: call
    `fn` once before to leave that out. A module runs in eval mode and inference mode.

    On Linux the process's high-water mark is reset, so measure one thing at a time; the kernel
    counts pages in batches, which makes it exact to about a quarter of a megabyte per core.
    """
    if not callable(fn):
        raise TypeError(f"fn must be a function or a module, got {type(fn).__name__}.")
    _release_free_memory()
    with inference(fn):
        if _reset_high_water_mark():
            before = _status_bytes("VmRSS")
            _alive = fn(*inputs)  # the result counts; the kernel is exact about what is there
            return PeakMemory(max(0, _status_bytes("VmHWM") - before), "VmHWM")
        with _sampled_rise() as rise:
            _alive = fn(*inputs)
        return PeakMemory(max(rise), "sampled")


def _release_free_memory() -> None:
    """Give freed memory back to the system, or the call would reuse it unseen."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # only glibc has malloc_trim
        ctypes.CDLL(None).malloc_trim(0)


def _reset_high_water_mark() -> bool:
    """Set this process's VmHWM to its current size; False where the system does not let us."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # 5: see man 5 proc
    except OSError:
        return False
    return True


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no field {field}.")


@contextlib.contextmanager
def _sampled_rise(interval_s: float = 0.001) -> Iterator[list[int]]:
    """Fill a list with this process's rise in memory at every look: 1000 a second and the end."""
    import psutil

    process, done = psutil.Process(), threading.Event()
    before = process.memory_info().rss
    rise = [0]

    def look() -> None:
        rise.append(process.memory_info().rss - before)

    def keep_looking() -> None:
        while not done.wait(interval_s):
            look()

    thread = threading.Thread(target=keep_looking, daemon=True)
    thread.start()
    try:
        yield rise
        look()
    finally:
        done.set()
        thread.join()
