"""Measure what a model really costs on this machine: time, memory, bytes on disk.

Counts such as MACs do not predict these, so the course measures them, and every result says how:
medians and quartiles over many runs after a warm-up, on a fixed number of threads, beside the
hardware. `roofline` measures the two numbers that bound every kernel (Williams et al. 2009).
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib._evaluate import check_model, inference, placement
from course_lib._peak_memory import PeakMemory, peak_memory
from course_lib._validate import check_int, check_shape

__all__ = [
    "Latency", "PeakMemory", "file_size_bytes", "hardware", "latency", "latency_by_batch",
    "peak_memory", "pinned_threads", "roofline", "throughput",
]  # fmt: skip

if TYPE_CHECKING:
    from course_lib.cost import Roofline


@dataclass(frozen=True)
class Latency:
    """Time of one call, in seconds: quartiles and minimum of `samples_s`.

    >>> print(Latency(0.002, 0.0019, 0.0022, 0.0018, (0.0018, 0.002), threads=1, batch=8))
    2 ms (quartiles 1.9 ms to 2.2 ms, 2 runs, 1 thread, batch 8)
    """

    median_s: float
    q1_s: float
    q3_s: float
    min_s: float
    samples_s: tuple[float, ...]
    threads: int
    batch: int

    @property
    def spread(self) -> float:
        """Interquartile range / median: how far to trust a difference. 0.1 is a noisy machine."""
        return (self.q3_s - self.q1_s) / self.median_s if self.median_s else 0.0

    @property
    def items_per_s(self) -> float:
        """Throughput at this batch size, batch / median."""
        return self.batch / self.median_s if self.median_s else float("inf")

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return (
            f"{_time_text(self.median_s)} (quartiles {_time_text(self.q1_s)} to "
            f"{_time_text(self.q3_s)}, {len(self.samples_s)} runs, {threads}, batch {self.batch})"
        )


def latency(
    fn: Callable[..., Any], *inputs: Any, warmup: int = 5, repeats: int = 30, threads: int = 1
) -> Latency:
    """Time `fn(*inputs)`: `warmup` calls that do not count, then `repeats` that do.

    A module runs in eval mode and inference mode; a plain function runs as it is. `threads` is
    what PyTorch may use inside one operator; it and all training flags are put back afterwards.
    `batch` in the result is the first dimension of the first tensor among `inputs` (1 without
    one). ValueError/TypeError for counts out of range or an `fn` that cannot be called.
    """
    if not callable(fn):
        raise TypeError(f"fn must be a function or a module, got {type(fn).__name__}.")
    check_int("warmup", warmup, minimum=0)
    check_int("repeats", repeats)
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    wait = _waiter(fn, tensors)
    samples = []
    with pinned_threads(threads), inference(fn):
        for _ in range(warmup):
            fn(*inputs)
        wait()
        for _ in range(repeats):
            start = time.perf_counter()
            fn(*inputs)
            wait()
            samples.append(time.perf_counter() - start)
    q1, median, q3 = np.percentile(samples, [25, 50, 75]).tolist()
    batch = tensors[0].shape[0] if tensors and tensors[0].ndim else 1
    return Latency(median, q1, q3, min(samples), tuple(samples), threads, batch)


def latency_by_batch(
    model: nn.Module,
    input_shape: Sequence[int],
    batches: Sequence[int] = (1, 2, 4, 8, 16, 32, 64),
    *,
    warmup: int = 5,
    repeats: int = 30,
    threads: int = 1,
) -> dict[int, Latency]:
    """Time `model` on random inputs [batch, *input_shape] for every batch size in `batches`.

    Inputs lie on the model's device, in its floating-point type. Large batches raise throughput
    (see `Latency.items_per_s`) and latency together.
    """
    check_model(model)
    input_shape = check_shape("input_shape", input_shape)
    device, dtype = placement(model)
    generator = torch.Generator().manual_seed(0)
    measured = {}
    for batch in check_shape("batches", batches):
        inputs = torch.randn(batch, *input_shape, generator=generator).to(device, dtype)
        measured[batch] = latency(model, inputs, warmup=warmup, repeats=repeats, threads=threads)
    return measured


def throughput(
    model: nn.Module,
    input_shape: Sequence[int],
    batches: Sequence[int] = (1, 2, 4, 8, 16, 32, 64),
    *,
    warmup: int = 5,
    repeats: int = 30,
    threads: int = 1,
) -> dict[int, float]:
    """Return items per second for every batch size; arguments as in `latency_by_batch`."""
    measured = latency_by_batch(
        model, input_shape, batches, warmup=warmup, repeats=repeats, threads=threads
    )
    return {batch: result.items_per_s for batch, result in measured.items()}


def file_size_bytes(model: nn.Module) -> int:
    """Write parameters and buffers to a safetensors file and return its size in bytes.

    Tensors that several layers share are written once.

    >>> file_size_bytes(nn.Linear(100, 10)) - 4 * 1010 < 200  # the rest is the header
    True
    """
    from safetensors.torch import save_model

    check_model(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model(model, str(path))
        return path.stat().st_size


def hardware() -> dict[str, str | int]:
    """Describe this machine and its software, for every row of a results file.

    Keys: cpu, logical_cores (that this process may use), memory_bytes, os, python, torch,
    threads (PyTorch's current setting).
    """
    import psutil

    usable = getattr(os, "sched_getaffinity", None)  # Linux only
    return {
        "cpu": _cpu_name(),
        "logical_cores": len(usable(0)) if usable else os.cpu_count() or 1,
        "memory_bytes": psutil.virtual_memory().total,
        "os": platform.platform(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
    }


def roofline(
    threads: int = 1, matrix_size: int = 1024, buffer_bytes: int = 2**28, repeats: int = 10
) -> Roofline:
    """Measure this machine's float32 peak and memory bandwidth, each the best of `repeats`.

    The peak, in MACs/s, is that of a product of two square matrices (matrix_size^3 MACs). The
    bandwidth, in bytes/s, is that of a copy of `buffer_bytes`, which must exceed the caches,
    with what is read and what is written counted. Takes a second or two.
    """
    from course_lib.cost import Roofline

    check_int("matrix_size", matrix_size)
    count = check_int("buffer_bytes", buffer_bytes, minimum=4) // 4
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, matrix_size, matrix_size, generator=generator)
    source, target = torch.ones(count), torch.zeros(count)
    product = latency(torch.mm, a, b, repeats=repeats, threads=threads)
    copy = latency(target.copy_, source, warmup=1, repeats=repeats, threads=threads)
    return Roofline(
        peak_macs_per_s=matrix_size**3 / product.min_s,
        bandwidth_bytes_per_s=2 * source.nbytes / copy.min_s,
    )


@contextlib.contextmanager
def pinned_threads(threads: int) -> Iterator[None]:
    """Let PyTorch use this many threads inside a `with` block; the former number returns after.

    Raises ValueError or TypeError unless `threads` is a positive integer.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(check_int("threads", threads))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _waiter(fn: object, tensors: list[Tensor]) -> Callable[[], None]:
    """Return what waits for an accelerator, which works on after a call has returned."""
    if isinstance(fn, nn.Module):
        tensors = [*tensors, *fn.parameters()]
    if any(tensor.device.type not in ("cpu", "meta") for tensor in tensors):
        return torch.accelerator.synchronize
    return lambda: None


def _cpu_name() -> str:
    with contextlib.suppress(OSError):  # Linux
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    with contextlib.suppress(OSError, subprocess.SubprocessError):  # macOS
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()


def _time_text(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
