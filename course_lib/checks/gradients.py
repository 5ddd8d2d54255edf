"""Gradients of a student's function, by backpropagation through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Pullback:
    """The value of a function and, for each argument, how the value pulls back to it."""

    value: Tensor
    gradients: tuple[Any, ...]


def vjp(
    f: Callable[..., Any], *args: Any, cotangent: Tensor | None = None, **options: Any
) -> Pullback:
    """Return f(*args, **options) and the gradients of <cotangent, value> in each argument.

    f: returns one tensor [...]; it may be a model, a loss, a straight-through rounding.
    cotangent: [...], as the value; ones if None, so for a loss the gradient of the loss.
    gradients[i]: for a floating-point tensor args[i] a tensor of its shape; for an nn.Module a
    dict of the gradients of its parameters that require one; None for anything else. What the
    value does not depend on has a gradient of zeros. Arguments and their `.grad` do not change.

    AssertionError, in a sentence, if f returns no tensor, or one that autograd cannot follow back
    to any argument. ValueError if the cotangent has another shape than the value.

    >>> x = torch.tensor([1.0, 3.0])
    >>> vjp(lambda x: (x * x).sum(), x).gradients
    (tensor([2., 6.]),)
    >>> vjp(torch.relu, torch.tensor([-1.0, 2.0]), cotangent=torch.tensor([5.0, 5.0])).gradients
    (tensor([0., 5.]),)
    """
    __tracebackhide__ = True
    inputs = [_leaf(argument) for argument in args]
    wanted = [tensor for each in inputs for tensor in _tensors(each)]
    if not wanted:
        raise TypeError("vjp needs a floating-point tensor or a model among the arguments.")
    value = f(*inputs, **options)
    _check_value(value, cotangent)
    weights = torch.ones_like(value) if cotangent is None else cotangent.to(value.dtype)
    found = torch.autograd.grad(value, wanted, weights, allow_unused=True)
    parts = iter(
        torch.zeros_like(tensor) if grad is None else grad
        for tensor, grad in zip(wanted, found, strict=True)
    )
    gradients = tuple(_gradient(each, parts) for each in inputs)
    return Pullback(value.detach(), gradients)


def _leaf(argument: Any) -> Any:
    """Return a copy of a floating-point tensor from which gradients start; others as they are."""
    if isinstance(argument, Tensor) and argument.is_floating_point():
        return argument.detach().clone().requires_grad_()
    return argument


def _tensors(argument: Any) -> list[Tensor]:
    if isinstance(argument, Tensor):
        return [argument] if argument.requires_grad else []
    if isinstance(argument, nn.Module):
        return [parameter for parameter in argument.parameters() if parameter.requires_grad]
    return []


def _gradient(argument: Any, parts: Any) -> Any:
    if isinstance(argument, nn.Module):
        named = argument.named_parameters()
        return {name: next(parts) for name, tensor in named if tensor.requires_grad}
    return next(parts) if _tensors(argument) else None


def _check_value(value: Any, cotangent: Tensor | None) -> None:
    __tracebackhide__ = True
    if not isinstance(value, Tensor):
        raise AssertionError(f"expected a tensor to differentiate, got {type(value).__name__}.")
    if not value.requires_grad:
        raise AssertionError(
            "no gradient flows back from the result: is there .detach(), .item(), .data, "
            "torch.no_grad(), or a rounding without a gradient of its own on the way?"
        )
    if cotangent is not None and cotangent.shape != value.shape:
        raise ValueError(
            f"cotangent must have the shape of the value, {tuple(value.shape)}, "
            f"got {tuple(cotangent.shape)}."
        )
