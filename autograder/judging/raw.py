"""Numbers as raw bytes: tensors and arrays of the dtypes that hold nothing but numbers and text.

Reading checks dtype, shape and length against each other, then copies; a truth value that is
neither 0 nor 1 and text that is no Unicode are refused, because libraries trust them blindly.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autograder.judging.errors import CodecError
from autograder.judging.wire import MAX_BODY

MAX_DIMENSIONS = 32
MAX_LENGTH = 2**40  # of one axis; a meta tensor may be that long

_WIDTHS = {"uint": (8, 16, 32, 64), "int": (8, 16, 32, 64), "float": (16, 32, 64)}
_DTYPE_NAMES = (
    *(f"{kind}{bits}" for kind, widths in _WIDTHS.items() for bits in widths),
    *("bool", "bfloat16", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2"),
)
DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in _DTYPE_NAMES}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_ARRAY_KINDS = "biufcUS"


def tensor_bytes(tensor: Tensor) -> memoryview:
    """Return the numbers of a dense tensor of any device and strides, row by row."""
    _check_size(tensor.numel() * tensor.element_size())
    with torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
        flat = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
        if flat.numel() == 0:
            return memoryview(b"")
        return flat.view(torch.uint8).numpy().data.cast("B")


def _check_size(size: int) -> None:
    if size > MAX_BODY:
        raise CodecError(f"it holds more than {MAX_BODY >> 20} MB.")


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a dtype that may travel."""
    if dtype not in _NAMES:
        raise CodecError(f"it is a tensor of {dtype}, which the grader cannot read.")
    return _NAMES[dtype]


def read_tensor(name: Any, shape: Any, data: memoryview) -> Tensor:
    """Return a new tensor; CodecError unless the bytes are exactly what dtype and shape need."""
    dtype, sizes = read_dtype(name), read_shape(shape)
    if math.prod(sizes) * dtype.itemsize != len(data):
        raise CodecError("a tensor's bytes do not match its shape.")
    if not len(data):
        return torch.empty(sizes, dtype=dtype)
    raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    if dtype == torch.bool and bool((raw > 1).any()):
        raise CodecError("a truth value is neither 0 nor 1.")
    return raw.view(dtype).reshape(sizes).clone()  # memory that torch may resize


def read_dtype(name: Any) -> torch.dtype:
    """Return the dtype with this name."""
    if not isinstance(name, str) or name not in DTYPES:
        raise CodecError("there is no such dtype.")
    return DTYPES[name]


def read_shape(shape: Any) -> tuple[int, ...]:
    """Return a shape that is small enough to compute with."""
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
        raise CodecError("a shape has too many axes.")
    if not all(type(size) is int and 0 <= size <= MAX_LENGTH for size in shape):
        raise CodecError("a shape has an impossible size.")
    if math.prod(max(size, 1) for size in shape) > 2**60:
        raise CodecError("a shape is far too large.")
    return tuple(shape)


def array_bytes(array: np.ndarray) -> tuple[str, bytes]:
    """Return dtype and bytes of an array of numbers or text."""
    plain = np.ndarray.__array__(array).view(np.ndarray)
    if plain.dtype.kind not in _ARRAY_KINDS:
        raise CodecError(f"it is an array of {plain.dtype}, which the grader cannot read.")
    _check_size(plain.size * plain.itemsize)  # a broadcast array takes less than it holds
    return plain.dtype.str, plain.tobytes()


def read_array(name: Any, shape: Any, data: memoryview) -> np.ndarray:
    """Return a new array; CodecError unless the bytes are exactly what dtype and shape need."""
    dtype, sizes = _array_dtype(name), read_shape(shape)
    if math.prod(sizes) * dtype.itemsize != len(data):
        raise CodecError("an array's bytes do not match its shape.")
    array = np.frombuffer(bytearray(data), dtype=dtype) if len(data) else np.empty(0, dtype)
    if dtype.kind == "b" and bool((array.view(np.uint8) > 1).any()):
        raise CodecError("a truth value is neither 0 nor 1.")
    if dtype.kind == "U" and len(data):
        points = array.view(dtype.byteorder.replace("|", "=") + "u4")
        if int(points.max()) > 0x10FFFF:
            raise CodecError("an array holds text that is no Unicode.")
    return array.reshape(sizes)


def _array_dtype(name: Any) -> np.dtype:
    """Return a dtype by its short name such as "<f8"; never one with fields or objects."""
    short = isinstance(name, str) and len(name) <= 12 and name.isascii()
    if not short or name[1:2] not in _ARRAY_KINDS or not name[2:].isdigit():
        raise CodecError("there is no such dtype.")
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError, OverflowError, MemoryError):
        raise CodecError("there is no such dtype.") from None
    if dtype.kind not in _ARRAY_KINDS or dtype.itemsize == 0 or dtype.subdtype is not None:
        raise CodecError("there is no such dtype.")
    return dtype
