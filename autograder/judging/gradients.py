"""Gradients across the channel: autograd on one side continues on the other.

A result that depends on tensors which require a gradient keeps its graph where it was computed;
here it becomes the output of an autograd function whose backward asks the other side. So
`loss.backward()`, `torch.autograd.grad` and `course_lib.checks.vjp` need to know nothing of it.
First derivatives only: a second one would need the graph of the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(eq=False)
class Graph:
    """What the side that computed keeps: outputs, and the leaves that arrived as arguments."""

    outputs: list[Tensor]
    leaves: list[Tensor]

    def backward(self, cotangents: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return the gradients of the leaves; parameters that live here collect theirs."""
        pairs = [(o, c) for o, c in zip(self.outputs, cotangents, strict=True) if c is not None]
        kept = [leaf.grad for leaf in self.leaves]
        try:
            for leaf in self.leaves:
                leaf.grad = None
            outputs, weights = [o for o, _ in pairs], [c for _, c in pairs]
            torch.autograd.backward(outputs, weights, retain_graph=True)
            return [leaf.grad for leaf in self.leaves]
        finally:
            for leaf, grad in zip(self.leaves, kept, strict=True):
                leaf.grad = grad


@dataclass(eq=False)
class Remote:
    """What the side that asked keeps: how to ask for the backward pass."""

    ask: Callable[[list[Tensor | None]], Any]
    outputs: Sequence[Tensor]


def leaves(objects: Sequence[Any]) -> list[Tensor]:
    """Return the tensors among the arguments that want a gradient, in order."""
    return [
        value
        for value in objects
        if isinstance(value, Tensor) and value.requires_grad and value.layout is torch.strided
    ]


def connect(remote: Remote, inputs: list[Tensor]) -> list[Tensor]:
    """Return the outputs as tensors whose gradients flow on to `inputs`."""
    if not inputs:  # they depend on parameters over there: backward() must reach those
        inputs = [torch.zeros((), requires_grad=True)]
    with torch.enable_grad():
        return list(_Across.apply(remote, *inputs))


class _Across(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, remote: Remote, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.remote, ctx.shapes = remote, [tensor.shape for tensor in inputs]
        ctx.set_materialize_grads(False)
        return tuple(remote.outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        found = ctx.remote.ask(list(cotangents))
        right = isinstance(found, list) and len(found) in (0, len(ctx.shapes))
        for grad, shape in zip(found if right else (), ctx.shapes, strict=False):
            right = right and (grad is None or (isinstance(grad, Tensor) and grad.shape == shape))
        if not right:
            raise ValueError("The submission's backward pass answered nonsense.")
        return (None, *(found or [None] * len(ctx.shapes)))
