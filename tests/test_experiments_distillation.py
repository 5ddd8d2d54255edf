"""What the tables on distillation rest on: lessons, transfer sets, offsets, files, verdicts."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from course_lib import cost, data, distill, models, quantize, train
from course_lib.data import Dataset, Split
from course_lib.results import Table
from experiments import (
    _distilling,
    distillation_cifar,
    distillation_mnist,
    ensemble_to_single,
    missing_digit,
    runner,
    temperature_bits,
)
from experiments.recipes import Recipe

MODULES = (
    distillation_mnist,
    missing_digit,
    temperature_bits,
    ensemble_to_single,
    distillation_cifar,
)
TINY = Recipe(
    "mlp",
    "mnist",
    epochs=2,
    learning_rate=1e-2,
    arguments={"hidden": (8,), "in_features": 12},
    batch_size=16,
)


def split(n: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (n, 1, 3, 4), generator=generator, dtype=torch.uint8)
    return Split(images, torch.randint(10, (n,), generator=generator), (0.5,), (0.3,))


@pytest.fixture
def dataset() -> Dataset:
    classes = tuple("0123456789")
    return Dataset("toy", classes, (0.5,), (0.3,), split(70, 1), split(30, 2), split(40, 3))


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(runner, "SCRATCH", tmp_path)
    return tmp_path


def same(a: nn.Module, b: nn.Module, **tolerance: float) -> None:
    torch.testing.assert_close(dict(a.state_dict()), dict(b.state_dict()), **tolerance)


# lessons


@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_looking_logits_up_teaches_what_a_present_teacher_teaches(
    dataset: Dataset, temperature: float
) -> None:
    teacher = TINY.untrained(5)
    logits = train.predict(teacher, dataset.train)
    looked_up = _distilling.learn(TINY, dataset, logits, temperature, seed=3).model
    present = distill.Distillation(teacher, temperature, _distilling.ALPHA, _distilling.BETA)
    same(looked_up, TINY.train(dataset, 3, loss=present).model, rtol=1e-3, atol=1e-4)


def test_without_logits_a_student_learns_from_the_labels(dataset: Dataset) -> None:
    same(
        _distilling.learn(TINY, dataset, None, None, seed=3).model,
        TINY.train(dataset, 3).model,
        rtol=0,
        atol=0,
    )


def test_learning_goes_on_from_a_given_model(dataset: Dataset) -> None:
    begun = TINY.untrained(9)
    resting = replace(TINY, learning_rate=1e-12)
    same(_distilling.learn(resting, dataset, None, None, 0, begun).model, begun)


def test_stored_logits_are_those_of_each_image_in_eval_mode(dataset: Dataset) -> None:
    model = models.mlp((8,), in_features=12, dropout=0.9).train()
    logits = _distilling.logits_of(model, dataset.train, batch_size=32)
    expected = train.predict(model, dataset.train)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected, rtol=0.05, atol=0.02)


def test_without_a_share_the_labels_have_no_say(dataset: Dataset) -> None:
    logits = train.predict(TINY.untrained(5), dataset.train)
    wrong = replace(dataset.train, labels=(dataset.train.labels + 1) % 10)
    students = [
        _distilling.learn(TINY, each, logits, 4.0, seed=3, alpha=0.0).model
        for each in (dataset, replace(dataset, train=wrong))
    ]
    same(*students, rtol=0, atol=0)


# teachers


def test_a_limit_shortens_only_the_longer_rows() -> None:
    layer = nn.Linear(3, 3)
    weight = torch.tensor([[3.0, 4.0, 0.0], [0.3, 0.4, 0.0], [0.0, 0.0, 0.0]])
    bias = layer.bias.detach().clone()
    with torch.no_grad():
        layer.weight.copy_(weight)
    _distilling.limit_norms(layer, 2.0)
    expected = torch.tensor([[1.2, 1.6, 0.0], [0.3, 0.4, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(layer.weight.detach(), expected)
    assert torch.equal(layer.bias, bias)


def test_a_teacher_is_trained_once_per_seed_and_within_its_limit(
    dataset: Dataset, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _distilling.teacher(TINY, dataset, 0, limit=0.4)
    for layer in (first.model.fc1, first.model.fc2):
        assert float(layer.weight.detach().norm(dim=1).max()) <= 0.4 + 1e-6
    other = _distilling.teacher(TINY, dataset, 1, limit=0.4)
    assert not torch.equal(first.model.fc1.weight, other.model.fc1.weight)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Recipe, "train", refuse)
    again = _distilling.teacher(TINY, dataset, 0, limit=0.4)
    same(again.model, first.model, rtol=0, atol=0)
    assert again.seconds == first.seconds > 0
    for changed in ({"recipe": replace(TINY, epochs=3)}, {"limit": 0.5}):
        arguments: dict[str, Any] = {"recipe": TINY, "limit": 0.4} | changed
        with pytest.raises(AssertionError, match="trained again"):
            _distilling.teacher(dataset=dataset, seed=0, **arguments)


# counting, files


def test_errors_are_counted_among_the_named_classes() -> None:
    logits = torch.eye(4)[[0, 1, 2, 3, 3]]
    labels = torch.tensor([0, 2, 2, 0, 2])
    assert _distilling.errors(logits, labels) == 3
    assert _distilling.errors(logits, labels, [2]) == 2
    assert _distilling.errors(logits, labels, [1, 3]) == 0


def test_scores_are_of_validation_and_of_the_test_split_given(dataset: Dataset) -> None:
    model, test = TINY.untrained(0), split(50, 4)
    row = _distilling.scores(model, dataset, test)
    for prefix, part in (("", test), ("validation_", dataset.validation)):
        accuracy = train.evaluate(model, part).accuracy
        assert row[f"{prefix}accuracy"] == pytest.approx(accuracy)
        assert row[f"{prefix}errors_count"] == round(len(part) * (1 - accuracy))
    assert row["test_images_count"] == 50


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_quantized_model_comes_back_from_its_file(dataset: Dataset, bits: int) -> None:
    start = models.mlp((64,), in_features=12)
    aware = quantize.quantization_aware(start, bits=bits)
    frozen = quantize.freeze(_distilling.learn(TINY, dataset, None, None, 0, aware).model)
    size, back = _distilling.through_file(frozen)
    assert back is not frozen
    x = dataset.validation.inputs()
    assert torch.equal(back(x), frozen(x))
    packed = quantize.size_bytes(frozen)
    assert packed < size < packed + 4096  # the rest is the header
    weights = sum(layer.weight.numel() for layer in (start.fc1, start.fc2))
    float_size, _ = _distilling.through_file(start)
    assert float_size > 4 * weights


# transfer sets and biases


@pytest.mark.parametrize("name", list(missing_digit.SETS))
def test_missing_digits_are_in_neither_split_that_training_sees(
    dataset: Dataset, name: str
) -> None:
    kept = missing_digit.SETS[name]
    restricted = missing_digit.restricted(dataset, kept)
    for before, after in (
        (dataset.train, restricted.train),
        (dataset.validation, restricted.validation),
    ):
        rows = [i for i, label in enumerate(before.labels.tolist()) if label in kept]
        assert torch.equal(after.labels, before.labels[rows])
        assert torch.equal(after.images, before.images[rows])


def boundary(low: float, high: float) -> tuple[Tensor, Tensor]:
    """Two classes, right in every place exactly where the offset of class 1 is in low..high."""
    logits = torch.tensor([[low, 0.0], [high, 0.0]])
    return logits, torch.tensor([1, 0])


@pytest.mark.parametrize(("low", "high"), [(1.05, 3.05), (-4.05, -2.05)])
def test_the_best_offset_is_the_middle_of_those_with_fewest_errors(
    low: float, high: float
) -> None:
    logits, labels = boundary(low, high)
    before = logits.clone()
    best = missing_digit.best_offset(logits, labels, (1,), missing_digit.OFFSETS)
    assert best == pytest.approx((low + high) / 2, abs=0.11)
    assert torch.equal(logits, before)


def test_no_offset_beats_the_best_one() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(200, 5, generator=generator)
    labels = torch.randint(5, (200,), generator=generator)
    best = missing_digit.best_offset(logits, labels, (1, 4), missing_digit.OFFSETS)

    def wrong(offset: float) -> int:
        bias = torch.tensor([0.0, offset, 0.0, 0.0, offset])
        return int(((logits + bias).argmax(dim=1) != labels).sum())

    assert wrong(best) == min(wrong(float(offset)) for offset in missing_digit.OFFSETS)


def test_an_offset_of_a_bias_is_an_offset_of_the_logits() -> None:
    model = models.mlp((8,), in_features=12)
    x = torch.randn(5, 12)
    before = model(x).detach()
    with torch.no_grad():
        model.fc2.bias[[7, 8]] -= 2.5
    torch.testing.assert_close(missing_digit.with_offset(before, (7, 8), -2.5), model(x))


# CIFAR-10


def test_mirror_images_follow_in_the_order_of_the_images(dataset: Dataset) -> None:
    doubled = distillation_cifar.with_mirror_images(dataset).train
    n = len(dataset.train)
    assert torch.equal(doubled.images[:n], dataset.train.images)
    assert torch.equal(doubled.images[n:, :, :, 0], dataset.train.images[:, :, :, -1])
    assert torch.equal(doubled.images[n:].flip(3), dataset.train.images)
    assert torch.equal(doubled.labels, torch.cat([dataset.train.labels] * 2))


def test_logits_of_a_checkpoint_are_kept_until_its_weights_change(
    dataset: Dataset, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = [TINY.untrained(0)]
    monkeypatch.setattr(models, "pretrained", lambda name: checkpoint[0].eval())
    first = distillation_cifar.teacher_logits("toy", dataset)
    assert torch.equal(first, _distilling.logits_of(checkpoint[0], dataset.train))
    assert len(list(scratch.iterdir())) == 1
    assert torch.equal(distillation_cifar.teacher_logits("toy", dataset), first)
    checkpoint[0] = TINY.untrained(1)
    assert not torch.equal(distillation_cifar.teacher_logits("toy", dataset), first)


def test_the_teacher_is_scored_in_float32_as_its_students_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def in_bfloat16(*_: Any) -> Tensor:
        raise AssertionError("the teacher was scored as it teaches")

    monkeypatch.setattr(_distilling, "logits_of", in_bfloat16)
    (row,) = distillation_cifar._work("teacher", None, 0, quick=True)
    model = models.pretrained(distillation_cifar.QUICK_TEACHER)
    test = data.load("mnist").open_test("the teacher again").head(2000)
    assert row["accuracy"] == pytest.approx(train.evaluate(model, test).accuracy)


# jobs and readings


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
@pytest.mark.parametrize("quick", [True, False])
def test_every_job_has_a_key_of_its_own(module: Any, quick: bool) -> None:
    keys = [job.key for job in module.jobs(quick)]
    assert keys
    assert all(set(key) <= set(module.KEY) for key in keys)
    for one, other in itertools.combinations(keys, 2):
        assert any(one[column] != other[column] for column in one)


def rows(counts: dict[float | None, list[int]], **more: Any) -> list[dict[str, Any]]:
    return [
        {"temperature": heat, "seed": seed, "validation_errors_count": count} | more
        for heat, values in counts.items()
        for seed, count in enumerate(values)
    ]


def test_a_temperature_beats_those_that_its_interval_leaves_out() -> None:
    counts = {None: [1, 1, 1], 1.0: [50, 52, 54], 2.0: [49, 51, 56], 8.0: [70, 71, 72]}
    counts[4.0] = [55, 58, 61]  # more than two standard errors away, which three seeds can be
    best, ties = temperature_bits.best_temperatures(rows(counts))
    assert best == 1.0  # labels alone have no temperature
    assert ties == {1.0, 2.0, 4.0}


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ([10.0, 11.0, 12.0], [20.0, 21.0, 22.0], "-10 (-12 to -8)"),
        ([10.0, 11.0, 12.0], [11.0, 12.0, 13.0], "-1 (-3 to +1): no difference shown"),
        ([10.0], [20.0, 21.0], "-10 (one seed, not tested)"),
    ],
)
def test_a_difference_comes_with_its_interval_and_without_a_verdict_it_lacks(
    first: list[float], second: list[float], said: str
) -> None:
    assert _distilling.difference(first, second) == said
    assert said.startswith(_distilling.interval(first, second))


def test_one_seed_beats_nothing() -> None:
    best, ties = temperature_bits.best_temperatures(rows({1.0: [50], 20.0: [500]}))
    assert (best, ties) == (1.0, {1.0, 20.0})


def table(rows: list[dict[str, Any]]) -> Table:
    return Table("made up", tuple(rows[0]), tuple(rows))


def test_the_reading_says_how_much_of_the_gap_was_closed() -> None:
    def row(training: str, heat: float | None, seed: int, count: int) -> dict[str, Any]:
        key = {"training": training, "temperature": heat, "seed": seed}
        validation = 30 if heat == 1.0 else 40  # test errors have no say in the choice
        counts = {"errors_count": count, "validation_errors_count": validation}
        return key | counts | {"test_images_count": 10_000}

    made = [row("teacher", None, s, 60 + s) for s in (0, 1, 2)]
    made += [row("alone", None, s, 140 + s) for s in (0, 1, 2)]
    made += [row("distilled", 1.0, s, 81 + s) for s in (0, 1, 2)]
    made += [row("distilled", 20.0, s, 79 + s) for s in (0, 1, 2)]
    said = distillation_mnist.reading(table(made))
    assert "teacher 61 ± 1, student alone 141 ± 1" in said
    assert "At T = 1, the best on validation, distillation closes 74% of the gap" in said
    assert "The paper has 67, 146 and, at T = 20, 74 errors" in said


def test_the_reading_compares_an_ensemble_with_its_student() -> None:
    counts = dict(zip(ensemble_to_single.KINDS, (200, 150, 180, 165), strict=True))
    made = [
        {"training": kind, "seed": seed, "errors_count": count + seed}
        | {"networks": 5 if kind == "ensemble" else 1, "test_images_count": 10_000}
        | {"train_images_count": 55_000 if "distilled" in kind else 10_000, "recipe": "a recipe"}
        for kind, count in counts.items()
        for seed in (0, 1)
    ]
    said = ensemble_to_single.reading(table(made))
    assert "5 together change the mean by -50 (-53 to -47); their student" in said
    assert "by -35 (-38 to -32); the student of one member by -20 (-23 to -17)." in said
    assert "students take 5.5 times the steps" in said
    assert "makes more errors than that member in 0 of 2" in said
    assert "4 of these 4 differences are shown with 2 seeds" in said


def test_an_ensemble_within_the_noise_is_said_to_show_no_difference() -> None:
    apart = (0, 40, 80)
    made = [
        {"training": kind, "seed": seed, "errors_count": 500 + 10 * i + apart[seed]}
        | {"networks": 5 if kind == "ensemble" else 1, "test_images_count": 10_000}
        | {"train_images_count": 10_000, "recipe": "a recipe"}
        for i, kind in enumerate(ensemble_to_single.KINDS)
        for seed in (0, 1, 2)
    ]
    said = ensemble_to_single.reading(table(made))
    assert "None of these 4 differences is shown with 3 seeds." in said
    assert "makes more errors than that member in 3 of 3" in said


@pytest.mark.parametrize(
    ("taught", "verdict"),
    [
        ([83.0, 84.0], "+12.50 (+5.58 to +19.42). Intervals are 95 % ones (Welch)"),
        ([73.0, 74.0], "+2.50 (-4.42 to +9.42): no difference shown."),  # yet no seed overlaps
    ],
)
def test_the_reading_claims_a_gain_only_where_the_interval_shows_it(
    taught: list[float], verdict: str
) -> None:
    said = {"model": "m", "params": 1, "recipe": "r", "dataset": "d", "temperature": None}
    made = [said | {"training": "teacher", "seed": 0, "accuracy": 0.9}]
    made += [
        said | {"training": "alone", "seed": s, "accuracy": a} for s, a in enumerate((0.70, 0.72))
    ]
    made += [
        said | {"training": "distilled", "temperature": 4.0, "seed": s, "accuracy": a / 100}
        for s, a in enumerate(taught)
    ]
    assert verdict in distillation_cifar.reading(table(made))


def temperature_table(gain: int) -> Table:
    """Students of labels, and of temperatures 1 and 20, the former `gain` errors better."""
    errors = {None: 300, 1.0: 300 - gain, 20.0: 400}
    made = []
    for hidden, seeds in ((10, 2), (30, 4), (300, 3)):
        recipe = "15 epochs, bfloat16 autocast" if hidden == 300 else "15 epochs"
        for heat, bits in itertools.product(errors, (32, 4) if hidden == 30 else (32,)):
            for seed in range(seeds):
                count = errors[heat] + 10 * seed
                key = {"hidden": hidden, "temperature": heat, "seed": seed, "bits": bits}
                counts = {"errors_count": count, "validation_errors_count": count // 2}
                made.append(key | counts | {"test_images_count": 10_000, "recipe": recipe})
    return table(made)


def test_the_temperatures_reading_counts_seeds_and_names_the_odd_training() -> None:
    made = temperature_table(gain=50)
    said = temperature_bits.reading(made)
    assert "over 4 seeds" in said
    assert "2 x 10 has 2 seeds, 2 x 30 has 4 seeds, 2 x 300 has 3 seeds." in said
    assert "Only 2 x 300 was trained in bfloat16." in said
    figure, alt = temperature_bits.figure(made)
    assert "standard deviation over seeds" in figure.axes[0].get_ylabel()
    assert "(2 seeds for 2 x 10, 4 seeds for 2 x 30, 3 seeds for 2 x 300)" in alt


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [(5, "; no difference is shown."), (50, "; a difference is shown for float, 4 bits.")],
)
def test_the_temperatures_reading_claims_no_gain_within_the_noise(gain: int, verdict: str) -> None:
    assert verdict in temperature_bits.reading(temperature_table(gain))


def missing_digit_table(changes: tuple[float, float]) -> Table:
    """Two seeds, whose biases changed by `changes`."""
    made = []
    for name, targets, seed in itertools.product(
        missing_digit.SETS, ("teacher", "labels"), range(2)
    ):
        for bias in (missing_digit.LEARNED, missing_digit.FIXED):
            row = {"transfer_set": name, "targets": targets, "seed": seed, "bias": bias}
            row["bias_change"] = changes[seed] if bias == missing_digit.FIXED else 0.0
            counts = {"errors_count": 100, "errors_on_missing_count": 50}
            made.append(row | counts | {"missing_images_count": 100, "test_images_count": 10_000})
    return table(made)


def test_the_missing_digits_reading_gives_the_changes_with_their_spread() -> None:
    said = missing_digit.reading(missing_digit_table((1.0, 2.0)))
    assert "after the bias changed by +1.5 ± 0.7: it knows 50.0%" in said
    assert "after both biases changed by +1.5 ± 0.7;" in said
    assert "largest that was tried" not in said


def test_the_missing_digits_reading_names_changes_at_the_edge_of_what_was_tried() -> None:
    edge = float(missing_digit.OFFSETS[0])
    said = missing_digit.reading(missing_digit_table((edge, -1.0)))
    assert f"For 4 of 8 students it is the largest that was tried (±{-edge:g})" in said


def test_the_mean_of_members_decides_for_the_ensemble(dataset: Dataset) -> None:
    members = [TINY.untrained(seed) for seed in range(3)]
    row = ensemble_to_single._together(members, dataset, dataset.validation)
    answers = [train.predict(each, dataset.validation).softmax(dim=1) for each in members]
    decided = torch.stack(answers).mean(dim=0).argmax(dim=1)
    assert row["errors_count"] == int((decided != dataset.validation.labels).sum())
    x = torch.zeros(1, 1, 3, 4)
    assert row["macs"] == 3 * cost.count(members[0], x).macs
    assert row["size_bytes"] == 3 * _distilling.through_file(members[0])[0]
