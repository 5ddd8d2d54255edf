"""Batch-norm folding: in eval mode a batch norm is a scale and a shift, which a layer can absorb.

gamma (W x + b - mean) / sqrt(var + eps) + beta is one linear map of x, so the layer in front can
compute it at once: exact up to rounding, and one pass over the activations less (Jacob et al.
2018, arXiv:1712.05877, section 3.2). Every inference engine does this first.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, fx, nn

from course_lib._evaluate import check_model

_CONVOLUTIONS = nn.Conv1d, nn.Conv2d, nn.Conv3d
_TRANSPOSED = nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d
_NORMS = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm


class FoldablePair(NamedTuple):
    """Names of a layer and of the batch norm that it can absorb, as in `named_modules()`."""

    layer: str
    norm: str


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Return a copy of `model` in eval mode whose layers have absorbed their batch norms.

    An nn.Identity stands where each absorbed batch norm was; a layer without a bias gets one. The
    copy computes what `model` computes in eval mode, to rounding. A batch norm that does not
    directly follow a linear layer or convolution, or follows one whose output is used elsewhere
    too (pre-activation networks), stays as it is; `foldable_pairs` lists those that go.
    Raises TypeError if `model` is no module, ValueError as `foldable_pairs` and `fold` do.

    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    >>> fold_batch_norm(model)
    Sequential(
      (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
      (1): Identity()
      (2): ReLU()
    )
    """
    check_model(model)
    folded = copy.deepcopy(model).eval()
    for layer_name, norm_name in foldable_pairs(folded):
        layer, norm = folded.get_submodule(layer_name), folded.get_submodule(norm_name)
        _replace(folded, layer, fold(layer, norm))
        _replace(folded, norm, nn.Identity())
    return folded.eval()


def fold(layer: nn.Module, norm: nn.Module) -> nn.Module:
    """Return one layer that computes norm(layer(x)) in eval mode.

    layer: nn.Linear (on [N, F]), nn.Conv1d/2d/3d or nn.ConvTranspose1d/2d/3d, with any groups,
    with or without bias; norm: nn.BatchNorm1d/2d/3d, with or without gamma and beta. Computed in
    float64, returned in the layer's own type with a bias. Raises TypeError for other kinds, and
    ValueError for unequal channel counts or a norm without running statistics.
    Source: Jacob et al. 2018, eq. 14.
    """
    if type(layer) not in (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED):
        raise TypeError(
            f"layer must be an nn.Linear or a convolution, got {type(layer).__name__}."
        )
    if type(norm) not in _NORMS:
        raise TypeError(f"norm must be a batch norm, got {type(norm).__name__}.")
    scale, shift = _scale_and_shift(norm)
    if _outputs(layer) != len(scale):
        raise ValueError(
            f"norm must have as many features as layer has outputs, {_outputs(layer)}; "
            f"got {len(scale)}."
        )
    folded: Any = copy.deepcopy(layer)
    weight, bias = folded.weight, folded.bias
    wide = weight.detach().double() * _per_weight(scale, layer)
    offset = shift if bias is None else shift + scale * bias.detach().double()
    folded.weight = nn.Parameter(wide.to(weight.dtype), weight.requires_grad)
    folded.bias = nn.Parameter(offset.to(weight.dtype), weight.requires_grad)
    return cast(nn.Module, folded)


def foldable_pairs(model: nn.Module) -> tuple[FoldablePair, ...]:
    """Return the pairs that `fold_batch_norm` folds, in the order in which they are called.

    The forward pass is traced by torch.fx, without running it. Raises ValueError if it cannot be
    (forward decides by the values of its input), or if a layer of the model is still lazy.
    """
    check_model(model)
    if type(model) in _NORMS or not any(isinstance(m, _NORMS) for m in model.modules()):
        return ()
    graph = _trace(model)
    called = [node for node in graph.nodes if node.op == "call_module"]
    modules = {node: model.get_submodule(str(node.target)) for node in called}
    calls = Counter(map(id, modules.values()))
    # Weights that forward also reads by itself, as a tied decoder does, must stay as they are.
    read = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    pairs = []
    for node in called:
        before = node.args[0] if node.args else None
        if isinstance(before, fx.Node) and before in modules and len(before.users) == 1:
            layer, norm = modules[before], modules[node]
            alone = calls[id(layer)] == calls[id(norm)] == 1 and before.target not in read
            if alone and _fits(layer, norm):
                pairs.append(FoldablePair(str(before.target), str(node.target)))
    return tuple(pairs)


def _fits(layer: Any, norm: Any) -> bool:
    plain = not (layer._forward_hooks or layer._forward_pre_hooks or norm._forward_hooks)
    return (
        type(layer) in (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED)
        and type(norm) in _NORMS
        and plain  # a hook sees, or rewrites, what would no longer be there
        and _outputs(layer) == norm.num_features
    )


class _Tracer(fx.Tracer):
    """Follows forward, but not into modules without batch norms: those may do anything.

    Modules that hold linear layers or convolutions are followed too, unless `whole_blocks`.
    """

    def __init__(self, whole_blocks: bool):
        super().__init__()
        self.whole_blocks = whole_blocks

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        relevant = (*_NORMS, nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED)
        inside = _NORMS if self.whole_blocks else relevant
        opaque = not any(isinstance(module, inside) for module in m.modules())
        return opaque or super().is_leaf_module(m, module_qualified_name)


def _trace(model: nn.Module) -> fx.Graph:
    """The calls that forward makes; if they cannot all be followed, those around batch norms."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            raise ValueError(
                f"model has a lazy layer: {name!r} has no shape yet. Run one batch through it."
            )
    for whole_blocks in (False, True):
        try:
            return _Tracer(whole_blocks).trace(model)
        except Exception as error:
            failure = error
    raise ValueError(
        "model's forward cannot be traced by torch.fx, so batch norms cannot be matched with the "
        "layers before them. Fold its parts, or pairs with fold(layer, norm). The reason: "
        f"{type(failure).__name__}: {failure}"
    ) from failure


def _scale_and_shift(norm: Any) -> tuple[Tensor, Tensor]:
    """What a batch norm does in eval mode: scale x + shift, each float64 [C]."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError(
            "norm must have running statistics to be folded, but this one has none "
            "(track_running_stats=False): it normalizes by each batch, in eval mode too."
        )
    scale = torch.rsqrt(variance.double() + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -mean.double() * scale
    return scale, shift if norm.bias is None else shift + norm.bias.detach().double()


def _per_weight(scale: Tensor, layer: Any) -> Tensor:
    """Give the scale per output, [C], a shape that multiplies the layer's weight.

    Transposed convolutions keep [Cin, Cout / groups, ...]: input channel i of group g meets that
    group's outputs only.
    """
    ones = (1,) * (layer.weight.ndim - 2)
    if not isinstance(layer, _TRANSPOSED):
        return scale.view(-1, 1, *ones)
    per_group = scale.view(layer.groups, -1)  # [groups, Cout / groups]
    rows = per_group.repeat_interleave(layer.in_channels // layer.groups, dim=0)
    return rows.view(*rows.shape, *ones)


def _outputs(layer: Any) -> int:
    return int(layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels)


def _replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put `new` wherever `old` is registered in `model`."""
    for parent in model.modules():
        for name, child in parent._modules.items():
            if child is old:
                parent._modules[name] = new
