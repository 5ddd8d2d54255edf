"""The curvature of the loss along each weight, which Optimal Brain Damage ranks by.

The diagonal of the Hessian, exactly (the gradient differentiated again, one row at a time) or as
the empirical Fisher information (mean squared gradient of single examples), which is what
networks of real size can afford. Sources: LeCun et al. 1990; Pearlmutter 1994 for products with
the Hessian; Theis et al. 2018, equation 4, for pruning by the Fisher diagonal.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib._validate import check_int, check_tensor
from course_lib.prune.weights import prunable_weights

LossFunction = Callable[[Tensor, Tensor], Tensor]


@torch.enable_grad()
def hessian_diagonal(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    loss: LossFunction = F.cross_entropy,
    chunk: int = 64,
) -> dict[str, Tensor]:
    """Return d2 loss / dw2 for every prunable weight: name -> [shape of the weight].

    Exact, and as dear as one backward pass per weight (`chunk` of them at once): for networks of
    up to about 10^5 weights. The loss is `loss(model(inputs), labels)` in evaluation mode.
    """
    copy = deepcopy(model).eval().requires_grad_(True)
    weights = prunable_weights(copy)
    check_int("chunk", chunk)
    value = loss(copy(inputs), labels)
    gradients = torch.autograd.grad(
        value, list(weights.values()), create_graph=True, materialize_grads=True
    )
    return {
        name: _diagonal(gradient.flatten(), weight, chunk).view_as(weight)
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }


def fisher_diagonal(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    loss: LossFunction = F.cross_entropy,
    chunk: int = 32,
) -> dict[str, Tensor]:
    """Return the mean over examples of (d loss / dw)^2: name -> [shape of the weight].

    `loss` sees one example at a time. Never negative; equal to the Hessian's diagonal in
    expectation where the model's probabilities are right. Memory: `chunk` times the weights.
    """
    check_int("chunk", chunk)
    if len(check_tensor("inputs", inputs, nonempty=True)) != len(check_tensor("labels", labels)):
        raise ValueError(f"labels must be {len(inputs)}, one per input, got {len(labels)}.")
    copy = deepcopy(model).eval()
    copy.requires_grad_(False)
    weights: dict[str, Tensor] = dict(prunable_weights(copy))

    def example_loss(weights: dict[str, Tensor], x: Tensor, label: Tensor) -> Tensor:
        outputs = torch.func.functional_call(copy, weights, (x[None],))
        return loss(outputs, label[None])

    gradients = torch.func.vmap(torch.func.grad(example_loss), in_dims=(None, 0, 0))
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for xs, ys in zip(inputs.split(chunk), labels.split(chunk), strict=True):
        for name, gradient in gradients(weights, xs, ys).items():
            total[name] += gradient.square().sum(0)
    return {name: value / len(inputs) for name, value in total.items()}


def _diagonal(gradient: Tensor, weight: Tensor, chunk: int) -> Tensor:
    """Rows of the Hessian, `chunk` at a time; of each only the element on the diagonal."""
    if not gradient.requires_grad:  # the loss is linear in this weight
        return torch.zeros_like(gradient)
    diagonal = []
    for rows in torch.arange(len(gradient)).split(chunk):
        basis = F.one_hot(rows, len(gradient)).to(gradient)
        (hessian,) = torch.autograd.grad(
            gradient, weight, basis, retain_graph=True, is_grads_batched=True, allow_unused=True
        )
        if hessian is None:  # the loss does not depend on this weight
            return torch.zeros_like(gradient).detach()
        diagonal.append(hessian.flatten(1).gather(1, rows[:, None]).flatten())
    return torch.cat(diagonal)
