"""One network in several engines, in one table: time, file, memory, and whether it still is right.

Operator fusion, export and int8 pay only where an engine has the kernels, and nothing of that can
be told from MACs. So it is measured, and each engine's output is held against eager PyTorch's.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_lib._evaluate import check_model, placement
from course_lib._validate import check_choice, check_int, check_tensor
from course_lib.deploy.engines import BUILDERS, Engine, Job
from course_lib.measure import hardware, latency, peak_memory, pinned_threads

ENGINES = tuple(BUILDERS)

_TOLERANCE = 1e-3  # of the largest output: far above float32 rounding, far below a wrong result


@dataclass(frozen=True, kw_only=True)
class EngineRow:
    """One engine on one machine. What could not be measured is None, and `note` says why.

    latency_s, latency_q1_s, latency_q3_s: median and quartiles of one call, in seconds.
    size_bytes: what the engine's file weighs: safetensors for eager, folded and compiled models,
        the .pt2 archive for an exported one, the .onnx file for ONNX Runtime.
    peak_memory_bytes: most memory that a call took beyond what was held before it (the weights).
    max_abs_error: largest absolute difference from eager's output on what is judged.
    agreement: fraction of the rows of the output (last axis) whose largest entry is eager's.
    note: empty, or why there are no numbers, or that a float engine's output is wrong.
    batch: first dimension of the example. threads: what one operator could use.
    version: of the engine, such as "onnxruntime 1.31.1". The rest is `measure.hardware()`.
    """

    engine: str
    latency_s: float | None = None
    latency_q1_s: float | None = None
    latency_q3_s: float | None = None
    size_bytes: int | None = None
    peak_memory_bytes: int | None = None
    max_abs_error: float | None = None
    agreement: float | None = None
    note: str = ""
    batch: int
    threads: int
    version: str = ""
    cpu: str
    logical_cores: int
    memory_bytes: int
    os: str
    python: str
    torch: str


def compare_engines(
    model: nn.Module,
    example: Tensor,
    engines: Sequence[str] | None = None,
    *,
    calibration: Tensor | None = None,
    judged: Tensor | None = None,
    warmup: int = 5,
    repeats: int = 30,
    threads: int = 1,
) -> tuple[EngineRow, ...]:
    """Measure `model` in eval mode on `example` [N, ...] in each engine; one row each, in order.

    engines: names from `ENGINES` (None: all). "folded" is `fold_batch_norm`, "compile"
        torch.compile (which may take a minute), "export" torch.export; the int8 engines quantize
        statically and dynamically.
    calibration: inputs [M, ...] for static int8 quantization; None takes the example.
    judged: inputs [M, ...] on which error and agreement with eager are measured, N at a time, M a
        multiple of N; None takes the example, of which one image says little.
    warmup, repeats, threads: as in `measure.latency`, for every engine alike.

    The model, on the CPU, is not changed. An engine that is not installed or cannot run it has a
    row that says why. Raises TypeError/ValueError for an unknown engine, an empty example, bad
    counts or shapes, or a model that is not on the CPU or does not return one finite tensor.
    """
    check_model(model)
    if placement(model)[0].type != "cpu":
        raise ValueError(f"model must be on the CPU, got {placement(model)[0]}: use model.cpu().")
    check_tensor("example", example, nonempty=True, finite=True)
    calibration = example if calibration is None else calibration
    check_tensor("calibration", calibration, nonempty=True, finite=True)
    judged = example if judged is None else judged
    _check_judged(judged, example)
    names = _check_engines(engines)
    check_int("warmup", warmup, minimum=0)
    check_int("repeats", repeats)
    with pinned_threads(threads), tempfile.TemporaryDirectory() as folder:
        job = Job(copy.deepcopy(model).eval(), example, calibration, Path(folder), threads)
        reference = _reference(job, judged)
        machine: dict[str, Any] = {**hardware(), "threads": threads}
        return tuple(
            _row(name, job, judged, reference, warmup, repeats, machine | {"batch": len(example)})
            for name in names
        )


def engine_table(rows: Sequence[EngineRow]) -> str:
    """Return the rows as aligned text: ms, MB (10^6 bytes), error, agreement, note."""
    cells = [("engine", "latency ms", "file MB", "peak MB", "max abs error", "agreement", "note")]
    for row in rows:
        cells.append(
            (
                row.engine,
                _scaled(row.latency_s, 1e3),
                _scaled(row.size_bytes, 1e-6),
                _scaled(row.peak_memory_bytes, 1e-6),
                "-" if row.max_abs_error is None else f"{row.max_abs_error:.1e}",
                "-" if row.agreement is None else f"{row.agreement:.1%}",
                row.note,
            )
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 0 < i < 6 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def _row(
    name: str,
    job: Job,
    judged: Tensor,
    reference: Tensor,
    warmup: int,
    repeats: int,
    setting: dict[str, Any],
) -> EngineRow:
    row = EngineRow(engine=name, **setting)
    try:
        engine = BUILDERS[name](job)
        output = torch.cat([engine.run(part).clone() for part in judged.split(len(job.example))])
        if output.shape != reference.shape:
            raise ValueError(
                f"The output has shape {tuple(output.shape)}, not {tuple(reference.shape)}."
            )
        row = _checked(replace(row, version=engine.version), output, reference)
        return _measured(row, engine, job, warmup, repeats)
    except Exception as error:  # whatever an engine dislikes is this row's finding
        reason = (str(error).strip() or "no message").splitlines()[0]
        return EngineRow(engine=name, note=f"{type(error).__name__}: {reason}", **setting)


def _checked(row: EngineRow, output: Tensor, reference: Tensor) -> EngineRow:
    """Add how far the output is from eager's."""
    error = (output.double() - reference).abs().max().item()
    same = output.argmax(-1) == reference.argmax(-1)
    wrong = not error <= _TOLERANCE * reference.abs().max().item()  # NaN is wrong, too
    note = "the output is not eager's" if wrong and "int8" not in row.engine else ""
    agreement = same.double().mean().item()
    return replace(row, max_abs_error=error, agreement=agreement, note=note)


def _measured(row: EngineRow, engine: Engine, job: Job, warmup: int, repeats: int) -> EngineRow:
    """Add time, then memory, with the engine warm."""
    time = latency(engine.run, job.example, warmup=warmup, repeats=repeats, threads=job.threads)
    engine.run_lean(job.example)
    return replace(
        row,
        latency_s=time.median_s,
        latency_q1_s=time.q1_s,
        latency_q3_s=time.q3_s,
        size_bytes=engine.size_bytes,
        peak_memory_bytes=peak_memory(engine.run_lean, job.example).bytes,
    )


def _reference(job: Job, judged: Tensor) -> Tensor:
    """Eager's output on what is judged, float64."""
    outputs = []
    for part in judged.split(len(job.example)):
        with torch.inference_mode():
            output = job.model(part)
        check_tensor("The output of model", output, nonempty=True, floating=True, finite=True)
        if output.ndim == 0:
            raise ValueError("The output of model must be [N, ...], got a single number.")
        outputs.append(output.double())
    return torch.cat(outputs)


def _check_judged(judged: Tensor, example: Tensor) -> None:
    check_tensor("judged", judged, nonempty=True, finite=True)
    if example.ndim == 0:
        raise ValueError("example must be [N, ...], got a single number.")
    if judged.shape[1:] != example.shape[1:] or len(judged) % len(example):
        raise ValueError(
            f"judged must hold a multiple of {len(example)} inputs of shape "
            f"{tuple(example.shape[1:])}, as the example does, got {tuple(judged.shape)}."
        )


def _check_engines(engines: Sequence[str] | None) -> tuple[str, ...]:
    if engines is None:
        return ENGINES
    if isinstance(engines, str) or not isinstance(engines, Sequence):
        raise TypeError(f"engines must be a list such as ['eager', 'folded'], got {engines!r}.")
    if not engines:
        raise ValueError(f"engines must name at least one of {', '.join(ENGINES)}.")
    return tuple(check_choice(f"engines[{i}]", e, ENGINES) for i, e in enumerate(engines))


def _scaled(value: float | None, scale: float) -> str:
    return "-" if value is None else f"{value * scale:.3f}"
