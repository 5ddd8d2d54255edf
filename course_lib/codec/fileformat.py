"""One file for a compressed model: a safetensors file in which some entries are encoded.

A tensor that does not compress is an ordinary entry that any safetensors reader understands; an
encoded one is an entry of bytes named "<name>#coded", and a tensor equal to another only names it.
With arithmetic coding all tensors but the largest are together one entry of bytes, "#joint".
Files come from strangers: the checksum finds damage, and what is forged to pass it still meets a
limit on the decoded size and a check of every number. Sizes reported here were read from a file.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib._validate import check_choice, check_int, check_tensor
from course_lib.codec.container import CorruptFileError, from_container, read_file, to_container
from course_lib.codec.joint import MOST_VALUES, Part, decode_joint, encode_joint
from course_lib.codec.tensors import (
    DEEP_COMPRESSION,
    DTYPES,
    TECHNIQUES,
    Reader,
    decode_tensor,
    encode_tensor,
)
from course_lib.files import write_whole

DEFAULT_MAX_BYTES = 1 << 30
_CODED, _SAME = "#coded", "#same"  # suffixes: encoded bytes; the name of an equal tensor
_JOINT = "#joint"  # the entry of all tensors that are encoded together
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
    techniques: Collection[str] = DEEP_COMPRESSION,
) -> FileSize:
    """Write a model (or its state dict) to one file without loss; return what the file weighs.

    Per tensor the shortest mix of the allowed `techniques` is kept: "half" (float16 where exact),
    "sparse" (gaps between non-zeros), "codebook" (distinct values and indices), "huffman" (gaps
    and indices by frequency, not at fixed width). `()` writes plain tensors, equal ones once.
    TECHNIQUES has "arithmetic" too: with "sparse", one adaptive code for all tensors of up to a
    million values, which takes seconds and makes files of a few kB much smaller.
    What loads is equal to the bit, but for -0.0, which becomes 0.0.
    Raises TypeError for an entry that is no tensor or of an unknown dtype, ValueError for NaN/inf.
    """
    data = to_bytes(model, techniques=techniques)
    write_whole(path, data)
    return inspect(path, max_bytes=_total_bytes(_state(model)))


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
    model: nn.Module | Mapping[str, Tensor], *, techniques: Collection[str] = DEEP_COMPRESSION
) -> bytes:
    """Return the bytes that `save` writes; the same model always gives the same bytes."""
    for technique in techniques:
        check_choice("techniques", technique, TECHNIQUES)
    state = dict(sorted(_state(model).items()))
    separate = to_container(_entries(state, techniques))
    if not {"arithmetic", "sparse"} <= set(techniques):
        return separate
    small = {name: tensor for name, tensor in state.items() if tensor.numel() <= MOST_VALUES}
    try:
        code = encode_joint(small, "half" in techniques, "codebook" in techniques)
    except ValueError:  # too much for the time that a reader allows
        return separate
    others = {name: tensor for name, tensor in state.items() if name not in small}
    joint = to_container({**_entries(others, techniques), _JOINT: _byte_tensor(code)})
    return min(separate, joint, key=len)


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


def _entries(state: Mapping[str, Tensor], techniques: Collection[str]) -> dict[str, Tensor]:
    """One entry per tensor: as it is, encoded, or the name of an equal one."""
    entries: dict[str, Tensor] = {}
    seen: dict[tuple[Any, ...], str] = {}
    for name, tensor in state.items():
        digest = hashlib.sha256(_raw_bytes(tensor)).digest()
        first = seen.setdefault((tensor.dtype, tensor.shape, digest), name)
        if first != name and tensor.nbytes > len(first.encode()):
            entries[name + _SAME] = _byte_tensor(first.encode())
        elif (coded := encode_tensor(tensor, techniques)) is not None:
            entries[name + _CODED] = _byte_tensor(coded)
        else:
            entries[name] = tensor
    return entries


def _decode(
    entries: Mapping[str, Tensor], max_bytes: int, file_bytes: int
) -> tuple[dict[str, Tensor], FileSize]:
    state: dict[str, Tensor] = {}
    sizes: list[TensorSize] = []
    left = max_bytes
    # Copies come last: what they copy must have been decoded.
    for key in sorted(entries, key=lambda key: (key.endswith(_SAME), key)):
        for name, tensor, size in _decode_entry(key, entries[key], state, left):
            left -= tensor.nbytes
            if left < 0 or name in state:
                raise CorruptFileError(f"{name} is stored twice, or exceeds {max_bytes} bytes.")
            state[name] = _checked(name, tensor)
            sizes.append(size)
    return state, FileSize(file_bytes, max_bytes - left, tuple(sizes))


def _decode_entry(
    key: str, stored: Tensor, state: Mapping[str, Tensor], left: int
) -> list[tuple[str, Tensor, TensorSize]]:
    """The tensors of an entry, which take at most `left` bytes, by name and with their sizes."""
    name = key.removesuffix(_SAME).removesuffix(_CODED).removesuffix(_JOINT)
    if name == key:
        return [(name, stored, TensorSize(name, tuple(stored.shape), "dense", stored.nbytes))]
    if stored.dtype != torch.uint8 or stored.ndim != 1:
        raise CorruptFileError(f"{key} must be a row of bytes, not {stored.dtype}.")
    data = stored.numpy().tobytes()
    if key == _JOINT:
        parts = decode_joint(data, left)
        return [(p.name.decode(), t, _size(p.name.decode(), t, p)) for t, p in parts]
    if key.endswith(_SAME):
        first = data.decode()
        if first not in state or state[first].nbytes > left:
            raise CorruptFileError(f"{name} repeats {first}, which is missing or too large.")
        tensor = state[first].clone()
        return [(name, tensor, TensorSize(name, tuple(tensor.shape), f"same as {first}", 0))]
    tensor, reader = decode_tensor(data, left)
    return [(name, tensor, _size(name, tensor, reader))]


def _size(name: str, tensor: Tensor, found: Reader | Part) -> TensorSize:
    """What was booked while decoding; of a joint code whole bytes, the rest counts as header."""
    spent = {account: int(found.spent[account]) for account in ("weight", "index", "codebook")}
    coding = "+".join(name for name in TECHNIQUES if name in found.coding) or "dense"
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
        plain = isinstance(name, str) and not name.endswith((_CODED, _SAME, _JOINT))
        if not plain or name == "__metadata__":
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
