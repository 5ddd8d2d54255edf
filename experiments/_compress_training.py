"""The training loop of the compression experiments: MNIST in all shifts, with a teacher's logits.

A teacher is asked once for every shift of every image instead of in every epoch, because the
networks in training are soon much smaller than their teacher.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.data import Split
from course_lib.distill import distillation_loss

BATCH = 256
TEMPERATURE, ALPHA = 2.0, 0.5  # of the teacher's softmax; of the labels in the loss
Forward = Callable[[Tensor], Tensor]
AfterStep = Callable[[nn.Module], None]


@dataclass
class Shifts:
    """Images [N, 1, H, W] in all shifts by up to `pixels`; `logits` [shifts, N, K] or None."""

    split: Split
    pixels: int
    logits: Tensor | None = None
    _windows: Tensor = field(init=False, repr=False)  # [N, down, right, H, W], a view

    def __post_init__(self) -> None:
        images = self.split.inputs()[:, 0]
        height, width = images.shape[1:]
        padded = F.pad(images, (self.pixels,) * 4, value=images.min().item())
        self._windows = padded.unfold(1, height, 1).unfold(2, width, 1)

    def __len__(self) -> int:
        return len(self.split)

    def images(self, indices: Tensor, shifts: Tensor) -> Tensor:
        """Return image `indices[i]` in shift `shifts[i]`, -> [n, 1, H, W], channels last."""
        down, right = shifts // self._sides, shifts % self._sides
        images = self._windows[indices, down, right].unsqueeze(1)
        return images.contiguous(memory_format=torch.channels_last)

    def batch(self, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Return images in random shifts, labels, and the teacher's logits if there are any."""
        shifts = torch.randint(self._sides**2, indices.shape, generator=generator)
        known = () if self.logits is None else (self.logits[shifts, indices].float(),)
        return self.images(indices, shifts), self.split.labels[indices], *known

    @torch.no_grad()
    def taught_by(self, teacher: nn.Module) -> Shifts:
        """Return the same images with the logits of `teacher` for every shift."""
        teacher.eval()
        every = torch.arange(len(self))
        logits = [
            torch.cat(
                [
                    _bfloat16(teacher, self.images(part, torch.full_like(part, shift))).half()
                    for part in every.split(1000)
                ]
            )
            for shift in range(self._sides**2)
        ]
        return Shifts(self.split, self.pixels, torch.stack(logits))

    @property
    def _sides(self) -> int:
        return 2 * self.pixels + 1


def steps_of(images: Shifts, epochs: int) -> int:
    """Return how many optimizer steps `train` takes."""
    return epochs * (len(images) // BATCH)


def train(
    model: nn.Module,
    images: Shifts,
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    weight_decay: float = 0.0,
    forward: Forward | None = None,
    after_step: AfterStep | None = None,
) -> None:
    """Train `model` in place; the last weights count, so that nothing is selected.

    AdamW, cosine to 0, bfloat16 autocast. `forward` computes the logits in place of `model` (for
    quantized weights). The loss is distillation where the images have a teacher's logits.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=weight_decay)
    total = steps_of(images, epochs)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / total)
    )
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        for indices in order[: len(images) // BATCH * BATCH].split(BATCH):
            loss = _loss(forward or model, *images.batch(indices, generator))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            if after_step is not None:
                after_step(model)
    model.eval()


def _loss(
    forward: Forward, inputs: Tensor, labels: Tensor, teacher_logits: Tensor | None = None
) -> Tensor:
    logits = _bfloat16(forward, inputs)
    if teacher_logits is None:
        return F.cross_entropy(logits, labels)
    return distillation_loss(logits, teacher_logits, labels, TEMPERATURE, ALPHA, 1 - ALPHA)


def _bfloat16(forward: Forward, inputs: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return forward(inputs).float()
