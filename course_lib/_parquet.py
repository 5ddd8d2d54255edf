"""Images and labels out of the Hugging Face parquet layout.

A folder holds `train-00000-of-00001.parquet` and `test-00000-of-00001.parquet`, or several shards
of each. A row is an encoded image, `{bytes, path}`, and an integer `label`; the class names may
stand in the schema's metadata.
"""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from course_lib._progress import progress_bar

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile


def shards(folder: Path) -> tuple[list[Path], list[Path]] | None:
    """Return the train and the test shards in `folder`, in order, or None where it has neither.

    Raises ValueError where one of the two, or a shard that the names announce, is missing.
    """
    train, test = (sorted(folder.glob(f"{part}-*.parquet")) for part in ("train", "test"))
    if not train and not test:
        return None
    for part, found in (("train", train), ("test", test)):
        if not found:
            raise ValueError(f"{folder} has no {part}-*.parquet. Copy the whole data set.")
        announced = re.search(r"-of-(\d+)\.parquet$", found[0].name)
        if announced and int(announced[1]) != len(found):
            raise ValueError(
                f"{folder} holds {len(found)} of the {int(announced[1])} files {part}-*.parquet. "
                "Copy the whole data set."
            )
    return train, test


def class_names(path: Path) -> tuple[str, ...] | None:
    """Return the class names in the metadata of a shard, or None where it has none."""
    metadata = _open(path).schema_arrow.metadata or {}
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return tuple(str(name) for name in features["label"]["names"])
    except (KeyError, TypeError, ValueError):
        return None


def decode(paths: list[Path], shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Return the images (uint8 [N, C, H, W]) and labels (int64 [N]) of all shards, in order.

    Raises ValueError naming the file where one is damaged or holds images of another size than
    `shape`, which is [C, H, W].
    """
    shards = [_open(path) for path in paths]
    count = sum(shard.metadata.num_rows for shard in shards)
    images = np.empty((count, *shape), dtype=np.uint8)
    labels = np.empty(count, dtype=np.int64)
    done = 0
    with progress_bar(count, f"Decoding {paths[0].name}", "image") as progress:
        for path, shard in zip(paths, shards, strict=True):
            for encoded, label in _rows(path, shard):
                where = f"Image {done} of {path}"
                images[done] = _pixels(encoded, shape, where)
                labels[done] = label
                done += 1
                progress.update()
    return torch.from_numpy(images), torch.from_numpy(labels)


def _open(path: Path) -> ParquetFile:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Reading {path} needs pyarrow. Install it with: "
            'pip install "efficient-dl-course[parquet]"'
        ) from error
    try:
        return ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}. Copy it again.") from error


def _rows(path: Path, shard: ParquetFile) -> Any:
    """Yield the encoded image and the label of each row."""
    import pyarrow

    schema = shard.schema_arrow
    column = next(
        (
            f.name
            for f in schema
            if pyarrow.types.is_struct(f.type) and f.type.get_field_index("bytes") >= 0
        ),
        None,
    )
    if column is None or "label" not in schema.names:
        raise ValueError(
            f"{path} must have a column of images with `bytes` in it and a column `label`; "
            f"its columns are {', '.join(schema.names)}."
        )
    try:
        for batch in shard.iter_batches(batch_size=1000, columns=[column, "label"]):
            images = batch.column(column).field("bytes").to_pylist()
            yield from zip(images, batch.column("label").to_pylist(), strict=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}. Copy it again.") from error


def _pixels(encoded: bytes | None, shape: tuple[int, int, int], where: str) -> np.ndarray:
    """Decode one PNG or JPEG into [C, H, W]."""
    from PIL import Image

    channels, height, width = shape
    try:
        with Image.open(BytesIO(encoded or b"")) as picture:
            size = picture.size
            pixels = np.asarray(picture.convert("RGB" if channels == 3 else "L"))
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"{where} cannot be decoded: {error}. Copy the file again.") from error
    if size != (width, height):
        raise ValueError(
            f"{where} is {size[0]}×{size[1]} pixels, not {width}×{height}: "
            "the folder holds another data set."
        )
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)
