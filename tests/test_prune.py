"""Pruning against torch.nn.utils.prune, numerical derivatives and counting by hand."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
import torch.nn.utils.prune as torch_prune
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from course_lib import models, prune, train
from course_lib.data import Split
from course_lib.prune.masks import GRANULARITIES, POOLS


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only wait for the other threads, for minutes on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def random_tensor(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def smooth_net() -> tuple[nn.Module, Tensor, Tensor]:
    """A small smooth classifier in float64, for derivatives by differences."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        convolution = nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten()
        model = nn.Sequential(*convolution, nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 3)).double()
        return model, torch.randn(6, 1, 4, 4).double(), torch.randint(0, 3, (6,))


def state(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# Scores


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(), (1,), (3, 4), (2, 3, 5, 5)], ids=str)
def test_formulas(shape, dtype):
    w, g = random_tensor(*shape, seed=1).to(dtype), random_tensor(*shape, seed=2).to(dtype)
    wide = torch.promote_types(dtype, torch.float32)
    assert torch.equal(prune.magnitude(w), w.to(wide).abs())
    assert torch.equal(prune.taylor(w, g), (w.to(wide) * g.to(wide)).abs())
    assert torch.equal(prune.obd(w, g), g.to(wide) * w.to(wide) ** 2 / 2)
    assert prune.random(w).shape == w.shape


def test_small_half_precision_scores_do_not_vanish():
    w = torch.tensor([1e-4, 2e-4], dtype=torch.float16)
    assert prune.taylor(w, w)[0] < prune.taylor(w, w)[1]
    assert prune.obd(torch.tensor([300.0], dtype=torch.float16), torch.ones(1)).isfinite().all()


def test_taylor_is_the_loss_change_of_a_linear_function():
    x, c = random_tensor(7, seed=3), random_tensor(7, seed=4)
    for i, score in enumerate(prune.taylor(x, c)):
        without = x.clone()
        without[i] = 0
        torch.testing.assert_close(score, ((c @ x) - (c @ without)).abs())


def test_obd_is_the_loss_change_at_the_minimum_of_a_quadratic():
    inputs, targets = random_tensor(40, 5).double(), random_tensor(40, 1, seed=1).double()
    model = nn.Linear(5, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.linalg.lstsq(inputs, targets).solution.t())
    curvature = prune.hessian_diagonal(model, inputs, targets, loss=F.mse_loss)["weight"]
    scores = prune.obd(model.weight.detach(), curvature)
    start = F.mse_loss(model(inputs), targets)
    for i in range(5):
        without = copy.deepcopy(model)
        without.weight.data[0, i] = 0
        change = F.mse_loss(without(inputs), targets) - start
        torch.testing.assert_close(scores[0, i], change.detach())


@pytest.mark.parametrize("chunk", [1, 5, 1000])
def test_hessian_diagonal_is_that_of_central_differences(chunk):
    model, inputs, labels = smooth_net()
    exact = prune.hessian_diagonal(model, inputs, labels, chunk=chunk)
    h = 1e-4  # error: rounding 1e-16 / h^2 and truncation h^2, both about 1e-8

    @torch.no_grad()
    def loss_at(name: str, index: int, offset: float) -> float:
        moved = copy.deepcopy(model)
        moved.get_parameter(name).view(-1)[index] += offset
        return F.cross_entropy(moved(inputs), labels).item()

    for name, diagonal in exact.items():
        assert diagonal.shape == model.get_parameter(name).shape
        for index, value in enumerate(diagonal.flatten().tolist()):
            low, middle, high = (loss_at(name, index, offset) for offset in (-h, 0.0, h))
            assert value == pytest.approx((high - 2 * middle + low) / h**2, abs=1e-6)


def test_hessian_diagonal_is_that_of_torch_func():
    model, inputs, labels = smooth_net()

    def loss(weight: Tensor) -> Tensor:
        outputs = torch.func.functional_call(model, {"5.weight": weight}, (inputs,))
        return F.cross_entropy(outputs, labels)

    full = torch.func.hessian(loss)(model[5].weight.detach())
    oracle = full.reshape(12, 12).diagonal().view(3, 4)
    torch.testing.assert_close(prune.hessian_diagonal(model, inputs, labels)["5.weight"], oracle)


@pytest.mark.parametrize("make", [models.lenet_5, lambda: models.resnet_cifar(8, 2)])
def test_curvature_of_networks_with_pooling_and_batch_norm(make):
    model = make()
    weights = {name: w.shape for name, w in prune.prunable_weights(model).items()}
    side, channels = (
        (28, 1) if isinstance(model[0], nn.Conv2d) and model[0].in_channels == 1 else (8, 3)
    )
    inputs, labels = random_tensor(3, channels, side, side), torch.tensor([0, 1, 2])
    fisher = prune.fisher_diagonal(model, inputs, labels)
    assert {name: f.shape for name, f in fisher.items()} == weights
    assert all((f >= 0).all() for f in fisher.values())


def test_a_loss_linear_in_a_weight_has_no_curvature():
    model = nn.Linear(3, 1)
    mean = lambda outputs, labels: outputs.mean()
    diagonal = prune.hessian_diagonal(model, random_tensor(2, 3), torch.zeros(2), loss=mean)
    assert torch.equal(diagonal["weight"], torch.zeros(1, 3))


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_fisher_diagonal_is_the_mean_square_of_single_gradients(chunk):
    model, inputs, labels = smooth_net()
    expected = {name: torch.zeros_like(w) for name, w in prune.prunable_weights(model).items()}
    for x, y in zip(inputs, labels, strict=True):
        model.zero_grad()
        F.cross_entropy(model(x[None]), y[None]).backward()
        for name, total in expected.items():
            total += model.get_parameter(name).grad ** 2 / len(inputs)
    model.zero_grad()
    fisher = prune.fisher_diagonal(model, inputs, labels, chunk=chunk)
    assert fisher.keys() == expected.keys()
    for name, value in fisher.items():
        torch.testing.assert_close(value, expected[name].detach())


def test_apoz_counts_zeros_per_channel():
    activation = torch.relu(random_tensor(4, 3, 5, 5) + torch.tensor([-9.0, 0, 9]).view(3, 1, 1))
    zeros = prune.apoz(activation)
    assert zeros.tolist()[::2] == [1.0, 0.0]
    assert zeros[1] == pytest.approx(int((activation[:, 1] == 0).sum()) / 100)


def test_activation_zeros_finds_the_relu_of_each_layer():
    model = models.resnet_cifar(8, width=2).eval()
    inputs, seen = random_tensor(2, 3, 8, 8), {}
    relus = {
        "conv1": "relu1",
        "stage2.0.conv1": "stage2.0.relu1",
        "stage2.0.conv2": "stage2.0.relu2",
    }
    for layer, relu in relus.items():
        keep = lambda module, args, output, layer=layer: seen.update({layer: prune.apoz(output)})
        model.get_submodule(relu).register_forward_hook(keep)
    zeros = prune.activation_zeros(model, inputs)
    for layer in relus:
        assert torch.equal(zeros[f"{layer}.weight"], seen[layer])
    assert set(zeros) == set(prune.prunable_weights(model)) - {"classifier.weight"}


def test_activation_zeros_passes_pooling_and_leaves_out_layers_without_relu():
    model = nn.Sequential(
        *(nn.Conv2d(1, 3, 3), nn.MaxPool2d(2), nn.ReLU(inplace=True), nn.Flatten()),
        *(nn.Linear(27, 5), nn.Linear(5, 4), nn.ReLU6(), nn.Linear(4, 2), nn.Sigmoid()),
    ).train()
    zeros = prune.activation_zeros(model, random_tensor(2, 1, 8, 8))
    assert {name: len(z) for name, z in zeros.items()} == {"0.weight": 3, "5.weight": 4}
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("criterion", ["magnitude", "random", "taylor", "obd", "apoz"])
def test_score_model_gives_each_weight_scores_of_its_shape_and_changes_nothing(criterion):
    model = models.lenet_300_100().train()
    model.fc1.weight.grad = torch.ones_like(model.fc1.weight)
    before, random_state = state(model), torch.get_rng_state()
    inputs, labels = random_tensor(4, 1, 28, 28), torch.arange(4)
    scores = prune.score_model(model, criterion, inputs, labels)
    layers = {"fc1", "fc2"} if criterion == "apoz" else {"fc1", "fc2", "fc3"}
    assert set(scores) == {f"{layer}.weight" for layer in layers}
    for name, score in scores.items():
        assert score.shape == model.get_parameter(name).shape
        assert not score.requires_grad
    assert same(before, state(model))
    assert model.training
    assert torch.equal(model.fc1.weight.grad, torch.ones_like(model.fc1.weight))
    assert torch.equal(random_state, torch.get_rng_state())


def test_score_model_computes_the_formulas():
    model, inputs, labels = smooth_net()
    F.cross_entropy(model(inputs), labels).backward()
    taylor = prune.score_model(model, "taylor", inputs, labels)
    obd = prune.score_model(model, "obd", inputs, labels)
    fisher = prune.fisher_diagonal(model, inputs, labels)
    for name, w in prune.prunable_weights(model).items():
        torch.testing.assert_close(taylor[name], (w * w.grad).abs().detach())
        torch.testing.assert_close(obd[name], (fisher[name] * w**2 / 2).detach())


@pytest.mark.parametrize("criterion", ["taylor", "obd", "apoz"])
def test_scores_do_not_depend_on_frozen_weights_grad_mode_or_layers_out_of_use(criterion):
    model, inputs, labels = smooth_net()
    model.add_module("6", nn.Identity())
    model[6].spare = nn.Linear(2, 2).double()  # never called
    expected = prune.score_model(model, criterion, inputs, labels)
    frozen = copy.deepcopy(model).requires_grad_(False)
    with torch.no_grad():
        scores = prune.score_model(frozen, criterion, inputs, labels)
        exact = prune.hessian_diagonal(frozen, inputs, labels)
    assert same(scores, expected)
    assert not exact["6.spare.weight"].any()
    if criterion != "apoz":
        assert not scores["6.spare.weight"].any()


def test_apoz_scores_rank_the_most_silent_filter_lowest():
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))
    with torch.no_grad():
        model[0].weight.fill_(0)
        model[0].bias.copy_(torch.tensor([1.0, -1.0, 2.0]))
    scores = prune.score_model(model, "apoz", torch.zeros(2, 1, 4, 4))
    assert {name: s.flatten().tolist() for name, s in scores.items()} == {"0.weight": [1, 0, 1]}
    mask = prune.make_masks(scores, 1 / 3, granularity="filter")["0.weight"]
    assert mask.flatten().tolist() == [True, False, True]


def test_random_scores_depend_on_the_seed_and_the_layer():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    first, again, other = (prune.score_model(model, "random", seed=s) for s in (1, 1, 2))
    assert torch.equal(first["0.weight"], again["0.weight"])
    assert not torch.equal(first["0.weight"], other["0.weight"])
    assert not torch.equal(first["0.weight"], first["1.weight"])


# Masks


@pytest.mark.parametrize("amount", [0.0, 0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (6, 5, 3, 3)], ids=str)
def test_element_mask_is_that_of_torch_l1_unstructured(shape, amount):
    holder = nn.Module()
    holder.weight = nn.Parameter(random_tensor(*shape))
    mask = prune.make_mask(prune.magnitude(holder.weight.detach()), amount)
    torch_prune.l1_unstructured(holder, "weight", amount)
    assert torch.equal(mask, holder.weight_mask.bool())


@pytest.mark.parametrize("amount", [0.0, 0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize(("granularity", "axis"), [("filter", 0), ("channel", 1)])
@pytest.mark.parametrize(("pool", "n"), [("mean", 1), ("rms", 2), ("max", math.inf)])
def test_structured_mask_is_that_of_torch_ln_structured(pool, n, granularity, axis, amount):
    for shape in ((1, 1), (9, 5), (5, 7, 3, 3)):
        holder = nn.Module()
        holder.weight = nn.Parameter(random_tensor(*shape))
        scores = prune.magnitude(holder.weight.detach())
        mask = prune.make_mask(scores, amount, granularity=granularity, pool=pool)
        torch_prune.ln_structured(holder, "weight", amount, n=n, dim=axis)
        assert torch.equal(mask, holder.weight_mask.bool())


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.5, 0.95, 1.0])
def test_global_masks_are_those_of_torch_global_unstructured(amount):
    model = models.lenet_300_100()
    masks = prune.make_masks(prune.score_model(model), amount)
    layers = [(model.get_submodule(n), "weight") for n in ("fc1", "fc2", "fc3")]
    torch_prune.global_unstructured(layers, torch_prune.L1Unstructured, amount=amount)
    for name, mask in masks.items():
        assert torch.equal(mask, model.get_buffer(f"{name}_mask").bool())


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.integers(0, 3), min_size=1, max_size=40), sparsity=st.floats(0.0, 1.0))
def test_exactly_the_asked_number_goes_whatever_the_ties(values, sparsity):
    scores = torch.tensor(values, dtype=torch.float32)
    mask = prune.make_mask(scores, sparsity)
    count = round(sparsity * len(values))
    assert int((~mask).sum()) == count
    order = sorted(range(len(values)), key=lambda i: (values[i], i))  # first among equals first
    assert sorted(order[:count]) == (~mask).nonzero().flatten().tolist()


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_all_equal_scores_still_lose_the_exact_count(dtype, granularity):
    mask = prune.make_mask(torch.ones(10, 20, 3, 3, dtype=dtype), 0.3, granularity=granularity)
    assert mask.shape == (10, 20, 3, 3)
    assert mask.dtype == torch.bool
    assert int((~mask).sum()) == round(0.3 * 1800)
    assert prune.mask_sparsity(mask) == pytest.approx(0.3)


@pytest.mark.parametrize("pool", POOLS)
def test_structured_masks_remove_whole_slices(pool):
    scores = random_tensor(6, 5, 3, 3).abs()
    filters = prune.make_mask(scores, 0.5, granularity="filter", pool=pool).flatten(1)
    channels = prune.make_mask(scores, 0.4, granularity="channel", pool=pool).transpose(0, 1)
    for slices, gone in ((filters, 3), (channels.flatten(1), 2)):
        assert torch.equal(slices.all(1), slices.any(1))
        assert int((~slices.any(1)).sum()) == gone


def test_negative_saliencies_of_a_filter_add_up_with_their_signs():
    scores = torch.tensor([[-5.0, 1.0], [0.1, 0.1]])
    mask = prune.make_mask(scores, 0.5, granularity="filter")
    assert mask.tolist() == [[False, False], [True, True]]


def test_global_and_layer_scope_differ_as_they_should():
    scores = {"small": torch.full((10,), 0.1), "large": torch.full((30,), 1.0)}
    everywhere = prune.make_masks(scores, 0.25)
    each = prune.make_masks(scores, 0.5, scope="layer")
    assert [int(m.sum()) for m in everywhere.values()] == [0, 30]
    assert [int(m.sum()) for m in each.values()] == [5, 15]
    chosen = prune.make_masks(scores, {"small": 0.0, "large": 0.1}, scope="layer")
    assert [int(m.sum()) for m in chosen.values()] == [10, 27]


def test_global_filter_masks_compare_layers_of_different_size():
    scores = {"wide": torch.full((4, 100), 0.1), "narrow": torch.full((4, 2), 1.0)}
    masks = prune.make_masks(scores, 0.5, granularity="filter")
    assert [bool(m.any()) for m in masks.values()] == [False, True]


@settings(max_examples=100, deadline=None)
@given(
    first=st.floats(0.0, 1.0),
    second=st.floats(0.0, 1.0),
    seed=st.integers(0, 99),
    granularity=st.sampled_from(GRANULARITIES),
)
def test_masks_within_an_earlier_mask_are_nested_and_exact(first, second, seed, granularity):
    size = {"element": 30, "filter": 5, "channel": 6}[granularity]
    earlier = prune.make_mask(random_tensor(5, 6, seed=seed), first, granularity=granularity)
    scores = random_tensor(5, 6, seed=seed + 1)
    later = prune.make_mask(scores, second, granularity=granularity, within=earlier)
    assert not (later & ~earlier).any()
    gone = max(round(first * size), round(second * size))
    assert int((~later).sum()) == gone * 30 // size


def test_filters_may_be_pruned_within_a_mask_of_elements():
    scores = torch.tensor([[1.0, 9.0], [5.0, 5.0], [6.0, 6.0], [7.0, 7.0]])
    earlier = torch.tensor([[True, False], [True, True], [False, False], [True, False]])
    mask = prune.make_mask(scores, 0.5, granularity="filter", within=earlier)
    # Filter 2 was gone; of the others filter 0 and filter 1 score 5, and the first one goes.
    assert mask.tolist() == [[False, False], [True, True], [False, False], [True, False]]


@pytest.mark.parametrize(("keep", "block"), [(2, 4), (1, 4), (0, 2), (3, 3), (1, 1)])
@pytest.mark.parametrize("shape", [(1, 12), (5, 24), (3, 12, 3, 3), (2, 12, 1, 5)], ids=str)
def test_n_of_m_keeps_the_best_of_every_block(shape, keep, block):
    scores = random_tensor(*shape).abs()
    mask = prune.n_of_m_mask(scores, keep, block)
    for index in itertools.product(*(range(n) for n in (shape[0], *shape[2:]))):
        rest = tuple(index[1:])
        for start in range(0, shape[1], block):
            places = [(index[0], i, *rest) for i in range(start, start + block)]
            best = sorted(places, key=lambda p: float(scores[p]), reverse=True)[:keep]
            assert {p for p in places if mask[p]} == set(best)


def test_two_of_four_is_exact_with_ties():
    mask = prune.n_of_m_mask(torch.zeros(8, 16))
    assert mask.view(8, 4, 4).sum(-1).eq(2).all()
    assert mask[0, :4].tolist() == [False, False, True, True]


def test_a_million_scores_lose_the_exact_count():
    scores = torch.randint(0, 50, (1000, 1000), generator=torch.Generator().manual_seed(0))
    assert int((~prune.make_mask(scores.float(), 0.123457)).sum()) == 123457


# Schedules


def test_cubic_is_the_formula_and_never_falls():
    values = [prune.cubic(t, 0.9, begin=10, end=110, initial=0.3) for t in range(130)]
    assert values[:10] == [0.0] * 10
    assert values[10] == pytest.approx(0.3)
    assert values[60] == pytest.approx(0.9 + (0.3 - 0.9) * 0.5**3)
    assert values[110:] == [0.9] * 20
    assert values == sorted(values)
    steps = [b - a for a, b in itertools.pairwise(values[10:111])]
    assert steps == sorted(steps, reverse=True)  # ever slower


def test_cubic_updates_every_so_many_steps():
    held = [prune.cubic(t, 0.8, end=100, every=10) for t in range(101)]
    free = [prune.cubic(t, 0.8, end=100) for t in range(101)]
    assert held == [free[t // 10 * 10] for t in range(101)]
    assert prune.cubic(100, 0.8, end=100, every=7) == 0.8


@pytest.mark.parametrize("rounds", [1, 2, 5, 16])
def test_iterative_rounds_remove_the_same_fraction_of_what_is_left(rounds):
    levels = [prune.iterative(3 * r, 0.9, rounds=rounds, steps_per_round=3) for r in range(rounds)]
    kept = [1.0] + [1 - level for level in levels]
    shares = [after / before for before, after in itertools.pairwise(kept)]
    assert shares == pytest.approx([0.1 ** (1 / rounds)] * rounds)
    assert levels[-1] == 0.9
    held = [
        prune.iterative(3 * r + 2, 0.9, rounds=rounds, steps_per_round=3) for r in range(rounds)
    ]
    assert held == levels


def test_one_shot_is_one_round():
    for step in range(5):
        one = prune.one_shot(step, 0.7)
        assert one == prune.iterative(step, 0.7, rounds=1, steps_per_round=2) == 0.7
    assert prune.one_shot(3, 0.7, at=4) == 0.0


# The mechanism


def small_net() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


OPTIMIZERS: dict[str, Callable] = {
    "sgd": partial(torch.optim.SGD, lr=0.1),
    "momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": partial(torch.optim.Adam, lr=0.05),
    "adamw": partial(torch.optim.AdamW, lr=0.05, weight_decay=0.1),
}


def steps(model: nn.Module, hook: Callable, optimizer: Callable, count: int = 12) -> nn.Module:
    """Train `model` in place, as course_lib.train.fit trains its copy."""
    inputs, labels = random_tensor(32, 6), torch.arange(32) % 3
    updates = optimizer(model.parameters())
    for _ in range(count):
        updates.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        updates.step()
        hook(model)
    return model


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_masked_weights_stay_zero_under_any_optimizer(name):
    dense = small_net()
    optimizer = OPTIMIZERS[name](dense.parameters())  # a momentum from dense steps
    F.cross_entropy(dense(random_tensor(32, 6)), torch.arange(32) % 3).backward()
    optimizer.step()
    masks = prune.make_masks(prune.score_model(dense), 0.6)
    hook = prune.KeepZeros(masks)
    before = state(dense)
    for _ in range(5):
        optimizer.step()  # moves masked weights too
        hook(dense)
        for weight, mask in masks.items():
            values = dense.get_parameter(weight)
            assert not values[~mask].any()
            assert values[mask].all()
    assert not same(before, state(dense))
    assert prune.weight_sparsity(dense) == prune.mask_sparsity(masks)


def test_masked_training_equals_the_training_of_torch_prune():
    """weight_orig * mask has zero gradients at zeros; plain SGD moves the others equally."""
    pruned = prune.prune_model(small_net(), 0.5)
    ours = steps(copy.deepcopy(pruned.model), prune.KeepZeros(pruned.masks), OPTIMIZERS["sgd"])
    theirs = small_net()
    for name, mask in pruned.masks.items():
        torch_prune.custom_from_mask(theirs.get_submodule(name[0]), "weight", mask)
    steps(theirs, lambda model: None, OPTIMIZERS["sgd"])
    for name in pruned.masks:
        layer = theirs.get_submodule(name[0])  # its own .weight is that of the last forward pass
        expected = layer.weight_orig * layer.weight_mask
        torch.testing.assert_close(ours.get_parameter(name), expected, rtol=0, atol=1e-6)


def test_apply_masks_zeroes_a_copy_even_where_weights_are_not_finite():
    model = nn.Linear(3, 1)
    model.weight.data = torch.tensor([[math.inf, math.nan, 2.0]])
    before = model.weight.data.clone()
    masked = prune.apply_masks(model, {"weight": torch.tensor([[False, False, True]])})
    assert masked.weight.tolist() == [[0.0, 0.0, 2.0]]
    assert isinstance(masked.weight, nn.Parameter)
    assert torch.equal(model.weight.data.nan_to_num(), before.nan_to_num())


def test_prune_model_prunes_a_copy_of_the_scored_layers():
    model = models.lenet_5()
    before = state(model)
    scores = {name: s for name, s in prune.score_model(model).items() if name != "conv1.weight"}
    pruned = prune.prune_model(model, 0.9, scores)
    assert same(before, state(model))
    assert torch.equal(pruned.model.conv1.weight, model.conv1.weight)
    zeros = sum(int((pruned.model.get_parameter(n) == 0).sum()) for n in scores)
    assert zeros == round(0.9 * sum(s.numel() for s in scores.values()))
    assert pruned.sparsity == pytest.approx(0.9, abs=1e-5)
    per_layer = {n: 0.25 for n in scores}
    assert prune.prune_model(model, per_layer, scores, scope="layer").sparsity == 0.25


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_gradual_pruning_follows_its_schedule_and_never_gives_back(scope, granularity):
    schedule = partial(prune.cubic, final=0.75, begin=2, end=9)
    pruner = prune.GradualPruner(schedule, scope=scope, granularity=granularity)
    seen: list[dict[str, Tensor]] = []

    def hook(model: nn.Module) -> None:
        pruner(model)
        seen.append(dict(pruner.masks))
        assert prune.weight_sparsity(model) == pytest.approx(pruner.sparsity)

    steps(small_net(), hook, OPTIMIZERS["momentum"])
    assert pruner.steps == 12
    for earlier, later in itertools.pairwise(seen):
        assert all(not (later[name] & ~earlier[name]).any() for name in later)
    if granularity == "element":
        sizes = {"0.weight": 96, "3.weight": 48}
        for step, masks in enumerate(seen, start=1):
            gone = {name: int((~mask).sum()) for name, mask in masks.items()}
            if scope == "global":
                assert sum(gone.values()) == round(schedule(step) * 144)
            else:
                assert gone == {n: round(schedule(step) * size) for n, size in sizes.items()}


def test_gradual_pruning_skips_named_layers():
    pruner = prune.GradualPruner(partial(prune.one_shot, final=0.5), skip=("3.weight",))
    model = steps(small_net(), pruner, OPTIMIZERS["adam"])
    assert list(pruner.masks) == ["0.weight"]
    assert model[3].weight.all()


def test_fit_trains_with_the_hook():
    images = torch.randint(0, 256, (96, 1, 2, 3), generator=torch.Generator().manual_seed(0))
    split = Split(images.to(torch.uint8), torch.arange(96) % 3, (0.5,), (0.5,))
    data = SimpleNamespace(train=split, validation=split)
    model = nn.Sequential(nn.Flatten(), *small_net())
    pruned = prune.prune_model(model, 0.8)
    hook = prune.KeepZeros(pruned.masks)
    for optimizer in ("adam", "sgd"):
        trained = train.fit(
            pruned.model, data, epochs=2, optimizer=optimizer, after_step=hook, progress=False
        ).model
        assert prune.weight_sparsity(trained) == pytest.approx(pruned.sparsity)
        assert not same(state(trained), state(pruned.model))


# Studies


def test_sensitivity_prunes_one_layer_at_a_time():
    model = models.lenet_300_100()
    before = state(model)

    def layers_with_zeros(pruned: nn.Module) -> float:
        zeros = {n: float((p == 0).double().mean()) for n, p in pruned.named_parameters()}
        changed = {n: z for n, z in zeros.items() if z > 0}
        assert len(changed) <= 1
        return sum(changed.values())

    points = prune.sensitivity(model, layers_with_zeros, [0.0, 0.5, 0.9])
    assert [(p.layer, p.sparsity) for p in points] == [
        (f"{layer}.weight", s) for layer in ("fc1", "fc2", "fc3") for s in (0.0, 0.5, 0.9)
    ]
    assert all(p.value == pytest.approx(p.sparsity, abs=1e-3) for p in points)
    assert same(before, state(model))


def test_sensitivity_with_scores_of_filters():
    model = models.lenet_5()
    scores = {"conv2.weight": prune.random(model.conv2.weight.detach(), seed=3)}
    count = lambda m: int((m.conv2.weight.flatten(1) == 0).all(1).sum())
    points = prune.sensitivity(model, count, [0.1, 1.0], scores, granularity="filter")
    assert [p.value for p in points] == [5, 50]


def test_tickets_of_any_score_are_nested():
    order = itertools.count()
    tickets = prune.lottery_tickets(
        small_net(),
        lambda model, hook: model,
        rounds=3,
        fraction=0.5,
        score=lambda model: prune.score_model(model, "random", seed=next(order)),
    )
    for earlier, later in itertools.pairwise(tickets):
        assert all(not (mask & ~earlier.masks[name]).any() for name, mask in later.masks.items())


def test_rewinding_gives_the_initial_values_of_what_survived():
    initial = small_net()
    trained = steps(copy.deepcopy(initial), lambda model: None, OPTIMIZERS["adam"])
    pruned = prune.prune_model(trained, 0.7)
    ticket = prune.rewind(pruned, initial)
    for name, value in ticket.model.named_parameters():
        mask = pruned.masks.get(name, torch.ones_like(value, dtype=torch.bool))
        assert torch.equal(value, initial.get_parameter(name) * mask)
    assert torch.equal(ticket.model[1].running_mean, initial[1].running_mean)
    assert ticket.sparsity == pruned.sparsity


def test_lottery_tickets_shrink_by_the_fraction_and_start_from_the_initial_weights():
    initial = small_net()
    before = state(initial)
    train_copy = lambda model, hook: steps(copy.deepcopy(model), hook, OPTIMIZERS["adam"])
    tickets = prune.lottery_tickets(initial, train_copy, rounds=3, fraction=0.5)
    assert [t.sparsity for t in tickets] == [0.0, 0.5, 0.75, 0.875]
    for earlier, later in itertools.pairwise(tickets):
        for name, mask in later.masks.items():
            assert not (mask & ~earlier.masks[name]).any()
    for ticket in tickets:
        assert prune.weight_sparsity(ticket.trained) == ticket.sparsity
        for name, mask in ticket.masks.items():
            assert torch.equal(ticket.start.get_parameter(name), before[name] * mask)
    assert same(before, state(initial))
    by_hand = prune.make_masks(prune.score_model(tickets[0].trained), 0.5)  # of magnitudes
    assert all(torch.equal(by_hand[n], tickets[1].masks[n]) for n in by_hand)


# Bad input


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: prune.magnitude([1.0]), TypeError, "weight must be a torch.Tensor"),
        (lambda: prune.magnitude(torch.ones(2).long()), TypeError, "weight must hold floating"),
        (lambda: prune.magnitude(torch.ones(0)), ValueError, "weight must not be empty"),
        (lambda: prune.magnitude(torch.tensor([math.nan])), ValueError, "weight must be finite"),
        (lambda: prune.taylor(torch.ones(2), torch.ones(3)), ValueError, "gradient must have"),
        (lambda: prune.obd(torch.ones(2), torch.ones(1)), ValueError, "curvature must have"),
        (lambda: prune.apoz(torch.ones(3)), ValueError, r"activation must be \[N, C"),
        (lambda: prune.make_mask(torch.ones(2), 90), ValueError, "write 0.9"),
        (lambda: prune.make_mask(torch.ones(2), -0.1), ValueError, "sparsity must be"),
        (lambda: prune.make_mask(torch.ones(2), math.nan), ValueError, "sparsity must be"),
        (lambda: prune.make_mask(torch.ones(2), "half"), TypeError, "sparsity must be"),
        (lambda: prune.make_mask(torch.ones(0), 0.5), ValueError, "scores must not be empty"),
        (lambda: prune.make_mask(torch.tensor([math.inf]), 0.5), ValueError, "must be finite"),
        (lambda: prune.make_mask(torch.ones(2).bool(), 0.5), TypeError, "floating"),
        (
            lambda: prune.make_mask(torch.ones(2), 0.5, granularity="row"),
            ValueError,
            "granularity",
        ),
        (lambda: prune.make_mask(torch.ones(2, 2), 0.5, pool="sum"), ValueError, "pool must be"),
        (
            lambda: prune.make_mask(torch.ones(2), 0.5, granularity="filter"),
            ValueError,
            "2 or more dimensions",
        ),
        (
            lambda: prune.make_mask(torch.ones(2), 0.5, within=torch.ones(3).bool()),
            ValueError,
            r"within must have shape \(2,\)",
        ),
        (
            lambda: prune.make_mask(torch.ones(2), 0.5, within=torch.ones(2)),
            TypeError,
            "within must hold bools",
        ),
        (lambda: prune.make_masks({}, 0.5), ValueError, "scores must map at least one"),
        (lambda: prune.make_masks({"a": torch.ones(2)}, 0.5, scope="net"), ValueError, "scope"),
        (
            lambda: prune.make_masks({"a": torch.ones(2)}, {"b": 0.5}, scope="layer"),
            ValueError,
            r"sparsity names \['b'\]",
        ),
        (lambda: prune.make_masks({"a": torch.ones(2)}, {"a": 0.5}), ValueError, "one fraction"),
        (
            lambda: prune.make_masks({"a": torch.ones(2)}, 0.5, within={"b": torch.ones(2)}),
            ValueError,
            "within must name",
        ),
        (lambda: prune.n_of_m_mask(torch.ones(2, 6)), ValueError, "divisible by block = 4"),
        (lambda: prune.n_of_m_mask(torch.ones(4)), ValueError, r"must be \[O, I"),
        (lambda: prune.n_of_m_mask(torch.ones(2, 4), keep=5), ValueError, "keep must be"),
        (lambda: prune.mask_sparsity({}), ValueError, "at least one value"),
        (lambda: prune.mask_sparsity(torch.ones(2)), TypeError, "must hold bools"),
        (lambda: prune.cubic(1, 0.5, end=3, initial=0.6), ValueError, "final must be at least"),
        (lambda: prune.cubic(1, 0.5, end=3, begin=3), ValueError, "end must be after"),
        (lambda: prune.cubic(-1, 0.5, end=3), ValueError, "step must be"),
        (lambda: prune.iterative(0, 0.5, rounds=0, steps_per_round=1), ValueError, "rounds"),
        (lambda: prune.one_shot(0, 50), ValueError, "write 0.5"),
        (lambda: prune.prunable_weights(nn.ReLU()), ValueError, "found none"),
        (lambda: prune.prunable_weights("net"), TypeError, "model must be"),
        (lambda: prune.score_model(small_net(), "l1"), ValueError, "criterion must be one of"),
        (lambda: prune.score_model(small_net(), "taylor"), ValueError, "inputs must be a batch"),
        (
            lambda: prune.score_model(small_net(), "obd", torch.ones(2, 6)),
            ValueError,
            "labels must be a batch",
        ),
        (
            lambda: prune.fisher_diagonal(small_net(), torch.ones(2, 6), torch.ones(3).long()),
            ValueError,
            "labels must be 2",
        ),
        (
            lambda: prune.apply_masks(small_net(), {"1.gain": torch.ones(2).bool()}),
            ValueError,
            "must name parameters",
        ),
        (
            lambda: prune.apply_masks(small_net(), {"0.weight": torch.ones(6, 16).bool()}),
            ValueError,
            r"0.weight must have shape \(16, 6\)",
        ),
        (
            lambda: prune.KeepZeros({"0.weight": torch.ones(16, 6)}),
            TypeError,
            "0.weight must hold bools",
        ),
        (
            lambda: prune.GradualPruner(lambda step: 0.5, skip=("x",))(small_net()),
            ValueError,
            "skip must name weights",
        ),
        (lambda: prune.GradualPruner(lambda step: 90)(small_net()), ValueError, "schedule"),
        (
            lambda: prune.rewind(prune.prune_model(small_net(), 0.5), nn.Linear(2, 2)),
            ValueError,
            "early must be the network",
        ),
        (
            lambda: prune.lottery_tickets(small_net(), lambda m, h: m, rounds=-1),
            ValueError,
            "rounds",
        ),
        (
            lambda: prune.sensitivity(small_net(), lambda m: 0.0, [50]),
            ValueError,
            "sparsities must be a fraction",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
