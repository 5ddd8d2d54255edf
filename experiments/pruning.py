"""Pruning: what goes, in which pattern, by which schedule, and what is left of the costs

`sparsity` is the share of the dense network's weights (of Linear and Conv layers) to remove, for
channels too: as many channels are cut out as it takes, the same share of every layer, so
`weight_sparsity` may lie a little above. One-shot pruning without retraining is cheap: magnitude
with every structure at every sparsity, the other criteria with all structures at four of them.
Retraining (RETRAIN_EPOCHS epochs on RETRAIN_IMAGES images in all, whatever the schedule): the
three schedules are compared with magnitude, which needs no data, on all structures; the criteria
with the one-shot schedule at 80 and 95 %. APoZ scores channels only. `study` "dense" holds the
reference and, as "retrained", what the same retraining does to the dense network.

`study` "widths" asks whether odd channel counts cost time: networks cut to exact counts, in
random order and several passes. All times are those of the model as it is in eager PyTorch on one
thread, where zeros in a dense layer are multiplied like other numbers: `latency_ms` by the clock
on the wall, `cpu_ms` of the processor, which another program on the machine disturbs less.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from course_lib import data, prune, surgery
from experiments import _channels
from experiments._measured import measured, read_back, times
from experiments._nets import NETS, REDUNDANT, RETRAIN, RETRAIN_EPOCHS, SEEDS, Subject, subject
from experiments._pruning_details import details
from experiments._pruning_report import figure, reading
from experiments.runner import Job, Row

KEY = ("net", "seed", "study", "criterion", "structure", "schedule", "sparsity", "kept")
SPREAD = {
    "accuracy": 0.01,
    "validation_accuracy": 0.01,
    "size_bytes": 256,
    "params": 0,
    "macs": 0,
    "weight_sparsity": 1e-5,
}
STRUCTURES = ("unstructured_global", "unstructured_layer", "channels")
SPARSITIES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
SCORED_IMAGES = 256  # for the criteria that look at data
AfterStep = Callable[[nn.Module], None] | None


@dataclass(frozen=True)
class Plan:
    """One way to prune, and the sparsities to reach with it."""

    criterion: str
    structure: str
    schedule: str
    sparsities: tuple[float, ...]

    @property
    def labels(self) -> Row:
        """The columns that all rows of the plan share."""
        return {
            "criterion": self.criterion,
            "structure": self.structure,
            "schedule": self.schedule,
        }


def jobs(quick: bool) -> list[Job]:
    """Per network and seed: the rows without training in one job, each retrained plan in one."""
    made = []
    for seed in SEEDS[:1] if quick else SEEDS:
        for net in NETS:
            key: Row = {"net": net, "seed": seed}
            arguments = net, seed, quick
            cheap = {"study": "sweep", "schedule": "one_shot"}
            made.append(Job(key | {"study": "dense"}, partial(_dense, *arguments)))
            made.append(Job(key | cheap, partial(_untrained, *arguments)))
            made.append(Job(key | {"study": "widths"}, partial(_widths, *arguments)))
            for plan in retrained_plans(quick):
                work = partial(_retrained, plan, *arguments)
                made.append(Job(key | {"study": "sweep"} | plan.labels, work))
    return made


def one_shot_plans(quick: bool) -> list[Plan]:
    """What is pruned once and evaluated as it is."""
    if quick:
        plans = [Plan("magnitude", structure, "one_shot", (0.5, 0.9)) for structure in STRUCTURES]
        plans += [Plan("random", structure, "one_shot", (0.9,)) for structure in STRUCTURES[::2]]
        return [*plans, Plan("apoz", "channels", "one_shot", (0.5,))]
    few = (0.5, 0.8, 0.9, 0.95)
    others = [
        Plan(criterion, structure, "one_shot", few)
        for criterion in ("taylor", "obd", "random")
        for structure in STRUCTURES
    ]
    every = [Plan("magnitude", structure, "one_shot", SPARSITIES) for structure in STRUCTURES]
    return [*every, *others, Plan("apoz", "channels", "one_shot", few)]


def retrained_plans(quick: bool) -> list[Plan]:
    """What is pruned and retrained."""
    if quick:
        plans = [Plan("magnitude", "channels", schedule, (0.9,)) for schedule in SCHEDULES]
        return [*plans, Plan("magnitude", "unstructured_global", "one_shot_retrained", (0.9,))]
    schedules = [
        Plan("magnitude", structure, schedule, (0.5, 0.8, 0.9, 0.95, 0.98))
        for structure in STRUCTURES
        for schedule in SCHEDULES
    ]
    pairs = [(c, s) for c in ("taylor", "obd", "random") for s in STRUCTURES[::2]]
    pairs.append(("apoz", "channels"))
    return schedules + [Plan(c, s, "one_shot_retrained", (0.8, 0.95)) for c, s in pairs]


def _dense(net: str, seed: int, quick: bool) -> Iterator[Row]:
    about = subject(net, seed, quick, f"accuracy of {net} (seed {seed}) before pruning")
    labels = {"criterion": "none", "structure": "none", "sparsity": 0.0, "kept": "any"}
    yield labels | {"schedule": "none"} | measured(about, about.model)
    again = RETRAIN[net].continue_training(about.model, about.dataset, seed).model
    yield labels | {"schedule": "retrained"} | measured(about, again)


def _untrained(net: str, seed: int, quick: bool) -> Iterator[Row]:
    about = subject(net, seed, quick, f"accuracy of {net} (seed {seed}) pruned, not retrained")
    for plan in one_shot_plans(quick):
        for sparsity in plan.sparsities:
            model, _ = _pruned(about, about.model, plan, sparsity)
            yield plan.labels | _reached(sparsity) | measured(about, model)


def _retrained(plan: Plan, net: str, seed: int, quick: bool) -> Iterator[Row]:
    says = " ".join(plan.labels.values())
    about = subject(net, seed, quick, f"accuracy of {net} (seed {seed}) pruned: {says}")
    for sparsity in plan.sparsities:
        model = _with_finite_variances(SCHEDULES[plan.schedule](about, plan, sparsity, seed))
        yield plan.labels | _reached(sparsity) | measured(about, model)


def _with_finite_variances(model: nn.Module) -> nn.Module:
    """The network with the largest number for a running variance that overflowed.

    In a very sparse network a channel may be scaled up from layer to layer while it is trained,
    which batch normalization hides. Infinity could not be stored; the row is that of the file.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            module.running_var.clamp_(max=torch.finfo(module.running_var.dtype).max)
    return model


def _reached(sparsity: float) -> Row:
    return {"sparsity": sparsity, "kept": "any"}


def _pruned(
    about: Subject, model: nn.Module, plan: Plan, sparsity: float
) -> tuple[nn.Module, AfterStep]:
    """Prune once, beyond what is pruned already; return what holds the zeros in training, too."""
    batch = about.dataset.train
    inputs, labels = batch.inputs(slice(0, SCORED_IMAGES)), batch.labels[:SCORED_IMAGES]
    scores = prune.score_model(model, plan.criterion, inputs, labels)
    if plan.structure == "channels":
        limit = (1 - sparsity) * _channels.weights(about.model)
        return _channels.thin(model, about.example, scores, limit), None
    before = {n: w != 0 for n, w in prune.prunable_weights(model).items()}
    scope = plan.structure.removeprefix("unstructured_")
    masks = prune.make_masks(scores, sparsity, scope=scope, within=before)
    return prune.apply_masks(model, masks), prune.KeepZeros(masks)


def _one_shot(about: Subject, plan: Plan, sparsity: float, seed: int) -> nn.Module:
    """All at once, then all of the retraining."""
    model, hold = _pruned(about, about.model, plan, sparsity)
    recipe = RETRAIN[about.net]
    return recipe.continue_training(model, about.dataset, seed, after_step=hold).model


def _iterative(about: Subject, plan: Plan, sparsity: float, seed: int) -> nn.Module:
    """As many rounds as there are epochs, each prunes the same share of what is left."""
    model = about.model
    for step in range(RETRAIN_EPOCHS):
        target = prune.iterative(step, sparsity, rounds=RETRAIN_EPOCHS, steps_per_round=1)
        model, hold = _pruned(about, model, plan, target)
        model = _epoch(about, model, about.dataset, seed + step, hold)
    return model


def _gradual(about: Subject, plan: Plan, sparsity: float, seed: int) -> nn.Module:
    """Ever more weights or channels while all epochs but the last go by, which only trains."""
    # One long epoch, for `fit` returns the best of several and the last is the sparsest.
    images = about.dataset.train
    repeated = replace(
        images,
        images=images.images.repeat(RETRAIN_EPOCHS - 1, 1, 1, 1),
        labels=images.labels.repeat(RETRAIN_EPOCHS - 1),
    )
    long = replace(about.dataset, train=repeated)
    steps = -(-len(repeated) // RETRAIN[about.net].batch_size)
    hold: AfterStep
    if plan.structure == "channels":
        limit = (1 - sparsity) * _channels.weights(about.model)
        share = _channels.channel_fraction(about.model, about.example, limit)
        thinner = _channels.GradualThinner(about.example, share, steps)
        model = _epoch(about, about.model, long, seed, thinner)
        model, hold = surgery.remove_channels(model, about.example, thinner.channels), None
    else:
        scope = plan.structure.removeprefix("unstructured_")
        schedule = partial(prune.cubic, final=sparsity, end=steps, every=10)
        pruner = prune.GradualPruner(schedule, scope=scope)
        model = _epoch(about, about.model, long, seed, pruner)
        hold = prune.KeepZeros(pruner.masks)
    return _epoch(about, model, about.dataset, seed + 1, hold)


SCHEDULES = {"one_shot_retrained": _one_shot, "iterative": _iterative, "gradual": _gradual}


def _epoch(
    about: Subject, model: nn.Module, dataset: data.Dataset, seed: int, hold: AfterStep
) -> nn.Module:
    recipe = RETRAIN[about.net]
    return recipe.continue_training(model, dataset, seed, epochs=1, after_step=hold).model


def _widths(net: str, seed: int, quick: bool) -> Iterator[Row]:
    """Networks of exact channel counts, pruned by magnitude and not retrained."""
    about = subject(net, seed, quick, f"accuracy of {net} (seed {seed}) cut to exact widths")
    cut = partial(_channels.keep_channels, about.model, about.example)
    made = {name: cut(kept) for name, kept in width_rules(net, quick).items()}
    read = {name: read_back(about, model) for name, model in made.items()}
    models = {name: model for name, (_, model) in read.items()}
    timed = times(about, models, passes=1 if quick else 5)
    for name, (row, _) in read.items():
        labels = Plan("magnitude", "channels", "one_shot", ()).labels
        labels |= {"sparsity": round(row["weight_sparsity"], 4), "kept": str(name)}
        yield labels | row | timed[name]


def width_rules(net: str, quick: bool) -> dict[int | str, Callable[[int], int]]:
    """How many of n channels to keep, by what `kept` shows.

    Both hidden layers of the redundant network get the same width; of the efficient one, whose
    widths are all multiples of 8, every layer loses the same number of channels.
    """
    if net == REDUNDANT:
        return {width: partial(min, width) for width in ((63, 64) if quick else range(63, 98))}
    return {f"n - {lost}": partial(operator.add, -lost) for lost in range(2 if quick else 8)}


__all__ = ["KEY", "SPREAD", "details", "figure", "jobs", "reading"]
