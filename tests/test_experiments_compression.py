"""Helpers of the compression experiments: what they change, and what they must leave alone."""

from __future__ import annotations

import math
from statistics import mean

import pytest
import torch
from torch import nn

from course_lib import codec, models, prune
from course_lib.data import Split
from course_lib.results import Table
from experiments import compression_order, deep_compression
from experiments._compress import relative_magnitude
from experiments._compress_sharing import SharedWeights, entry_costs
from experiments._compress_training import Shifts, train
from experiments._compress_units import (
    hidden_units,
    kept_weights,
    padded,
    strongest_units,
    take_units,
    without_dead_units,
)
from experiments.compression_order import ORDERS, compressed
from experiments.deep_compression import paper_points

NETWORKS = ("lenet_300_100", "lenet_5")


def network(name: str, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return models.by_name(name).eval()


def pictures(count: int = 512) -> Split:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 1, 28, 28), generator=generator, dtype=torch.uint8)
    return Split(images, torch.arange(count) % 10, (0.1,), (0.3,))


def outputs(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(pictures(8).inputs())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_order_of_units_does_not_matter(name: str) -> None:
    model = network(name)
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(count, generator=generator) for count in hidden_units(model)]
    shuffled = take_units(model, orders)
    first = next(iter(prune.prunable_weights(model)))
    assert not torch.equal(shuffled.state_dict()[first], model.state_dict()[first])
    torch.testing.assert_close(outputs(shuffled), outputs(model), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_units_that_are_taken_out_are_those_that_zeros_would_silence(name: str) -> None:
    model = network(name)
    units = strongest_units(model, tuple(count // 3 for count in hidden_units(model)))
    small = take_units(model, units)
    assert hidden_units(small) == [len(chosen) for chosen in units]
    silenced = network(name)
    layers = [m for m in silenced.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    with torch.no_grad():
        for layer, chosen in zip(layers, units, strict=False):
            gone = torch.ones(len(layer.weight), dtype=torch.bool)
            gone[chosen] = False
            layer.weight[gone] = 0
            layer.bias[gone] = 0
    torch.testing.assert_close(outputs(small), outputs(silenced), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_padded_network_is_whole_and_computes_the_same(name: str, tmp_path) -> None:
    model = network(name)
    small = take_units(model, strongest_units(model, tuple(5 for _ in hidden_units(model))))
    whole = padded(small, network(name, seed=1))
    assert hidden_units(whole) == hidden_units(model)
    assert kept_weights(whole) == kept_weights(small)
    torch.testing.assert_close(outputs(whole), outputs(small), rtol=1e-4, atol=1e-5)
    codec.save(whole, tmp_path / "file", techniques=codec.TECHNIQUES)
    assert torch.equal(outputs(codec.load(tmp_path / "file", model)), outputs(whole))


def test_dead_units_go_until_none_is_left() -> None:
    model = network("lenet_300_100")
    with torch.no_grad():
        model.fc2.weight[7] = 0  # unit 7 of fc2 hears nothing: it goes,
        model.fc2.weight[:, 3] = 0
        model.fc2.weight[7, 3] = 0
        model.fc1.weight[5] = 0
        model.fc3.weight[:, 11] = 0  # and unit 11 says nothing,
        model.fc2.weight[:, 20] = 0
        model.fc2.weight[11, 20] = 1  # so that unit 20 of fc1, which only it hears, goes too
    smaller = without_dead_units(model)
    assert hidden_units(smaller) == [300 - 3, 100 - 2]
    counts = smaller.fc2.weight.count_nonzero(dim=1)
    assert counts.min() > 0


def test_the_largest_share_of_a_layer_is_what_it_is_in_units_of_its_own() -> None:
    weight = torch.tensor([0.0, 3.0, -4.0, 0.0])
    expected = torch.tensor([0.0, 3.0, 4.0, 0.0]) / math.sqrt(12.5)
    torch.testing.assert_close(relative_magnitude(weight), expected)
    torch.testing.assert_close(relative_magnitude(1000 * weight), expected)
    assert relative_magnitude(torch.zeros(3)).tolist() == [0, 0, 0]


def test_shifted_images_move_by_whole_pixels_and_fill_with_the_background() -> None:
    split = pictures(3)
    images = Shifts(split, 1)
    plain = split.inputs()
    every = torch.arange(3)
    assert torch.equal(images.images(every, torch.full((3,), 4)), plain)  # 4: the middle of 3 x 3
    left = images.images(every, torch.full((3,), 5))
    assert torch.equal(left[..., :-1], plain[..., 1:])
    assert bool((left[..., -1] == plain.min()).all())


def test_a_teacher_is_asked_about_the_shift_that_the_student_sees() -> None:
    teacher = network("lenet_300_100")
    images = Shifts(pictures(40), 1).taught_by(teacher)
    inputs, labels, logits = images.batch(torch.arange(40), torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = teacher(inputs)
    torch.testing.assert_close(logits, expected, rtol=0.05, atol=0.02)  # through bfloat16
    assert torch.equal(labels, torch.arange(40) % 10)
    assert torch.equal(images.batch(torch.arange(40), torch.Generator().manual_seed(3))[0], inputs)


def test_training_repeats_and_moves_only_the_model_it_is_given() -> None:
    images = Shifts(pictures(), 1)
    results = []
    for _ in range(2):
        model = network("lenet_300_100")
        train(model, images, epochs=1, learning_rate=1e-3, seed=0)
        results.append(model.state_dict())
    before = network("lenet_300_100").state_dict()
    assert all(torch.equal(results[0][name], results[1][name]) for name in before)
    assert not torch.equal(results[0]["fc1.weight"], before["fc1.weight"])


def test_entries_cost_what_an_ideal_code_would_spend() -> None:
    counts = torch.tensor([900.0, 25.0, 75.0])
    costs = entry_costs(counts, places=1000)
    ideal = 1000 * codec.entropy([900, 25, 75])
    assert float((counts * costs).sum()) == pytest.approx(ideal, rel=1e-5)
    assert bool(torch.isfinite(entry_costs(torch.zeros(3), 0)).all())


def test_without_a_price_the_nearest_entry_is_taken_and_a_price_prunes() -> None:
    model = prune.prune_model(network("lenet_300_100"), 0.9).model
    free, dear = (SharedWeights(model, 2, 3, price) for price in (0.0, 0.3))
    weight = model.fc1.weight.detach()
    codebook = free.codebooks["fc1.weight"]
    nearest = codebook[(weight.flatten()[:, None] - codebook).abs().argmin(1)].view_as(weight)
    assert bool((codebook > 0).any())
    assert bool((codebook < 0).any())
    values = free.plain().fc1.weight
    torch.testing.assert_close(values, nearest)
    assert len(values.unique()) <= 5  # four entries and zero
    assert torch.equal(values.half().float(), values)
    for _ in range(40):
        dear.after_step(model)
    assert kept_weights(dear.plain()) < kept_weights(free.plain())


def test_shared_weights_train_below_their_values_and_zeros_stay() -> None:
    model = network("lenet_300_100")
    mask = torch.rand(300, 784, generator=torch.Generator().manual_seed(7)) < 0.1
    with torch.no_grad():
        model.fc1.weight.mul_(mask)
    shared = SharedWeights(model, 3, 4, 0.0)
    inputs = pictures(8).inputs()
    torch.testing.assert_close(shared(inputs), shared.plain()(inputs))
    shared(inputs).square().sum().backward()
    assert model.fc1.weight.grad is not None
    assert model.fc1.weight.grad[mask].abs().sum() > 0
    train(model, Shifts(pictures(), 1), epochs=1, learning_rate=1e-3, seed=0, forward=shared,
          after_step=shared.after_step)  # fmt: skip
    assert bool((model.fc1.weight[~mask] == 0).all())
    assert bool((shared.plain().fc1.weight[~mask] == 0).all())


@pytest.mark.parametrize("retraining", [0, 1])
@pytest.mark.parametrize("order", ORDERS)
def test_both_orders_end_with_the_same_number_of_weights_and_values(
    order: str, retraining: int
) -> None:
    dense = network("lenet_300_100")
    images = Shifts(pictures(), 1)
    model = compressed(dense, order, 0.9, 2, retraining, images, seed=0)
    total = sum(weight.numel() for weight in prune.prunable_weights(dense).values())
    assert kept_weights(model) == total - round(0.9 * total)
    for weight in prune.prunable_weights(model).values():
        assert len(weight[weight != 0].unique()) <= 4
    moved = not torch.equal(model.fc1.bias, dense.fc1.bias)
    assert moved == bool(retraining)
    assert kept_weights(dense) == total


def test_papers_stand_beside_both_networks() -> None:
    assert {name for _, _, name in paper_points("LeNet-300-100")} == {
        "Deep Compression",
        "soft weight-sharing",
    }
    assert (0.96, 1110, "MIRACLE, highest compression") in paper_points("LeNet-5")


# Their readings


def error_row(stage: str, seed: int, error: float, kept: int = 100) -> dict[str, object]:
    cost = {"kept": kept, "size_bytes": 4000 // kept, "compression_times": 1000 / kept}
    same = {"network": "lenet_5", "weights": kept, "test_error_percent": error}
    return {"stage": stage, "seed": seed, **cost, **same}


DENSE_ERRORS = (0.95, 0.96, 1.01)


def curve(errors: dict[int, tuple[float, float, float]]) -> Table:
    """Three dense networks, and by number of weights what is compressed from them."""
    stages = (*deep_compression.STAGES, deep_compression.DENSE_LONGER)
    rows = [error_row(deep_compression.DENSE, seed, 1.5) for seed in range(3)]
    for stage in stages:
        of_stage = {100: DENSE_ERRORS} if stage == deep_compression.DENSE_LONGER else errors
        rows += [
            error_row(stage, seed, error, kept)
            for kept, by_seed in of_stage.items()
            for seed, error in enumerate(by_seed)
        ]
    rows.reverse()  # not in the order of the seeds
    return Table("deep_compression", tuple(rows[0]), tuple(rows))  # type: ignore[arg-type]


def test_a_limit_that_is_met_exactly_is_not_decided_by_the_last_bit_of_a_float() -> None:
    on_it = (1.05, 1.06, 1.11)
    assert mean(on_it) > mean(DENSE_ERRORS) + 0.1  # in floats
    said = deep_compression.reading(curve({50: on_it, 20: (1.05, 1.06, 1.12)}))
    assert "up to 20 times smaller; that file lies +0.10 points above it" in said
    assert "(seed by seed +0.10, +0.10, +0.10), 95 % interval +0.03 to +0.17" in said
    assert "neither side of the limit is shown" in said


def test_a_third_of_an_image_above_the_limit_is_above_it() -> None:
    said = deep_compression.reading(curve({50: (1.05, 1.06, 1.12), 20: (2.0, 2.1, 2.2)}))
    assert "at no point of the curve; the largest file lies +0.10 points above it" in said
    assert "+0.10, +0.10, +0.11" in said


def test_a_loss_beyond_the_limit_is_called_so() -> None:
    said = deep_compression.reading(curve({50: (2.0, 2.0, 2.1)}))
    assert "at no point" in said
    assert "neither side" not in said


def test_the_reading_says_that_the_seed_of_the_pilots_is_reported_too() -> None:
    table = curve({50: (1.0, 1.1, 1.2)})
    assert "seed 0 (also one of the 3 reported here)" in deep_compression.reading(table)
    others = tuple(row | {"seed": int(row["seed"]) + 1} for row in table.rows)
    said = deep_compression.reading(Table("deep_compression", table.columns, others))
    assert "reported here" not in said


def test_both_orders_are_compared_with_the_interval() -> None:
    first, second = [1.0, 1.1, 1.2], [2.0, 2.1, 2.2]
    difference, verdict = compression_order._compared(second, first)
    assert difference == "+1.00 (0.77 to 1.23)"
    assert verdict == "pruning first is better"
    assert compression_order._compared(first, first)[1] == "no difference shown"
    assert compression_order._compared(first[:1], second[:1])[0] == "-1.00"
