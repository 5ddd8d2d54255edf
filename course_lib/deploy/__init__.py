"""Deployment: what happens to a network between the notebook and the device.

Fold batch norms away, export to a file that other engines read, quantize that file, and compare
the engines on the same input: time, bytes, memory and correctness in one table.
"""

from course_lib.deploy.compare import ENGINES, EngineRow, compare_engines, engine_table
from course_lib.deploy.fold import FoldablePair, fold, fold_batch_norm, foldable_pairs
from course_lib.deploy.onnx_files import OnnxSession, export_onnx, quantize_onnx

__all__ = [
    "ENGINES",
    "EngineRow",
    "FoldablePair",
    "OnnxSession",
    "compare_engines",
    "engine_table",
    "export_onnx",
    "fold",
    "fold_batch_norm",
    "foldable_pairs",
    "quantize_onnx",
]
