"""Count a whole model without running it for real: MACs, parameters, bytes, layer by layer.

The model is copied onto PyTorch's meta device, where tensors have shapes but no memory, and run
once there; `course_lib.cost.trace` watches. So a network of billions of parameters is counted in
seconds on any machine, and the caller's model is never touched.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_any, tree_map

from course_lib._validate import check_shape
from course_lib.cost.meta_copy import Replaced, copy_to_meta, meta_twin
from course_lib.cost.result import LayerCost, ModelCost, Uncounted
from course_lib.cost.stand_in import StandIn
from course_lib.cost.trace import Hidden, LayerRecord, Trace, tensors_in


class UncountedWarning(UserWarning):
    """Some multiply-adds of a model may be missing from its count."""


def count(model: nn.Module | Callable[[], nn.Module], *inputs: Any) -> ModelCost:
    """Cost of one forward pass of `model`, in eval mode and without gradients.

    model: a module (copied, never changed), or a function without arguments that builds one;
        then even its weights are never allocated.
    inputs: one per argument of forward, batch included. A shape such as (1, 3, 224, 224) stands
        for a tensor of the model's own floating-point type; of a tensor (token ids, say), or a
        tuple, list or dict of tensors, only shapes and types are used.

    One MAC is one multiply-add of a matrix product or convolution, wherever it is written; adding
    a bias, normalizing, pooling and activating cost none. A layer that is called twice costs its
    MACs twice and its parameters once. A layer whose parameters meet the input in any other way (a
    scale, a matrix product written by hand) is listed in `.uncounted`, and an UncountedWarning is
    issued where that could add more than 1 % to the MACs.

    Compressed layers (of course_lib.quantize, sparse, integer and binary) say in `counts_as` what
    they cost as deployed, in MACs and stored bytes; activations count as floats. A layer of your
    own that reads values can do so too: see `StandIn`.

    Raises TypeError if `model` or an input is of another kind, and ValueError if the model cannot
    run on the inputs, has lazy layers, or decides by the values of its input.

    >>> cost = count(nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 10)), (1, 784))
    >>> cost.macs, cost.params, cost.peak_activation_bytes
    (238200, 238510, 4336)
    """
    built = _build(model)
    arguments = tuple(_meta_input(f"inputs[{i}]", x, built) for i, x in enumerate(inputs))
    cost = _run(built, arguments)
    left_out = sum(entry.elements for entry in cost.uncounted)
    if left_out > 0.01 * cost.macs or any(entry.params == 0 for entry in cost.uncounted):
        warnings.warn(_warning(cost), UncountedWarning, stacklevel=2)
    return cost


def _build(model: object) -> nn.Module:
    if not isinstance(model, nn.Module):
        if not callable(model):
            raise TypeError(
                "model must be an nn.Module or a function without arguments that builds one, "
                f"got {type(model).__name__}."
            )
        try:
            with torch.random.fork_rng(devices=[]), _UninitializedOnMeta():
                model = model()  # the caller's random state stays as it was
        except Exception as error:
            error.add_note("count() builds the model without weights; if it needs them, build it.")
            raise
        if not isinstance(model, nn.Module):
            raise TypeError(f"model() must build an nn.Module, got {type(model).__name__}.")
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            raise ValueError(
                f"model has a lazy layer: {name!r} has no shape yet. "
                "Run one batch through the model first."
            )
    return model


class _UninitializedOnMeta(TorchFunctionMode):
    """Put `torch.empty` on the meta device: layers make their weights with it.

    `torch.device("meta")` would take every tensor there, and constructors that compute with small
    ones (RegNet its widths, many networks their drop rates) would fail.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _meta_input(name: str, value: Any, model: nn.Module) -> Any:
    """A meta tensor for a shape, or meta twins of the tensors in `value`."""
    if tree_any(lambda leaf: isinstance(leaf, Tensor), value):
        return tree_map(lambda x: meta_twin(x.detach()) if isinstance(x, Tensor) else x, value)
    state = (*model.parameters(), *model.buffers())  # compressed layers may have buffers only
    floating = (t.dtype for t in state if t.is_floating_point() or t.is_complex())
    dtype = next(floating, torch.float32)
    return torch.empty(check_shape(name, value), dtype=dtype, device="meta")


def _run(model: nn.Module, arguments: tuple[Any, ...]) -> ModelCost:
    """Run a copy of `model` on meta tensors, under watch.

    Tensors that forward makes itself go to the meta device too. Where it reads their values (some
    layers look whether a mask is causal) it gets a second try, in which they are real.
    """
    shapes = tuple(tuple(tensor.shape) for tensor in tensors_in(arguments))
    for home in ("meta", "cpu"):
        twin, replaced = copy_to_meta(model)
        try:
            trace = Trace(twin, arguments)
            with torch.no_grad(), torch.random.fork_rng(devices=[]), torch.device(home), trace:
                outputs = twin(*arguments)
        except Exception as error:
            failure = error
        else:
            peak_bytes = trace.liveness.peak_bytes(tensors_in(outputs))
            return _summarize(twin, replaced, trace, shapes, peak_bytes)
    raise ValueError(_explain(failure, shapes)) from failure


def _summarize(
    model: nn.Module,
    replaced: Replaced,
    trace: Trace,
    input_shapes: tuple[tuple[int, ...], ...],
    peak_bytes: int,
) -> ModelCost:
    layers = tuple(_layers(model, replaced, trace))
    named = dict(model.named_parameters())
    return ModelCost(
        input_shapes=input_shapes,
        layers=layers,
        macs=sum(layer.macs for layer in layers),
        params=sum(layer.params for layer in layers),
        weight_bytes=sum(layer.weight_bytes for layer in layers),
        buffer_bytes=_bytes(model.buffers()),
        activation_bytes=sum(layer.activation_bytes for layer in layers),
        peak_activation_bytes=peak_bytes,
        uncounted=tuple(_uncounted(model, replaced, trace)),
        unused=tuple(name for name, tensor in named.items() if tensor not in trace.used),
    )


def _layers(model: nn.Module, replaced: Replaced, trace: Trace) -> Iterable[LayerCost]:
    """Layers in order of their first call; a container only if it computes or owns weights."""
    names = {module: name for name, module in model.named_modules()}
    owned: dict[nn.Module, list[Tensor]] = defaultdict(list)
    for parameter, owner in trace.owners.items():
        owned[owner].append(parameter)
    for module in (*trace.layers, *(m for m in names if m not in trace.layers)):
        record = trace.layers.get(module, LayerRecord())
        original, stand_in = replaced.get(module, (module, StandIn(module)))
        params, weight_bytes = stand_in.params, stand_in.weight_bytes
        if params is None:
            params = sum(parameter.numel() for parameter in owned[module])
        if weight_bytes is None:
            weight_bytes = _bytes(owned[module])
        if not (record.is_leaf or record.macs or params or weight_bytes):
            continue
        yield LayerCost(
            name=names[module],
            kind=type(original).__name__,
            input_shape=record.input_shape,
            output_shape=record.output_shape,
            calls=record.calls,
            macs=stand_in.macs(record.macs),
            params=params,
            weight_bytes=weight_bytes,
            activation_bytes=record.activation_bytes,
        )


def _uncounted(model: nn.Module, replaced: Replaced, trace: Trace) -> Iterable[Uncounted]:
    for name, module in model.named_modules():
        hidden = trace.layers[module].uncounted if module in trace.layers else Hidden()
        if hidden.operations:
            yield Uncounted(
                name=name,
                kind=type(replaced[module][0] if module in replaced else module).__name__,
                params=sum(parameter.numel() for parameter in hidden.parameters),
                operations=tuple(sorted(hidden.operations)),
                elements=hidden.elements,
            )


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _warning(cost: ModelCost) -> str:
    shown = "; ".join(str(entry) for entry in cost.uncounted[:3])
    rest = len(cost.uncounted) - 3
    more = f"; and {rest} more in .uncounted" if rest > 0 else ""
    return (
        f"macs={cost.macs:,} may be too low. Operations without a MAC formula: {shown}{more}. "
        "Write matrix products with @, F.linear or einsum to have them counted."
    )


def _explain(error: Exception, shapes: tuple[tuple[int, ...], ...]) -> str:
    given = ", ".join(map(str, shapes)) or "no inputs"
    return (
        f"The model could not be run on inputs of shape {given}: {type(error).__name__}: {error}\n"
        "Check the shapes (batch first) and types (token ids are an integer tensor). count runs "
        "on the meta device, where tensors have no values: a forward that reads values, such as "
        "`if x.max() > 0`, `.item()` or a boolean mask, has to be counted part by part."
    )
