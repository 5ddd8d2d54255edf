"""Train, evaluate and predict with the discipline of the course.

`fit` returns a new model with the weights that did best on the validation split; it never opens
the test split, never changes the model it was given and never touches the global random state, so
that a seed means the same result in a notebook, a sweep and a test. Model compression plugs in
through two hooks: `loss` (distillation) and `after_step` (masks, projected weights).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib._evaluate import (
    Evaluation,
    check_model,
    check_split,
    evaluate,
    placement,
    predict,
)
from course_lib._progress import progress_bar
from course_lib._resume import TrainingState
from course_lib._validate import check_choice, check_int, check_number

if TYPE_CHECKING:
    from course_lib.data import Dataset, Split

__all__ = ["DivergedError", "Epoch", "Evaluation", "FitResult", "evaluate", "fit", "predict"]

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Epoch:
    """One pass over the training split; losses are means over samples, in nats."""

    epoch: int  # the first is 1
    train_loss: float  # of the training objective, while the weights were changing
    validation_loss: float  # cross-entropy
    validation_accuracy: float  # a fraction
    seconds: float


@dataclass(frozen=True)
class FitResult:
    """What `fit` returns; `model` is new, in eval mode, with the weights of `best_epoch`."""

    model: nn.Module
    history: tuple[Epoch, ...]
    best_epoch: int  # 0 only if Ctrl-C came before the first epoch ended
    seed: int
    interrupted: bool = False


class DivergedError(ValueError):
    """The training loss became NaN or infinite."""


def fit(
    model: nn.Module,
    dataset: Dataset,
    *,
    epochs: int = 10,
    learning_rate: float = 1e-3,
    batch_size: int = 128,
    optimizer: str = "adam",
    weight_decay: float = 0.0,
    schedule: str = "constant",
    patience: int | None = None,
    seed: int = 0,
    loss: Loss | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
    after_step: Callable[[nn.Module], None] | None = None,
    progress: bool = True,
    device: torch.device | str | None = None,
    resume: str | Path | None = None,
) -> FitResult:
    """Train a copy of `model` on dataset.train, keep the weights best on dataset.validation.

    Best means the highest validation accuracy, then the lowest validation loss. With `patience`
    training ends after that many epochs without a better one. Ctrl-C ends it too, and what was
    learned so far is returned with `interrupted=True`.

    Args:
        optimizer: "adam" (AdamW: decoupled weight decay) or "sgd" (Nesterov momentum 0.9).
        schedule: "constant", or "cosine" from learning_rate to 0 over all steps.
        seed: for the order of the samples, dropout and augmentation. The same seed gives
            bit-identical weights on one CPU with one thread count.
        loss: loss(model, inputs, labels) -> scalar to minimise; cross-entropy if None.
        augment: applied to the normalized training inputs, [N, C, H, W] -> [N, C, H, W].
        after_step: called with the model after every optimizer step, to change it in place
            (set pruned weights back to zero, for example).
        progress: show a progress bar.
        device: where to train; by default where the model is. The result stays there.
        resume: a file for the state of the training after every epoch. If it is there already,
            training goes on from it, to the same weights as without the stop; the functions
            (`loss`, `augment`, `after_step`) must be the same and keep no state of their own.

    On a CPU, convolutions train about a quarter faster in a model that went through
    `.to(memory_format=torch.channels_last)`.

    Raises:
        DivergedError: (a ValueError) the loss became NaN or infinite.
        ValueError, TypeError: an argument is out of range, a split is empty, no parameter can
            be trained, or `resume` is the file of another training.
    """
    check_int("epochs", epochs)
    check_int("seed", seed, minimum=0)
    if patience is not None:
        check_int("patience", patience)
    for name, hook in (("loss", loss), ("augment", augment), ("after_step", after_step)):
        if hook is not None and not callable(hook):
            raise TypeError(f"{name} must be a function or None, got {hook!r}.")
    for name in ("train", "validation"):
        check_split(f"dataset.{name}", getattr(dataset, name, None))
    check_model(model)
    device = torch.device(device) if device is not None else placement(model)[0]
    model = copy.deepcopy(model).to(device)

    steps = math.ceil(len(dataset.train) / check_int("batch_size", batch_size))
    optimizers = _optimizers(
        model, optimizer, learning_rate, weight_decay, schedule, steps * epochs
    )
    step = _stepper(model, dataset.train, *optimizers, loss or _cross_entropy, augment, after_step)
    order = torch.Generator().manual_seed(seed)
    settings = {
        "epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size,
        "optimizer": optimizer, "weight_decay": weight_decay, "schedule": schedule, "seed": seed,
        "images": len(dataset.train),
        "parameters": [list(parameter.shape) for parameter in model.parameters()],
    }  # fmt: skip
    path = None if resume is None else Path(resume)
    state = TrainingState(path, settings, model, *optimizers, order)
    bar = progress_bar(steps * epochs, "training", "step", disable=not progress)
    with _seeded(seed, device), bar:

        def train_epoch() -> float:
            # Batches of nearly equal size: a last batch of one would break batch normalization.
            batches = torch.randperm(len(dataset.train), generator=order).tensor_split(steps)
            total = 0.0
            for indices in batches:
                total += step(indices) * len(indices)
                bar.update()
            return total / len(dataset.train)

        history, best_epoch, interrupted = _run(
            state, train_epoch, dataset.validation, epochs, patience, bar
        )
    model.zero_grad()
    return FitResult(model.eval(), history, best_epoch, seed, interrupted)


def _run(
    state: TrainingState,
    train_epoch: Callable[[], float],
    validation: Split,
    epochs: int,
    patience: int | None,
    bar: Any,
) -> tuple[tuple[Epoch, ...], int, bool]:
    """Train, leave the model with its best weights; return history, best epoch, interrupted."""
    model, interrupted = state.model, False
    known, best_epoch, best_state = state.read()
    history = [Epoch(*values) for values in known]
    bar.update(len(history) * (bar.total or 0) // epochs)
    rank = lambda epoch: (epoch.validation_accuracy, -epoch.validation_loss)
    try:
        for epoch in range(len(history) + 1, epochs + 1):
            if patience is not None and epoch - 1 - best_epoch >= patience:
                break
            start = time.perf_counter()
            model.train()
            train_loss = train_epoch()
            now = evaluate(model, validation)
            seconds = time.perf_counter() - start
            history.append(Epoch(epoch, train_loss, now.loss, now.accuracy, seconds))
            bar.set_postfix(loss=f"{train_loss:.4f}", accuracy=f"{now.accuracy:.4f}")
            if best_epoch == 0 or rank(history[-1]) > rank(history[best_epoch - 1]):
                best_state, best_epoch = copy.deepcopy(model.state_dict()), epoch
            state.write([astuple(past) for past in history], best_epoch, best_state)
    except KeyboardInterrupt:
        interrupted = True
    if best_state is not None:
        model.load_state_dict(best_state)
    return tuple(history), best_epoch, interrupted


def _stepper(
    model: nn.Module,
    split: Split,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    loss: Loss,
    augment: Callable[[Tensor], Tensor] | None,
    after_step: Callable[[nn.Module], None] | None,
) -> Callable[[Tensor], float]:
    """Return a function that trains on the samples at some indices and gives the loss before."""
    device, dtype = placement(model)

    def step(indices: Tensor) -> float:
        inputs = split.inputs(indices).to(device, dtype)
        if augment is not None:
            inputs = augment(inputs)
        value = loss(model, inputs, split.labels[indices].to(device))
        if not isinstance(value, Tensor) or value.ndim != 0:
            raise TypeError(f"loss must return a scalar tensor (take the mean), got {value!r}.")
        number = value.item()
        if not math.isfinite(number):
            raise DivergedError(
                f"The training loss became {number} in step {scheduler.last_epoch + 1}, at "
                f"learning_rate {scheduler.get_last_lr()[0]:g}: try a tenth of that, and check "
                "the inputs for NaN."
            )
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        scheduler.step()
        if after_step is not None:
            after_step(model)
        return number

    return step


def _cross_entropy(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(model(inputs), labels)


def _optimizers(
    model: nn.Module,
    name: str,
    learning_rate: float,
    weight_decay: float,
    schedule: str,
    steps: int,
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    check_choice("optimizer", name, ("adam", "sgd"))
    check_choice("schedule", schedule, ("constant", "cosine"))
    check_number("weight_decay", weight_decay, minimum=0.0)
    if check_number("learning_rate", learning_rate, minimum=0.0) == 0:
        raise ValueError("learning_rate must be above 0, got 0; 0.001 suits adam, 0.05 sgd.")
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not weights:
        raise ValueError("model has no parameter with requires_grad=True, so nothing to train.")
    optimizer: torch.optim.Optimizer
    if name == "adam":
        optimizer = torch.optim.AdamW(weights, learning_rate, weight_decay=weight_decay)
    else:
        optimizer = torch.optim.SGD(
            weights, learning_rate, momentum=0.9, nesterov=True, weight_decay=weight_decay
        )
    cosine = lambda step: 0.5 * (1.0 + math.cos(math.pi * step / steps))
    factor = cosine if schedule == "cosine" else lambda step: 1.0
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the generators that training draws from; put back their state afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU too
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
