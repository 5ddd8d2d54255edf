"""Trained networks that come with the course, as safetensors files with their recipe inside.

`python -m experiments checkpoints` trains and writes them; `SHA256SUMS` beside them lists what
every file must hash to, so that a damaged or exchanged file is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from torch import nn

from course_lib._validate import check_choice

SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class Checkpoint:
    """What is known about a trained network; see `checkpoints`."""

    name: str
    builder: str  # a name for `by_name`, or "gpt"
    arguments: Mapping[str, Any]  # of the builder
    dataset: str
    recipe: str  # how it was trained, in one sentence
    metric: str  # "test_accuracy" (a fraction), or "bits_per_byte" for text
    value: float  # of that metric, of the file's own weights
    seed: int
    epochs: int
    size_bytes: int  # of the file


def folder() -> Path:
    """Where the files lie."""
    return Path(str(files("course_lib") / "assets" / "checkpoints"))


def checkpoints() -> tuple[Checkpoint, ...]:
    """Return what is known about every trained network, in the order of their names."""
    return tuple(_read_card(path) for path in sorted(folder().glob("*.safetensors")))


def pretrained(name: str) -> nn.Module:
    """Return the trained network called `name`, in eval mode, with float32 weights.

    Files may hold float16 to save space; the accuracy in `checkpoints()` is that of the
    weights as they come back from the file.

    Raises ValueError for an unknown name, and for a file whose SHA-256 is not the listed one.

    >>> pretrained("lenet_5").conv2.out_channels
    50
    """
    from safetensors.torch import load

    paths = {path.stem: path for path in folder().glob("*.safetensors")}
    path = paths[check_choice("name", name, sorted(paths))]
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != _sums().get(path.name):
        raise ValueError(
            f"The checkpoint {path.name} is not the one listed in {SUMS}: get it again from "
            "the course's repository."
        )
    card = _read_card(path)
    model = build(card.builder, card.arguments)
    weights = load(content)
    own = model.state_dict()
    model.load_state_dict({key: weights[key].to(own[key].dtype) for key in own})
    return model.eval()


def build(builder: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Return the untrained network that a checkpoint describes."""
    if builder == "gpt":
        from course_lib.attention import GPT

        return GPT(**arguments)
    from course_lib import models

    return models.by_name(builder, **arguments)


def _read_card(path: Path) -> Checkpoint:
    """Read the metadata in the header of a safetensors file."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    card = json.loads(header["__metadata__"]["course_lib"])
    return Checkpoint(name=path.stem, size_bytes=path.stat().st_size, **card)


def _sums() -> dict[str, str]:
    lines = (folder() / SUMS).read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
