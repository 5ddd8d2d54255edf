"""What one tensor operation costs: the table behind `count`.

Matrix products, convolutions and fused attention take their formulas from PyTorch's own
`torch.utils.flop_counter` (2 FLOPs per MAC); the few products it lacks are added here. Everything
else costs no MACs by convention, and `takes_weights_for_free` says which of those operations may
use a layer's weights without hiding a matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry

aten = torch.ops.aten


def _bilinear(first: Tensor, weight: Tensor, second: Tensor, *_: Any) -> int:
    """Contract one input, then the other, as einsum does: out in1 in2 + out in2 per row."""
    out_features, in1, in2 = weight.shape
    return first.numel() // in1 * out_features * (in1 * in2 + in2)


_MISSING_FROM_TORCH: dict[Any, Any] = {
    aten.dot: lambda a, b: a.numel(),
    aten.vdot: lambda a, b: a.numel(),
    aten.mv: lambda matrix, vector: matrix.numel(),
    aten.addmv: lambda base, matrix, vector, **_: matrix.numel(),
    aten.addbmm: lambda base, a, b, **_: prod(a.shape) * b.shape[-1],
    aten._trilinear: _bilinear,
}

# Transforms and decompositions are built from multiply-adds, but have no formula here.
_NO_FORMULA = ("_fft", "linalg_", "_linalg", "_cdist", "_pdist", "_sparse")
_NORMS = ("linalg_vector_norm",)

# Layers whose weights scale, shift or look up: no MACs by convention, whatever they run inside.
_FREE_LAYERS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.PReLU,
    nn.Embedding,
    nn.EmbeddingBag,
)
_NORMS_AND_LOOKUPS = {
    "native_batch_norm",
    "_native_batch_norm_legit_no_training",
    "native_layer_norm",
    "native_group_norm",
    "_fused_rms_norm",
    "_prelu_kernel",
    "embedding",
    "_embedding_bag",
    "_embedding_bag_forward_only",
    "index",
    "index_select",
    "gather",
}
_MOVES = {"cat", "stack", "where", "copy_", "index_put_", "slice_scatter", "select_scatter"}
_SUMS = {"add", "add_", "sub", "sub_", "rsub"}


def macs_of(operation: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> int | None:
    """MACs of one aten operation; None where it has no formula (it costs none, or none known)."""
    packet = operation._overloadpacket
    if packet in _MISSING_FROM_TORCH:
        return int(_MISSING_FROM_TORCH[packet](*args, **kwargs))
    if packet in flop_registry:
        return int(flop_registry[packet](*args, **kwargs, out_val=out)) // 2
    return None


def lacks_formula(operation: Any) -> bool:
    """True for an operation that multiplies and adds, but whose MACs are not known here."""
    name = operation._overloadpacket.__name__
    return name.startswith(_NO_FORMULA) and not name.startswith(_NORMS)


def takes_weights_for_free(
    operation: Any, layer: nn.Module, activations: Sequence[Tensor], outputs: Sequence[Tensor]
) -> bool:
    """True where `layer` runs an operation on weights that cannot be part of a matrix product.

    Normalizing, looking up, moving, and adding without growing (a bias, a position embedding). A
    product does not qualify: a scale and a hand-written dot product look the same from here.
    """
    if isinstance(layer, _FREE_LAYERS):
        return True
    name = operation._overloadpacket.__name__
    if name in _NORMS_AND_LOOKUPS or name in _MOVES:
        return True
    largest = max(tensor.numel() for tensor in activations)
    return name in _SUMS and all(tensor.numel() <= largest for tensor in outputs)
