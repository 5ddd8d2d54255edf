"""The engines that `compare_engines` knows: each turns a model into something that runs.

Eager PyTorch runs an operator at a time; torch.compile fuses them into C++ for this machine;
torch.export and ONNX fix the graph in a file, which ONNX Runtime optimizes and runs with kernels
of its own, int8 ones among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from course_lib.deploy.fold import fold_batch_norm
from course_lib.deploy.onnx_files import OnnxSession, export_onnx, quantize_onnx
from course_lib.measure import file_size_bytes


@dataclass(frozen=True)
class Job:
    """What an engine is built from; files may be written to `folder`, which goes away."""

    model: nn.Module
    example: Tensor
    calibration: Tensor
    folder: Path
    threads: int


@dataclass(frozen=True)
class Engine:
    """`run` is what is timed; `run_lean` keeps no scratch memory between calls."""

    run: Callable[[Tensor], Tensor]
    run_lean: Callable[[Tensor], Tensor]
    size_bytes: int
    version: str


def _eager(job: Job) -> Engine:
    return _torch_engine(job.model, file_size_bytes(job.model))


def _folded(job: Job) -> Engine:
    folded = fold_batch_norm(job.model)
    return _torch_engine(folded, file_size_bytes(folded))


def _compiled(job: Job) -> Engine:
    # fullgraph: parts that silently stay eager would be timed as if they were compiled. One
    # compile thread: the pool of worker processes would outlive the measurement. Isolated: all
    # nn.Sequential share their forward, of which only eight versions are compiled otherwise.
    compiled = torch.compile(  # type: ignore[call-overload]  # which lack isolate_recompiles
        job.model,
        fullgraph=True,
        dynamic=False,
        options={"compile_threads": 1},
        isolate_recompiles=True,
    )
    return _torch_engine(compiled, file_size_bytes(job.model))


def _exported(job: Job) -> Engine:
    exported = torch.export.export(job.model, (job.example,))
    exported.example_inputs = None  # which the file would keep, with all that they are a view of
    file = job.folder / "model.pt2"
    torch.export.save(exported, file)
    return _torch_engine(exported.module(), file.stat().st_size)


def _onnxruntime(job: Job) -> Engine:
    return _session(job, _onnx_file(job))


def _onnxruntime_int8(job: Job) -> Engine:
    return _session(job, quantize_onnx(_onnx_file(job), job.folder / "q.onnx", job.calibration))


def _onnxruntime_int8_dynamic(job: Job) -> Engine:
    return _session(job, quantize_onnx(_onnx_file(job), job.folder / "dynamic.onnx"))


BUILDERS: dict[str, Callable[[Job], Engine]] = {
    "eager": _eager,
    "folded": _folded,
    "compile": _compiled,
    "export": _exported,
    "onnxruntime": _onnxruntime,
    "onnxruntime_int8": _onnxruntime_int8,
    "onnxruntime_int8_dynamic": _onnxruntime_int8_dynamic,
}


def _torch_engine(fn: Callable[[Tensor], Tensor], size_bytes: int) -> Engine:
    def run(inputs: Tensor) -> Tensor:
        with torch.inference_mode():
            return fn(inputs)

    return Engine(run, run, size_bytes, f"torch {torch.__version__}")


def _onnx_file(job: Job) -> Path:
    """The exported model, written by the first engine that asks for it."""
    path = job.folder / "model.onnx"
    return path if path.exists() else export_onnx(job.model, job.example, path)


def _session(job: Job, path: Path) -> Engine:
    session = OnnxSession(path, threads=job.threads)
    lean = OnnxSession(path, threads=job.threads, keep_scratch=False)
    return Engine(session, lean, session.size_bytes, session.version)
