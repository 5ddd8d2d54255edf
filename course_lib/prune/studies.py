"""Two experiments that pruning is known for: the sensitivity scan and the lottery ticket.

The scan prunes one layer at a time, without retraining, to see which layers are fragile
(Han et al. 2015, section 5; Li et al. 2017). The lottery-ticket procedure prunes a trained
network, winds the surviving weights back to their initial values and trains again
(Frankle and Carbin 2019, section 1, "iterative pruning").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from course_lib._validate import check_fraction, check_int
from course_lib.prune.apply import KeepZeros, apply_masks, prune_model
from course_lib.prune.masks import make_masks, mask_sparsity
from course_lib.prune.scores import score_model

AfterStep = Callable[[nn.Module], None]


@dataclass(frozen=True)
class SensitivityPoint:
    """What `evaluate` said when only `layer` (a weight's name) was pruned to `sparsity`."""

    layer: str
    sparsity: float
    value: float


@dataclass(frozen=True)
class Ticket:
    """One round: the network as it was before training (`start`), after it, and its masks."""

    start: nn.Module
    trained: nn.Module
    masks: Mapping[str, Tensor]

    @property
    def sparsity(self) -> float:
        """Fraction of the prunable weights that is masked in this round."""
        return mask_sparsity(self.masks)


def sensitivity(
    model: nn.Module,
    evaluate: Callable[[nn.Module], float],
    sparsities: Sequence[float],
    scores: Mapping[str, Tensor] | None = None,
    *,
    granularity: str = "element",
    pool: str = "mean",
) -> tuple[SensitivityPoint, ...]:
    """Prune each layer alone to each sparsity and evaluate: layers x sparsities points.

    `evaluate` maps a model to a number, such as the validation accuracy; it is called once per
    point, on a copy. `scores` is what `score_model` returns (default: magnitude), and layers not
    in it are not scanned.
    """
    scores = score_model(model) if scores is None else scores
    levels = [check_fraction("sparsities", level) for level in sparsities]

    def point(layer: str, level: float) -> SensitivityPoint:
        alone = {layer: scores[layer]}
        pruned = prune_model(model, level, alone, granularity=granularity, pool=pool)
        return SensitivityPoint(layer, level, float(evaluate(pruned.model)))

    return tuple(point(layer, level) for layer in scores for level in levels)


def lottery_tickets(
    initial: nn.Module,
    train: Callable[[nn.Module, AfterStep], nn.Module],
    *,
    rounds: int,
    fraction: float = 0.2,
    scope: str = "global",
    score: Callable[[nn.Module], Mapping[str, Tensor]] = score_model,
) -> tuple[Ticket, ...]:
    """Train, prune, rewind, again: tickets 0 (dense) to `rounds`, ever sparser.

    `train(model, after_step)` returns a trained model and must call `after_step` after every
    optimizer step, which keeps the zeros. Each round removes `fraction` of the weights that are
    left: ticket r has sparsity 1 - (1 - fraction)^r, rounded to whole weights. The weights to go
    are those of lowest `score(trained)`; the rest start again from `initial`.
    """
    check_int("rounds", rounds, 0)
    check_fraction("fraction", fraction)
    masks = make_masks(score(initial), 0.0, scope=scope)  # all True
    tickets = []
    for number in range(1, rounds + 2):
        start = apply_masks(initial, masks)
        trained = train(start, KeepZeros(masks))
        tickets.append(Ticket(start, trained, masks))
        target = 1 - (1 - fraction) ** number
        if number <= rounds:
            masks = make_masks(score(trained), target, scope=scope, within=masks)
    return tuple(tickets)
