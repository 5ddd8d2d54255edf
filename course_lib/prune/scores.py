"""How much a weight matters: scores that a mask ranks, the lowest go first.

The first four functions are the formulas, tensor to tensor; `score_model` computes one of them
for every layer of a network. Half precision is scored in float32, so that products of small
numbers do not vanish. Sources: magnitude, Han et al. 2015; Taylor, Molchanov et al. 2017, 2019;
OBD, LeCun et al. 1990, equation 5; APoZ, Hu et al. 2016, equation 1.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from course_lib._validate import check_choice, check_int, check_tensor
from course_lib.prune.curvature import LossFunction, fisher_diagonal
from course_lib.prune.weights import prunable_weights

CRITERIA = ("apoz", "magnitude", "obd", "random", "taylor")


def magnitude(weight: Tensor) -> Tensor:
    """Return |w|, the shape of `weight`: small weights change the output least.

    >>> magnitude(torch.tensor([-2.0, 0.5]))
    tensor([2.0000, 0.5000])
    """
    return _values("weight", weight).abs()


def taylor(weight: Tensor, gradient: Tensor) -> Tensor:
    """Return |g w|, the first-order change of the loss if the weight were zero.

    `gradient` is the loss's gradient, shaped like `weight` (Molchanov et al. 2019, equation 8,
    before the square).

    >>> taylor(torch.tensor([-2.0, 0.5]), torch.tensor([0.1, 3.0]))
    tensor([0.2000, 1.5000])
    """
    return (_values("weight", weight) * _like("gradient", gradient, weight)).abs()


def obd(weight: Tensor, curvature: Tensor) -> Tensor:
    """Return h w^2 / 2, the second-order change of the loss if the weight were zero.

    `curvature` holds the diagonal of the Hessian, shaped like `weight`: see `hessian_diagonal`
    and the cheaper `fisher_diagonal`. Optimal Brain Damage assumes a minimum, where the gradient
    is zero (LeCun et al. 1990, equation 5). Negative where the curvature is negative.

    >>> obd(torch.tensor([-2.0, 0.5]), torch.tensor([0.1, 8.0]))
    tensor([0.2000, 1.0000])
    """
    return _like("curvature", curvature, weight) * _values("weight", weight).square() / 2


def random(weight: Tensor, seed: int = 0) -> Tensor:
    """Return uniform numbers in [0, 1), the shape of `weight`: the baseline to beat."""
    generator = torch.Generator().manual_seed(check_int("seed", seed, 0))
    values = _values("weight", weight)
    return torch.rand(values.shape, generator=generator).to(values)


def apoz(activation: Tensor) -> Tensor:
    """Return the average fraction of zeros per channel, [N, C, ...] -> [C], in [0, 1].

    `activation` comes out of a ReLU; channels that are mostly zero (APoZ near 1) matter least,
    so the score to rank by is 1 - apoz (Hu et al. 2016, equation 1).

    >>> apoz(torch.tensor([[0.0, 3.0], [0.0, 0.0]]))
    tensor([1.0000, 0.5000])
    """
    _values("activation", activation)
    if activation.ndim < 2:
        raise ValueError(f"activation must be [N, C, ...], got shape {tuple(activation.shape)}.")
    return (activation == 0).float().transpose(0, 1).flatten(1).mean(1)


def score_model(
    model: nn.Module,
    criterion: str = "magnitude",
    inputs: Tensor | None = None,
    labels: Tensor | None = None,
    *,
    loss: LossFunction = F.cross_entropy,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Return scores for the weights of all Linear and Conv layers: name -> [shape of the weight].

    `criterion` is "magnitude", "random" (with `seed`), "taylor", "obd" or "apoz". Taylor and OBD
    need a batch of `inputs` and `labels`, and OBD takes the empirical Fisher diagonal for its
    curvature. APoZ needs `inputs`; it scores filters (every weight of a filter gets 1 - APoZ of
    its output) and leaves out layers that no ReLU follows. The model runs in evaluation mode and
    is not changed.
    """
    check_choice("criterion", criterion, CRITERIA)
    weights = {name: weight.detach() for name, weight in prunable_weights(model).items()}
    if criterion == "magnitude":
        return {name: magnitude(weight) for name, weight in weights.items()}
    if criterion == "random":
        return {name: random(w, seed + i) for i, (name, w) in enumerate(weights.items())}
    batch = _needed("inputs", inputs, criterion)
    if criterion == "apoz":
        zeros = activation_zeros(model, batch)
        return {
            name: (1 - zeros[name]).to(w).view(-1, *[1] * (w.ndim - 1)).expand_as(w)
            for name, w in weights.items()
            if name in zeros
        }
    targets = _needed("labels", labels, criterion)
    if criterion == "obd":
        curvature = fisher_diagonal(model, batch, targets, loss=loss)
        return {name: obd(weight, curvature[name]) for name, weight in weights.items()}
    gradients = _gradients(model, batch, targets, loss)
    return {name: taylor(weight, gradients[name]) for name, weight in weights.items()}


@torch.no_grad()
def activation_zeros(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """Return APoZ for each weight whose output meets a ReLU: weight name -> [C].

    Batch norm, pooling and additions may stand between the layer and its ReLU; where a shortcut
    is added first, all layers of the sum share what its ReLU shows. Layers with no ReLU before
    the next layer, such as the classifier, are not in the result.
    """
    copy = deepcopy(model).eval()
    weights = prunable_weights(copy)
    trace = _ReluTrace({id(w): name for name, w in weights.items()})
    with trace:
        copy(inputs)
    return {n: zeros for n, zeros in trace.zeros.items() if len(zeros) == len(weights[n])}


class _ReluTrace(TorchFunctionMode):
    """Follows each layer's output to the first ReLU, by names attached to the tensors."""

    def __init__(self, names: dict[int, str]):
        super().__init__()
        self.names = names
        self.zeros: dict[str, Tensor] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        tensors = [a for a in (*args, *(kwargs or {}).values()) if isinstance(a, Tensor)]
        layers = [self.names[id(t)] for t in tensors if id(t) in self.names]
        if not layers:
            layers = [name for t in tensors for name in getattr(t, "_layers", ())]
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and layers:
            is_relu = _cuts_at_zero(func, kwargs or {})
            result._layers = () if is_relu else tuple(layers)  # type: ignore[attr-defined]
            if is_relu:
                self.zeros.update(dict.fromkeys(layers, apoz(result)))
        return result


def _cuts_at_zero(func: Any, kwargs: dict) -> bool:
    name = getattr(func, "__name__", "")
    is_relu6 = name == "hardtanh" and kwargs.get("min_val") == 0  # what nn.ReLU6 calls
    return is_relu6 or name in ("relu", "relu_", "relu6")


@torch.enable_grad()
def _gradients(
    model: nn.Module, inputs: Tensor, labels: Tensor, loss: LossFunction
) -> dict[str, Tensor]:
    copy = deepcopy(model).eval().requires_grad_(True)
    weights = prunable_weights(copy)
    value = loss(copy(inputs), labels)
    gradients = torch.autograd.grad(value, list(weights.values()), materialize_grads=True)
    return dict(zip(weights, gradients, strict=True))


def _needed(name: str, value: Tensor | None, criterion: str) -> Tensor:
    if value is None:
        raise ValueError(f"{name} must be a batch of tensors for criterion={criterion!r}.")
    return check_tensor(name, value, nonempty=True)


def _values(name: str, tensor: Tensor) -> Tensor:
    check_tensor(name, tensor, floating=True, finite=True, nonempty=True)
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _like(name: str, tensor: Tensor, weight: Tensor) -> Tensor:
    values = _values(name, tensor)
    if values.shape != weight.shape:
        raise ValueError(
            f"{name} must have the shape of weight, {tuple(weight.shape)}, "
            f"got {tuple(values.shape)}."
        )
    return values
