"""Searches against brute force on spaces small enough to enumerate; networks against autograd."""

from __future__ import annotations

import copy
import itertools
import math
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from course_lib import cost, nas, published
from course_lib.blocks import InvertedResidual

SPACE = nas.SearchSpace({"depth": [1, 2, 3, 4], "width": [8, 16, 32], "kernel": [3, 5, 7]})


def macs(architecture: dict) -> int:
    return architecture["depth"] * architecture["width"] ** 2 * architecture["kernel"] ** 2


def accuracy(architecture: dict) -> float:
    """Grows with everything, with a preference for kernel 5, so that limits conflict."""
    kernel = {3: 0.0, 5: 0.06, 7: 0.04}[architecture["kernel"]]
    return 0.5 + 0.05 * math.log2(architecture["width"]) + 0.03 * architecture["depth"] + kernel


SEARCHES = {
    "random": nas.random_search,
    "evolution": nas.regularised_evolution,
    "reinforce": nas.reinforce,
}
every_search = pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)


# Search spaces


def test_the_size_is_the_number_of_distinct_architectures():
    codes = [SPACE.encode(architecture) for architecture in SPACE.enumerate()]
    assert len(codes) == len(set(codes)) == SPACE.size == 36
    assert codes == list(itertools.product(range(4), range(3), range(3)))


def test_the_size_of_a_huge_space_is_exact():
    assert nas.SearchSpace({f"c{i}": range(7) for i in range(60)}).size == 7**60


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_decode_undoes_encode(sizes):
    space = nas.SearchSpace({f"c{i}": [f"o{k}" for k in range(n)] for i, n in enumerate(sizes)})
    for architecture in space.enumerate():
        assert space.decode(space.encode(architecture)) == architecture


def test_samples_are_uniform():
    rng = np.random.default_rng(0)
    counts = Counter(SPACE.encode(SPACE.sample(rng)) for _ in range(3600))
    assert len(counts) == 36
    assert stats.chisquare(list(counts.values())).pvalue > 0.01


def test_neighbours_are_all_that_differ_in_exactly_one_choice():
    for architecture in SPACE.enumerate():
        wanted = [
            other
            for other in SPACE.enumerate()
            if sum(other[name] != architecture[name] for name in SPACE.choices) == 1
        ]
        found = SPACE.neighbours(architecture)
        assert sorted(map(SPACE.encode, found)) == sorted(map(SPACE.encode, wanted))


def test_mutation_reaches_every_neighbour_and_nothing_else():
    rng = np.random.default_rng(1)
    parent = {"depth": 2, "width": 8, "kernel": 7}
    drawn = Counter(SPACE.encode(SPACE.mutate(parent, rng)) for _ in range(3000))
    neighbours = SPACE.neighbours(parent)
    assert set(drawn) == set(map(SPACE.encode, neighbours))
    # Each choice is as likely, and within it each other option.
    changes = [next(n for n in parent if a[n] != parent[n]) for a in neighbours]
    wanted = [3000 / 3 / (len(SPACE.choices[name]) - 1) for name in changes]
    assert stats.chisquare([drawn[SPACE.encode(a)] for a in neighbours], wanted).pvalue > 0.01
    assert parent == {"depth": 2, "width": 8, "kernel": 7}


def test_mutation_never_draws_a_choice_with_one_option():
    space = nas.SearchSpace({"fixed": [1], "free": [1, 2]})
    rng = np.random.default_rng(0)
    assert all(space.mutate({"fixed": 1, "free": 1}, rng)["free"] == 2 for _ in range(20))
    with pytest.raises(ValueError, match="nothing to mutate"):
        nas.SearchSpace({"fixed": [1]}).mutate({"fixed": 1}, rng)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nas.SearchSpace({}), ValueError, "at least one"),
        (lambda: nas.SearchSpace({"a": []}), ValueError, r"choices\['a'\]"),
        (lambda: nas.SearchSpace({"a": [1, 2, 1]}), ValueError, "1 twice"),
        (lambda: nas.SearchSpace({"a": "xyz"}), TypeError, r"choices\['a'\]"),
        (lambda: nas.SearchSpace({"a": 3}), TypeError, r"choices\['a'\]"),
        (lambda: nas.SearchSpace([1, 2]), TypeError, "choices"),
        (lambda: SPACE.encode({"depth": 1, "width": 8}), ValueError, "must choose"),
        (lambda: SPACE.encode({"depth": 9, "width": 8, "kernel": 3}), ValueError, "depth"),
        (lambda: SPACE.encode(None), TypeError, "architecture"),
        (lambda: SPACE.decode([0, 0]), ValueError, "3 numbers"),
        (lambda: SPACE.decode([0, 3, 0]), ValueError, "code of width"),
        (lambda: SPACE.decode([0, -1, 0]), ValueError, "code of width"),
    ],
)
def test_bad_spaces_and_architectures_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


# Searches


@every_search
def test_every_search_finds_the_best_of_a_small_space(search):
    best = max(map(accuracy, SPACE.enumerate()))
    assert search(accuracy, SPACE, evaluations=250, seed=0).best.objective == best


@every_search
@pytest.mark.parametrize("limit", [72 * 8, 5_000, 10**9])
def test_nothing_that_breaks_the_constraint_is_ever_evaluated(search, limit):
    fits = lambda architecture: macs(architecture) <= limit
    result = search(accuracy, SPACE, evaluations=60, constraint=fits, seed=1)
    assert all(fits(evaluated.architecture) for evaluated in result.history)
    feasible = [accuracy(architecture) for architecture in SPACE.enumerate() if fits(architecture)]
    assert result.best.objective <= max(feasible)
    assert len(result.history) == 60


@every_search
def test_a_single_feasible_architecture_is_found(search):
    only = {"depth": 3, "width": 16, "kernel": 5}
    space = nas.SearchSpace({**SPACE.choices, **{f"extra_{i}": range(8) for i in range(3)}})
    only |= {f"extra_{i}": 7 for i in range(3)}
    result = search(
        accuracy,
        space,
        evaluations=1,
        constraint=lambda a: a == only,
        seed=2,
        **({"population_size": 1} if search is nas.regularised_evolution else {}),
    )
    assert result.best.architecture == only


@every_search
def test_no_feasible_architecture_is_a_clear_error(search):
    evaluated = []
    with pytest.raises(ValueError, match="none of the 36 in the space meets it"):
        search(evaluated.append, SPACE, evaluations=20, constraint=lambda a: False)
    huge = nas.SearchSpace({f"c{i}": range(10) for i in range(9)})
    with pytest.raises(ValueError, match="none of 1,000 drawn from 1,000,000,000"):
        search(evaluated.append, huge, evaluations=20, constraint=lambda a: False)
    assert not evaluated


@every_search
def test_the_record_is_what_was_evaluated_in_order(search):
    seen = []

    def evaluate(architecture: dict) -> float:
        seen.append(dict(architecture))
        architecture.clear()  # must not reach the record
        return accuracy(seen[-1])

    result = search(evaluate, SPACE, evaluations=40, seed=3)
    assert [evaluated.architecture for evaluated in result.history] == seen
    assert [e.objective for e in result.history] == [accuracy(a) for a in seen]
    assert result.best_so_far == tuple(
        max(accuracy(a) for a in seen[: i + 1]) for i in range(len(seen))
    )


@every_search
def test_a_seed_repeats_a_search(search):
    first, second, other = (search(accuracy, SPACE, evaluations=30, seed=s) for s in (4, 4, 5))
    assert first == second
    assert first.history != other.history


@every_search
@pytest.mark.parametrize(
    ("value", "error"), [(math.nan, ValueError), (math.inf, ValueError), (None, TypeError)]
)
def test_an_objective_that_is_no_finite_number_is_named(search, value, error):
    with pytest.raises(error, match="evaluate must return a"):
        search(lambda architecture: value, SPACE, evaluations=20)


@every_search
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"evaluations": 0}, ValueError, "evaluations"),
        ({"evaluations": 20, "seed": 1.5}, TypeError, "seed"),
        ({"evaluations": 20, "constraint": 7}, TypeError, "constraint"),
    ],
)
def test_bad_search_arguments_are_named(search, arguments, error, words):
    with pytest.raises(error, match=words):
        search(accuracy, SPACE, **arguments)
    with pytest.raises(TypeError, match="evaluate"):
        search(0.5, SPACE, evaluations=20)
    with pytest.raises(TypeError, match="space"):
        search(accuracy, {"depth": [1]}, evaluations=20)


@every_search
def test_a_space_of_one_architecture_can_be_searched(search):
    one = nas.SearchSpace({"depth": [3]})
    assert search(lambda a: a["depth"], one, evaluations=25).best.objective == 3.0


def test_feasible_samples_are_uniform_by_rejection_and_by_enumeration():
    rng = np.random.default_rng(6)
    wide = nas.SearchSpace({"a": range(100), "b": range(50)})
    for space, fits, drawn, feasible in (
        (SPACE, lambda a: macs(a) <= 2_000, 1500, sum(macs(a) <= 2000 for a in SPACE.enumerate())),
        (wide, lambda a: a["a"] == 0 and a["b"] < 2, 30, 2),  # 1 in 2,500: found in order
    ):
        codes = [space.encode(nas.sample_feasible(space, rng, fits)) for _ in range(drawn)]
        counts = Counter(codes)
        assert len(counts) == feasible
        assert stats.chisquare(list(counts.values())).pvalue > 0.01


def test_random_search_draws_as_sample_does():
    rng = np.random.default_rng(7)
    result = nas.random_search(accuracy, SPACE, evaluations=10, seed=7)
    assert [e.architecture for e in result.history] == [SPACE.sample(rng) for _ in range(10)]


# Regularised evolution


def test_the_tournament_takes_the_best_of_those_drawn():
    population = [nas.Evaluated({"i": i}, float(i % 7)) for i in range(20)]
    for seed in range(50):
        drawn = np.random.default_rng(seed).integers(20, size=5)
        winner = nas.tournament(population, 5, np.random.default_rng(seed))
        assert winner.objective == max(population[i].objective for i in drawn)
        assert winner.architecture["i"] == next(
            i for i in drawn if population[i].objective == winner.objective
        )


def test_a_tournament_of_one_is_a_uniform_draw():
    population = [nas.Evaluated({"i": i}, float(i)) for i in range(4)]
    rng = np.random.default_rng(0)
    counts = Counter(nas.tournament(population, 1, rng).architecture["i"] for _ in range(2000))
    assert stats.chisquare([counts[i] for i in range(4)]).pvalue > 0.01


def test_children_are_neighbours_of_a_living_parent_and_the_oldest_dies():
    size = 6
    result = nas.regularised_evolution(
        accuracy, SPACE, evaluations=60, population_size=size, sample_size=3, seed=8
    )
    for i in range(size, 60):
        alive = [e.architecture for e in result.history[i - size : i]]
        child = result.history[i].architecture
        assert any(child in SPACE.neighbours(parent) for parent in alive)


def test_with_population_and_sample_of_one_evolution_is_a_random_walk():
    result = nas.regularised_evolution(
        accuracy, SPACE, evaluations=30, population_size=1, sample_size=1, seed=9
    )
    for before, after in itertools.pairwise(result.history):
        assert after.architecture in SPACE.neighbours(before.architecture)


def test_a_parent_without_a_feasible_child_is_replaced_by_a_random_architecture():
    corners = lambda a: (a["depth"], a["width"], a["kernel"]) in {(1, 8, 3), (4, 32, 7)}
    result = nas.regularised_evolution(
        accuracy, SPACE, evaluations=12, population_size=2, constraint=corners, seed=0
    )
    assert len({SPACE.encode(e.architecture) for e in result.history}) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"population_size": 31}, "population_size"),
        ({"population_size": 0}, "population_size"),
        ({"sample_size": 0}, "sample_size"),
    ],
)
def test_bad_evolution_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        nas.regularised_evolution(accuracy, SPACE, evaluations=30, **arguments)
    with pytest.raises(ValueError, match="population"):
        nas.tournament([], 1, np.random.default_rng(0))


# The controller


def test_the_reinforce_gradient_is_autograds():
    logits = torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits.requires_grad_()
    for index in range(5):
        (wanted,) = torch.autograd.grad(1.7 * logits.log_softmax(0)[index], logits)
        torch.testing.assert_close(
            nas.reinforce_gradient(logits.detach(), index, 1.7), wanted, rtol=0, atol=1e-15
        )


def test_the_expected_reinforce_gradient_is_that_of_the_expected_reward():
    logits = torch.tensor([0.3, -1.0, 0.8], dtype=torch.float64, requires_grad=True)
    rewards = torch.tensor([1.0, 2.0, -3.0], dtype=torch.float64)
    (wanted,) = torch.autograd.grad(logits.softmax(0) @ rewards, logits)
    chances = logits.detach().softmax(0)
    for baseline in (0.0, 5.0):  # a baseline changes the variance, not the mean
        mean = sum(
            chances[i] * nas.reinforce_gradient(logits.detach(), i, (rewards[i] - baseline).item())
            for i in range(3)
        )
        torch.testing.assert_close(mean, wanted, rtol=0, atol=1e-14)


def test_the_controller_learns_which_options_pay():
    result = nas.reinforce(accuracy, SPACE, evaluations=300, seed=0)
    for name, best in (("depth", 4), ("width", 32)):
        probabilities = result.probabilities[name]
        assert sum(probabilities) == pytest.approx(1.0)
        assert int(np.argmax(probabilities)) == SPACE.choices[name].index(best)


def test_with_equal_rewards_the_controller_learns_nothing():
    result = nas.reinforce(lambda a: 0.5, SPACE, evaluations=50)
    assert result.probabilities["width"] == pytest.approx((1 / 3, 1 / 3, 1 / 3), abs=1e-12)


# MnasNet's reward


@pytest.mark.parametrize("variant", ["soft", "hard"])
@pytest.mark.parametrize("latency", [0.01, 0.08, 0.0800001, 0.5])
def test_the_reward_is_the_published_formula(variant, latency):
    row = next(r for r in published.table("mnasnet_reward").rows if r["variant"] == variant)
    exponent = row["alpha_exponent"] if latency <= 0.08 else row["beta_exponent"]
    wanted = 0.7 * math.exp(exponent * math.log(latency / 0.08))
    assert nas.mnasnet_reward(0.7, latency, 0.08, variant) == pytest.approx(wanted, rel=1e-12)


def test_doubling_the_latency_costs_as_much_as_five_percent_accuracy():
    ratio = nas.mnasnet_reward(0.5 * 1.05, 0.2, 0.1) / nas.mnasnet_reward(0.5, 0.1, 0.1)
    assert ratio == pytest.approx(1.0, abs=5e-4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((70, 0.1, 0.1), "accuracy must be a fraction"),
        ((0.7, 0.0, 0.1), "latency_s"),
        ((0.7, 0.1, -1.0), "target_s"),
        ((0.7, math.nan, 0.1), "latency_s"),
        ((0.7, 0.1, 0.1, "medium"), "variant"),
    ],
)
def test_bad_reward_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        nas.mnasnet_reward(*arguments)


# DARTS


def three_operations() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"linear": nn.Linear(4, 4), "skip": nn.Identity(), "tanh": nn.Tanh()}


def test_a_mixed_operation_is_the_softmax_weighted_sum():
    mixed = nas.MixedOperation(three_operations())
    mixed.alpha.data = torch.tensor([0.5, -1.0, 2.0])
    x = torch.randn(3, 4)
    weights = [math.exp(a) for a in (0.5, -1.0, 2.0)]
    wanted = sum(
        w / sum(weights) * operation(x)
        for w, operation in zip(weights, mixed.operations.values(), strict=True)
    )
    torch.testing.assert_close(mixed(x), wanted)


def test_the_gradient_of_alpha_is_the_formula_and_the_numerical_one():
    mixed = nas.MixedOperation(three_operations()).double()
    mixed.alpha.data = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    x = torch.randn(3, 4, dtype=torch.float64)
    direction = torch.randn(3, 4, dtype=torch.float64)
    (found,) = torch.autograd.grad((mixed(x) * direction).sum(), mixed.alpha)

    weights = mixed.alpha.detach().softmax(0)
    gains = torch.stack([(op(x) * direction).sum() for op in mixed.operations.values()]).detach()
    torch.testing.assert_close(found, weights * (gains - weights @ gains), rtol=1e-12, atol=1e-14)

    def of_alpha(alpha: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(mixed, {"alpha": alpha}, (x,))

    assert torch.autograd.gradcheck(of_alpha, (mixed.alpha.detach().requires_grad_(),))


@pytest.mark.parametrize("strongest", [0, 1, 2])
def test_discretize_keeps_the_argmax_with_its_weights_and_changes_no_argument(strongest):
    model = nn.Sequential(nas.MixedOperation(three_operations()), nn.ReLU())
    with torch.no_grad():
        model[0].alpha[strongest] = 0.1
    before = copy.deepcopy(model.state_dict())
    plain = nas.discretize(model)
    wanted = list(three_operations().values())[strongest]
    assert type(plain[0]) is type(wanted)
    x = torch.randn(3, 4)
    torch.testing.assert_close(plain(x), torch.relu(wanted(x)), rtol=0, atol=0)
    assert isinstance(model[0], nas.MixedOperation)
    torch.testing.assert_close(dict(model.state_dict()), dict(before), rtol=0, atol=0)


def test_discretize_of_equals_takes_the_first_and_replaces_a_bare_mixed_operation():
    assert isinstance(nas.discretize(nas.MixedOperation(three_operations())), nn.Linear)


def test_discretize_reaches_nested_and_repeated_mixed_operations():
    inner = nas.MixedOperation(three_operations())
    outer = nas.MixedOperation({"inner": nn.Sequential(inner), "skip": nn.Identity()})
    plain = nas.discretize(nn.Sequential(outer, nn.Sequential(outer), inner))
    assert not any(isinstance(m, nas.MixedOperation) for m in plain.modules())
    assert not nas.architecture_parameters(plain)


def test_a_nearly_one_hot_alpha_makes_the_mix_equal_to_its_discrete_cell():
    torch.manual_seed(1)
    cell = nas.mixed_cell(4, nodes=2).eval()
    for edge in cell.edges.values():
        edge.alpha.data[int(torch.randint(len(edge.alpha), ()))] = 60.0
    x, y = torch.randn(2, 4, 6, 6), torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(nas.discretize(cell)(x, y), cell(x, y), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reduction", [False, True])
@pytest.mark.parametrize(("nodes", "inputs"), [(1, 1), (3, 2), (4, 2)])
def test_a_cell_has_all_edges_and_keeps_or_halves_the_size(reduction, nodes, inputs):
    cell = nas.mixed_cell(3, nodes, inputs=inputs, reduction=reduction)
    assert len(cell.edges) == inputs * nodes + nodes * (nodes - 1) // 2
    states = [torch.randn(2, 3, 7, 5) for _ in range(inputs)]
    size = (4, 3) if reduction else (7, 5)
    assert cell(*states).shape == (2, 3 * nodes, *size)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 6, 7])
def test_all_candidates_of_an_edge_give_one_shape(stride, size):
    x = torch.randn(2, 5, size, size)
    shapes = {tuple(op(x).shape) for op in nas.cell_operations(5, stride).values()}
    assert shapes == {(2, 5, -(-size // stride), -(-size // stride))}


def test_a_cell_adds_what_comes_into_a_node_and_concatenates_nodes():
    class Times(nn.Module):
        def __init__(self, factor: float):
            super().__init__()
            self.factor = factor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.factor * x

    edges = {(0, 2): Times(2.0), (1, 2): Times(3.0), (2, 3): Times(5.0), (0, 3): Times(7.0)}
    a, b = torch.randn(1, 2, 3, 3), torch.randn(1, 2, 3, 3)
    node = 2 * a + 3 * b
    torch.testing.assert_close(nas.Cell(edges)(a, b), torch.cat([node, 5 * node + 7 * a], dim=1))
    with pytest.raises(ValueError, match="2 inputs, got 1"):
        nas.Cell(edges)(a)


def test_the_strongest_edges_per_node_are_kept_without_none():
    torch.manual_seed(2)
    cell = nas.mixed_cell(2, nodes=3)
    names = list(nas.cell_operations(2))
    for edge in cell.edges.values():
        edge.alpha.data = torch.randn(len(names))
        edge.alpha.data[names.index("none")] = 1.5
    plain = nas.discretize(cell, edges_per_node=2)
    for target in (2, 3, 4):
        strengths = {}
        for source in range(target):
            weights = cell.edges[f"{source}-{target}"].weights.tolist()
            strengths[f"{source}-{target}"] = max(weights[1:])
        wanted = sorted(strengths, key=lambda name: -strengths[name])[:2]
        assert {name for name in plain.edges if name.endswith(f"-{target}")} == set(wanted)
    assert not any(isinstance(m, nas.Zero | nas.MixedOperation) for m in plain.modules())
    x = torch.randn(2, 2, 4, 4)
    assert plain(x, x).shape == (2, 6, 4, 4)


def quadratic(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.mse_loss(model(x), y)


def test_a_darts_step_descends_alphas_on_validation_then_weights_on_training():
    model = nn.Sequential(nas.MixedOperation(three_operations()))
    reference = copy.deepcopy(model)
    alphas, weights = nas.architecture_parameters, nas.weight_parameters
    train, validation = [(torch.randn(5, 4), torch.randn(5, 4)) for _ in range(2)]
    optimizers = (
        torch.optim.SGD(weights(model), lr=0.1),
        torch.optim.SGD(alphas(model), lr=0.5),
    )
    losses = nas.darts_step(model, quadratic, train, validation, *optimizers)

    value = quadratic(reference, *validation)
    for parameter, gradient in zip(
        alphas(reference), torch.autograd.grad(value, alphas(reference)), strict=True
    ):
        parameter.data -= 0.5 * gradient
    second = quadratic(reference, *train)
    for parameter, gradient in zip(
        weights(reference), torch.autograd.grad(second, weights(reference)), strict=True
    ):
        parameter.data -= 0.1 * gradient
    assert losses == pytest.approx((second.item(), value.item()))
    for found, wanted in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(found, wanted)
        assert found.grad is None


def test_darts_finds_the_operation_that_made_the_data():
    torch.manual_seed(3)
    model = nas.MixedOperation(three_operations())
    optimizers = (
        torch.optim.SGD(nas.weight_parameters(model), lr=0.01),
        torch.optim.Adam(nas.architecture_parameters(model), lr=0.1),
    )
    for _ in range(60):
        batches = [(x, torch.tanh(x)) for x in torch.randn(2, 32, 4)]
        nas.darts_step(model, quadratic, *batches, *optimizers)
    assert model.chosen == "tanh"


def test_shared_alphas_are_one_parameter_and_parameters_split_in_two():
    first = nas.MixedOperation(three_operations())
    second = nas.MixedOperation(three_operations(), alpha=first.alpha)
    model = nn.Sequential(first, second)
    assert len(nas.architecture_parameters(model)) == 1
    both = nas.architecture_parameters(model) + nas.weight_parameters(model)
    assert {id(p) for p in both} == {id(p) for p in model.parameters()}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nas.MixedOperation({}), "at least one operation"),
        (
            lambda: nas.MixedOperation(three_operations(), nn.Parameter(torch.zeros(2))),
            "alpha must have one value",
        ),
        (lambda: nas.Cell({}), "must lead to nodes"),
        (lambda: nas.Cell({(0, 3): nn.Identity()}), "must lead to nodes"),
        (lambda: nas.Cell({(2, 2): nn.Identity()}), "later nodes"),
        (lambda: nas.mixed_cell(0), "channels"),
        (lambda: nas.mixed_cell(3, nodes=0), "nodes"),
        (lambda: nas.discretize(nas.mixed_cell(3), edges_per_node=0), "edges_per_node"),
        (
            lambda: nas.darts_step(nn.Linear(1, 1), quadratic, None, None, None, None),
            "MixedOperation",
        ),
    ],
)
def test_bad_darts_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# Once for all


def small_supernet(seed: int = 0, **arguments) -> nas.Supernet:
    """144 architectures; batch norm with statistics and scales that are not 0 and 1."""
    torch.manual_seed(seed)
    settings = {"channels": (4, 6), "depths": (1, 2), "expansions": (2, 3), "kernels": (1, 3, 5)}
    supernet = nas.Supernet(**(settings | arguments))
    for module in supernet.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, 0.2, 1.0)  # most ReLUs alive
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.05, 0.2)
    return supernet.eval()


def test_every_extracted_network_equals_the_supernet_in_its_configuration():
    supernet = small_supernet()
    x = torch.randn(3, 1, 13, 13)
    assert supernet.space.size == 144
    assert supernet(x).std(dim=0).min() > 1e-2, "the test needs outputs that vary"
    with torch.no_grad():
        for architecture in supernet.space.enumerate():
            small = supernet.extract(architecture)
            torch.testing.assert_close(small(x), supernet(x, architecture), rtol=0, atol=1e-6)
            blocks = list(small.blocks)
            assert len(blocks) == architecture["depth_1"] + architecture["depth_2"]
            assert all(type(block) is InvertedResidual for block in blocks)
            kernels = {block.depthwise.conv.kernel_size[0] for block in blocks}
            assert kernels == {architecture["kernel_1"], architecture["kernel_2"]}


def test_extracted_networks_also_agree_in_training_mode():
    supernet = small_supernet().train()
    x = torch.randn(3, 1, 13, 13)
    for architecture in (supernet.smallest, supernet.largest):
        small = supernet.extract(architecture)
        assert small.training
        torch.testing.assert_close(small(x), supernet(x, architecture), rtol=0, atol=1e-6)


def test_weights_are_the_first_channels_and_the_centre_of_the_kernel():
    supernet = small_supernet()
    big = supernet.stages[0][0].block
    small = supernet.extract(supernet.smallest | {"kernel_1": 3}).blocks[0]
    wide = 2 * 4  # expansion times channels
    torch.testing.assert_close(small.expand.conv.weight, big.expand.conv.weight[:wide])
    torch.testing.assert_close(
        small.depthwise.conv.weight, big.depthwise.conv.weight[:wide, :, 1:4, 1:4]
    )
    torch.testing.assert_close(small.project.conv.weight, big.project.conv.weight[:, :wide])
    torch.testing.assert_close(
        small.depthwise.norm.running_var, big.depthwise.norm.running_var[:wide]
    )


def test_an_extracted_network_is_independent_of_the_supernet():
    supernet = small_supernet()
    before = copy.deepcopy(supernet.state_dict())
    small = supernet.extract(supernet.smallest)
    with torch.no_grad():
        for tensor in (*small.parameters(), *small.buffers()):
            tensor.zero_()
    torch.testing.assert_close(dict(supernet.state_dict()), dict(before), rtol=0, atol=0)


def test_every_extracted_network_costs_no_more_than_a_larger_one():
    supernet = small_supernet()
    macs = {
        supernet.space.encode(a): cost.count(supernet.extract(a), (1, 1, 13, 13)).macs
        for a in (
            supernet.smallest,
            supernet.largest,
            *supernet.space.neighbours(supernet.smallest),
        )
    }
    smallest = macs.pop(supernet.space.encode(supernet.smallest))
    assert all(smallest < other for other in macs.values())


def test_gradients_reach_exactly_the_slices_in_use():
    supernet = small_supernet()
    architecture = supernet.smallest | {"kernel_1": 3}
    supernet(torch.randn(3, 1, 13, 13), architecture).square().sum().backward()
    used, unused = (block.block for block in supernet.stages[0])
    assert all(parameter.grad is None for parameter in unused.parameters())
    gradient = used.depthwise.conv.weight.grad  # [12, 1, 5, 5]
    inside = torch.zeros_like(gradient, dtype=torch.bool)
    inside[:8, :, 1:4, 1:4] = True
    assert (gradient[~inside] == 0).all()
    assert (gradient[inside] != 0).float().mean() > 0.5


def test_only_the_largest_network_moves_the_running_statistics_of_the_blocks():
    supernet = small_supernet().train()
    x = torch.randn(8, 1, 13, 13)
    before = copy.deepcopy(supernet.stages.state_dict())
    supernet(x, supernet.smallest)
    torch.testing.assert_close(dict(supernet.stages.state_dict()), dict(before), rtol=0, atol=0)
    wanted = supernet.extract(supernet.largest)
    wanted(x)
    supernet.stem.load_state_dict(wanted.stem.state_dict())
    supernet = small_supernet().train()
    supernet(x)
    found = dict(supernet.stages[0][0].block.named_buffers())
    for name, buffer in wanted.blocks[0].named_buffers():
        torch.testing.assert_close(found[name], buffer)


def test_float64_and_deepcopy_work():
    supernet = copy.deepcopy(small_supernet()).double()
    x = torch.randn(2, 1, 9, 9, dtype=torch.float64)
    small = supernet.extract(supernet.smallest)
    assert small(x).dtype == torch.float64
    torch.testing.assert_close(small(x), supernet(x, supernet.smallest), rtol=0, atol=1e-12)


def test_the_default_supernet_takes_mnist_images():
    supernet = nas.Supernet().eval()
    assert supernet(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert supernet.space.size == 144


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"channels": ()}, "at least one stage"),
        ({"kernels": (2, 3)}, "odd"),
        ({"expansions": (1, 2)}, "expansions"),
        ({"depths": ()}, "at least one option"),
        ({"depths": (1, 1)}, "1 twice"),
        ({"depths": (0, 1)}, "depths"),
        ({"num_classes": 0}, "num_classes"),
    ],
)
def test_bad_supernets_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        nas.Supernet(**arguments)


def test_an_unknown_architecture_is_named():
    supernet = small_supernet()
    with pytest.raises(ValueError, match="kernel_1"):
        supernet.extract(supernet.largest | {"kernel_1": 7})
    with pytest.raises(ValueError, match="kernel_1"):
        supernet(torch.zeros(1, 1, 13, 13), supernet.largest | {"kernel_1": 7})
    with pytest.raises(ValueError, match="must choose"):
        supernet.extract({})


def test_the_sandwich_loss_is_the_sum_over_its_networks():
    supernet = small_supernet()
    x, labels = torch.randn(6, 1, 13, 13), torch.arange(6)
    found = nas.sandwich_loss(supernet, x, labels, rng=np.random.default_rng(5))
    rng = np.random.default_rng(5)
    wanted = F.cross_entropy(supernet(x), labels)
    beliefs = supernet(x).softmax(1).detach()
    for architecture in [supernet.smallest] + [supernet.space.sample(rng) for _ in range(2)]:
        logs = supernet(x, architecture).log_softmax(1)
        wanted = wanted - (beliefs * logs).sum(1).mean()
    torch.testing.assert_close(found, wanted)
    weights = list(supernet.parameters())
    for mine, theirs in zip(
        torch.autograd.grad(found, weights), torch.autograd.grad(wanted, weights), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_sandwich_steps_teach_both_ends():
    torch.manual_seed(0)
    supernet = nas.Supernet(channels=(4,), num_classes=2, depths=(1, 2), kernels=(1, 3)).train()
    labels = torch.arange(32) % 2
    x = torch.randn(32, 1, 8, 8) + 2.0 * labels[:, None, None, None]
    optimizer = torch.optim.Adam(supernet.parameters(), lr=0.02)
    rng = np.random.default_rng(0)
    losses = [nas.sandwich_step(supernet, optimizer, x, labels, rng=rng) for _ in range(25)]
    assert losses[-1] < losses[0]
    for architecture in (supernet.smallest, supernet.largest):
        small = nas.recalibrate_batch_norm(supernet.extract(architecture), [x])
        assert (small(x).argmax(1) == labels).float().mean() > 0.9


def test_sandwich_arguments_are_checked():
    with pytest.raises(TypeError, match="Supernet"):
        nas.sandwich_loss(nn.Linear(1, 1), None, None, rng=np.random.default_rng(0))


@pytest.mark.parametrize("sizes", [[8], [4, 4], [2, 6, 3]])
def test_recalibrated_statistics_are_the_means_over_the_batches(sizes):
    torch.manual_seed(0)
    model = nn.Sequential(
        OrderedDict(drop=nn.Dropout(0.5), conv=nn.Conv2d(2, 3, 3), norm=nn.BatchNorm2d(3))
    )
    model(torch.randn(2, 2, 5, 5))  # so that there are statistics to forget
    model.norm.running_mean.fill_(100.0)
    batches = [torch.randn(size, 2, 5, 5) for size in sizes]
    result = nas.recalibrate_batch_norm(model, iter(batches))
    maps = [model.conv(batch).detach().transpose(0, 1).flatten(1) for batch in batches]
    torch.testing.assert_close(
        result.norm.running_mean, torch.stack([m.mean(1) for m in maps]).mean(0)
    )
    torch.testing.assert_close(
        result.norm.running_var, torch.stack([m.var(1) for m in maps]).mean(0)
    )
    assert result.norm.momentum == 0.1
    assert not any(module.training for module in result.modules())
    assert (model.norm.running_mean == 100.0).all()
    assert all(module.training for module in model.modules())


def test_recalibration_needs_a_batch():
    with pytest.raises(ValueError, match="at least one batch"):
        nas.recalibrate_batch_norm(nn.BatchNorm1d(2), [])
