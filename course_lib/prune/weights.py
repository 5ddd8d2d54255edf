"""Which tensors of a network pruning is about, and how sparse they are."""

from __future__ import annotations

from torch import nn


def prunable_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights of all Linear and Conv layers, by the names the model's state has.

    Biases and batch norm are a fraction of a percent and are left alone. ValueError if there are
    none. A weight that layers share is listed once.

    >>> list(prunable_weights(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))))
    ['0.weight', '2.weight']
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}.")
    layers = nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d
    kept = {id(m.weight) for m in model.modules() if isinstance(m, layers)}
    weights = {name: p for name, p in model.named_parameters() if id(p) in kept}
    if not weights:
        raise ValueError("model must have a Linear or Conv layer with a weight, found none.")
    return weights


def weight_sparsity(model: nn.Module) -> float:
    """Return the fraction of the prunable weights that is exactly zero.

    >>> import torch
    >>> layer = nn.Linear(2, 2)
    >>> layer.weight = nn.Parameter(torch.eye(2))
    >>> weight_sparsity(layer)
    0.5
    """
    weights = prunable_weights(model).values()
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)
