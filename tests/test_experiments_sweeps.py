"""The sweeps of quantization and pruning: what they cut, store, count and conclude."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import astuple, replace
from itertools import pairwise, product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from course_lib import data, models, prune, quantize, surgery, train
from course_lib.results import Table, read

# Experiments are run from a checkout, `python -m experiments`, and are not installed.
from experiments import _channels, _measured, _nets, _spread, pruning, quantization
from experiments import _pruning_details as pruning_details
from experiments import _pruning_report as pruning_report
from experiments import _quantization_details as quantization_details
from experiments import _quantization_report as quantization_report

EXAMPLE = torch.zeros(1, 1, 28, 28)
RESULTS = Path(__file__).resolve().parent.parent / "results"


@pytest.fixture(scope="module")
def lenet() -> nn.Module:
    torch.manual_seed(0)
    return models.lenet_300_100().eval()


@pytest.fixture(scope="module")
def convolutional() -> nn.Module:
    """Convolution, depthwise convolution and shortcut-free batch norm, all of odd sizes."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 7, 3), nn.BatchNorm2d(7), nn.ReLU(), nn.Conv2d(7, 7, 3, groups=7)]
    layers += [nn.Conv2d(7, 11, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(11, 10)).eval()


@pytest.fixture
def about(lenet: nn.Module) -> _nets.Subject:
    mnist = data.load("mnist")
    dataset = replace(mnist, train=mnist.train.head(260), validation=mnist.validation.head(50))
    return _nets.Subject(_nets.REDUNDANT, lenet, dataset, mnist.validation.head(60))


# Numbers about seeds


def test_drops_pair_each_row_with_the_unchanged_network_of_its_own_seed() -> None:
    unchanged = [{"net": "a", "seed": s, "accuracy": 0.9 + s / 100} for s in (2, 0, 1)]
    rows = [{"net": "a", "seed": s, "accuracy": 0.9} for s in (0, 1, 2)]
    assert _spread.drops(rows, unchanged) == pytest.approx([0.0, 0.01, 0.02])


def test_points_are_percentage_points_with_the_sample_deviation() -> None:
    assert _spread.points([0.01, 0.03]) == "2.00 ± 1.41"
    assert _spread.points([0.01]) == "1.00"
    assert _spread.points([]) == _spread.with_deviation([]) == "–"


def test_ratios_pair_each_row_with_the_unchanged_network_of_its_own_seed() -> None:
    unchanged = [{"net": "a", "seed": s, "cpu_ms": 2.0 + s} for s in (1, 0)]
    rows = [{"net": "a", "seed": s, "cpu_ms": 1.0} for s in (0, 1)]
    assert _spread.ratios(rows, unchanged, "cpu_ms") == pytest.approx([1 / 2, 1 / 3])


def test_changes_are_percent_with_their_sign_and_no_negative_zero() -> None:
    assert _spread.changes([1.01, 1.03]) == "+2.0 ± 1.4 %"
    assert _spread.changes([0.9]) == "-10.0 %"
    assert _spread.changes([0.9999]) == "+0.0 %"


def test_the_deviation_counts_seeds_and_not_rows() -> None:
    rows = [{"seed": seed} for seed in (0, 1, 1, 4)]
    assert _spread.deviation(rows) == "standard deviation over 3 seeds"
    assert "one seed" in _spread.deviation(rows[:1])


def test_chance_is_the_share_of_the_commonest_digit() -> None:
    labels = data.load("mnist").open_test("the commonest digit of the test images").labels
    assert int(labels.bincount().max()) / len(labels) == _spread.CHANCE


def seeds_of(*accuracies: float, net: str = "a") -> list[dict[str, object]]:
    return [
        {"net": net, "seed": seed, "accuracy": accuracy, "test_images": 10_000}
        for seed, accuracy in enumerate(accuracies)
    ]


@pytest.mark.parametrize(
    ("accuracy", "images", "above"),
    [(0.1135, 10_000, False), (0.122, 10_000, False), (0.1235, 10_000, True), (0.14, 1000, False)],
)
def test_above_chance_is_three_standard_errors_above_the_commonest_digit(
    accuracy: float, images: int, above: bool
) -> None:
    assert _spread.above_chance({"accuracy": accuracy, "test_images": images}) == above


def compared(*accuracies: tuple[tuple[float, ...], tuple[float, ...]]) -> list[_spread.Comparison]:
    """Comparisons of networks called 0, 1, ... at 8 bits, by the accuracies of their seeds."""
    pairs = {
        ("net", str(index), "8 bits"): (seeds_of(*first), seeds_of(*second))
        for index, (first, second) in enumerate(accuracies)
    }
    return _spread.compared(pairs, seeds_of(1.0, 1.0, 1.0))


GOOD, SAME, BAD = (0.9, 0.91, 0.92), (0.92, 0.9, 0.91), (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("pair", "numbers"),
    [
        ((BAD, GOOD), ["+41.00", "38.52 to 43.48", "more lost"]),
        ((GOOD, BAD), ["-41.00", "-43.48 to -38.52", "less lost"]),
        ((GOOD, SAME), ["+0.00", "-2.27 to 2.27", "no difference shown"]),
        ((BAD, (0.9,)), ["+40.00", "–", "not tested"]),
        (((0.09, 0.0901), (0.1135, 0.1134)), ["–", "–", "both at chance"]),
    ],
    ids=["more", "less", "equal", "one seed", "chance"],
)
def test_a_comparison_claims_only_what_the_seeds_support(
    pair: tuple[tuple[float, ...], tuple[float, ...]], numbers: list[str]
) -> None:
    (found,) = compared(pair)
    assert found.cells[-3:] == numbers
    assert found.cells[:3] == ["net", "0", "8 bits"]


def test_the_losses_of_both_stand_beside_their_difference() -> None:
    assert compared((BAD, GOOD))[0].cells[3:5] == ["50.00 ± 0.00", "9.00 ± 1.00"]


def test_what_has_no_rows_is_not_compared() -> None:
    assert compared(((), GOOD), (GOOD, ())) == []


def test_one_seed_above_chance_is_enough_to_compare() -> None:
    (found,) = compared(((0.09, 0.0901, 0.0902), (0.1135, 0.1134, 0.2)))
    assert found.verdict == "no difference shown"


def comparison(
    network: str, what: str, level: str, first: tuple[float, ...], second: tuple[float, ...]
) -> _spread.Comparison:
    return _spread.Comparison(network, what, level, first, second, at_chance=False)


def test_a_summary_names_every_comparison_under_its_verdict() -> None:
    more, most = (0.95, 0.951, 0.952), (0.96, 0.961, 0.962)
    found = [
        comparison("A", what, level, first, SAME)
        for what, level, first in (
            ("channels", "80 %", more),
            ("channels", "90 %", most),
            ("shares", "80 %", more),
            ("shares", "90 %", more),
            ("shares", "95 %", SAME),
        )
    ]
    assert _spread.summary("Structures", found[:2] + found[4:]) == (
        "Structures, A: more lost with channels at 80 and 90 % (up to +5.10); "
        "no difference shown with shares at 95 %."
    )
    fewer = [comparison("A", "x", level, SAME, b) for level, b in (("8 %", more), ("9 %", most))]
    assert _spread.summary("Kind", fewer) == "Kind, A: less lost at 8 and 9 % (up to -5.10)."
    assert "with channels and shares at 80 and 90 % (up" in _spread.summary("Kind", found[:4])
    assert "with channels at 80 and 90 %, shares at 80 % (up" in _spread.summary("Kind", found[:3])


def test_a_summary_says_once_what_all_comparisons_share() -> None:
    one_level = [comparison("A", what, "4 bits", GOOD, SAME) for what in "xy"]
    one_level.append(comparison("B", "x", "4 bits", GOOD, BAD))
    assert _spread.summary("Criteria", one_level) == (
        "Criteria at 4 bits, A: no difference shown with x and y; B: more lost with x (+41.00)."
    )
    one_what = [comparison("A", "QAT", f"{bits} bits", GOOD, SAME) for bits in (8, 4)]
    assert _spread.summary("A in the loop", one_what) == (
        "A in the loop: no difference shown at 8 and 4 bits."
    )


def test_a_summary_of_many_alike_is_their_number() -> None:
    found = [comparison("A", str(index), "4 bits", GOOD, SAME) for index in range(5)]
    assert _spread.summary("Kind", found) == "Kind at 4 bits: in all 5 no difference shown."
    assert _spread.summary("Kind", []) == ""


def test_widths_are_of_the_intervals_that_show_no_difference() -> None:
    assert _spread.widths(compared((GOOD, SAME), (GOOD, BAD), (BAD, (0.9,)))) == (
        "Intervals showing no difference are 4.5 to 4.5 points wide."
    )
    assert _spread.widths(compared((GOOD, BAD))) == ""


def test_a_section_is_a_heading_a_caption_and_a_table() -> None:
    assert _spread.section("## Files", "In bytes.", ("net", "n"), [["a", "1,234"]]) == (
        "## Files\n\nIn bytes.\n\n| net | n     |\n| --- | ----- |\n| a   | 1,234 |"
    )


def test_the_last_level_above_chance_has_one_network_above_it_in_every_seed() -> None:
    chance, partly, good = seeds_of(0.1, 0.1), seeds_of(0.1, 0.5), seeds_of(0.5, 0.5)
    pairs = {0.5: (good, good), 0.9: (chance, good), 0.95: (chance, partly), 0.8: (good, good)}
    assert _spread.last_above_chance(pairs) == 0.9
    assert _spread.last_above_chance({0.9: (chance, chance), 0.8: (chance, partly)}) == 0.8


def test_rows_are_chosen_by_every_wish() -> None:
    rows = tuple({"a": a, "b": b} for a, b in product((1, 2), (1, 2)))
    assert _spread.where(Table("t", ("a", "b"), rows), a=1, b=2) == [{"a": 1, "b": 2}]


# Files


def test_a_file_of_nonzeros_gives_the_same_network_back_in_fewer_bytes(lenet: nn.Module) -> None:
    pruned = prune.prune_model(lenet, 0.9).model
    read, size = _nets.through_file(pruned, ["sparse"])
    assert torch.equal(read(EXAMPLE + 1), pruned(EXAMPLE + 1))
    assert 4 * 26_620 < size < 0.2 * _nets.through_file(lenet, ["sparse"])[1]


@pytest.mark.parametrize("scheme", ["symmetric", "affine", "codebook"])
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_a_quantized_file_holds_packed_levels_and_gives_the_same_logits(
    lenet: nn.Module, scheme: str, bits: int
) -> None:
    setting = quantization.Setting(scheme, "channel", "min_max", bits, 32)
    model = quantization._quantized(lenet, setting, [])
    read, size = quantization.stored(model)
    inputs = torch.randn(5, 1, 28, 28)
    assert torch.equal(read(inputs), model(inputs))
    levels, the_rest = 266_200 * bits / 8, 410 * 9 + 3 * 256 * 4  # biases, scales, codebooks
    assert levels < size < levels + the_rest + 3000


def test_a_binary_file_holds_a_bit_per_weight(lenet: nn.Module) -> None:
    setting = quantization.Setting("binary", "channel", "none", 1, 32)
    model = quantization._quantized(lenet, setting, [])
    read, size = quantization.stored(model)
    assert torch.equal(read(EXAMPLE + 1), model(EXAMPLE + 1))
    assert 266_200 / 8 < size < 266_200 / 8 + 410 * 8 + 3000


def test_activations_are_quantized_only_where_the_setting_says(lenet: nn.Module) -> None:
    inputs = torch.randn(4, 1, 28, 28)
    observers = [
        [
            module.activation_bits
            for module in quantization._quantized(
                lenet, quantization.Setting("affine", "tensor", "mse", 4, bits), [inputs]
            ).modules()
            if isinstance(module, quantize.QuantizedLayer)
        ]
        for bits in (32, 3)
    ]
    assert observers == [[None] * 3, [3] * 3]


# The plan


def test_every_bit_width_meets_every_grid_with_and_without_activations() -> None:
    settings = list(quantization.ptq_settings(quick=False))
    assert len(settings) == len({astuple(setting) for setting in settings})
    tried = {(s.scheme, s.granularity, s.range, s.bits, s.activation_bits) for s in settings}
    grids = product(("symmetric", "affine"), ("tensor", "channel"), ("min_max", "mse"))
    for (scheme, granularity, method), bits in product(grids, range(2, 9)):
        assert (scheme, granularity, method, bits, 32) in tried
        assert (scheme, granularity, method, bits, bits) in tried


def test_training_covers_every_level_of_every_factor() -> None:
    schemes = ("float", "symmetric", "affine", "codebook", "binary")
    settings = [s for scheme in schemes for s in quantization.qat_settings(scheme, quick=False)]
    assert len(settings) == len({astuple(setting) for setting in settings})
    assert {s.granularity for s in settings} == {"none", "tensor", "channel"}
    assert {s.bits for s in settings} == {1, *range(2, 9), 32}
    assert {s.activation_bits for s in settings} == {*range(2, 9), 32}


@pytest.mark.parametrize("quick", [True, False], ids=["quick", "full"])
def test_plans_cover_every_criterion_structure_and_schedule_once(quick: bool) -> None:
    plans = [*pruning.one_shot_plans(quick), *pruning.retrained_plans(quick)]
    labels = [tuple(plan.labels.values()) for plan in plans]
    assert len(labels) == len(set(labels))
    criteria, structures, schedules = map(set, zip(*labels, strict=True))
    assert schedules == {"one_shot", "one_shot_retrained", "iterative", "gradual"}
    assert structures == set(pruning.STRUCTURES)
    assert criteria >= {"magnitude", "random", "apoz"}
    assert quick or criteria >= {"taylor", "obd"}
    assert all(low < high for plan in plans for low, high in pairwise(plan.sparsities))
    assert all(structure == "channels" for c, structure, _ in labels if c == "apoz")


@pytest.mark.parametrize("module", [quantization, pruning], ids=["quantization", "pruning"])
@pytest.mark.parametrize("quick", [True, False], ids=["quick", "full"])
def test_no_job_would_be_taken_for_another(module: object, quick: bool) -> None:
    keys = [job.key for job in module.jobs(quick)]  # type: ignore[attr-defined]
    for one, other in product(keys, keys):
        assert one is other or not one.items() <= other.items()


# Cutting channels


@pytest.mark.parametrize("share", [0.9, 0.5, 0.21])
def test_no_more_channels_go_than_the_limit_asks_for(
    convolutional: nn.Module, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_channels, "STEPS", 22)
    limit = share * _channels.weights(convolutional)
    fraction = _channels.channel_fraction(convolutional, EXAMPLE, limit)
    scores = prune.score_model(convolutional)

    def left(fraction: float) -> int:
        chosen = surgery.weakest_channels(convolutional, EXAMPLE, scores, fraction)
        return _channels.weights(surgery.remove_channels(convolutional, EXAMPLE, chosen))

    tried = [step / _channels.STEPS for step in range(_channels.STEPS + 1)]
    assert fraction == next(f for f in tried if left(f) <= limit)
    thin = _channels.thin(convolutional, EXAMPLE, scores, limit)
    assert _channels.weights(thin) == left(fraction)


def test_an_impossible_limit_leaves_one_channel_per_layer(convolutional: nn.Module) -> None:
    scores = prune.score_model(convolutional)
    thin = _channels.thin(convolutional, EXAMPLE, scores, limit=1)
    assert [layer.out_channels for layer in thin if isinstance(layer, nn.Conv2d)] == [1, 1, 1]


@pytest.mark.parametrize("kept", [1, 3, 6, 7])
def test_exactly_the_wanted_channels_are_kept(convolutional: nn.Module, kept: int) -> None:
    thin = _channels.keep_channels(convolutional, EXAMPLE, lambda n: min(n, kept))
    convolutions = [layer for layer in thin if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [kept] * 3


def test_gradual_thinning_silences_channels_for_good(convolutional: nn.Module) -> None:
    model, _ = _nets.through_file(convolutional)
    thinner = _channels.GradualThinner(EXAMPLE, final=0.6, steps=25)
    silent: list[set[int]] = []
    for _ in range(25):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))  # as momentum would
        thinner(model)
        if thinner.channels:
            silenced = surgery.mask_channels(model, EXAMPLE, thinner.channels)
            for mine, zeroed in zip(model.parameters(), silenced.parameters(), strict=True):
                assert torch.equal(mine, zeroed)
        silent.append(set(thinner.channels.get("4", ())))
    assert all(before <= after for before, after in pairwise(silent))
    assert len(silent[0]) == 0 < len(silent[10]) < len(silent[-1]) == round(0.6 * 11)
    inputs = torch.randn(3, 1, 28, 28)
    smaller = surgery.remove_channels(model, EXAMPLE, thinner.channels)
    assert torch.allclose(smaller(inputs), model(inputs), rtol=1e-4, atol=1e-4)


# Pruning with retraining


@pytest.mark.parametrize("structure", pruning.STRUCTURES)
@pytest.mark.parametrize("schedule", list(pruning.SCHEDULES))
def test_retrained_networks_are_as_sparse_as_planned(
    about: _nets.Subject, structure: str, schedule: str
) -> None:
    plan = pruning.Plan("magnitude", structure, schedule, (0.8,))
    model = pruning.SCHEDULES[schedule](about, plan, 0.8, 0)
    counts = _measured._counts(about, model)
    assert 0.8 - 1e-4 <= counts["weight_sparsity"] < 0.81
    weights = _channels.weights(model)
    assert weights == counts["nonzero_weights"] if structure == "channels" else weights == 266_200
    if structure == "unstructured_layer":
        each = [(w == 0).float().mean().item() for w in prune.prunable_weights(model).values()]
        assert each == pytest.approx([0.8] * 3, abs=1e-3)


@pytest.mark.parametrize("schedule", list(pruning.SCHEDULES))
def test_every_schedule_trains_on_as_many_images(
    about: _nets.Subject, schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    fit = train.fit

    def counting(model: nn.Module, dataset: data.Dataset, **rest: object) -> train.FitResult:
        seen.append(len(dataset.train) * int(rest["epochs"]))  # type: ignore[call-overload]
        return fit(model, dataset, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(train, "fit", counting)
    plan = pruning.Plan("magnitude", "unstructured_global", schedule, (0.5,))
    pruning.SCHEDULES[schedule](about, plan, 0.5, 0)
    assert sum(seen) == _nets.RETRAIN_EPOCHS * 260


def test_what_was_pruned_stays_pruned_in_the_next_round(about: _nets.Subject) -> None:
    plan = pruning.Plan("random", "unstructured_global", "iterative", ())
    first, _ = pruning._pruned(about, about.model, plan, 0.5)
    second, _ = pruning._pruned(about, first, plan, 0.75)
    for name, weight in prune.prunable_weights(second).items():
        assert not weight[prune.prunable_weights(first)[name] == 0].any()


# Costs and their reading


def test_nonzero_macs_are_the_sum_of_each_layers_macs_times_its_density(
    about: _nets.Subject,
) -> None:
    sparsities = {"fc1.weight": 0.5, "fc2.weight": 0.9, "fc3.weight": 0.0}
    model = prune.prune_model(about.model, sparsities, scope="layer").model
    counts = _measured._counts(about, model)
    assert counts["nonzero_macs"] == 0.5 * 235_200 + 0.1 * 30_000 + 1000
    assert counts["macs"] == 266_200


def test_times_come_for_every_model_and_batch(about: _nets.Subject) -> None:
    times = _measured.times(about, {"a": about.model, "b": about.model}, passes=2)
    assert times.keys() == {"a", "b"}
    for row in times.values():
        assert (row["batch"], row["single_batch"]) == (_measured.BATCH, 1)
        numbers = [value for name, value in row.items() if name.endswith("_ms")]
        assert len(numbers) == 8
        assert all(value >= 0 for value in numbers)


@pytest.mark.parametrize(
    ("width", "kind"),
    [(64, "multiples of 16"), (72, "multiples of 8"), (70, "other even"), (71, "odd")],
)
def test_widths_are_named_by_their_largest_power_of_two(width: int, kind: str) -> None:
    assert pruning_details.kind_of_width(width) == kind


def test_time_beyond_the_line_is_found_where_it_was_put() -> None:
    rows = [
        {"kept": str(w), "macs": 100 * w, "cpu_ms": (1 + 0.001 * w) * (1.1 if w % 2 else 1.0)}
        for w in range(64, 96)
    ]
    found = pruning_details.width_residuals(rows)
    assert found["odd"] - found["other even"] == pytest.approx(0.1 / 1.05, abs=0.01)
    assert found["multiples of 16"] == pytest.approx(found["multiples of 8"], abs=0.01)


def pruning_row(accuracy: float, **columns: object) -> dict[str, object]:
    usual = {"net": _nets.EFFICIENT, "seed": 0, "study": "sweep", "criterion": "magnitude"}
    how = {"structure": "channels", "schedule": "one_shot_retrained", "sparsity": 0.9}
    return usual | how | {"accuracy": accuracy, "test_images": 10_000, "cpu_ms": 1.0} | columns


def table_of(rows: list[dict[str, object]]) -> Table:
    return Table("made_up", tuple(rows[0]), tuple(rows))  # type: ignore[arg-type]


def over_seeds(*rows: dict[str, object]) -> list[dict[str, object]]:
    """Three seeds of every row, a hundredth of a point apart but for the unchanged networks."""
    made = []
    for row, seed in product(rows, range(3)):
        unchanged = "none" in (row.get("schedule"), row.get("method"))
        accuracy = row["accuracy"] + (0 if unchanged else seed / 10_000)  # type: ignore[operator]
        made.append(row | {"seed": seed, "accuracy": accuracy})
    return made


def test_schedules_are_compared_where_one_is_above_chance() -> None:
    dense = pruning_row(0.99, study="dense", schedule="none")
    levels = {0.8: (0.9, 0.8), 0.9: (0.5, 0.1), 0.95: (0.1, 0.11)}
    rows = [
        pruning_row(accuracy, schedule=schedule, sparsity=sparsity)
        for sparsity, pair in levels.items()
        for schedule, accuracy in zip(("one_shot_retrained", "iterative"), pair, strict=True)
    ]
    rows += [
        pruning_row(0.1, schedule=schedule, sparsity=sparsity, structure="unstructured_layer")
        for schedule, sparsity in product(("one_shot_retrained", "iterative", "gradual"), levels)
    ]
    found = pruning_details.schedules(table_of(over_seeds(dense, *rows)))
    verdicts = {(one.what, one.level): one.verdict for one in found}
    assert verdicts["iterative for channels", "90 %"] == "more lost"
    assert verdicts["iterative for equal shares", "80 %"] == "both at chance"
    assert len(found) == 3


def test_structures_are_compared_with_their_intervals() -> None:
    dense = pruning_row(0.99, study="dense", schedule="none")
    rows = [pruning_row(0.85), pruning_row(0.12, structure="unstructured_global")]
    (found,) = pruning_details.structures(table_of(over_seeds(dense, *rows)))
    assert found.cells[:3] == ["MobileNet", "channels", "90 %"]
    assert found.cells[-3:] == ["-73.00", "-73.02 to -72.98", "less lost"]


def test_the_words_for_the_times_say_where_they_rise_again() -> None:
    dense = {"study": "dense", "schedule": "none", "criterion": "none", "cpu_ms": 2.0}
    times = {"channels": (1.6, 1.2, 1.7), "unstructured_global": (2.0, 1.9, 2.1)}
    rows = []
    for net in pruning_details.NAMES:
        rows.append(pruning_row(0.9, **dense | {"net": net}))
        for structure, found in times.items():
            for sparsity, cpu_ms in zip((0.8, 0.9, 0.95), found, strict=True):
                how = {"net": net, "structure": structure, "schedule": "one_shot"}
                rows.append(pruning_row(0.9, **how, sparsity=sparsity, cpu_ms=cpu_ms))
    said = pruning_report._course_of_times(table_of(rows))
    assert "at 90 % for MobileNet (0.60 of dense, then 0.85 at 95 %)" in said
    assert "single weights always 0.95 to 1.05" in said


def test_rows_of_a_job_differ_in_the_key_and_open_the_test_split_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        _nets, "_trained", lambda net, seed, quick: _nets.NETS[net].untrained(seed)
    )
    before = len(data.test_openings())
    rows = list(quantization._ptq(_nets.REDUNDANT, 0, True))
    assert len(data.test_openings()) == before + 1
    assert len({tuple(row.get(name) for name in quantization.KEY[2:]) for row in rows}) == len(
        rows
    )
    sizes = {
        row["bits"]: row["size_bytes"]
        for row in rows
        if (row["scheme"], row["granularity"], row["activation_bits"])
        == ("symmetric", "tensor", 32)
    }
    assert sizes[2] < sizes[4] < sizes[8] < rows[0]["size_bytes"]


def quantization_row(**columns: object) -> dict[str, object]:
    usual = {"net": _nets.EFFICIENT, "seed": 0, "method": "ptq", "scheme": "symmetric"}
    grid = {"granularity": "channel", "range": "min_max", "bits": 4, "activation_bits": 4}
    rest = {"batch_norm": "kept", "accuracy": 0.9, "test_images": 10_000, "dataset": "mnist"}
    return usual | grid | rest | columns


def test_losses_are_of_the_rows_asked_for_and_not_of_folded_ones() -> None:
    rows = [
        quantization_row(method="none", scheme="float", bits=32, activation_bits=32),
        quantization_row(accuracy=0.8),
        quantization_row(accuracy=0.7, batch_norm="folded"),
        quantization_row(accuracy=0.6, activation_bits=32),
        quantization_row(accuracy=0.5, granularity="tensor"),
        quantization_row(accuracy=0.4, range="mse"),
    ]
    table = Table("quantization", tuple(rows[0]), tuple(rows))  # type: ignore[arg-type]
    lost = lambda whole, **wanted: quantization_details.losses(
        table, _nets.EFFICIENT, 4, whole, **wanted
    )
    assert lost(True) == pytest.approx([0.1])
    assert lost(True, batch_norm="folded") == pytest.approx([0.2])
    assert lost(False) == pytest.approx([0.3])
    assert lost(True, granularity="tensor") == pytest.approx([0.4])
    assert lost(True, range="mse") == pytest.approx([0.5])


FLOAT = {"method": "none", "scheme": "float", "bits": 32, "activation_bits": 32, "accuracy": 0.99}


def qat_table() -> Table:
    rows = [quantization_row(**FLOAT, net=net) for net in quantization_details.NAMES]
    accuracies = {8: (0.98, 0.99), 4: (0.95, 0.95), 3: (0.9, 0.5), 2: (0.1, 0.09)}
    for bits, pair in accuracies.items():
        for method, accuracy in zip(("qat", "ptq"), pair, strict=True):
            how = {"method": method, "bits": bits, "activation_bits": bits}
            rows.append(quantization_row(**how, accuracy=accuracy))
    return table_of(over_seeds(*rows))


def test_training_in_the_loop_is_compared_bit_by_bit_with_intervals() -> None:
    found = quantization_details.trained_against_not(qat_table(), _nets.EFFICIENT)
    assert [(one.level, one.verdict) for one in found] == [
        ("8 bits", "more lost"),
        ("4 bits", "no difference shown"),
        ("3 bits", "less lost"),
        ("2 bits", "both at chance"),
    ]
    assert found[0].cells[-3:-1] == ["+1.00", "0.98 to 1.02"]
    assert found[2].cells[-3:-1] == ["-40.00", "-40.02 to -39.98"]


def test_the_figure_claims_gains_only_where_they_are_shown() -> None:
    said = quantization_report._gains(qat_table())
    assert said.endswith("for LeNet-300-100 nowhere and for MobileNet at 3 bits")


def test_checkpoints_stand_beside_the_images_they_were_tested_on() -> None:
    few = {"dataset": "cifar10 (copies)", "test_images": 2000}
    rows = [quantization_row(**FLOAT)]
    for net, where in (("lenet_5", {}), ("resnet20", few), ("vgg_cifar", few)):
        rows += [
            quantization_row(**FLOAT | where, net=net),
            quantization_row(**where, net=net, bits=8, activation_bits=8, accuracy=0.989),
        ]
    said = quantization_details._checkpoints(table_of(rows))
    assert [cells_of(line) for line in said.splitlines()[-3:]] == [
        ["lenet_5", "mnist", "10,000", "0.01", "0.10"],
        ["resnet20", "cifar10 (copies)", "2,000", "0.05", "0.10"],
        ["vgg_cifar", "cifar10 (copies)", "2,000", "0.05", "0.10"],
    ]
    assert quantization_report._checkpoints(table_of(rows)) == (
        "One-seed checkpoints lose 0.10 to 0.10 at 8 bits."
    )


# What is written about the tables in results/

MODULES = pytest.mark.parametrize(
    "module", [pruning, quantization], ids=["pruning", "quantization"]
)


def of_results(module: ModuleType) -> Table:
    return read(RESULTS / f"{module.__name__.rpartition('.')[2]}.csv")


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def comparisons_in(details: str) -> list[list[str]]:
    """The rows of all tables of comparisons."""
    rows = [cells_of(line) for line in details.splitlines() if line.startswith("|")]
    return [row for row in rows if row[-1] in _spread.VERDICTS]


def kinds_in(module: ModuleType, table: Table) -> list[list[_spread.Comparison]]:
    """What is compared, by the kinds that the reading sums up."""
    if module is pruning:
        kinds = ("structures", "criteria", "schedules", "networks")
        return [getattr(pruning_details, kind)(table) for kind in kinds]
    nets = quantization_details.NAMES
    in_the_loop = [quantization_details.trained_against_not(table, net) for net in nets]
    both = quantization_details.networks(table), quantization_details.scales(table)
    return [*both, [one for found in in_the_loop for one in found]]


@pytest.mark.parametrize(("module", "limit"), [(pruning, 350), (quantization, 300)])
def test_a_reading_is_one_paragraph_that_can_be_read(module: ModuleType, limit: int) -> None:
    said = module.reading(of_results(module))
    assert len(said.split()) <= limit
    assert "\n" not in said
    for part in ("over 3 seeds", "not corrected for many comparisons", "tables below"):
        assert part in said
    assert len(said.partition("Not shown: ")[2].split()) > 30


@MODULES
def test_every_comparison_stands_once_in_the_details(module: ModuleType) -> None:
    table = of_results(module)
    written = comparisons_in(module.details(table))
    assert written == [one.cells for found in kinds_in(module, table) for one in found]
    names = [tuple(row[:3]) for row in written]
    assert len(names) == len(set(names))


@MODULES
def test_what_the_reading_says_stands_in_the_details(module: ModuleType) -> None:
    table = of_results(module)
    said, rows = module.reading(table), comparisons_in(module.details(table))
    verdicts = {row[-1] for row in rows}
    assert {verdict for verdict in _spread.VERDICTS if verdict in said} == verdicts
    shown = re.findall(r"(more lost|less lost)[^;]*?\((?:up to )?([-+][\d.]+)\)", said)
    assert len(shown) >= 5
    for verdict, number in shown:
        assert [row for row in rows if (row[-1], row[-3]) == (verdict, number)], (verdict, number)
    for found in kinds_in(module, table):
        assert _spread.summary("", found).partition(": ")[2] in said


def quick_version(module: ModuleType) -> Table:
    """The rows of a full table that `--quick` makes, too."""
    if module is pruning:
        plans = [*pruning.one_shot_plans(True), *pruning.retrained_plans(True)]
        made = {(*plan.labels.values(), level) for plan in plans for level in plan.sparsities}
        made |= {("magnitude", "channels", "one_shot", kept) for kept in ("63", "64")}
        made |= {("magnitude", "channels", "one_shot", kept) for kept in ("n - 0", "n - 1")}
        made |= {("none", "none", schedule, 0.0) for schedule in ("none", "retrained")}
        columns = ("criterion", "structure", "schedule")
    else:
        settings = {"ptq": [*quantization.ptq_settings(True)]}
        settings["qat"] = quantization.qat_settings("symmetric", True)
        made = {(method, *astuple(s)) for method, found in settings.items() for s in found}
        made |= {("none", *row[1:]) for row in made if row[1] == "float"}
        columns = ("method", *quantization.SETTING)
    table = of_results(module)

    def label(row: Mapping[str, Any]) -> tuple[object, ...]:
        found = [row[column] for column in columns]
        if module is pruning:
            return *found, row["kept"] if row["study"] == "widths" else row["sparsity"]
        return *found[:-1], "kept" if row["batch_norm"] == "none" else row["batch_norm"]

    rows = [
        r for r in table.rows if r["seed"] == 0 and r["net"] in _nets.NETS and label(r) in made
    ]
    return Table(table.name, table.columns, tuple(rows))


@MODULES
def test_the_quick_version_can_be_written_about(module: ModuleType) -> None:
    table = quick_version(module)
    assert 20 < len(table) < 100
    written = comparisons_in(module.details(table))
    assert {row[-1] for row in written} <= {"not tested", "both at chance"}
    said = module.reading(table)
    assert "not tested" in said
    assert "  " not in said
    assert module.figure(table)


def test_the_times_and_bytes_in_the_reading_stand_in_the_details() -> None:
    table = of_results(pruning)
    said = pruning.reading(table)
    rows = [cells_of(line) for line in pruning.details(table).splitlines() if "|" in line]
    cut = [row for row in rows if row[1:3] == ["channels cut out", "batch of 256"]]
    assert len(cut) == 2
    for row in cut:
        assert f"{min(cell.split()[0] for cell in row[3:])} ({row[0]}, at " in said
    files = [row[6] for row in rows if row[1] in ("channels", "one ranking") and len(row) == 9]
    by_channels, by_zeros = (" and ".join(files[first::2]) for first in (0, 1))
    assert f"{by_channels} times smaller by channels, {by_zeros} by zeros" in said
    (narrower,) = (row for row in rows if row[0] == "1")
    assert f"takes {narrower[1]} time for {narrower[3]} multiply-adds" in said
