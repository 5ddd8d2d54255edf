"""int8 beside float32, in three engines: PyTorch's kernels, ONNX Runtime, course_lib.integer.

One layer at a time, float in and float out, so that quantizing the input and the way back are in
the time; only "torch int8 inner" is a layer inside a quantized network, int8 in and out. Each
engine is compared with its own float32 (course_lib.integer, which is there to be read, with
PyTorch's). The error of a result is the RMS of its difference from float32's, relative to that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.report import Row, Table, rows_of, span
from benchmarks.timing import interleave
from course_lib.deploy import OnnxSession, export_onnx, quantize_onnx
from course_lib.integer import integer_network
from course_lib.quantize import post_training_static

Run = Callable[[], Tensor]
Layer = nn.Linear | nn.Conv2d

TORCH, ONNX = "torch fp32", "onnxruntime fp32"
REFERENCES = {
    TORCH: TORCH,
    "torch int8 inner": TORCH,
    "torch int8 static": TORCH,
    "torch int8 dynamic": TORCH,
    ONNX: ONNX,
    "onnxruntime int8 static": ONNX,
    "onnxruntime int8 dynamic": ONNX,
    "course_lib int8": TORCH,
}
MAP = 7  # height and width of the convolutions' input

QUICK: dict[str, Any] = {"sizes": (256, 512), "batches": (1, 64), "repeats": 10, "budget_s": 5.0}
FULL: dict[str, Any] = {
    "sizes": (256, 512, 1024, 2048),
    "batches": (1, 64),
    "repeats": 30,
    "budget_s": 20.0,
}


def measure(sizes: Sequence[int], batches: Sequence[int], repeats: int, budget_s: float) -> Table:
    """Compare linear layers (size x size, each batch) and 3x3 convolutions (size channels)."""
    torch.manual_seed(0)
    rows: list[Row] = []
    for size in sizes:
        for batch in batches:
            x = _inputs(batch, size)
            case = f"linear {size}, batch {batch}"
            rows += _compare(case, nn.Linear(size, size), x, repeats, budget_s)
    for size in sizes:
        x = _inputs(1, size, MAP, MAP)
        layer = nn.Conv2d(size, size, 3, padding=1)
        rows += _compare(f"conv 3x3 {size}, {MAP} x {MAP}", layer, x, repeats, budget_s)
    parts = [
        f"{subject} {span(rows, subject)}"
        for subject, reference in REFERENCES.items()
        if subject != reference
    ]
    return Table(
        name="integer",
        title="int8 beside float32",
        method=f"torch's quantized engine: {torch.backends.quantized.engine}. Weights int8 per "
        "channel (ONNX dynamic: uint8 per tensor), inputs 8 bits.\nInputs are normal random "
        "numbers, and also the calibration data.",
        rows=tuple(rows),
        reading="Reading: time of int8 relative to the engine's float32, lowest to highest case: "
        + "; ".join(parts)
        + ".",
    )


@torch.no_grad()
def _compare(case: str, layer: Layer, x: Tensor, repeats: int, budget_s: float) -> list[Row]:
    runs: dict[str, Run] = {TORCH: partial(layer, x)}
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        builders: dict[str, Callable[[], dict[str, Run]]] = {
            "torch int8": lambda: _torch_int8(layer, x),
            "onnxruntime": lambda: _onnxruntime(layer, x, Path(folder)),
            "course_lib int8": lambda: _course_lib(layer, x),
        }
        for engine, build in builders.items():
            try:
                runs |= build()
            except (ImportError, RuntimeError, AttributeError) as error:
                reason = (str(error).splitlines() or [""])[0]
                failures.append(Row(case, engine, note=f"{type(error).__name__}: {reason}"))
        expected = runs[TORCH]()
        extra = {name: {"rms error": _rms_error(run(), expected)} for name, run in runs.items()}
        samples = interleave(runs, repeats, budget_s)
    return rows_of(case, samples, REFERENCES, extra) + failures


def _torch_int8(layer: Layer, x: Tensor) -> dict[str, Run]:
    """PyTorch's kernels: weights packed before, per channel; "dynamic" exists for linear only."""
    weight, bias = layer.weight, layer.bias
    scales = weight.abs().flatten(1).amax(1) / 127
    zeros = torch.zeros(len(weight), dtype=torch.long)
    levels = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
    scale, zero = _grid(x)
    output_grid = _grid(layer(x))
    quantize = lambda: torch.quantize_per_tensor(x, scale, zero, torch.quint8)
    inner = quantize()
    ops = torch.ops.quantized
    if isinstance(layer, nn.Conv2d):
        packed = ops.conv2d_prepack(levels, bias, [1, 1], [1, 1], [1, 1], 1)
        inner = inner.contiguous(memory_format=torch.channels_last)  # as between its layers
        return {
            "torch int8 inner": lambda: ops.conv2d(inner, packed, *output_grid),
            "torch int8 static": lambda: ops.conv2d(quantize(), packed, *output_grid).dequantize(),
        }
    packed = ops.linear_prepack(levels, bias)
    return {
        "torch int8 inner": lambda: ops.linear(inner, packed, *output_grid),
        "torch int8 static": lambda: ops.linear(quantize(), packed, *output_grid).dequantize(),
        "torch int8 dynamic": lambda: ops.linear_dynamic(x, packed),
    }


def _onnxruntime(layer: Layer, x: Tensor, folder: Path) -> dict[str, Run]:
    source = export_onnx(layer, x, folder / "fp32.onnx")
    static = quantize_onnx(source, folder / "static.onnx", x)
    paths = {ONNX: source, "onnxruntime int8 static": static}
    if isinstance(layer, nn.Linear):
        paths["onnxruntime int8 dynamic"] = quantize_onnx(source, folder / "dynamic.onnx")
    return {name: partial(OnnxSession(path, threads=1), x) for name, path in paths.items()}


def _course_lib(layer: Layer, x: Tensor) -> dict[str, Run]:
    network = integer_network(post_training_static(nn.Sequential(layer), [x]))
    return {"course_lib int8": partial(network, x)}


def _grid(x: Tensor) -> tuple[float, int]:
    """Scale and zero point of 0..255 over the range of x, which includes 0."""
    low, high = min(x.min().item(), 0.0), max(x.max().item(), 0.0)
    scale = (high - low) / 255
    return scale, round(-low / scale)


def _rms_error(result: Tensor, expected: Tensor) -> float:
    result = result.dequantize() if result.is_quantized else result
    return float((result - expected).norm() / expected.norm())


def _inputs(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))
