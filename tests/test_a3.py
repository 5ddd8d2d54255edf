"""What is special about A3: how a handed-in file is read, and what it earns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch

from course_lib import codec, models

NOTEBOOK = Path(__file__).parents[1] / "assignments/a3_pruning_project/a3_pruning_project.ipynb"


@pytest.fixture(scope="module")
def rules() -> dict[str, Any]:
    """The given cells, and the answer that hands in the file."""
    names: dict[str, Any] = {}
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        kind = cell.metadata.get("nbgrader", {})
        given = cell.cell_type == "code" and kind.get("locked") and not kind["grade"]
        if given or kind.get("grade_id") == "compressed_model":
            exec(cell.source, names)
    return names


@pytest.mark.parametrize("frontier", ["BYTES", "MACS"])
def test_smaller_or_more_accurate_never_costs_points(rules: dict[str, Any], frontier: str):
    amounts = [100, 900, 3_000, 9_000, 30_000, 120_000, 1_000_000]
    errors = [0.0, 1.2, 1.8, 2.4, 3.0, 4.5, 8.0, 15.0, 50.0, 90.0]
    table = torch.tensor(
        [[rules["share_of_points"](a, e, rules[frontier]) for a in amounts] for e in errors]
    )
    assert (table.diff(dim=0) <= 0).all()
    assert (table.diff(dim=1) <= 0).all()
    assert (table.min(), table.max()) == (0, 1)


@pytest.mark.parametrize("frontier", ["BYTES", "MACS"])
def test_the_frontier_earns_everything_and_a_doubling_costs_a_quarter(
    rules: dict[str, Any], frontier: str
):
    for error, amount in rules[frontier][:-1]:
        shares = [
            rules["share_of_points"](k * amount, error, rules[frontier])
            for k in (0.5, 1, 2, 4, 16)
        ]
        assert shares == pytest.approx([1, 1, 0.75, 0.5, 0])


def test_nothing_is_earned_by_a_network_that_guesses(rules: dict[str, Any]):
    assert rules["share_of_points"](100, 90.0, rules["BYTES"]) == 0


def test_the_model_answer_has_the_cost_that_its_shapes_say(rules: dict[str, Any]):
    layers = rules["read_layers"](rules["compressed_model"]())
    assert [tuple(weight.shape) for weight, _ in layers] == [(50, 784), (40, 50), (10, 40)]


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({}, "fc1.weight"),
        ({"fc1.weight": torch.zeros(10, 784)}, "fc1.weight"),
        ({"fc1.weight": torch.zeros(10, 784), "fc2.bias": torch.zeros(10)}, "fc1.weight"),
        ({"fc1.weight": torch.zeros(10, 99), "fc1.bias": torch.zeros(10)}, "do not fit"),
        ({"fc1.weight": torch.zeros(10, 784), "fc1.bias": torch.zeros(10, 1)}, "do not fit"),
        ({"fc1.weight": torch.zeros(9, 784), "fc1.bias": torch.zeros(9)}, "10 outputs"),
    ],
)
def test_a_file_of_another_network_is_refused_in_a_sentence(
    rules: dict[str, Any], state: dict[str, torch.Tensor], says: str
):
    split = rules["data"].load("mnist").validation.head(20)
    with pytest.raises(AssertionError, match=says):
        rules["measure_file"](codec.to_bytes(state), split)


@pytest.mark.parametrize("content", [b"", b"\x80\x04 no pickle", "text", None])
def test_what_is_no_file_is_refused(rules: dict[str, Any], content: object):
    with pytest.raises(AssertionError, match="file"):
        rules["read_layers"](content)


def test_a_file_that_unpacks_to_too_much_is_refused(rules: dict[str, Any]):
    bomb = codec.to_bytes(models.mlp((2000, 2000)).requires_grad_(False).apply(_zero))
    assert len(bomb) < 100_000
    with pytest.raises(AssertionError, match="cannot be read"):
        rules["read_layers"](bomb)


def _zero(module: torch.nn.Module) -> None:
    for parameter in module.parameters(recurse=False):
        parameter.zero_()
