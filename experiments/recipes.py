"""How the networks of the experiments are trained, each recipe in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import augment, data, models, train
from course_lib.train import FitResult
from experiments.runner import finished

CIFAR_NOTE = "cifar10 (JPEG-compressed copies)"


@dataclass(frozen=True)
class Recipe:
    """Arguments for `models.by_name` and `train.fit`; `says` is for people."""

    builder: str
    dataset: str
    epochs: int
    learning_rate: float
    arguments: Mapping[str, Any] = field(default_factory=dict)
    optimizer: str = "adam"
    weight_decay: float = 0.0
    batch_size: int = 128
    shift: int = 0  # pixels of random shift
    flip: bool = False
    cutout: int = 0  # side in pixels of a square that is blanked
    smoothing: float = 0.0  # of the labels
    bfloat16: bool = False  # autocast of forward and backward; weights stay float32

    @property
    def says(self) -> str:
        """The recipe in one sentence."""
        parts = [
            f"{self.epochs} epochs of {'SGD' if self.optimizer == 'sgd' else 'AdamW'}",
            f"learning rate {self.learning_rate:g} with a cosine to 0",
            f"weight decay {self.weight_decay:g}",
            f"batches of {self.batch_size}",
        ]
        parts += [f"shifts by up to {self.shift} pixels"] if self.shift else []
        parts += ["mirror images"] if self.flip else []
        parts += [f"squares of {self.cutout} pixels blanked"] if self.cutout else []
        parts += [f"labels smoothed by {self.smoothing:g}"] if self.smoothing else []
        parts += ["bfloat16 autocast"] if self.bfloat16 else []
        return ", ".join(parts)

    def quick(self) -> Recipe:
        """The same for a machine with a minute: one epoch."""
        return replace(self, epochs=1)

    def untrained(self, seed: int) -> nn.Module:
        """The network with the random weights of `seed`."""
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            model = models.by_name(self.builder, **self.arguments)
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def train(self, dataset: data.Dataset, seed: int, **extra: Any) -> FitResult:
        """Train the network of `seed`; `extra` goes to `train.fit`."""
        return self.continue_training(self.untrained(seed), dataset, seed, **extra)

    def continue_training(
        self, model: nn.Module, dataset: data.Dataset, seed: int, **extra: Any
    ) -> FitResult:
        """Train a copy of `model` in the same manner."""
        steps = [augment.flip] if self.flip else []
        steps += [partial(augment.shift, pixels=self.shift)] if self.shift else []
        steps += [partial(augment.cutout, side=self.cutout)] if self.cutout else []
        arguments: dict[str, Any] = {
            "epochs": self.epochs,
            "learning_rate": self.learning_rate,
            "batch_size": self.batch_size,
            "optimizer": self.optimizer,
            "weight_decay": self.weight_decay,
            "schedule": "cosine",
            "seed": seed,
            "loss": partial(cross_entropy, smoothing=self.smoothing, bfloat16=self.bfloat16),
            "augment": augment.in_turn(*steps) if steps else None,
            "progress": False,
        }
        return finished(train.fit(model, dataset, **(arguments | extra)))


def cross_entropy(
    model: nn.Module, inputs: Tensor, labels: Tensor, *, smoothing: float, bfloat16: bool
) -> Tensor:
    """The mean loss of a batch in nats, optionally computed in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        logits = model(inputs)
    return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)


_CIFAR = Recipe(
    "resnet20",
    "cifar10",
    epochs=36,
    learning_rate=0.1,
    optimizer="sgd",
    weight_decay=5e-4,
    shift=4,
    flip=True,
    smoothing=0.1,
    bfloat16=True,
)
# Small networks and few epochs: little is done against learning the images by heart.
_MOBILE = Recipe(
    "mobilenet_v1",
    "cifar10",
    epochs=14,
    learning_rate=0.1,
    optimizer="sgd",
    weight_decay=1e-4,
    shift=2,
    flip=True,
)


def _mobile(width: float) -> Recipe:
    shape = {"width": width, "num_classes": 10, "small_input": True, "middle_blocks": 1}
    return replace(_MOBILE, arguments=shape)


RECIPES = {
    "lenet_300_100": Recipe(
        "lenet_300_100", "mnist", epochs=40, learning_rate=1e-3, weight_decay=0.01, shift=1
    ),
    "lenet_5": Recipe("lenet_5", "mnist", epochs=15, learning_rate=1e-3, shift=2),
    "vgg_cifar": replace(_CIFAR, builder="vgg_cifar", epochs=15),
    "resnet20": _CIFAR,
    "pooled_resnet": replace(
        _CIFAR, builder="pooled_resnet", arguments={"width": 54}, epochs=115, cutout=8
    ),
    "mobilenet_0250": _mobile(0.25),
    "mobilenet_0375": _mobile(0.375),
    "mobilenet_0500": _mobile(0.5),
}
