"""The course's Huffman code beside zlib and lzma, on the quantized weights of LeNet-5.

The symbols are those of Deep Compression: each weight's index into its layer's codebook of 32
values, one byte each, before and after pruning (a pruned weight has an index of its own). LeNet-5
is trained on MNIST first, since an untrained network's weights are uniform and no code can shrink
uniform symbols. zlib and lzma also look for repetitions; "zlib, Huffman only" does not.
"""

from __future__ import annotations

import dataclasses
import lzma
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from benchmarks.report import Row, Table, rows_of, span
from benchmarks.timing import Quartiles, interleave
from course_lib import codec, data, models, prune, train
from course_lib.quantize import kmeans_codebook

Symbols = npt.NDArray[np.uint8]
Encode = Callable[[], bytes]

OURS, ZLIB = "course_lib", "zlib level 6"
BITS = 5

QUICK: dict[str, Any] = {"images": 2000, "repeats": 5, "budget_s": 10.0}
FULL: dict[str, Any] = {"images": 55_000, "repeats": 30, "budget_s": 60.0}


def measure(images: int, repeats: int, budget_s: float) -> Table:
    """Train LeNet-5 for one epoch on so many images, then encode and decode its weights."""
    rows: list[Row] = []
    for name, symbols in streams(trained(images)).items():
        rows += compare(name, symbols, repeats, budget_s)
    of_ours = lambda direction: span([row for row in rows if row.case.endswith(direction)], OURS)
    speeds = lambda direction: " and ".join(
        f"{row.extra['MB/s']:.3g}"
        for row in rows
        if row.subject == OURS and row.case.endswith(direction)
    )
    return Table(
        name="huffman",
        title="Huffman code of LeNet-5's quantized weights",
        method=f"1 MB is 10^6 symbols of one byte. Size: the stream, for course_lib with its "
        f"{2**BITS + 1} code lengths of a byte.\nEntropy: bits per symbol that no code of single "
        "symbols can go below.",
        rows=tuple(rows),
        reading=f"Reading: {OURS} encodes {speeds('encode')} MB/s and decodes {speeds('decode')} "
        f"MB/s, taking {of_ours('encode')} and {of_ours('decode')} times as long as zlib.",
    )


def trained(images: int) -> nn.Module:
    """Return LeNet-5 after an epoch on the first training images of MNIST."""
    torch.manual_seed(0)
    mnist = data.load("mnist")
    part = dataclasses.replace(mnist, train=mnist.train.head(images))
    return train.fit(models.lenet_5(), part, epochs=1, progress=False).model


def streams(model: nn.Module) -> dict[str, Symbols]:
    """The codebook indices of all weights of `model`, as they are and 90 % pruned."""
    pruned = prune.prune_model(model, 0.9).model
    return {"dense": _indices(model), "90 % pruned": _indices(pruned)}


def compare(case: str, symbols: Symbols, repeats: int, budget_s: float) -> list[Row]:
    """Time all codes on `symbols` in both directions; ValueError if one is not lossless."""
    raw = symbols.tobytes()
    counts = np.bincount(symbols, minlength=2**BITS + 1)
    lengths = codec.code_lengths(counts)
    encoders: dict[str, Encode] = {
        # With finding the code, as the others do.
        OURS: lambda: codec.huffman_encode(symbols, _code_lengths(symbols)),
        ZLIB: lambda: zlib.compress(raw, 6),
        "zlib, Huffman only": lambda: _huffman_only(raw),
        "lzma preset 6": lambda: lzma.compress(raw, preset=6),
    }
    packed = {name: encode() for name, encode in encoders.items()}
    decoders: dict[str, Callable[[], Any]] = {
        OURS: lambda: codec.huffman_decode(packed[OURS], lengths, symbols.size),
        ZLIB: lambda: zlib.decompress(packed[ZLIB]),
        "zlib, Huffman only": lambda: zlib.decompress(packed["zlib, Huffman only"]),
        "lzma preset 6": lambda: lzma.decompress(packed["lzma preset 6"]),
    }
    for name, decode in decoders.items():
        decoded = decode()
        decoded = decoded if isinstance(decoded, bytes) else decoded.astype(np.uint8).tobytes()
        if decoded != raw:
            raise ValueError(f"{name} did not give the symbols back.")
    sizes = {
        name: len(code) + (len(lengths) if name == OURS else 0) for name, code in packed.items()
    }
    rows = []
    for direction, calls in (("encode", encoders), ("decode", decoders)):
        samples = interleave(calls, repeats, budget_s)
        extra = {
            name: {
                "MB/s": symbols.size / 1e6 / Quartiles.of(times).median,
                "size bytes": sizes[name],
                "bits/symbol": 8 * sizes[name] / symbols.size,
                "entropy": codec.entropy(counts),
            }
            for name, times in samples.items()
        }
        rows += rows_of(f"{case}, {direction}", samples, ZLIB, extra)
    return rows


def _indices(model: nn.Module) -> Symbols:
    """0 for a weight that is zero, else 1 + its index into the layer's codebook."""
    layers = []
    for name, weight in model.state_dict().items():
        if name.endswith("weight"):
            kept = weight != 0
            symbols = torch.zeros(weight.shape, dtype=torch.uint8)
            symbols[kept] = kmeans_codebook(weight[kept], BITS)[1] + 1
            layers.append(symbols.flatten().numpy())
    return np.concatenate(layers)


def _code_lengths(symbols: Symbols) -> npt.NDArray[np.int64]:
    return codec.code_lengths(np.bincount(symbols, minlength=2**BITS + 1))


def _huffman_only(raw: bytes) -> bytes:
    compressor = zlib.compressobj(strategy=zlib.Z_HUFFMAN_ONLY)
    return compressor.compress(raw) + compressor.flush()
