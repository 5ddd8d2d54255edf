"""The contest of equal bytes is fair, and its reading says what the rows say."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from torch import nn

from course_lib.results import Table
from experiments import _contestants, equal_bytes
from experiments._contestants import CONTESTANTS, EPOCHS, Contest, DoesNotFitError

FULL = [(budget, False) for budget in equal_bytes.BUDGETS]


@pytest.mark.parametrize(("budget", "quick"), [*FULL, (equal_bytes.QUICK_BUDGETS[0], True)])
@pytest.mark.parametrize("name", CONTESTANTS)
def test_all_contestants_train_for_as_many_epochs(
    name: str, budget: int, quick: bool, monkeypatch: pytest.MonkeyPatch
):
    spent: list[int] = []

    def fit(self: Contest, model: nn.Module, rate: str, epochs: int, **extra: Any) -> nn.Module:
        spent.append(epochs)
        return copy.deepcopy(model)

    large = _contestants.built(_contestants.models.lenet_300_100, 0)
    monkeypatch.setattr(Contest, "fit", fit)
    monkeypatch.setattr(Contest, "base", property(lambda self: large))
    contest = Contest(budget, 0, quick)
    try:
        CONTESTANTS[name](contest)
    except DoesNotFitError:
        assert name == "low rank"
        return
    entries = len(_contestants.BITS) if name == "quantized" else 1
    assert sum(spent) == entries * contest.epochs
    assert contest.epochs == (_contestants.QUICK_EPOCHS if quick else EPOCHS)


def table(distilled: float) -> Table:
    names = {"small dense": 0.9, "distilled": distilled}
    rows = [
        {
            "budget_bytes": 8192,
            "contestant": name,
            "seed": seed,
            "test_accuracy": accuracy + 0.001 * seed,
            "size_bytes": 8000 + seed,
            "macs": 16_000 if name == "distilled" else 80_000,
            "train_images": 100,
            "epochs": 6,
        }
        for name, accuracy in names.items()
        for seed in range(3)
    ]
    return Table("equal_bytes", tuple(rows[0]), tuple(rows))


def test_the_reading_compares_the_taught_with_the_untaught():
    # Welch: both have s = 0.001, n = 3, so 4 degrees of freedom: +-2.776 * 0.001 * sqrt(2 / 3)
    text = equal_bytes.reading(table(0.88))
    assert "8 KB -2.00 (-2.23 to -1.77)" in text
    assert "8 KB +0.10 (-0.13 to +0.33): no difference shown" in equal_bytes.reading(table(0.901))
    assert "standard deviation over 3 seeds" in " ".join(text.split())


def test_the_reading_counts_the_work_for_each_byte_most_first():
    text = " ".join(equal_bytes.reading(table(0.88)).split())
    assert "small dense 10.0 to 10.0, distilled 2.0 to 2.0." in text
