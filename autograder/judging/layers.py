"""An nn.Module as data: the name of its class, its tensors, its layers and its plain attributes.

A layer that comes from the kernel is built again from a class of torch, torchvision, the course
library or a set-up cell, so its forward is the trusted one; the student sends only numbers. For
that to hold no attribute may hide a method of the class, and none may be a handle: a fake
`forward` would be run, but not weighed. Whatever does not fit stays in the kernel as a handle.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from autograder.judging import library
from autograder.judging.errors import CodecError, StudentError

if TYPE_CHECKING:
    from autograder.judging.pack import Packer
    from autograder.judging.unpack import Unpacker

_INTERNAL = set(nn.Module().__dict__)
_REBUILT = {"_flat_weights", "_flat_weight_refs"}  # of nn.RNNBase: weak references, derived
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def describe(packer: Packer, module: nn.Module) -> list[Any]:
    """Return the packed form of a layer; CodecError if it is more than data."""
    if any(_foreign_hooks(module)):
        raise CodecError(f"a layer {type(module).__name__} carries hooks.")
    name = library.class_name(type(module), packer.classes, packer.strict)
    if name is None:
        raise CodecError(f"the class {type(module).__name__} is not known on the other side.")
    return ["layer", *name, state(packer, module, [[k, packer.pack(v)] for k, v in plain(module)])]


def state(packer: Packer, module: nn.Module, attributes: list[Any]) -> list[Any]:
    """Return everything but the class: what training or surgery may change."""
    tensors = [
        [[name, packer.pack(tensor)] for name, tensor in table.items()]
        for table in (module._parameters, module._buffers)
    ]
    inner = [[name, packer.pack(layer)] for name, layer in module._modules.items()]
    transient = sorted(module._non_persistent_buffers_set)
    return [bool(module.training), *tensors, transient, inner, attributes]


def plain(module: nn.Module) -> list[tuple[str, Any]]:
    """Return the attributes that are not nn.Module's own, such as `stride`."""
    found = []
    for name, value in vars(module).items():
        if name in _INTERNAL or name in _REBUILT or _is_own_method(module, name, value):
            continue
        found.append((name, value))
    return found


def hook_counts(module: nn.Module) -> list[int]:
    """Return how many hooks of each kind the layer carries."""
    return [len(getattr(module, table)) for table in _HOOKS]


def shell(kind: type[nn.Module]) -> nn.Module:
    """Return an empty layer of the class, whose __init__ did not run."""
    module = kind.__new__(kind)
    nn.Module.__init__(module)
    return module


def fill(unpacker: Unpacker, module: nn.Module, said: Any) -> None:
    """Put a packed state into a layer in place of what it holds."""
    training, parameters, buffers, transient, inner, attributes = said
    tables: tuple[tuple[Any, Any, type], ...] = (
        (module._parameters, parameters, nn.Parameter),
        (module._buffers, buffers, Tensor),
        (module._modules, inner, nn.Module),
    )
    # The whole is read before anything is changed: the tables may share parts.
    read = [_read(unpacker, module, pairs, kind) for _, pairs, kind in tables]
    values = {_name(module, name): unpacker.unpack(value) for name, value in attributes}
    for (table, _, _), new in zip(tables, read, strict=True):
        table.clear()
        table.update(new)
    module._non_persistent_buffers_set = {name for name in transient if isinstance(name, str)}
    for name, _ in plain(module):
        del module.__dict__[name]
    module.__dict__.update(values)
    module.training = training is True
    if isinstance(module, nn.RNNBase):
        module._flat_weight_refs = []
        module._init_flat_weights()


def leave_hooks(module: nn.Module, counts: Any) -> None:
    """Note on a layer that the submission left hooks on its own copy of it."""
    for table, count in zip(_HOOKS, counts, strict=True):
        hooks = getattr(module, table)
        for _ in range(min(count, 100)):  # the copy arrived over there without any
            hooks[-1 - len(hooks)] = LeftHook()


class LeftHook:
    """Stands for a hook of the student's; it can be counted, but not run."""

    def __call__(self, *arguments: Any) -> None:
        raise StudentError("A hook that the submission left on a layer would run here.")


def _read(unpacker: Unpacker, module: nn.Module, pairs: Any, kind: type) -> dict[str, Any]:
    read = {_name(module, name): unpacker.unpack(value) for name, value in pairs}
    if not all(value is None or isinstance(value, kind) for value in read.values()):
        raise CodecError(f"a layer holds something that is no {kind.__name__}.")
    return read


def _name(module: nn.Module, name: Any) -> str:
    """Return the name if it hides nothing of the class but plain values."""
    if not isinstance(name, str) or not 0 < len(name) <= 200 or "." in name:
        raise CodecError("a layer has an attribute with an impossible name.")
    if not is_free(module, name):
        raise CodecError(f"a layer has an attribute {name} that hides one of its class.")
    return name


def is_free(module: nn.Module, name: str) -> bool:
    """Whether an attribute of this name hides nothing of the class but a plain value."""
    if name in _INTERNAL or name.startswith("__"):
        return False
    for kind in type(module).__mro__:
        known = vars(kind).get(name)
        if known is not None and (callable(known) or hasattr(type(known), "__get__")):
            return False
    return True


def _foreign_hooks(module: nn.Module) -> list[Any]:
    tables = [getattr(module, name) for name in _HOOKS]
    return [hook for hooks in tables for hook in hooks.values() if not isinstance(hook, LeftHook)]


def _is_own_method(module: nn.Module, name: str, value: Any) -> bool:
    """Whether an attribute is the class's own method, put there by undoing a patch."""
    return (
        isinstance(value, types.MethodType)
        and value.__self__ is module
        and getattr(type(module), name, None) is value.__func__
    )
