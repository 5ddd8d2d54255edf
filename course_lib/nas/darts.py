"""DARTS: descend the gradient of the choice itself.

On every open edge all candidate operations run at once, mixed by the softmax of weights alpha.
Weights learn on the training split, alphas on the validation split, in turns; in the end each
edge keeps its strongest operation. Source: Liu, Simonyan and Yang 2019, section 2.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_lib._validate import check_int
from course_lib.nas.cell import Cell
from course_lib.nas.mixed_operation import MixedOperation

Batch = tuple[Tensor, Tensor]  # inputs, labels
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


def discretize(model: nn.Module, edges_per_node: int | None = None) -> nn.Module:
    """Return a copy in which every MixedOperation has become the operation it weighs most.

    Of equals the first. With `edges_per_node` (2 in the paper) a Cell's node keeps only that many
    of its mixed edges, those whose best operation other than "none" weighs most, and "none" is
    never chosen. The operations keep their weights. Source: Liu et al. 2019, section 2.4.
    """
    model = copy.deepcopy(model)
    if edges_per_node is not None:
        check_int("edges_per_node", edges_per_node)
        for cell in [m for m in model.modules() if isinstance(m, Cell)]:
            _keep_strongest_edges(cell, edges_per_node)
    return _replace_mixed(model)


def architecture_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The alphas of all mixed operations, shared ones once."""
    mixed = [module for module in model.modules() if isinstance(module, MixedOperation)]
    return list({id(module.alpha): module.alpha for module in mixed}.values())


def weight_parameters(model: nn.Module) -> list[nn.Parameter]:
    """All parameters but the alphas."""
    alphas = {id(alpha) for alpha in architecture_parameters(model)}
    return [parameter for parameter in model.parameters() if id(parameter) not in alphas]


def darts_step(
    model: nn.Module,
    loss: Loss,
    train: Batch,
    validation: Batch,
    weight_optimizer: torch.optim.Optimizer,
    alpha_optimizer: torch.optim.Optimizer,
) -> tuple[float, float]:
    """Update `model` in place: alphas on the validation batch, then weights on the training batch.

    First order: the alphas' gradient takes the weights as they are (xi = 0 in the paper).
    loss(model, inputs, labels) -> scalar. Returns the training and the validation loss, each
    before its update. Raises ValueError for a model without a MixedOperation.
    Source: Liu et al. 2019, algorithm 1.
    """
    alphas = architecture_parameters(model)
    if not alphas:
        raise ValueError("model must contain a MixedOperation, or there is nothing to choose.")
    validation_loss = _update(model, loss, validation, alphas, alpha_optimizer)
    train_loss = _update(model, loss, train, weight_parameters(model), weight_optimizer)
    return train_loss, validation_loss


def _update(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    parameters: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> float:
    value = loss(model, *batch)
    # Only these: backward() would leave gradients on the other group for its next step.
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    optimizer.zero_grad()
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    optimizer.zero_grad()
    return value.item()


def _keep_strongest_edges(cell: Cell, edges_per_node: int) -> None:
    for target in cell.targets:
        strengths = {}
        for name, edge in cell.edges.items():
            if name.endswith(f"-{target}") and isinstance(edge, MixedOperation):
                weights = dict(zip(edge.operations, edge.weights.tolist(), strict=True))
                weights.pop("none", None)
                if not weights:
                    raise ValueError(f"Edge {name} has no operation but none.")
                chosen = max(weights, key=lambda operation: weights[operation])
                strengths[name] = weights[chosen]
                cell.edges[name] = edge.operations[chosen]
        for name in sorted(strengths, key=lambda name: -strengths[name])[edges_per_node:]:
            del cell.edges[name]


def _replace_mixed(module: nn.Module) -> nn.Module:
    if isinstance(module, MixedOperation):
        return _replace_mixed(module.operations[module.chosen])
    for name, child in module._modules.items():  # named_children() skips one that occurs twice
        if child is not None:
            setattr(module, name, _replace_mixed(child))
    return module
