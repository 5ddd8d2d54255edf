"""Torchvision beside a CPU torch: declared operators let it be imported, and harm nothing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture
def shim(monkeypatch):
    """A fresh copy of the module that believes torchvision was not imported yet.

    Its declarations go to `shim.operators` instead of to torch, which this process shares.
    """
    path = ROOT / "course_lib" / "_torchvision.py"
    spec = importlib.util.spec_from_file_location("shim", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.operators = []

    class Recorder:
        def __init__(self, namespace: str, kind: str) -> None:
            assert (namespace, kind) == ("torchvision", "FRAGMENT")

        def define(self, schema: str) -> None:
            module.operators.append(torch._C.parse_schema(schema))

    monkeypatch.setattr(torch.library, "Library", Recorder)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    return module


def test_both_operators_are_declared_where_the_compiled_library_does_not_load(shim, monkeypatch):
    monkeypatch.setattr(shim, "compiled_library_loads", lambda: False)
    assert shim.declare_missing_operators() is True
    assert [operator.name for operator in shim.operators] == ["nms", "qnms"]
    for operator in shim.operators:
        assert [str(a.type) for a in operator.arguments] == ["Tensor", "Tensor", "float"]
        assert [str(r.type) for r in operator.returns] == ["Tensor"]


def test_a_second_declaration_does_nothing(shim, monkeypatch):
    monkeypatch.setattr(shim, "compiled_library_loads", lambda: False)
    assert [shim.declare_missing_operators() for _ in range(3)] == [True, False, False]
    assert len(shim.operators) == 2


def test_nothing_is_declared_where_the_compiled_library_loads(shim, monkeypatch):
    monkeypatch.setattr(shim, "compiled_library_loads", lambda: True)
    assert shim.declare_missing_operators() is False
    assert shim.operators == []


def test_nothing_is_declared_once_torchvision_is_imported(shim, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setattr(shim, "compiled_library_loads", lambda: False)
    assert shim.declare_missing_operators() is False
    assert shim.operators == []


def test_a_missing_torchvision_is_no_reason_to_fail(shim, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert shim.compiled_library_loads() is False


@pytest.mark.parametrize("library", ["_C.so", None])
def test_a_library_that_cannot_be_loaded_counts_as_not_loading(
    shim, monkeypatch, tmp_path, library
):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").touch()
    if library:
        (tmp_path / "torchvision" / library).write_bytes(b"not a shared object")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert shim.compiled_library_loads() is False


# The rest needs interpreters that have not imported torchvision yet.


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def output(code: str) -> str:
    result = run(code)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_torchvision_works_after_course_lib():
    code = """
import course_lib, torchvision, torch
from torchvision import datasets, transforms
model = torchvision.models.mobilenet_v3_small(num_classes=10).eval()
print(tuple(model(torch.zeros(1, 3, 32, 32)).shape))
print(tuple(transforms.functional.resize(torch.zeros(3, 8, 8), [4, 4]).shape))
"""
    assert output(code).splitlines() == ["(1, 10)", "(3, 4, 4)"]


def test_operators_are_declared_exactly_where_torchvision_needs_them():
    alone = run("import torch, torchvision")
    declares = output("import course_lib; print(bool(course_lib._torchvision._declared))")
    assert declares == str(alone.returncode != 0)
    if alone.returncode:
        assert "operator torchvision::nms does not exist" in alone.stderr


def test_course_lib_may_come_after_a_torchvision_that_works():
    # The first two lines stand for whatever made torchvision work before course_lib came.
    code = """
import course_lib, sys
first = sys.modules.pop("course_lib._torchvision"), sys.modules.pop("course_lib")
import torchvision
import course_lib
print(course_lib._torchvision._declared, torchvision.models.resnet18 is not None)
"""
    assert output(code) == "[] True"


def test_a_torchvision_import_that_failed_can_be_repeated_after_course_lib():
    code = """
import torch
try:
    import torchvision
except RuntimeError:
    pass
import course_lib
import torchvision
print(torchvision.models.resnet18 is not None)
"""
    assert output(code) == "True"
