"""Run a model without training it: what `course_lib.train` and `course_lib.measure` share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib._validate import check_int

if TYPE_CHECKING:
    from course_lib.data import Split


@dataclass(frozen=True)
class Evaluation:
    """How a model did on `count` samples; accuracy is a fraction, loss the mean in nats.

    >>> Evaluation(accuracy=0.9, loss=0.3, count=100).standard_error
    0.03
    """

    accuracy: float
    loss: float
    count: int

    @property
    def error(self) -> float:
        """The fraction of wrong answers, 1 - accuracy."""
        return 1.0 - self.accuracy

    @property
    def standard_error(self) -> float:
        """The binomial standard error of `accuracy`, sqrt(p (1 - p) / count)."""
        return math.sqrt(self.accuracy * (1.0 - self.accuracy) / self.count)


def evaluate(model: nn.Module, split: Split, batch_size: int = 1000) -> Evaluation:
    """Return accuracy and mean cross-entropy of `model` in eval mode on all of `split`.

    The model is left as it was, its training flags included. Raises as `predict` does.
    """
    logits = predict(model, split, batch_size).double()
    labels = split.labels.cpu()
    return Evaluation(
        accuracy=(logits.argmax(dim=1) == labels).double().mean().item(),
        loss=F.cross_entropy(logits, labels).item(),
        count=len(labels),
    )


def predict(model: nn.Module, split: Split, batch_size: int = 1000) -> Tensor:
    """Return the logits [N, K] of `model` in eval mode for the N samples of `split`, on the CPU.

    Inputs are moved to the device and the floating-point type of the model's parameters.
    ValueError if the split is empty or the model's output is not [N, K]; TypeError if `split`
    is not a split.
    """
    check_model(model)
    check_split("split", split)
    device, dtype = placement(model)
    batches = torch.arange(len(split)).split(check_int("batch_size", batch_size))
    with eval_mode(model), torch.no_grad():
        outputs = [model(split.inputs(indices).to(device, dtype)).cpu() for indices in batches]
    logits = torch.cat(outputs)
    if logits.ndim != 2 or len(logits) != len(split):
        shape = tuple(logits.shape)
        raise ValueError(f"model must return logits [N, K] for {len(split)} samples, got {shape}.")
    return logits


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put `model` in eval mode, then give every submodule the training flag it had."""
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, flag in flags:
            module.training = flag


@contextmanager
def inference(fn: object) -> Iterator[None]:
    """Use eval mode and inference mode if `fn` is a module; leave other functions alone."""
    if not isinstance(fn, nn.Module):
        yield
        return
    with eval_mode(fn), torch.inference_mode():
        yield


def placement(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return the device of `model` and the type of its first floating-point parameter.

    They are where and what its inputs should be; (cpu, float32) where the model does not say.
    """
    first = next(chain(model.parameters(), model.buffers()), torch.empty(0))
    types = (weight.dtype for weight in model.parameters() if weight.is_floating_point())
    return first.device, next(types, torch.float32)


def check_model(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}.")


def check_split(name: str, split: object) -> None:
    if not hasattr(split, "inputs") or not hasattr(split, "labels"):
        raise TypeError(
            f"{name} must be a Split such as course_lib.data.load('mnist').train, "
            f"got {type(split).__name__}."
        )
    if len(split.labels) == 0:
        raise ValueError(f"{name} must hold at least one sample, but it is empty.")
