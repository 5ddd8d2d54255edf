"""Watch one forward pass from below: every tensor operation, and the layer it runs in.

Below autograd all models look alike: `F.linear`, `nn.MultiheadAttention`, einsum and an LSTM are
the same few matrix products. So no list of known layers is needed, and following each parameter
through the operations shows where MACs could still hide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from course_lib.cost.memory import Liveness, storages
from course_lib.cost.operations import lacks_formula, macs_of, takes_weights_for_free

_NO_TREE = (type(None), int, float, str, torch.dtype, torch.device)


@dataclass
class Hidden:
    """Operations without a MAC formula, and the parameters that they used."""

    operations: set[str] = field(default_factory=set)
    elements: int = 0
    parameters: set[Tensor] = field(default_factory=set)

    def add(self, func: Any, outputs: Iterable[Tensor], parameters: Iterable[Tensor] = ()) -> None:
        self.operations.add(str(func._overloadpacket.__name__))
        self.elements += sum(tensor.numel() for tensor in outputs)
        self.parameters.update(parameters)


@dataclass
class LayerRecord:
    """What one layer did during the pass."""

    calls: int = 0
    is_leaf: bool = False  # at least one call ran no other layer inside
    macs: int = 0
    activation_bytes: int = 0
    input_shape: tuple[int, ...] | None = None
    output_shape: tuple[int, ...] | None = None
    uncounted: Hidden = field(default_factory=Hidden)


class Trace(TorchDispatchMode):
    """Runs around `model(*inputs)` on the meta device; `layers` is filled in order of first call.

    `model` is a private copy: it gets hooks that are never removed.
    """

    def __init__(self, model: nn.Module, inputs: Iterable[Any]) -> None:
        super().__init__()
        self.layers: dict[nn.Module, LayerRecord] = defaultdict(LayerRecord)
        self.owners = owners(model)
        self.used: set[Tensor] = set()
        self.liveness = Liveness(tensors_in(inputs))
        # Which parameters a storage is made of; None once the input has flowed into it.
        self._made_of: dict[int, frozenset[Tensor] | None] = {
            key: frozenset([parameter])
            for parameter in self.owners
            for key in storages([parameter])
        }
        self._made_of.update(dict.fromkeys(storages(tensors_in(inputs))))
        self._running = [model]
        self._ran_inside = [False]
        for layer in model.modules():
            layer.register_forward_pre_hook(self._enter, prepend=True, with_kwargs=True)
            layer.register_forward_hook(self._leave, with_kwargs=True, always_call=True)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        args, kwargs = _onto_meta(args, kwargs or {})
        if torch.is_inference_mode_enabled():  # there, composite operations arrive in one piece
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = _run(func, args, kwargs)
        inputs, outputs = list(tensors_in((args, kwargs))), list(tensors_in(result))
        self.liveness.step(inputs, outputs)
        macs = macs_of(func, args, kwargs, result)
        self._follow_parameters(func, macs, inputs, outputs)
        record = self.layers[self._running[-1]]
        record.macs += macs or 0
        if macs is None and lacks_formula(func):
            record.uncounted.add(func, outputs)
        return result

    def _follow_parameters(
        self, func: Any, macs: int | None, inputs: list[Tensor], outputs: list[Tensor]
    ) -> None:
        """Note what `func` did with parameters, and what its outputs are made of."""
        origins = [self._made_of.get(key, frozenset()) for key in storages(inputs)]
        parameters = frozenset().union(*(origin for origin in origins if origin is not None))
        self.used |= parameters
        activations = [t for t in inputs if any(self._is_activation(key) for key in storages([t]))]
        if (
            macs is None
            and parameters
            and activations
            and not takes_weights_for_free(func, self._running[-1], activations, outputs)
        ):
            for owner in {self.owners[parameter] for parameter in parameters}:
                mine = (p for p in parameters if self.owners[p] is owner)
                self.layers[owner].uncounted.add(func, outputs, mine)
        # Weights alone give weights (transposed, masked), except that their product is a constant.
        constant: frozenset[Tensor] = parameters if macs is None else frozenset()
        for key in storages(outputs):
            self._made_of[key] = None if activations else constant

    def _is_activation(self, key: int) -> bool:
        return key in self._made_of and self._made_of[key] is None

    def _enter(self, layer: nn.Module, args: Any, kwargs: Any) -> None:
        self._ran_inside[-1] = True
        self._running.append(layer)
        self._ran_inside.append(False)
        record = self.layers[layer]
        record.calls += 1
        if record.calls == 1:
            record.input_shape = _first_shape((args, kwargs))

    def _leave(self, layer: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        self._running.pop()
        record = self.layers[layer]
        if record.calls == 1:
            record.output_shape = _first_shape(result)
        if not self._ran_inside.pop():
            record.is_leaf = True
            record.activation_bytes += sum(
                t.numel() * t.element_size() for t in tensors_in(result)
            )


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run `func`, and batch norm by its shapes alone: PyTorch works it out in Python on the meta
    device, which would take half the time of a count."""
    if func is torch.ops.aten.native_batch_norm.default and not args[5] and args[0].is_meta:
        return torch.empty_like(args[0]), args[0].new_empty(0), args[0].new_empty(0)
    return func(*args, **kwargs)


def owners(model: nn.Module) -> dict[Tensor, nn.Module]:
    """The module that owns each parameter: the first, where several share it."""
    owner: dict[Tensor, nn.Module] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owner.setdefault(parameter, module)
    return owner


def _onto_meta(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Constants that the model made on another device join the meta tensors they meet."""
    tensors = list(tensors_in((args, kwargs)))
    for tensor in tensors:
        if isinstance(tensor, nn.Parameter) and not tensor.is_meta:
            raise ValueError(
                f"forward uses a parameter of shape {tuple(tensor.shape)} that is not registered "
                "with the model, so model.parameters() misses it: keep layers in an nn.ModuleList "
                "or nn.ModuleDict, not in a plain list or dict."
            )
    if len({tensor.is_meta for tensor in tensors}) < 2:
        return args, kwargs

    def to_meta(leaf: Any) -> Any:
        return leaf.to("meta") if isinstance(leaf, Tensor) and leaf.ndim else leaf

    return tree_map(to_meta, (args, kwargs))


def tensors_in(tree: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dicts, or in a dataclass of those.

    The common cases by hand: this runs for every operation, and PyTorch's trees take their time.
    """
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, tuple | list):
        for part in tree:
            yield from tensors_in(part)
    elif is_dataclass(tree):
        yield from tensors_in(vars(tree))
    elif not isinstance(tree, _NO_TREE):
        yield from (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _first_shape(tree: Any) -> tuple[int, ...] | None:
    return next((tuple(tensor.shape) for tensor in tensors_in(tree)), None)
