"""Training a supernet so that all its sub-networks are good, and setting one right afterwards.

The sandwich rule trains the largest, the smallest and a few random ones in every step: what holds
at both ends holds between them. The smaller ones learn from the largest's outputs, at no extra
cost. Source: Yu and Huang 2019 (universally slimmable networks), sections 3.2 to 3.4.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from course_lib._validate import check_int
from course_lib.nas.supernet import Supernet


def sandwich_loss(
    supernet: Supernet,
    inputs: Tensor,
    labels: Tensor,
    *,
    rng: np.random.Generator,
    random_architectures: int = 2,
) -> Tensor:
    """Return the loss of the largest, the smallest and some random sub-networks, summed.

    `inputs` [N, C, H, W], `labels` int64 [N]. The largest has the cross-entropy with the labels,
    each of the others that with the largest's probabilities, which get no gradient from it; batch
    means, in nats. As a hook: `train.fit(supernet, data, loss=partial(sandwich_loss, rng=rng))`.
    Source: Yu and Huang 2019, algorithm 1.
    """
    if not isinstance(supernet, Supernet):
        raise TypeError(f"supernet must be a Supernet, got {type(supernet).__name__}.")
    check_int("random_architectures", random_architectures, minimum=0)
    logits = supernet(inputs)
    soft_labels = logits.detach().softmax(dim=1)
    loss = F.cross_entropy(logits, labels)
    drawn = [supernet.space.sample(rng) for _ in range(random_architectures)]
    for architecture in (supernet.smallest, *drawn):
        loss = loss + F.cross_entropy(supernet(inputs, architecture), soft_labels)
    return loss


def sandwich_step(
    supernet: Supernet,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    labels: Tensor,
    *,
    rng: np.random.Generator,
    random_architectures: int = 2,
) -> float:
    """Update the supernet in place by one step on `sandwich_loss`; return the loss before it."""
    optimizer.zero_grad()
    loss = sandwich_loss(
        supernet, inputs, labels, rng=rng, random_architectures=random_architectures
    )
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def recalibrate_batch_norm(model: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """Return a copy, in eval mode, whose batch norms have the statistics of these inputs.

    Each running mean and (unbiased) variance becomes the average over the batches, [N, ...] each,
    all batches alike; weights stay. Other layers run as in eval mode. A few hundred samples do.
    Raises ValueError if there are no batches. Source: Yu and Huang 2019, section 3.4.
    """
    model = copy.deepcopy(model).eval()
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's word for a plain average
        norm.train()
    count = 0
    for count, inputs in enumerate(batches, start=1):  # noqa: B007
        model(inputs)
    if count == 0:
        raise ValueError("batches must hold at least one batch of inputs, got none.")
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()
