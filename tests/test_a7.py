"""A7's judge of files: what its given cells make of honest, damaged and forged ones."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from torch import nn

from course_lib import codec, cost, models, nas, pareto

NOTEBOOK = Path(__file__).parents[1] / "assignments/a7_pareto_capstone/a7_pareto_capstone.ipynb"


@pytest.fixture(scope="module")
def given() -> dict[str, Any]:
    """The names of the notebook's given cells."""
    names: dict[str, Any] = {}
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        kind = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and kind and not (kind["grade"] or kind["solution"]):
            exec(compile(cell.source, cell.id, "exec"), names)
    return names


def file_of(net: nn.Module) -> bytes:
    rounded = {k: torch.round(8 * w) / 8 for k, w in net.state_dict().items()}
    return codec.to_bytes(rounded, techniques=())


@pytest.mark.parametrize("shape", [(), (5,), (7, 3), "lenet"], ids=str)
def test_a_file_becomes_the_network_that_wrote_it(given: dict[str, Any], shape: Any) -> None:
    torch.manual_seed(0)
    net = given["lenet"](2, 3, 9) if shape == "lenet" else models.mlp(shape)
    data = file_of(net)
    forms = [data, torch.tensor(list(data), dtype=torch.uint8), list(data)]
    for form in forms:
        found, size = given["read_file"](form)
        assert size == len(data)
        assert [type(layer) for layer in found] == [type(layer) for layer in net]
        x = torch.randn(2, 1, 28, 28)
        net.load_state_dict(found.state_dict())
        assert torch.equal(found(x), net(x))
        assert cost.count(found, x[:1]).macs == cost.count(net, x[:1]).macs


def test_the_given_lenet_is_the_librarys(given: dict[str, Any]) -> None:
    wanted = {name: w.shape for name, w in models.lenet_5().state_dict().items()}
    assert {k: w.shape for k, w in given["lenet"](20, 50, 500).state_dict().items()} == wanted


def state_of(**shapes: tuple[int, ...]) -> bytes:
    state = {name.replace("__", "."): torch.zeros(shape) for name, shape in shapes.items()}
    return codec.to_bytes(state)


FORGED = {
    "empty": b"",
    "a path": "my_network.safetensors",
    "nothing": None,
    "three bytes": [1, 2, 3],
    "a stray tensor": state_of(a=(2,)),
    "no bias": state_of(fc1__weight=(10, 784)),
    "other images": state_of(fc1__weight=(10, 700), fc1__bias=(10,)),
    "layers that do not fit": state_of(
        fc1__weight=(5, 784), fc1__bias=(5,), fc2__weight=(10, 6), fc2__bias=(10,)
    ),
    "huge but empty": state_of(fc1__weight=(100_000, 0), fc1__bias=(100_000,)),
    "half a LeNet": state_of(conv1__weight=(2, 1, 5, 5), conv1__bias=(2,)),
    "seven classes": state_of(fc1__weight=(7, 784), fc1__bias=(7,)),
    "cut off": codec.to_bytes(models.mlp((3,)))[:-9],
}


@pytest.mark.parametrize("answer", FORGED.values(), ids=FORGED)
def test_anything_else_is_refused_in_a_sentence(given: dict[str, Any], answer: Any) -> None:
    with pytest.raises(AssertionError, match=r"expected the bytes|not a file of such"):
        given["read_file"](answer)


def test_a_long_file_is_refused_unread(given: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="more than 4 MiB"):
        given["read_file"](bytes(given["MOST_BYTES"] + 1))


def test_a_draw_depends_on_the_name_alone_and_leaves_room(given: dict[str, Any]) -> None:
    draws = [given["draw_budget"](f"student {i}") for i in range(300)]
    assert draws == [given["draw_budget"](f" Student {i}\n") for i in range(300)]
    assert {draw["device"] for draw in draws} == {"Cortex-M0", "Cortex-M4", "Cortex-M7"}
    assert all(4096 <= draw["size_bytes"] <= 12_256 for draw in draws)
    linear = cost.count(models.mlp(()), (1, 1, 28, 28)).macs
    assert all(linear < draw["macs"] <= 640_000 for draw in draws)


def test_the_reference_frontier_falls_with_bytes_and_macs(given: dict[str, Any]) -> None:
    error = given["reference_error"]
    for size in (4096, 6000, 12_000):
        for macs in (12_500, 100_000, 600_000):
            assert 0 < error(1.01 * size, macs) < error(size, macs) < 0.1
            assert error(size, 1.01 * macs) < error(size, macs)


def slope(macs: Sequence[float], errors: Sequence[float]) -> float:
    """The exponent of the power law that fits best, by least squares of the logarithms."""
    return float(np.polyfit(np.log(macs), np.log(errors), 1)[0])


def test_the_reference_frontier_bends_as_the_measured_one_does(given: dict[str, Any]) -> None:
    # The benchmark trains for other times and writes other files: its level is not ours.
    table = [(float(each.macs), 1 - each.test_accuracy) for each in nas.TabularBenchmark()]
    best = [table[i] for i in pareto.frontier(table, ["min", "min"])]
    for small in (True, False):
        macs, errors = zip(*[p for p in best if (p[0] < 113_000) == small], strict=True)
        assert len(macs) > 10
        reference = [given["reference_error"](8192, each) for each in macs]
        assert slope(macs, reference) == pytest.approx(slope(macs, errors), abs=0.1)


# Bytes, MACs and validation error of networks by the recipe of the solution, one seed each: in 4
# epochs at a step of 1/8 mlp((15,)), mlp((31,)), lenet(2, 5, 16), lenet(4, 6, 30); in 3 epochs at
# a step of 1/32 lenet(5, 8, 32), lenet(8, 12, 40), lenet(12, 20, 32).
PILOTS = [
    (2527, 11_910, 0.0544),
    (4892, 24_614, 0.0362),
    (845, 46_240, 0.0370),
    (1458, 99_180, 0.0224),
    (3370, 140_416, 0.0210),
    (5662, 276_880, 0.0132),
    (8565, 567_360, 0.0126),
]


def test_one_recipe_ends_below_the_reference_frontier_at_every_size(given: dict[str, Any]) -> None:
    for size, macs, error in PILOTS:
        assert 0.65 < error / given["reference_error"](size, macs) < 0.9


def test_credit_is_monotone_smooth_and_respects_noise(given: dict[str, Any]) -> None:
    budget = {"size_bytes": 8192, "macs": 25_000}
    aim = given["reference_error"](8192, 25_000)

    def score(error: float, size: float = 8192, macs: float = 25_000) -> float:
        return float(given["credit"](error, size, macs, budget, 10_000))

    noise = math.sqrt(aim * (1 - aim) / 10_000)
    assert score(aim) == score(aim + noise) == 1
    assert score(aim / 2) == pytest.approx(2)
    assert score(3 * aim) == 0
    errors = [i / 10_000 for i in range(10_001)]
    scores = [score(error) for error in errors]
    assert all(a >= b for a, b in pairwise(scores))
    # From one wrong image to the next, no jump above that of the logarithm, 1 / (error ln 2).
    for error, a, b in zip(errors[10:], scores[10:], scores[11:], strict=False):
        assert a - b <= 1.2e-4 / (math.log(2) * max(error - 2 * noise, 1e-3)) + 1e-12
    assert score(aim, 2 * 8192) == score(aim, macs=50_000) == 1 / 16
    assert score(aim, size=100) == 1


def test_an_untrained_network_scores_nothing(given: dict[str, Any]) -> None:
    torch.manual_seed(0)
    split = given["data"].load("mnist").validation.head(500)
    entry = given["judge_file"](file_of(models.mlp((4,))), "anybody", split)
    assert list(entry) == ["name", "size_bytes", "macs", "accuracy", "score"]
    assert entry["score"] == 0
    assert entry["name"].startswith("4-10 on Cortex-M")


def test_a_test_cell_builds_the_file_only_once(given: dict[str, Any]) -> None:
    # The text allows 15 seconds for it, and a cell has 30.
    cells = {cell.id: cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells}
    assert "less than 15 seconds" in cells["submission-text"]
    net, calls = models.mlp((4,)), []
    data = file_of(net)

    def compressed_model() -> bytes:
        calls.append(1)
        return data

    names = given | {"student_id": lambda: "anybody", "compressed_model": compressed_model}
    for name in ("file", "budget", "accuracy"):
        calls.clear()
        with contextlib.suppress(AssertionError):  # an untrained network scores nothing
            exec(compile(cells[f"test-submission-{name}"], name, "exec"), dict(names))
        assert len(calls) == 1
