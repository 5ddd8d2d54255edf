"""Training a student: the frozen teacher, the objective for `train.fit`, the temperature sweep."""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib._validate import check_choice, check_int, check_number
from course_lib.distill._checks import check_temperature
from course_lib.distill.outputs import distillation_loss, ensemble_logits


class Distillation:
    """A training objective (model, inputs, labels) -> scalar for `train.fit(loss=...)`.

    `teachers`: one network or several, [N, ...] -> [N, K]; the probabilities of several are
    averaged. They are copied, frozen and in eval mode, so training a student never changes them.
    `temperature`, `alpha`, `beta` and `soft_loss` are those of `distillation_loss`.
    """

    def __init__(
        self,
        teachers: nn.Module | Sequence[nn.Module],
        temperature: float = 4.0,
        alpha: float = 0.1,
        beta: float = 0.9,
        *,
        soft_loss: str = "kl",
    ) -> None:
        members = [teachers] if isinstance(teachers, nn.Module) else list(teachers)
        if not members:
            raise ValueError("teachers must hold at least one network, got none.")
        self.teachers = [frozen(member) for member in members]
        self.temperature = check_temperature(temperature)
        self.alpha, self.beta = check_number("alpha", alpha, 0.0), check_number("beta", beta, 0.0)
        self.soft_loss = check_choice("soft_loss", soft_loss, ("kl", "cross_entropy"))

    def teacher_logits(self, inputs: Tensor) -> Tensor:
        """Return what the teachers say about `inputs`, [N, ...] -> [N, K], without gradient."""
        with torch.no_grad():
            answers = [teacher.to(inputs.device)(inputs) for teacher in self.teachers]
        return answers[0] if len(answers) == 1 else ensemble_logits(answers, self.temperature)

    def __call__(self, model: nn.Module, inputs: Tensor, labels: Tensor | None) -> Tensor:
        return distillation_loss(
            model(inputs),
            self.teacher_logits(inputs),
            labels,
            self.temperature,
            self.alpha,
            self.beta,
            soft_loss=self.soft_loss,
        )


def frozen(teacher: nn.Module) -> nn.Module:
    """Return a copy of `teacher` in eval mode whose parameters do not want gradients."""
    if not isinstance(teacher, nn.Module):
        raise TypeError(f"teacher must be an nn.Module, got {type(teacher).__name__}.")
    return copy.deepcopy(teacher).eval().requires_grad_(False)


@dataclass(frozen=True)
class TemperatureResult:
    """The scores of several seeds at one temperature; `std` is the sample's, NaN for one seed."""

    temperature: float
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.scores)

    @property
    def std(self) -> float:
        return statistics.stdev(self.scores) if len(self.scores) > 1 else math.nan


def temperature_sweep(
    train: Callable[[float, int], float],
    temperatures: Iterable[float],
    seeds: Iterable[int] = (0,),
) -> tuple[TemperatureResult, ...]:
    """Return train(temperature, seed) for every pair, one result per temperature, in their order.

    `train` distils a student and returns its score, such as the validation accuracy.

    >>> [r.mean for r in temperature_sweep(lambda t, seed: t + seed, [1, 4], seeds=[0, 1])]
    [1.5, 4.5]
    """
    temperatures = [check_temperature(temperature) for temperature in temperatures]
    seeds = [check_int("seeds", seed, 0) for seed in seeds]
    if not temperatures or not seeds:
        raise ValueError(f"temperatures and seeds must not be empty: {temperatures}, {seeds}.")
    return tuple(
        TemperatureResult(temperature, tuple(float(train(temperature, seed)) for seed in seeds))
        for temperature in temperatures
    )
