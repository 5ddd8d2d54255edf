from __future__ import annotations

import copy
import dataclasses
import errno
import importlib
import itertools
import math
import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, log_loss
from torch import nn

from course_lib.data import Split
from course_lib.train import DivergedError, Evaluation, evaluate, fit, predict

CLASSES = 3


class Data:
    """A data set whose test split must not be opened."""

    def __init__(self, train: Split, validation: Split) -> None:
        self.train, self.validation = train, validation

    @property
    def test(self) -> Split:
        raise AssertionError("the test split was opened")


def split(count: int, seed: int = 0, side: int = 4) -> Split:
    """Images whose bright row is their class, under noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    images = torch.randint(0, 100, (count, 1, side, side), generator=generator)
    images[torch.arange(count), 0, labels % side] += 150
    return Split(images.to(torch.uint8), labels, (0.3,), (0.25,))


def data(train: int = 200, validation: int = 60) -> Data:
    return Data(split(train, seed=1), split(validation, seed=2))


def network(seed: int = 0, dropout: float = 0.0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, CLASSES)
        )


def quiet(model: nn.Module, dataset: object, **settings):
    settings = {"epochs": 2, "batch_size": 32, "progress": False, **settings}
    return fit(model, dataset, **settings)


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


class Constant(nn.Module):
    """Answers every image with its bias, so that a test can dictate the accuracy."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bias.expand(len(x), CLASSES)


def dictate(*logits: tuple[float, ...], then: type[BaseException] | None = None):
    """An after_step hook that sets the bias of `Constant` to the next of `logits`."""
    remaining = iter(logits)

    def after_step(model: nn.Module) -> None:
        values = next(remaining, None)
        if values is None:
            raise then or AssertionError("more steps than expected")
        with torch.no_grad():
            model.bias.copy_(torch.tensor(values))

    return after_step


def counted(*counts: int) -> Data:
    """One training image; in validation, counts[k] images of class k."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    images = torch.zeros(len(labels), 1, 4, 4, dtype=torch.uint8)
    return Data(split(1), Split(images, labels, (0.0,), (1.0,)))


# fit: what it learns


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 1e-2), ("sgd", 5e-2)])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_fit_learns_a_separable_problem(optimizer, rate, schedule):
    result = quiet(
        network(), data(), epochs=10, optimizer=optimizer, learning_rate=rate, schedule=schedule
    )
    assert evaluate(result.model, data().validation).accuracy == 1.0
    assert result.history[-1].train_loss < result.history[0].train_loss / 2


def test_one_sgd_step_is_pytorchs():
    dataset, model = data(train=1), network()
    result = quiet(model, dataset, epochs=1, optimizer="sgd", learning_rate=0.1, weight_decay=0.01)
    torch_step(
        model,
        dataset,
        torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    )
    assert same_weights(result.model, model)


def test_one_adam_step_is_pytorchs_with_decoupled_decay():
    dataset, model = data(train=1), network()
    result = quiet(model, dataset, epochs=1, learning_rate=0.1, weight_decay=0.01)
    torch_step(model, dataset, torch.optim.AdamW(model.parameters(), 0.1, weight_decay=0.01))
    assert same_weights(result.model, model)


def torch_step(model: nn.Module, dataset: Data, optimizer: torch.optim.Optimizer) -> None:
    F.cross_entropy(model(dataset.train.inputs()), dataset.train.labels).backward()
    optimizer.step()


def test_cosine_schedule_falls_from_the_learning_rate_to_zero_over_all_steps():
    weights = []

    class One(Constant):
        def __init__(self):
            super().__init__()
            self.double()

    quiet(
        One(),
        data(train=32),
        epochs=8,
        learning_rate=0.5,
        schedule="cosine",
        loss=lambda model, inputs, labels: model.bias.sum(),  # Adam's step is then the rate
        after_step=lambda model: weights.append(model.bias[0].item()),
    )
    steps = -np.diff([0.0, *weights])
    expected = [0.25 * (1 + math.cos(math.pi * k / 8)) for k in range(8)]
    np.testing.assert_allclose(steps, expected, rtol=1e-7)  # Adam's epsilon is 1e-8


def test_frozen_parameters_stay_and_the_others_move():
    model = network()
    model[1].requires_grad_(False)
    trained = quiet(model, data()).model
    assert same_weights(trained[1], model[1])
    assert not same_weights(trained[4], model[4])
    assert not trained[1].weight.requires_grad


def test_train_loss_is_the_mean_over_samples_not_over_batches():
    result = quiet(
        Constant(),
        data(train=5),
        epochs=1,
        batch_size=2,  # two batches of two and one of one
        loss=lambda model, inputs, labels: (model.bias * 0).sum() + len(labels),
    )
    assert result.history[0].train_loss == pytest.approx((2 * 2 + 2 * 2 + 1 * 1) / 5)


# fit: what it must not touch


def test_fit_leaves_the_given_model_as_it_was():
    model = network().eval()
    before = copy.deepcopy(model)
    result = quiet(model, data())
    assert result.model is not model
    assert same_weights(model, before)
    assert not same_weights(model, result.model)
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_fit_leaves_every_global_random_state_as_it_was():
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002  the global state is what this test is about
    random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    quiet(network(dropout=0.5), data(), augment=lambda x: x + torch.randn_like(x))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert random.getstate() == before[2]


def test_the_global_random_state_is_put_back_after_an_error_too():
    torch.manual_seed(5)
    before = torch.get_rng_state()

    def fail(x: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        quiet(network(), data(), augment=fail)
    assert torch.equal(torch.get_rng_state(), before)


def test_fit_never_opens_the_test_split():
    quiet(network(), data(), patience=1)  # Data.test raises


# fit: seeds


def noisy(x: torch.Tensor) -> torch.Tensor:
    return x + torch.randn_like(x)


def test_the_same_seed_gives_bit_identical_results_whatever_came_before():
    torch.manual_seed(1)
    first = quiet(network(dropout=0.5), data(), augment=noisy, seed=7)
    torch.manual_seed(2)
    second = quiet(network(dropout=0.5), data(), augment=noisy, seed=7)
    assert same_weights(first.model, second.model)
    assert [e.train_loss for e in first.history] == [e.train_loss for e in second.history]
    assert first.seed == second.seed == 7


def test_convolutions_and_batch_norm_are_deterministic_too():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )
    assert same_weights(quiet(model, data()).model, quiet(model, data()).model)


def test_another_seed_gives_other_weights():
    assert not same_weights(
        quiet(network(), data(), seed=0).model, quiet(network(), data(), seed=1).model
    )


def test_the_order_of_the_samples_does_not_depend_on_dropout():
    def order(model: nn.Module) -> list[int]:
        seen: list[int] = []

        def loss(model, inputs, labels):
            seen.extend(inputs.flatten(1).sum(1).tolist())
            return F.cross_entropy(model(inputs), labels)

        quiet(model, data(), loss=loss)
        return seen

    assert order(network()) == order(network(dropout=0.5))


# fit: batches


@pytest.mark.parametrize(
    ("count", "batch_size"),
    [(1, 1), (1, 128), (5, 2), (7, 7), (7, 8), (10, 3), (64, 32), (65, 32), (3, 1)],
)
def test_every_sample_is_seen_once_an_epoch_in_batches_within_the_limit(count, batch_size):
    images = torch.arange(count).reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4).to(torch.uint8)
    dataset = Data(
        Split(images, torch.zeros(count, dtype=torch.int64), (0.0,), (1 / 255,)), split(3)
    )
    batches: list[list[int]] = []

    def loss(model, inputs, labels):
        batches.append([round(v) for v in inputs[:, 0, 0, 0].tolist()])
        return model.bias.sum()

    quiet(Constant(), dataset, epochs=2, batch_size=batch_size, loss=loss)
    per_epoch = math.ceil(count / batch_size)
    assert len(batches) == 2 * per_epoch
    for epoch in (batches[:per_epoch], batches[per_epoch:]):
        assert sorted(v for batch in epoch for v in batch) == list(range(count))
        assert max(map(len, epoch)) <= batch_size
        assert max(map(len, epoch)) - min(map(len, epoch)) <= 1


def test_no_left_over_sample_breaks_batch_normalization():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, CLASSES))
    assert len(quiet(model, data(train=33), batch_size=32).history) == 2


def test_the_order_changes_from_epoch_to_epoch():
    labels: list[list[int]] = [[], []]
    steps = iter(range(2 * 4))

    def loss(model, inputs, targets):
        labels[next(steps) // 4].extend(targets.tolist())
        return model.bias.sum()

    quiet(Constant(), data(train=128), loss=loss)
    assert labels[0] != labels[1]
    assert sorted(labels[0]) == sorted(labels[1])


# fit: which weights are kept

FIRST, SECOND, THIRD = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def test_the_epoch_best_on_validation_is_kept():
    result = quiet(
        Constant(), counted(3, 5, 2), epochs=3, after_step=dictate(FIRST, SECOND, THIRD)
    )
    assert [e.validation_accuracy for e in result.history] == [0.3, 0.5, 0.2]
    assert result.best_epoch == 2
    assert result.model.bias.tolist() == list(SECOND)


def test_accuracy_counts_before_the_loss():
    rash, modest = (50.0, 0.0, 0.0), (0.0, 0.1, 0.0)
    result = quiet(Constant(), counted(6, 4), epochs=2, after_step=dictate(rash, modest))
    assert result.history[0].validation_loss > result.history[1].validation_loss
    assert result.best_epoch == 1


def test_equal_accuracy_is_decided_by_the_loss_then_by_the_earlier_epoch():
    unsure, sure = (0.1, 0.0, 0.0), (0.3, 0.0, 0.0)
    result = quiet(
        Constant(), counted(9, 1), epochs=4, after_step=dictate(unsure, sure, unsure, sure)
    )
    assert len({e.validation_accuracy for e in result.history}) == 1
    assert result.best_epoch == 2


def test_buffers_come_from_the_best_epoch_too():
    class Counting(Constant):
        def __init__(self):
            super().__init__()
            self.register_buffer("steps", torch.zeros(()))

        def forward(self, x):
            if self.training:
                self.steps += 1
            return super().forward(x)

    result = quiet(Counting(), counted(5, 1), epochs=3, after_step=dictate(FIRST, SECOND, SECOND))
    assert (result.best_epoch, result.model.steps.item()) == (1, 1)


@pytest.mark.parametrize(("patience", "ended_after"), [(1, 2), (2, 5), (3, 6), (None, 7)])
def test_patience_counts_epochs_without_a_better_one(patience, ended_after):
    # accuracies of the epochs: .3 .2 .5 .2 .2 .2 .2
    logits = (FIRST, THIRD, SECOND, THIRD, THIRD, THIRD, THIRD)
    result = quiet(
        Constant(), counted(3, 5, 2), epochs=7, patience=patience, after_step=dictate(*logits)
    )
    assert len(result.history) == ended_after
    assert result.best_epoch == (1 if patience == 1 else 3)
    assert not result.interrupted


def test_history_numbers_the_epochs_and_agrees_with_evaluate():
    dataset = data()
    result = quiet(network(), dataset, epochs=3)
    assert [e.epoch for e in result.history] == [1, 2, 3]
    best = result.history[result.best_epoch - 1]
    now = evaluate(result.model, dataset.validation)
    assert (best.validation_accuracy, best.validation_loss) == (now.accuracy, now.loss)
    assert all(e.seconds >= 0 for e in result.history)


def test_the_result_is_in_eval_mode_without_gradients():
    model = quiet(network(), data()).model
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


# fit: interruption and divergence


def test_ctrl_c_returns_the_best_epoch_so_far():
    hook = dictate(SECOND, FIRST, then=KeyboardInterrupt)
    result = quiet(Constant(), counted(3, 5, 2), epochs=9, after_step=hook)
    assert result.interrupted
    assert (len(result.history), result.best_epoch) == (2, 1)
    assert result.model.bias.tolist() == list(SECOND)


def test_ctrl_c_in_the_first_epoch_returns_the_weights_reached():
    dataset = counted(1, 1)
    dataset.train = split(4)
    hook = dictate(FIRST, THIRD, then=KeyboardInterrupt)

    def interrupt_before_the_update(model, inputs, labels):
        if model.bias[2] == 1:
            raise KeyboardInterrupt
        return model.bias.sum()

    result = quiet(
        Constant(), dataset, batch_size=1, after_step=hook, loss=interrupt_before_the_update
    )
    assert (result.interrupted, result.history, result.best_epoch) == (True, (), 0)
    assert result.model.bias.tolist() == list(THIRD)
    assert not result.model.training


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_diverged_loss_is_an_error_that_names_the_remedy(bad):
    losses = iter([1.0, 1.0, bad])
    with pytest.raises(DivergedError, match=r"became (nan|inf) in step 3, at learning_rate 0.3"):
        quiet(
            Constant(),
            data(),
            learning_rate=0.3,
            loss=lambda model, inputs, labels: model.bias.sum() * next(losses),
            after_step=lambda model: model.bias.data.fill_(1.0),
        )


def test_an_absurd_learning_rate_diverges_with_a_value_error():
    with pytest.raises(ValueError, match="learning_rate"):
        quiet(network(), data(), epochs=5, learning_rate=1e30, optimizer="sgd")


# fit: hooks


def test_masks_survive_training_with_after_step():
    model = network()
    mask = model[1].weight.abs() > model[1].weight.abs().median()

    def keep_zeros(model: nn.Module) -> None:
        model[1].weight.data *= mask

    trained = quiet(model, data(), after_step=keep_zeros).model
    assert not trained[1].weight[~mask].any()
    assert trained[1].weight[mask].all()


def test_the_loss_hook_gets_model_normalized_inputs_and_labels():
    dataset, seen = data(train=6), []

    def loss(model, inputs, labels):
        assert model.training
        seen.append((inputs, labels))
        return F.cross_entropy(model(inputs), labels)

    with_hook = quiet(network().eval(), dataset, epochs=1, loss=loss)
    ((inputs, labels),) = seen
    assert inputs.shape == (6, 1, 4, 4)
    assert inputs.dtype == torch.float32
    assert torch.equal(labels.sort().values, dataset.train.labels.sort().values)
    torch.testing.assert_close(inputs.sum(), dataset.train.inputs().sum())
    assert same_weights(with_hook.model, quiet(network(), dataset, epochs=1).model)


def test_augmentation_sees_training_inputs_only():
    dataset, seen = data(train=40, validation=30), []

    def augment(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return torch.zeros_like(x)

    quiet(network(), dataset, epochs=1, augment=augment)
    assert sum(seen) == 40


@pytest.mark.parametrize("value", [1.0, None, torch.zeros(2, requires_grad=True)])
def test_a_loss_that_is_no_scalar_tensor_is_refused(value):
    with pytest.raises(TypeError, match="loss must return a scalar tensor"):
        quiet(network(), data(), loss=lambda *_: value)


def test_a_float64_model_is_trained_in_float64():
    dataset = data()
    trained = quiet(network().double(), dataset).model
    assert trained[1].weight.dtype == torch.float64
    assert predict(trained, dataset.validation).dtype == torch.float64


# fit: going on after a stop


def stop_in(epoch: int, dataset: Data, error: type[BaseException] = KeyboardInterrupt):
    """An augmentation that adds noise and, in the given epoch, stops the training."""
    steps = math.ceil(len(dataset.train) / 32) * (epoch - 1) + 2
    count = itertools.count(1)

    def augment(x: torch.Tensor) -> torch.Tensor:
        if next(count) == steps:
            raise error
        return x + torch.randn_like(x)

    return augment


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("stopped_in", [1, 2, 4])
def test_a_stopped_training_goes_on_to_the_same_weights(
    optimizer: str, stopped_in: int, tmp_path: Path
):
    dataset, never = data(), 99
    settings = {"epochs": 4, "optimizer": optimizer, "schedule": "cosine", "weight_decay": 0.01}
    model = network(dropout=0.5)
    model.insert(2, nn.BatchNorm1d(8))
    whole = quiet(model, dataset, augment=stop_in(never, dataset), **settings)
    file = tmp_path / "new folder" / "state"
    first = quiet(model, dataset, augment=stop_in(stopped_in, dataset), resume=file, **settings)
    assert first.interrupted
    assert len(first.history) == stopped_in - 1
    rest = quiet(model, dataset, augment=stop_in(never, dataset), resume=file, **settings)
    assert not rest.interrupted
    assert same_weights(rest.model, whole.model)
    without_seconds = lambda result: [dataclasses.replace(e, seconds=0.0) for e in result.history]
    assert without_seconds(rest) == without_seconds(whole)
    assert rest.best_epoch == whole.best_epoch
    assert [path.name for path in file.parent.iterdir()] == ["state"]


def test_an_error_keeps_the_epochs_before_it(tmp_path: Path):
    dataset, file = data(), tmp_path / "state"
    with pytest.raises(MemoryError):
        quiet(network(), dataset, augment=stop_in(2, dataset, MemoryError), resume=file)
    assert len(quiet(network(), dataset, epochs=2, resume=file).history) == 2


def test_a_finished_training_is_only_read(tmp_path: Path):
    dataset, file = data(), tmp_path / "state"
    done = quiet(network(), dataset, resume=file)
    content = file.read_bytes()
    again = quiet(network(), dataset, resume=file, loss=lambda *_: pytest.fail("trained"))
    assert same_weights(again.model, done.model)
    assert again.history == done.history
    assert file.read_bytes() == content


def test_patience_counts_the_epochs_before_the_stop(tmp_path: Path):
    dataset, file = counted(1, 1), tmp_path / "state"
    hook = dictate((0, 1, 0), (0, 1, 0), (0, 1, 0), then=KeyboardInterrupt)
    settings = {"epochs": 10, "patience": 3, "resume": file}
    assert quiet(Constant(), dataset, after_step=hook, **settings).interrupted
    rest = quiet(Constant(), dataset, after_step=dictate((0, 1, 0)), **settings)
    assert not rest.interrupted
    assert (len(rest.history), rest.best_epoch) == (4, 1)


@pytest.mark.parametrize(
    ("name", "changed"),
    [("epochs", 3), ("learning_rate", 0.5), ("seed", 1), ("batch_size", 16), ("optimizer", "sgd")],
)
def test_the_file_of_another_training_is_refused(name: str, changed: object, tmp_path: Path):
    file = tmp_path / "state"
    quiet(network(), data(), resume=file)
    content = file.read_bytes()
    with pytest.raises(ValueError, match=f"resume: .*{name} .*Go on with the same arguments"):
        quiet(network(), data(), resume=file, **{name: changed})
    assert file.read_bytes() == content


def test_another_network_or_other_images_are_refused(tmp_path: Path):
    file = tmp_path / "state"
    quiet(network(), data(), resume=file)
    with pytest.raises(ValueError, match="images 200"):
        quiet(network(), data(train=100), resume=file)
    with pytest.raises(ValueError, match="parameters"):
        quiet(nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES)), data(), resume=file)


class Writes:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("content", [b"", b"not a state"])
def test_a_damaged_file_is_refused(content: bytes, tmp_path: Path):
    file = tmp_path / "state"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"resume: .* cannot be read .* Remove it"):
        quiet(network(), data(), resume=file)


def test_a_file_that_holds_code_is_refused_and_does_not_run(tmp_path: Path):
    file, trace = tmp_path / "state", tmp_path / "trace"
    torch.save(Writes(trace), file)
    with pytest.raises(ValueError, match=r"resume: .* cannot be read"):
        quiet(network(), data(), resume=file)
    assert not trace.exists()


def test_a_full_disk_ends_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "state"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(RuntimeWarning, match="No space left .* could not be resumed"):
        result = quiet(network(), data(), resume=file)
    assert len(result.history) == 2
    assert not list(tmp_path.iterdir()), "half a file stays"


# fit: arguments


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"epochs": 0}, ValueError),
        ({"epochs": 1.5}, TypeError),
        ({"batch_size": 0}, ValueError),
        ({"learning_rate": 0}, ValueError),
        ({"learning_rate": -1e-3}, ValueError),
        ({"learning_rate": float("nan")}, ValueError),
        ({"learning_rate": "fast"}, TypeError),
        ({"weight_decay": -1}, ValueError),
        ({"optimizer": "adamw"}, ValueError),
        ({"schedule": "step"}, ValueError),
        ({"patience": 0}, ValueError),
        ({"seed": -1}, ValueError),
        ({"seed": None}, TypeError),
        ({"loss": "mse"}, TypeError),
        ({"augment": 3}, TypeError),
        ({"after_step": "mask"}, TypeError),
    ],
)
def test_an_argument_out_of_range_is_named(settings, error):
    with pytest.raises(error, match=next(iter(settings))):
        quiet(network(), data(), **settings)


@pytest.mark.parametrize("name", ["train", "validation"])
def test_an_empty_split_is_named(name):
    dataset = data()
    setattr(dataset, name, split(5).head(0))
    with pytest.raises(ValueError, match=f"dataset.{name} .* empty"):
        quiet(network(), dataset)


@pytest.mark.parametrize("dataset", [None, "mnist", split(3)])
def test_what_is_no_data_set_is_refused(dataset):
    with pytest.raises(TypeError, match=r"dataset.train must be a Split"):
        quiet(network(), dataset)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module"):
        quiet(torch.relu, data())


def test_a_model_without_anything_to_train_is_refused():
    with pytest.raises(ValueError, match="nothing to train"):
        quiet(network().requires_grad_(False), data())


def test_the_progress_bar_can_be_turned_off(capsys):
    quiet(network(), data())
    assert capsys.readouterr() == ("", "")
    quiet(network(), data(), progress=True)
    assert "accuracy=" in capsys.readouterr().err


def test_the_progress_bar_is_a_line_where_no_notebook_shows_it(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "tqdm.auto", raising=False)
    importlib.import_module("ipykernel.zmqshell")  # as the grader does
    quiet(network(), data(), progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "accuracy=" in err


# evaluate and predict


@pytest.mark.parametrize("count", [1, 2, 59, 60])
@pytest.mark.parametrize("batch_size", [1, 7, 60, 1000])
def test_evaluate_agrees_with_scikit_learn(count, batch_size):
    part, model = split(60).head(count), network()
    result = evaluate(model, part, batch_size)
    probabilities = model(part.inputs()).double().softmax(1).detach().numpy()
    labels = part.labels.numpy()
    assert result.count == count
    assert result.accuracy == pytest.approx(accuracy_score(labels, probabilities.argmax(1)))
    expected = log_loss(labels, probabilities, labels=range(CLASSES))
    assert result.loss == pytest.approx(expected, rel=1e-5)  # float32 logits


@pytest.mark.parametrize(("accuracy", "count"), [(0.0, 1), (1.0, 10), (0.5, 1), (0.9, 10_000)])
def test_error_and_standard_error_are_those_of_a_binomial(accuracy, count):
    from scipy.stats import binom

    result = Evaluation(accuracy, loss=0.1, count=count)
    assert result.error == pytest.approx(1 - accuracy)
    assert result.standard_error == pytest.approx(binom.std(count, accuracy) / count)


def test_evaluate_runs_in_eval_mode_and_restores_each_training_flag():
    model = network(dropout=0.9)
    model.train()
    model[1].eval()
    flags = [module.training for module in model.modules()]
    assert torch.equal(predict(model, split(20)), predict(model, split(20)))
    assert [module.training for module in model.modules()] == flags


def test_training_flags_are_restored_when_the_model_fails():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).train()
    with pytest.raises(RuntimeError, match="shapes"):
        evaluate(model, split(3))
    assert all(module.training for module in model.modules())


def test_batch_statistics_are_used_but_not_updated():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, CLASSES)).train()
    before = copy.deepcopy(model)
    evaluate(model, split(20))
    assert same_weights(model, before)


def test_predict_gives_plain_logits_in_order_that_autograd_may_use():
    part, model = split(23), network()
    logits = predict(model, part, batch_size=5)
    assert not logits.requires_grad
    torch.testing.assert_close(logits, model(part.inputs()).detach())
    student = torch.zeros(23, CLASSES, requires_grad=True)
    ((student - logits) ** 2 * logits).sum().backward()  # a target saved for backward


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_inputs_follow_the_floating_point_type_of_the_model(dtype):
    part, model = split(30), network()
    logits = predict(copy.deepcopy(model).to(dtype), part)
    assert logits.dtype == dtype
    expected = predict(model, part)
    # Inputs, two weights, hidden values, outputs and every addition round by at most eps / 2.
    eps = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    bound = (5 + 16 + 8) * eps / 2 * magnitude(model, part)
    assert ((logits - expected).abs() <= bound).all()


def magnitude(model: nn.Module, part: Split) -> float:
    hidden = part.inputs().flatten(1).abs() @ model[1].weight.abs().T + model[1].bias.abs()
    return (hidden @ model[4].weight.abs().T + model[4].bias.abs()).max().item()


def test_a_model_without_parameters_can_be_evaluated():
    class RowSums(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, 0, :CLASSES].sum(2)

    assert evaluate(RowSums(), split(50)).accuracy == 1.0


@pytest.mark.parametrize("layer", [nn.Identity(), nn.Flatten(0)])
def test_an_output_that_is_not_one_row_of_logits_per_sample_is_refused(layer):
    with pytest.raises(ValueError, match=r"logits \[N, K\] for 6 samples"):
        predict(nn.Sequential(layer), split(6))


@pytest.mark.parametrize("run", [evaluate, predict])
def test_evaluate_and_predict_name_a_bad_argument(run):
    with pytest.raises(ValueError, match=r"split .* empty"):
        run(network(), split(3).head(0))
    with pytest.raises(TypeError, match="split must be a Split"):
        run(network(), data())
    with pytest.raises(TypeError, match="model must be"):
        run("lenet_5", split(3))
    with pytest.raises(ValueError, match="batch_size"):
        run(network(), split(3), batch_size=0)


def test_lenet_300_100_learns_mnist_beyond_a_linear_classifier():
    from course_lib import data as course_data
    from course_lib import models

    mnist = course_data.load("mnist")
    dataset = Data(mnist.train.head(10_000), mnist.validation)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.lenet_300_100()
    result = quiet(model, dataset, epochs=3, batch_size=128)
    assert evaluate(result.model, mnist.validation).error < 0.076  # LeCun 1998: linear, 60,000
