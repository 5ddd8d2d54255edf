"""Distillation's objectives against PyTorch's losses, their limits, and who learns from whom."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from course_lib import distill, train
from course_lib.data import Split

TEMPERATURES = [0.5, 1.0, 4.0, 20.0]


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    torch.manual_seed(0)


def batch(n: int = 7, k: int = 5, scale: float = 3.0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n * 100 + k)
    logits = torch.randn(2, n, k, generator=generator, dtype=torch.float64) * scale
    return logits[0], logits[1], torch.randint(k, (n,), generator=generator)


# temperature


@pytest.mark.parametrize("temperature", [1e-3, *TEMPERATURES, 1e6])
@pytest.mark.parametrize("shape", [(1,), (5,), (3, 1), (3, 10), (2, 3, 4), (0, 4)])
def test_tempered_softmax_is_softmax_of_scaled_logits(
    shape: tuple[int, ...], temperature: float
) -> None:
    logits = torch.randn(shape, dtype=torch.float64)
    expected = torch.softmax(logits / temperature, dim=-1)
    torch.testing.assert_close(distill.tempered_softmax(logits, temperature), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [1e-3, 1.0, 1e4])
def test_tempered_softmax_is_stable_for_huge_logits(
    dtype: torch.dtype, temperature: float
) -> None:
    logits = torch.tensor([[1e4, -1e4, 9984.0], [-1e4, -1e4, -1e4]]).to(dtype)
    probabilities = distill.tempered_softmax(logits, temperature)
    assert probabilities.dtype == dtype
    exact = torch.softmax(logits.double() / temperature, dim=-1)
    torch.testing.assert_close(probabilities.double(), exact, rtol=0, atol=torch.finfo(dtype).eps)


@given(st.floats(0.1, 50), st.floats(1.01, 10))
def test_a_higher_temperature_always_spreads_belief(temperature: float, factor: float) -> None:
    logits = torch.tensor([3.0, 1.0, 0.0, -2.0], dtype=torch.float64)
    cool, warm = (distill.tempered_softmax(logits, t) for t in (temperature, temperature * factor))
    entropy = [-(p * p.log()).sum() for p in (cool, warm)]
    assert entropy[0] < entropy[1] < math.log(4)
    assert cool.argsort().tolist() == warm.argsort().tolist()


@pytest.mark.parametrize(
    ("logits", "temperature", "error"),
    [
        (torch.zeros(3), 0.0, ValueError),
        (torch.zeros(3), -1.0, ValueError),
        (torch.zeros(3), math.nan, ValueError),
        (torch.zeros(3), math.inf, ValueError),
        (torch.zeros(3), "4", TypeError),
        (torch.zeros(3), True, TypeError),
        (torch.tensor([0.0, math.nan]), 1.0, ValueError),
        (torch.tensor([0.0, math.inf]), 1.0, ValueError),
        (torch.zeros(3, dtype=torch.int64), 1.0, TypeError),
        (torch.zeros(3, 0), 1.0, ValueError),
        (torch.tensor(1.0), 1.0, ValueError),
        ([0.0, 1.0], 1.0, TypeError),
    ],
)
def test_tempered_softmax_refuses_what_has_no_meaning(
    logits: Tensor, temperature: float, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"(logits|temperature) must"):
        distill.tempered_softmax(logits, temperature)


# the loss


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize(("alpha", "beta"), [(0.1, 0.9), (1.0, 0.0), (0.0, 1.0), (0.5, 2.0)])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (1, 2), (7, 5), (64, 10)])
def test_loss_is_pytorchs_cross_entropy_and_divergence(
    n: int, k: int, alpha: float, beta: float, temperature: float
) -> None:
    student, teacher, labels = batch(n, k)
    expected = alpha * F.cross_entropy(student, labels) + beta * temperature**2 * F.kl_div(
        F.log_softmax(student / temperature, 1),
        F.softmax(teacher / temperature, 1),
        reduction="batchmean",
    )
    loss = distill.distillation_loss(student, teacher, labels, temperature, alpha, beta)
    assert loss.shape == ()
    torch.testing.assert_close(loss, expected)


def test_soft_cross_entropy_is_pytorchs_with_probabilities() -> None:
    student, teacher, labels = batch()
    loss = distill.distillation_loss(student, teacher, labels, 4, 0, 1, soft_loss="cross_entropy")
    expected = 16 * F.cross_entropy(student / 4, F.softmax(teacher / 4, 1))
    torch.testing.assert_close(loss, expected)


def test_both_soft_losses_have_one_gradient_and_differ_by_the_teachers_entropy() -> None:
    student, teacher, labels = batch()
    student.requires_grad_()
    kl = distill.distillation_loss(student, teacher, labels, 3, 0, 1)
    ce = distill.distillation_loss(student, teacher, labels, 3, 0, 1, soft_loss="cross_entropy")
    torch.testing.assert_close(*(torch.autograd.grad(loss, student)[0] for loss in (kl, ce)))
    entropy = torch.distributions.Categorical(logits=teacher / 3).entropy().mean()
    torch.testing.assert_close(ce - kl, 9 * entropy)


@given(st.integers(0, 1000), st.sampled_from(TEMPERATURES))
def test_a_student_like_its_teacher_has_nothing_to_learn(seed: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    student = (teacher + torch.randn(3, 1, generator=generator)).requires_grad_()
    loss = distill.distillation_loss(student, teacher, None, temperature, 0, 1)
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert float(gradient.abs().max()) < 1e-12


def test_gradient_is_the_difference_of_the_tempered_probabilities() -> None:
    student, teacher, _ = batch()
    student.requires_grad_()
    for temperature in TEMPERATURES:
        loss = distill.distillation_loss(student, teacher, None, temperature, 0, 1)
        (gradient,) = torch.autograd.grad(loss, student)
        difference = F.softmax(student / temperature, 1) - F.softmax(teacher / temperature, 1)
        torch.testing.assert_close(gradient, temperature * difference / len(student))


def test_hot_gradient_tends_to_the_difference_of_centred_logits() -> None:
    student, teacher, _ = batch(6, 5)
    student, teacher = (z - z.mean(1, keepdim=True) for z in (student, teacher))
    student.requires_grad_()
    limit = (student.detach() - teacher) / (5 * 6)  # Hinton's eq. 4: K classes, N in the batch
    errors = []
    for temperature in (1e2, 1e3, 1e4):
        loss = distill.distillation_loss(student, teacher, None, temperature, 0, 1)
        (gradient,) = torch.autograd.grad(loss, student)
        errors.append(float((gradient - limit).abs().max()))
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.1)  # the next term is 1 / T
    assert errors[2] == pytest.approx(errors[1] / 10, rel=0.1)


def test_defaults_are_a_temperature_of_4_and_nine_parts_teacher() -> None:
    student, teacher, labels = batch()
    expected = distill.distillation_loss(student, teacher, labels, 4.0, 0.1, 0.9)
    assert torch.equal(distill.distillation_loss(student, teacher, labels), expected)
    objective = distill.Distillation(nn.Identity())
    assert (objective.temperature, objective.alpha, objective.beta) == (4.0, 0.1, 0.9)


def test_loss_has_the_right_gradient_numerically() -> None:
    student, teacher, labels = batch(3, 4)
    student.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: distill.distillation_loss(z, teacher, labels, 2.0), student
    )


def test_only_the_student_receives_a_gradient() -> None:
    student, teacher, labels = (
        t.requires_grad_() if t.is_floating_point() else t for t in batch()
    )
    distill.distillation_loss(student, teacher, labels).backward()
    assert student.grad is not None
    assert teacher.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_huge_logits_give_a_finite_loss_and_gradient(dtype: torch.dtype) -> None:
    student = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], dtype=dtype, requires_grad=True)
    teacher = torch.tensor([[-1e4, 1e4], [-1e4, 1e4]], dtype=dtype)
    loss = distill.distillation_loss(student, teacher, torch.tensor([1, 1]), 1.0, 0.5, 0.5)
    loss.backward()
    # Row one is wrong by z_1 - z_0 nats in both terms, row two is right.
    gap = (student[0, 0] - student[0, 1]).item()
    assert loss.item() == pytest.approx(gap / 2, rel=1e-3)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"temperature": 0}, ValueError, "temperature"),
        ({"alpha": -0.1}, ValueError, "alpha"),
        ({"beta": math.nan}, ValueError, "beta"),
        ({"soft_loss": "mse"}, ValueError, "cross_entropy, kl"),
        ({"labels": None}, ValueError, "labels must be given"),
        ({"labels": torch.tensor([0, 5])}, ValueError, "0..2"),
        ({"labels": torch.tensor([-1, 0])}, ValueError, "0..2"),
        ({"labels": torch.tensor([0])}, ValueError, "2 numbers"),
        ({"labels": torch.tensor([0.0, 1.0])}, TypeError, "int64"),
        ({"labels": torch.eye(2, 3)}, ValueError, "1 dimensions"),
        ({"teacher_logits": torch.zeros(2, 4)}, ValueError, "one shape"),
        ({"teacher_logits": torch.zeros(1, 3)}, ValueError, "one shape"),
        (
            {"student_logits": torch.zeros(3), "teacher_logits": torch.zeros(3)},
            ValueError,
            "2 dim",
        ),
        ({"student_logits": torch.full((2, 3), math.nan)}, ValueError, "student_logits must be f"),
        ({"teacher_logits": torch.full((2, 3), math.inf)}, ValueError, "teacher_logits must be f"),
        ({"student_logits": torch.zeros(0, 3)}, ValueError, "not be empty"),
        ({"student_logits": torch.zeros(2, 3).long()}, TypeError, "floating"),
    ],
)
def test_loss_refuses_bad_input_by_name(
    change: dict[str, object], error: type[Exception], match: str
) -> None:
    good: dict[str, object] = {
        "student_logits": torch.zeros(2, 3),
        "teacher_logits": torch.zeros(2, 3),
        "labels": torch.tensor([0, 2]),
    }
    with pytest.raises(error, match=match):
        distill.distillation_loss(**(good | change))  # type: ignore[arg-type]


# ensembles


@pytest.mark.parametrize("members", [1, 2, 5])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_an_ensemble_averages_probabilities(members: int, temperature: float) -> None:
    logits = torch.randn(members, 4, 3, dtype=torch.float64) * 5
    mean = torch.softmax(logits / temperature, -1).mean(0)
    for form in (logits, list(logits)):
        probabilities = distill.ensemble_probabilities(form, temperature)
        torch.testing.assert_close(probabilities, mean)
        again = torch.softmax(distill.ensemble_logits(form, temperature) / temperature, -1)
        torch.testing.assert_close(again, mean)


def test_members_that_are_sure_of_different_things_stay_finite() -> None:
    logits = [torch.tensor([1e4, -1e4, 0.0]), torch.tensor([-1e4, 1e4, 0.0])]
    torch.testing.assert_close(
        distill.ensemble_probabilities(logits), torch.tensor([0.5, 0.5, 0.0])
    )
    assert torch.isfinite(distill.ensemble_logits(logits)).all()


@pytest.mark.parametrize("logits", [[], [torch.zeros(3), torch.zeros(4)]])
def test_an_ensemble_needs_members_of_one_shape(logits: list[Tensor]) -> None:
    with pytest.raises(ValueError, match="one or more members"):
        distill.ensemble_probabilities(logits)


# teachers


class Net(nn.Module):
    """Dropout and batch norm: both would betray a teacher that is not in eval mode."""

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(36, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.5)
        )
        self.head = nn.Linear(width, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.body(inputs))


def images(n: int = 8) -> Tensor:
    return torch.randn(n, 1, 6, 6, generator=torch.Generator().manual_seed(n))


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def test_frozen_is_a_copy_that_cannot_learn() -> None:
    teacher = Net(4, 0).train()
    still = distill.frozen(teacher)
    assert not any(module.training for module in still.modules())
    assert not any(parameter.requires_grad for parameter in still.parameters())
    assert teacher.training
    assert all(parameter.requires_grad for parameter in teacher.parameters())
    assert still.head.weight.data_ptr() != teacher.head.weight.data_ptr()


@pytest.mark.parametrize("count", [1, 3])
def test_the_objective_is_the_loss_with_the_teachers_in_eval_mode(count: int) -> None:
    teachers = [Net(6, seed).train() for seed in range(count)]
    student, labels = Net(2, 9), torch.arange(8) % 3
    objective = distill.Distillation(teachers[0] if count == 1 else teachers, 3.0, 0.2, 0.7)
    torch.manual_seed(0)
    loss = objective(student, images(), labels)
    with torch.no_grad():
        answers = [copy.deepcopy(teacher).eval()(images()) for teacher in teachers]
    expected_teacher = distill.ensemble_logits(answers, 3.0)
    torch.manual_seed(0)
    expected = distill.distillation_loss(
        student(images()), expected_teacher, labels, 3.0, 0.2, 0.7
    )
    torch.testing.assert_close(loss, expected)


def test_training_a_student_leaves_the_teacher_as_it_was() -> None:
    teacher, student = Net(6, 0).train(), Net(2, 1).train()
    before, student_before = state_of(teacher), state_of(student)
    objective = distill.Distillation(teacher)
    inner = state_of(objective.teachers[0])
    optimizer = torch.optim.SGD(
        [*student.parameters(), *teacher.parameters(), *objective.teachers[0].parameters()], 0.1
    )
    for _ in range(3):
        optimizer.zero_grad()
        objective(student, images(), torch.zeros(8, dtype=torch.int64)).backward()
        optimizer.step()
    for old, model in ((before, teacher), (inner, objective.teachers[0])):
        assert all(torch.equal(old[name], now) for name, now in model.state_dict().items())
    assert not torch.equal(student_before["head.weight"], student.head.weight)
    assert all(parameter.grad is not None for parameter in student.parameters())


def test_fit_with_the_objective_brings_a_student_to_its_teacher() -> None:
    pixels = torch.randint(0, 256, (60, 1, 6, 6), generator=torch.Generator().manual_seed(0))
    labels = (pixels.float().mean((1, 2, 3)) > 127.5).long()
    split = Split(pixels.to(torch.uint8), labels, (0.5,), (0.3,))
    dataset = type("D", (), {"train": split, "validation": split})()
    teacher = Net(16, 0).eval()
    student = Net(16, 5)

    def gap(model: nn.Module) -> float:
        with torch.no_grad():
            answer = distill.tempered_softmax(model.eval()(split.inputs()), 2)
            return float(
                (answer - distill.tempered_softmax(teacher(split.inputs()), 2)).abs().sum()
            )

    objective = distill.Distillation(teacher, 2.0, alpha=0.0, beta=1.0)
    result = train.fit(
        student,
        dataset,
        epochs=12,
        learning_rate=0.01,
        batch_size=20,
        loss=objective,
        progress=False,
    )
    assert gap(result.model) < 0.5 * gap(student)
    assert result.history[-1].train_loss < result.history[0].train_loss


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (([],), ValueError),
        (([nn.ReLU(), 3],), TypeError),
        ((nn.ReLU(), 0.0), ValueError),
        ((nn.ReLU(), 1.0, -1.0), ValueError),
        ((nn.ReLU(), 1.0, 0.1, -1.0), ValueError),
    ],
)
def test_the_objective_refuses_bad_settings_at_once(
    arguments: tuple, error: type[Exception]
) -> None:
    with pytest.raises(error):
        distill.Distillation(*arguments)


# features and attention


def test_capture_returns_layers_as_they_were_with_gradients() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.Conv2d(3, 2, 3))
    output, features = distill.capture(model, images(2), ["0", "2"])
    assert torch.equal(output, model(images(2)))
    assert torch.equal(features["0"], model[0](images(2)))
    assert (features["0"] < 0).any(), "the in-place ReLU overwrote the feature"
    features["0"].sum().backward()
    assert model[0].weight.grad is not None
    assert not any(module._forward_hooks for module in model.modules())


def test_capture_removes_its_hooks_when_it_fails() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="'7'"):
        distill.capture(model, torch.zeros(1, 2), ["0", "7"])
    assert not model[0]._forward_hooks


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((4, 3), (4, 8)), ((4, 3, 5, 5), (4, 6, 5, 5)), ((2, 1, 7, 6), (2, 3, 5, 6))],
)
def test_a_regressor_maps_to_the_teachers_shape_and_learns(
    student: tuple[int, ...], teacher: tuple[int, ...]
) -> None:
    features, target = torch.randn(student), torch.randn(teacher, requires_grad=True)
    regressor = distill.hint_regressor(features, target)
    loss = distill.hint_loss(features, target, regressor)
    expected = 0.5 * F.mse_loss(regressor(features), target, reduction="sum") / len(features)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(parameter.grad is not None for parameter in regressor.parameters())
    assert target.grad is None


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((2, 3, 4, 4), (2, 3, 5, 5)), ((2, 3), (2, 3, 1, 1)), ((2, 3, 4), (2, 3, 4))],
)
def test_a_regressor_cannot_enlarge(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no smaller"):
        distill.hint_regressor(torch.zeros(student), torch.zeros(teacher))


def test_hints_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        distill.hint_loss(torch.zeros(2, 3), torch.zeros(2, 4))


@pytest.mark.parametrize("power", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 7), (1, 8, 1, 4)])
def test_attention_map_is_the_papers(shape: tuple[int, ...], power: float) -> None:
    features = torch.randn(shape, dtype=torch.float64)
    flat = features.abs().pow(power).sum(1).flatten(1)
    expected = flat / flat.norm(dim=1, keepdim=True)
    torch.testing.assert_close(distill.attention_map(features, power), expected)


def test_attention_gradient_is_right_although_the_scale_is_detached() -> None:
    features = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(distill.attention_map, features)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("scale", [0.0, 1e-4, 6e4])
def test_attention_map_of_extreme_features_is_finite(dtype: torch.dtype, scale: float) -> None:
    features = (torch.ones(1, 2, 2, 2) * scale).to(dtype).requires_grad_()
    attention = distill.attention_map(features)
    attention.sum().backward()
    assert torch.isfinite(features.grad).all()
    torch.testing.assert_close(attention, torch.full((1, 4), 0.5 * (scale > 0), dtype=dtype))


def test_attention_transfer_ignores_channels_and_scale_and_teaches_the_student_only() -> None:
    student = torch.randn(3, 4, 5, 5, requires_grad=True)
    teacher = torch.randn(3, 9, 5, 5, requires_grad=True)
    loss = distill.attention_transfer_loss(student, teacher)
    torch.testing.assert_close(loss, distill.attention_transfer_loss(student * 7, teacher * 0.1))
    difference = distill.attention_map(student) - distill.attention_map(teacher)
    torch.testing.assert_close(loss, difference.pow(2).sum() / 75)
    loss.backward()
    assert student.grad is not None
    assert teacher.grad is None
    twin = student.detach().repeat(1, 2, 1, 1)
    assert distill.attention_transfer_loss(student, twin).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("shape", [(3, 4, 5, 4), (2, 4, 5, 5), (3, 4, 25)])
def test_attention_transfer_wants_the_same_places(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"(agree in N, H and W|4 dimensions)"):
        distill.attention_transfer_loss(torch.ones(3, 4, 5, 5), torch.ones(shape))


# the distillation token


@pytest.mark.parametrize("balance", [0.0, 0.3, 1.0])
def test_hard_token_loss_is_two_cross_entropies(balance: float) -> None:
    (head, token, labels), teacher = batch(), batch(7, 5, 1.0)[1]
    loss = distill.token_distillation_loss(head, token, teacher, labels, balance=balance)
    expected = (1 - balance) * F.cross_entropy(head, labels)
    expected += balance * F.cross_entropy(token, teacher.argmax(1))
    torch.testing.assert_close(loss, expected)


def test_soft_token_loss_tempers_the_token_and_teacher() -> None:
    (head, token, labels), teacher = batch(), batch(7, 5, 1.0)[1]
    loss = distill.token_distillation_loss(
        head, token, teacher, labels, hard=False, temperature=3.0, balance=0.1
    )
    soft = F.kl_div((token / 3).log_softmax(1), (teacher / 3).softmax(1), reduction="batchmean")
    torch.testing.assert_close(loss, 0.9 * F.cross_entropy(head, labels) + 0.1 * 9 * soft)


def test_each_token_learns_from_its_own_source() -> None:
    head, token, labels = batch()
    teacher = batch(7, 5, 1.0)[0].requires_grad_()
    for hard in (True, False):
        head, token = head.detach().requires_grad_(), token.detach().requires_grad_()
        loss = distill.token_distillation_loss(head, token, teacher, labels, hard=hard, balance=1)
        loss.backward()
        assert not head.grad.any()
        assert token.grad.any()
        assert teacher.grad is None


def test_token_loss_refuses_percentages_and_other_shapes() -> None:
    head, token, labels = batch()
    with pytest.raises(ValueError, match=r"write 0\.5"):
        distill.token_distillation_loss(head, token, head, labels, balance=50)
    with pytest.raises(ValueError, match="token_logits and teacher_logits"):
        distill.token_distillation_loss(head, token, head[:, :3], labels)
    with pytest.raises(ValueError, match="labels"):
        distill.token_distillation_loss(head, token, head, labels[:2])


# the sweep


def test_sweep_runs_every_pair_once_in_order() -> None:
    calls: list[tuple[float, int]] = []

    def run(temperature: float, seed: int) -> float:
        calls.append((temperature, seed))
        return 10 * temperature + seed

    results = distill.temperature_sweep(run, iter([1, 4.0, 20]), iter([3, 5]))
    assert calls == [(1, 3), (1, 5), (4, 3), (4, 5), (20, 3), (20, 5)]
    assert [result.scores for result in results] == [(13, 15), (43, 45), (203, 205)]
    assert results[1].mean == 44
    assert results[1].std == pytest.approx(math.sqrt(2))
    assert math.isnan(distill.temperature_sweep(run, [1])[0].std)


@pytest.mark.parametrize(
    ("temperatures", "seeds"), [([], [0]), ([1], []), ([0], [0]), ([1], [-1])]
)
def test_sweep_refuses_nothing_to_do(temperatures: list[float], seeds: list[int]) -> None:
    with pytest.raises(ValueError, match=r"(must not be empty|must be)"):
        distill.temperature_sweep(lambda t, s: 0.0, temperatures, seeds)
