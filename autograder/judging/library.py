"""Library objects that travel by name: layers, dataclasses of the course, plain functions.

To the kernel any public function or class of a known library may go. From the kernel come only
the names that `is_safe` allows: layers, results of the course library, elementwise functions.
Reading a name never runs code but the import of a module of those libraries.
"""

from __future__ import annotations

import builtins
import importlib
import math
import operator
import re
import sys
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional
from torch import nn

from autograder.judging.errors import CodecError

LIBRARIES = ("torch", "torchvision", "numpy", "math", "operator", "builtins", "course_lib")
NOTEBOOK = "__main__"
_LAYERS = ("torch.nn.modules.", "torchvision.models.", "torchvision.ops.", "course_lib.")
_HOMES = (torch, torch.nn.functional, math, operator, builtins, np)
_PLAIN_TYPES = {"bool", "int", "float", "complex", "str", "bytes"}
_ELEMENTWISE = {
    *("relu", "sigmoid", "tanh", "abs", "exp", "log", "sqrt", "sign", "round", "floor", "ceil"),
    *("softmax", "log_softmax", "sin", "cos", "square", "erf", "rsqrt", "clamp"),
}
_FUNCTIONAL = {
    name
    for name in vars(torch.nn.functional)
    if re.fullmatch(r"(?!has_|handle_|boolean_|assert_)[a-z][a-z0-9_]*", name)
    and callable(getattr(torch.nn.functional, name))
}


def name_of(thing: Any) -> tuple[str, str] | None:
    """Return (module, name) of a library function or class, or None if it has no such name."""
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
    if not isinstance(name, str):
        return None
    home = getattr(thing, "__module__", None)
    modules = [sys.modules.get(home)] if isinstance(home, str) else []
    for module in [*modules, *_HOMES]:
        if module is not None and _is_library(module.__name__) and _walk(module, name) is thing:
            return module.__name__, name
    return None


def is_safe(module: str, name: str) -> bool:
    """Whether the kernel may name this; a sandboxed process chooses both strings."""
    if module == "builtins":
        return name in _PLAIN_TYPES
    if module == "torch":
        return name in _ELEMENTWISE
    if module == "torch.nn.functional":
        return name in _FUNCTIONAL
    return module == NOTEBOOK or _in_layers(module)


def find(module: Any, name: Any, strict: bool, classes: Mapping[str, Any]) -> Any:
    """Return what `name_of` or `class_name` named; `strict` is for names that the kernel sent.

    classes: those of the notebook's set-up cells.
    """
    if not isinstance(module, str) or not isinstance(name, str) or len(module + name) > 300:
        raise CodecError("a name is not text.")
    if strict and not is_safe(module, name):
        raise CodecError(f"{module}.{name} may not be sent.")
    if module == NOTEBOOK:
        found = classes.get(name)
    else:
        found = _walk(_imported(module), name) if _is_library(module) else None
    if found is None:
        raise CodecError(f"there is no {module}.{name}.")
    # The course's modules import others, such as os: only a class that they define will do.
    if strict and (module == NOTEBOOK or _in_layers(module)):
        defined = isinstance(found, type) and (found.__module__, found.__qualname__)
        if defined != (module, name) or not is_data_class(found):
            raise CodecError(f"{module}.{name} may not be sent.")
    return found


def is_data_class(kind: type) -> bool:
    """Whether instances are described by their fields: a layer, dataclass or named tuple."""
    return issubclass(kind, nn.Module) or is_dataclass(kind) or is_named_tuple(kind)


def is_named_tuple(kind: type) -> bool:
    """Whether a class is a named tuple, going by its own dictionary."""
    return issubclass(kind, tuple) and isinstance(vars(kind).get("_fields"), tuple)


def class_name(kind: type, classes: Mapping[str, Any], strict: bool) -> tuple[str, str] | None:
    """Return the name by which the peer knows a class of layers or of results, or None."""
    module, name = str(kind.__module__), str(kind.__qualname__)
    if module == NOTEBOOK or module not in sys.modules:
        return (NOTEBOOK, name) if classes.get(name) is kind else None
    if _walk(sys.modules[module], name) is not kind or not _is_library(module):
        return None
    return (module, name) if not strict or is_safe(module, name) else None


def _is_library(module: str) -> bool:
    return module.partition(".")[0] in LIBRARIES


def _in_layers(module: str) -> bool:
    return module.startswith(_LAYERS) and all(part.isidentifier() for part in module.split("."))


def _imported(module: str) -> Any:
    if module in sys.modules:
        return sys.modules[module]
    try:
        return importlib.import_module(module)
    except Exception:
        raise CodecError(f"there is no module {module}.") from None


def _walk(module: Any, name: str) -> Any:
    found = module
    for part in name.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
        if found is None:
            return None
    return found
