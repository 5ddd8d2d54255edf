"""ONNX: a network as a file of operators, for engines that have never heard of PyTorch.

`export_onnx` writes the file, `quantize_onnx` rewrites it with int8 weights and activations, and
`OnnxSession` runs either on ONNX Runtime. Needs the extra `deploy` of this package.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_lib._evaluate import check_model
from course_lib._validate import check_int, check_tensor

_CALIBRATION_BATCH = 32  # the calibrator keeps every activation of a batch


def export_onnx(model: nn.Module, example: Tensor, path: str | Path) -> Path:
    """Write `model` in eval mode as one ONNX file and return its path.

    `example` is an input [N, ...] such as the model will get; of it only shape and type count, and
    the file accepts any N. The input is called "input" and the output "output"; the model must
    return one tensor. Raises TypeError for other kinds of arguments, ModuleNotFoundError without
    the extra `deploy`, and whatever torch.onnx.export raises where it does not know an operation.
    """
    check_model(model)
    check_tensor("example", example, nonempty=True)
    _need("onnx", "onnxscript")
    with warnings.catch_warnings():  # about PyTorch's own use of its own interfaces
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            copy.deepcopy(model).eval(),
            (example,),
            str(path),
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return Path(path)


def quantize_onnx(
    source: str | Path, target: str | Path, calibration: Tensor | None = None
) -> Path:
    """Write an int8 version of the ONNX file `source` to `target` and return its path.

    With `calibration` [N, ...] (finite inputs, a hundred or so typical ones) quantization is
    static: ranges of activations are measured on it (min-max) and fixed, weights are int8 with a
    scale per channel. Without, it is dynamic: weights are uint8 per tensor, and ranges of
    activations are taken anew from every batch, which suits linear layers better than
    convolutions. Raises FileNotFoundError, TypeError/ValueError for bad calibration data, and
    ModuleNotFoundError without the extra `deploy`.
    """
    onnx, ort = _need("onnx", "onnxruntime.quantization")
    if calibration is not None:
        check_tensor("calibration", calibration, finite=True, nonempty=True)
    graph = onnx.load(_existing(source))
    # Shapes noted at export contradict the quantizer's transposed weights; it infers them again.
    del graph.graph.value_info[:]
    with _quiet_logging():
        if calibration is None:
            ort.quantize_dynamic(graph, str(target), weight_type=ort.QuantType.QUInt8)
        else:
            ort.quantize_static(
                graph,
                str(target),
                _reader(ort, graph.graph.input[0].name, calibration),
                quant_format=ort.QuantFormat.QDQ,
                per_channel=True,
                activation_type=ort.QuantType.QUInt8,
                weight_type=ort.QuantType.QInt8,
            )
    return Path(target)


class OnnxSession:
    """Run an ONNX file of one input and one output on the CPU: call it with a tensor.

    `threads` is what one operator may use. ONNX Runtime keeps its scratch memory for the next
    call; with `keep_scratch` off it gives it back after each, as PyTorch does, so that the two can
    be compared. `version` says which ONNX Runtime it is, `size_bytes` what the file weighs.
    Raises FileNotFoundError, ValueError for a file that is not such a model, and
    ModuleNotFoundError without the extra `deploy`.
    """

    def __init__(self, path: str | Path, *, threads: int = 1, keep_scratch: bool = True):
        (ort,) = _need("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = check_int("threads", threads)
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = options.enable_mem_pattern = bool(keep_scratch)
        options.log_severity_level = 3  # errors
        file = _existing(path)
        try:
            session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            raise ValueError(
                f"path must be an ONNX model that ONNX Runtime can run, got {file!r}: {error}"
            ) from error
        if (len(session.get_inputs()), len(session.get_outputs())) != (1, 1):
            raise ValueError(
                f"path must be a model of one input and one output, but {file!r} has "
                f"{len(session.get_inputs())} and {len(session.get_outputs())}."
            )
        self.version = f"onnxruntime {ort.__version__}"
        self.size_bytes = Path(file).stat().st_size
        self._session = session
        self._input = session.get_inputs()[0].name

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the model's output; ValueError for a shape or type that it does not take."""
        feed = {self._input: check_tensor("inputs", inputs).detach().cpu().numpy()}
        try:
            outputs = self._session.run(None, feed)
        except Exception as error:
            raise ValueError(
                f"inputs must fit the model, got shape {tuple(inputs.shape)} of {inputs.dtype}: "
                f"{error}"
            ) from error
        return torch.from_numpy(outputs[0])


def _need(*names: str) -> list[Any]:
    """Import modules of the extra `deploy`, or say what to install."""
    try:
        return [importlib.import_module(name) for name in names]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"This needs {error.name}, which is not installed. Install the extra: "
            'pip install "efficient-dl-course[deploy]".',
            name=error.name,
        ) from error


def _existing(path: str | Path) -> str:
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no ONNX file at {str(path)!r}.")
    return str(path)


def _reader(ort: Any, name: str, calibration: Tensor) -> Any:
    """What ONNX Runtime asks for the calibration data, batch after batch."""

    class Reader(ort.CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(calibration.detach().cpu().split(_CALIBRATION_BATCH))

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self.batches, None)
            return None if batch is None else {name: batch.numpy()}

    return Reader()


@contextlib.contextmanager
def _quiet_logging() -> Iterator[None]:
    """Hold back the quantizer's advice to optimize the model first: the exporter has done it."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
