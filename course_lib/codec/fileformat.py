"""One file for a compressed model: a safetensors file in which some entries are encoded.

A tensor that does not compress is an ordinary entry that any safetensors reader understands; an
encoded one is an entry of bytes named "<name>#coded", and a tensor equal to another only names it.
Files come from strangers: the checksum finds damage, and what is forged to pass it still meets a
limit on the decoded size and a check of every number. Sizes reported here were read from a file.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib._validate import check_choice, check_int, check_tensor
from course_lib.codec.container import CorruptFileError, from_container, read_file, to_container
from course_lib.codec.tensors import DTYPES, TECHNIQUES, Reader, decode_tensor, encode_tensor

DEFAULT_MAX_BYTES = 1 << 30
_CODED, _SAME = "#coded", "#same"  # suffixes: encoded bytes; the name of an equal tensor
_MAX_HEADER = 1 << 24  # bytes of a file that are not tensors


@dataclass(frozen=True)
class TensorSize:
    """Where the bytes of a tensor go; `coding` is "sparse+codebook", "dense", "same as ..."."""

    name: str
    shape: tuple[int, ...]
    coding: str
    weight_bytes: int
    index_bytes: int = 0
    codebook_bytes: int = 0


@dataclass(frozen=True)
class FileSize:
    """What a compressed model weighs: the file's bytes, and what they are spent on.

    `total_bytes` is the size of the file, the sum of `weight_bytes` (weights or their codebook
    indices), `index_bytes` (positions in sparse tensors), `codebook_bytes` (centroids and Huffman
    code lengths) and `header_bytes` (names, shapes, checksum). `decoded_bytes` is what the tensors
    take in memory.
    """

    total_bytes: int
    decoded_bytes: int
    tensors: tuple[TensorSize, ...]

    @property
    def weight_bytes(self) -> int:
        return sum(tensor.weight_bytes for tensor in self.tensors)

    @property
    def index_bytes(self) -> int:
        return sum(tensor.index_bytes for tensor in self.tensors)

    @property
    def codebook_bytes(self) -> int:
        return sum(tensor.codebook_bytes for tensor in self.tensors)

    @property
    def header_bytes(self) -> int:
        return self.total_bytes - self.weight_bytes - self.index_bytes - self.codebook_bytes


def save(
    model: nn.Module | Mapping[str, Tensor],
    path: str | os.PathLike[str],
    *,
    techniques: Collection[str] = TECHNIQUES,
) -> FileSize:
    """Write a model (or its state dict) to one file without loss; return what the file weighs.

    Per tensor the shortest mix of the allowed `techniques` is kept: "half" (float16 where exact),
    "sparse" (gaps between non-zeros), "codebook" (distinct values and indices), "huffman" (gaps
    and indices by frequency, not at fixed width). `()` writes plain tensors. Equal tensors are
    stored once. What loads is equal to the bit, but for -0.0, which becomes 0.0.
    Raises TypeError for an entry that is no tensor or of an unknown dtype, ValueError for NaN/inf.
    """
    data = to_bytes(model, techniques=techniques)
    target = Path(path)
    part = target.with_name(target.name + ".part")
    part.write_bytes(data)  # a reader never sees half a file
    part.replace(target)
    return inspect(target, max_bytes=_total_bytes(_state(model)))


def load(
    path: str | os.PathLike[str], model: nn.Module, *, max_bytes: int | None = None
) -> nn.Module:
    """Return a copy of `model` with the weights of the file; `model` itself is not changed.

    `max_bytes` limits the decoded size; by default it is what the weights of `model` take.
    Raises CorruptFileError if the file is damaged or does not hold exactly the tensors of `model`
    (names, shapes, dtypes), FileNotFoundError if there is none.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be an nn.Module, got {type(model).__name__}.")
    expected = model.state_dict()  # only its shapes count; what it holds may be anything
    limit = _total_bytes(expected) if max_bytes is None else max_bytes
    state = load_state(path, max_bytes=limit)
    if state.keys() != expected.keys():
        different = sorted(state.keys() ^ expected.keys())
        raise CorruptFileError(f"{path} and the model differ in tensors: {different[:5]}.")
    for name, tensor in state.items():
        found, wanted = (tensor.shape, tensor.dtype), (expected[name].shape, expected[name].dtype)
        if found != wanted:
            raise CorruptFileError(f"{path}: {name} is {found}, but the model's is {wanted}.")
    loaded = copy.deepcopy(model)
    loaded.load_state_dict(state)
    for name, tensor in loaded.state_dict().items():  # tied weights can hold only one value
        if not torch.equal(tensor.cpu(), state[name]):
            raise CorruptFileError(f"{path}: {name} is shared in the model, but not in the file.")
    return loaded


def load_state(
    path: str | os.PathLike[str], *, max_bytes: int = DEFAULT_MAX_BYTES
) -> dict[str, Tensor]:
    """Return the tensors of a file that `save` wrote, by name; CorruptFileError as in `load`."""
    check_int("max_bytes", max_bytes, 0)
    return from_bytes(read_file(path, max_bytes + _MAX_HEADER), max_bytes=max_bytes)[0]


def inspect(path: str | os.PathLike[str], *, max_bytes: int = DEFAULT_MAX_BYTES) -> FileSize:
    """Return what a file that `save` wrote weighs, after decoding all of it as a check."""
    check_int("max_bytes", max_bytes, 0)
    return from_bytes(read_file(path, max_bytes + _MAX_HEADER), max_bytes=max_bytes)[1]


def to_bytes(
    model: nn.Module | Mapping[str, Tensor], *, techniques: Collection[str] = TECHNIQUES
) -> bytes:
    """Return the bytes that `save` writes; the same model always gives the same bytes."""
    for technique in techniques:
        check_choice("techniques", technique, TECHNIQUES)
    entries: dict[str, Tensor] = {}
    seen: dict[tuple[Any, ...], str] = {}
    for name, tensor in sorted(_state(model).items()):
        digest = hashlib.sha256(_raw_bytes(tensor)).digest()
        first = seen.setdefault((tensor.dtype, tensor.shape, digest), name)
        if first != name and tensor.nbytes > len(first.encode()):
            entries[name + _SAME] = _byte_tensor(first.encode())
        elif (coded := encode_tensor(tensor, techniques)) is not None:
            entries[name + _CODED] = _byte_tensor(coded)
        else:
            entries[name] = tensor
    return to_container(entries)


def from_bytes(
    data: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES
) -> tuple[dict[str, Tensor], FileSize]:
    """Return the tensors and sizes in the bytes of a file; CorruptFileError as in `load`.

    `max_bytes` limits the size of all tensors together; decoding takes up to 10 times that.
    """
    check_int("max_bytes", max_bytes, 0)
    try:
        return _decode(from_container(data), max_bytes, len(data))
    except CorruptFileError:
        raise
    except Exception as error:  # whatever a parser trips over in untrusted bytes
        raise CorruptFileError(f"The compressed model cannot be read: {error}.") from error


def _decode(
    entries: Mapping[str, Tensor], max_bytes: int, file_bytes: int
) -> tuple[dict[str, Tensor], FileSize]:
    state: dict[str, Tensor] = {}
    sizes: list[TensorSize] = []
    left = max_bytes
    # Copies come last: what they copy must have been decoded.
    for key in sorted(entries, key=lambda key: (key.endswith(_SAME), key)):
        stored = entries[key]
        name = key.removesuffix(_SAME).removesuffix(_CODED)
        if name != key and (stored.dtype != torch.uint8 or stored.ndim != 1):
            raise CorruptFileError(f"{key} must be a row of bytes, not {stored.dtype}.")
        if key.endswith(_SAME):
            first = stored.numpy().tobytes().decode()
            if first not in state or state[first].nbytes > left:
                raise CorruptFileError(f"{name} repeats {first}, which is missing or too large.")
            tensor = state[first].clone()
            size = TensorSize(name, tuple(tensor.shape), f"same as {first}", 0)
        elif key.endswith(_CODED):
            tensor, reader = decode_tensor(stored.numpy().tobytes(), left)
            size = _coded_size(name, tensor, reader)
        else:
            tensor = stored
            size = TensorSize(name, tuple(tensor.shape), "dense", tensor.nbytes)
        left -= tensor.nbytes
        if left < 0 or name in state:
            raise CorruptFileError(f"{name} is stored twice, or exceeds {max_bytes} bytes.")
        state[name] = _checked(name, tensor)
        sizes.append(size)
    return state, FileSize(file_bytes, max_bytes - left, tuple(sizes))


def _coded_size(name: str, tensor: Tensor, reader: Reader) -> TensorSize:
    spent = reader.spent
    coding = "+".join(name for name in TECHNIQUES if name in reader.coding) or "dense"
    return TensorSize(
        name, tuple(tensor.shape), coding, spent["weight"], spent["index"], spent["codebook"]
    )


def _state(model: nn.Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors to store: on the CPU, contiguous, independent, without -0.0."""
    entries = model.state_dict() if isinstance(model, nn.Module) else model
    if not isinstance(entries, Mapping):
        raise TypeError(f"model must be an nn.Module or a state dict, got {type(model).__name__}.")
    state = {}
    for name, tensor in entries.items():
        if not isinstance(name, str) or name == "__metadata__" or name.endswith((_CODED, _SAME)):
            raise ValueError(f"A tensor must have a plain name without {_CODED}, got {name!r}.")
        tensor = _checked(name, tensor).detach().cpu().contiguous()
        state[name] = tensor + 0.0 if tensor.is_floating_point() else tensor.clone()
    return state


def _checked(name: str, tensor: object) -> Tensor:
    """The tensor, if it is one that the file may hold: strided, of a known dtype, finite."""
    tensor = check_tensor(name, tensor)
    if tensor.dtype not in DTYPES or tensor.layout != torch.strided or tensor.is_meta:
        raise TypeError(
            f"{name} must be an ordinary tensor of floats, integers or bools, got {tensor.dtype} "
            f"({tensor.layout}, on {tensor.device})."
        )
    if tensor.dtype == torch.bool and bool((tensor.view(torch.uint8) > 1).any()):
        raise ValueError(f"{name} must hold bools, but a byte of it is neither 0 nor 1.")
    return check_tensor(name, tensor, finite=True)


def _total_bytes(state: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in state.values())


def _raw_bytes(tensor: Tensor) -> bytes:
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


def _byte_tensor(data: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(data, np.uint8).copy())
