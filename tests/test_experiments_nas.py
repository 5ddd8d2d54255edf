"""The tables on architecture search and on small files: what they compute besides training."""

import itertools
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from course_lib import codec, data, models
from course_lib.nas import Supernet, mnasnet_reward
from course_lib.nas.benchmark_space import (
    BENCHMARK_SPACE,
    EXPANSION,
    REDUCTION,
    architecture_name,
    benchmark_images,
    benchmark_network,
)
from course_lib.nas.tabular import TabularBenchmark
from course_lib.results import Table, read
from experiments import _contestants as contestants
from experiments import (
    equal_bytes,
    nas_benchmark,
    nas_latency,
    nas_search,
    runner,
    width_resolution,
)
from experiments._nas_datasheet import datasheet
from experiments._nas_statistics import convolutions, rank_correlation, summary
from experiments._small_training import Timing, built, interleaved_latency, through_file
from experiments.provenance import commit

SPACE = BENCHMARK_SPACE


def made_up_table(noise: float = 0.0, seeds: int = 3) -> Table:
    """All architectures; the accuracies grow with a random number each, plus noise."""
    rng = np.random.default_rng(0)
    rows = []
    for architecture in SPACE.enumerate():
        quality, latency = rng.uniform(0.7, 0.95), rng.uniform(1e-4, 1e-3)
        for seed in range(seeds):
            rows.append(
                {
                    "architecture": architecture_name(architecture),
                    **architecture,
                    "seed": seed,
                    "validation_accuracy": quality + noise * rng.normal(),
                    "test_accuracy": quality + noise * rng.normal(),
                    "params": 100,
                    "macs": int(1e6 * quality),
                    "size_bytes": 1000,
                    "latency_s": latency,
                    "latency_q1_s": 0.9 * latency,
                    "latency_q3_s": 1.3 * latency,
                    "train_cpu_s": 2.0 + seed,
                    "hardware": "a machine",
                }
            )
    return Table("nas_benchmark", tuple(rows[0]), tuple(rows))


# The space and its networks


def test_every_architecture_has_a_name_of_its_own():
    architectures = list(SPACE.enumerate())
    assert len({architecture_name(a) for a in architectures}) == len(architectures) >= 200


def test_no_two_choices_of_blocks_and_depths_make_the_same_network():
    alike = [a for a in SPACE.enumerate() if (a["width"], a["kernel"]) == (8, 3)]
    with torch.device("meta"):
        structures = {str(benchmark_network(a)) for a in alike}
    assert len(structures) == len(alike) == 64


def test_names_survive_a_csv_file_as_text():
    from course_lib._tables import parse

    text = "architecture\n" + "\n".join(architecture_name(a) for a in SPACE.enumerate())
    column = parse("t", text).column("architecture")
    assert column == [architecture_name(a) for a in SPACE.enumerate()]


def block_params(kind: str, c: int, d: int, k: int) -> int:
    """Weights and batch norm of one block, C -> D channels, by hand."""
    if kind == "dense":
        return k * k * c * d + 2 * d
    if kind == "separable":
        return k * k * c + 2 * c + c * d + 2 * d
    wide = EXPANSION * c
    squeezed = wide // REDUCTION
    gate = wide * squeezed + squeezed + squeezed * wide + wide if kind == "inverted_se" else 0
    return c * wide + 2 * wide + k * k * wide + 2 * wide + gate + wide * d + 2 * d


@pytest.mark.parametrize("seed", range(3))
def test_parameters_are_those_of_the_formulas(seed):
    rng = np.random.default_rng(seed)
    for _ in range(20):
        a = SPACE.sample(rng)
        width, kernel = a["width"], a["kernel"]
        expected = 9 * width + 2 * width + 10 * (2 * width) + 10
        for kind, depth, c, d in (
            (a["block_1"], a["depth_1"], width, width),
            (a["block_2"], a["depth_2"], width, 2 * width),
        ):
            expected += block_params(kind, c, d, kernel)
            expected += (depth - 1) * block_params(kind, d, d, kernel)
        with torch.device("meta"):
            network = benchmark_network(a)
        assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize("kernel", [3, 5])
def test_inverted_architectures_are_those_of_a_supernet(kernel):
    """So that a supernet's ranking can be compared with the table."""
    supernet = Supernet(channels=(8, 16), depths=(1, 2), expansions=(EXPANSION,), kernels=(3, 5))
    for depth_1, depth_2 in itertools.product((1, 2), repeat=2):
        stages = {"block_1": "inverted", "block_2": "inverted"}
        depths = {"depth_1": depth_1, "depth_2": depth_2}
        ours = benchmark_network(stages | depths | {"width": 8, "kernel": kernel})
        chosen = {"kernel_1": kernel, "kernel_2": kernel} | depths
        theirs = supernet.extract(chosen | {"expansion_1": EXPANSION, "expansion_2": EXPANSION})
        assert [p.shape for p in ours.parameters()] == [p.shape for p in theirs.parameters()]


def test_the_second_stage_halves_the_image():
    seen = []
    network = benchmark_network(next(SPACE.enumerate()))
    for stage in (network.stem, network.stage_1, network.stage_2):
        stage.register_forward_hook(lambda _m, _i, output: seen.append(tuple(output.shape[1:])))
    network(torch.zeros(2, 1, 14, 14))
    assert seen == [(8, 7, 7), (8, 7, 7), (16, 4, 4)]


def test_benchmark_images_are_means_of_four_pixels_and_open_no_test_split():
    mnist = data.load("mnist")
    before = len(data.test_openings())
    small = benchmark_images(mnist)
    assert len(data.test_openings()) == before
    assert (len(small.train), len(small.validation)) == (6_000, len(mnist.validation))
    for part, n in (("train", 50), ("validation", 50)):
        large = getattr(mnist, part).images[:n].numpy().astype(int)
        means = large.reshape(n, 1, 14, 2, 14, 2).sum(axis=(3, 5)) / 4
        assert np.array_equal(getattr(small, part).images[:n].numpy(), np.rint(means))
        assert torch.equal(getattr(small, part).labels[:n], getattr(mnist, part).labels[:n])


# The benchmark as something to search


def test_a_training_answers_with_one_of_the_seeds_and_counts():
    benchmark = TabularBenchmark(made_up_table(noise=0.01))
    architecture = next(SPACE.enumerate())
    known = benchmark.look_up(architecture)
    training = benchmark.training(seed=1)
    heard = [training(architecture) for _ in range(60)]
    assert set(heard) == set(known.validation_accuracies)
    assert training.queries == 60
    costs = dict(zip(known.validation_accuracies, known.train_s, strict=True))
    assert training.train_s == pytest.approx(sum(costs[answer] for answer in heard))


def test_trainings_of_one_seed_repeat_and_of_two_differ():
    benchmark = TabularBenchmark(made_up_table(noise=0.01))
    asked = list(SPACE.enumerate())[:40]
    a, b, c = (list(map(benchmark.training(seed), asked)) for seed in (3, 3, 4))
    assert a == b != c


def test_best_has_the_highest_mean_validation_accuracy():
    table = made_up_table(noise=0.02)
    means = {}
    for row in table.rows:
        means.setdefault(row["architecture"], []).append(row["validation_accuracy"])
    benchmark = TabularBenchmark(table)
    assert benchmark.best.name == max(means, key=lambda name: np.mean(means[name]))
    assert len(benchmark) == SPACE.size


def test_rows_of_an_architecture_are_ordered_by_seed():
    table = made_up_table(noise=0.01)
    turned = Table(table.name, table.columns, table.rows[::-1])
    for one, other in zip(
        sorted(TabularBenchmark(table), key=lambda t: t.name),
        sorted(TabularBenchmark(turned), key=lambda t: t.name),
        strict=True,
    ):
        assert one == other


def test_faulty_tables_and_unknown_architectures_are_named():
    table = made_up_table()
    few = TabularBenchmark(Table("t", table.columns, table.rows[:3]))
    *_, last = SPACE.enumerate()
    with pytest.raises(ValueError, match="one of the 1 in the table"):
        few.look_up(last)
    with pytest.raises(ValueError, match="has two"):
        TabularBenchmark(Table("t", table.columns, (*table.rows, table.rows[0])))
    with pytest.raises(ValueError, match="must have rows"):
        TabularBenchmark(Table("t", table.columns, ()))
    columns = tuple(c for c in table.columns if c != "latency_s")
    with pytest.raises(ValueError, match="latency_s"):
        TabularBenchmark(Table("t", columns, table.rows))


# Searches


@pytest.mark.parametrize("objective", nas_search.OBJECTIVES)
@pytest.mark.parametrize("method", nas_search.METHODS)
def test_regret_is_what_the_find_lacks_and_never_grows_without_noise(objective, method):
    table = TabularBenchmark(made_up_table())
    goal = nas_search.goal_of(table, objective)
    finds = nas_search.run_once(table, goal, method, (5, 20, 40), seed=2)
    allowed = [t for t in table if objective != "constraint" or t.latency_s <= goal.target_s]
    best = max(goal.true_value(t) for t in allowed)
    regrets = [find.regret for find in finds]
    assert regrets == pytest.approx([best - goal.true_value(find.trained) for find in finds])
    assert regrets == sorted(regrets, reverse=True)
    assert min(regrets) >= 0
    assert all(find.trained in allowed for find in finds)
    assert finds[0].distinct <= 5


def test_a_search_that_sees_everything_has_no_regret():
    table = TabularBenchmark(made_up_table())
    goal = nas_search.goal_of(table, "accuracy")
    (find,) = nas_search.run_once(table, goal, "random", (4 * SPACE.size,), seed=0)
    assert find.distinct > 0.95 * SPACE.size
    assert find.regret <= 0.01
    assert find.train_s >= 2.0 * 4 * SPACE.size  # every query costs, also the repeated ones


@pytest.mark.parametrize("variant", ["soft", "hard"])
def test_rewards_are_mnasnets_for_the_fast_quarter(variant):
    table = TabularBenchmark(made_up_table())
    goal = nas_search.goal_of(table, variant)
    assert np.mean([t.latency_s <= goal.target_s for t in table]) == pytest.approx(0.25, abs=0.01)
    some = next(iter(table))
    expected = mnasnet_reward(some.test_accuracy, some.latency_s, goal.target_s, variant)
    assert goal.true_value(some) == expected


def test_summaries_are_medians_and_quartiles_of_the_regrets():
    table = TabularBenchmark(made_up_table())
    goal = nas_search.goal_of(table, "accuracy")
    trained = list(table)
    finds = [nas_search.Find(trained[i], 0.1 * i, i, 3.0 * i) for i in range(5)]
    row = nas_search.summarize(finds, goal)
    assert (row["regret_q1"], row["regret_median"], row["regret_q3"]) == pytest.approx(
        (0.1, 0.2, 0.3)
    )
    assert row["regret_std"] == pytest.approx(np.std([0.0, 0.1, 0.2, 0.3, 0.4], ddof=1))
    assert row["train_cpu_median_s"] == 6.0
    assert row["distinct_mean"] == 2.0


def test_search_rows_can_be_read_and_drawn(monkeypatch):
    table = TabularBenchmark(made_up_table(noise=0.01))
    monkeypatch.setattr(nas_search, "benchmark", lambda: table)
    monkeypatch.setattr(nas_search, "QUICK_REPEATS", 3)
    rows = [{**job.key, **row} for job in nas_search.jobs(True) for row in job.work()]
    searched = Table("nas_search", tuple(rows[0]), tuple(rows))
    assert len(rows) == 4 * 3 * len(nas_search.QUICK_BUDGETS)
    said = nas_search.reading(searched)
    assert "REINFORCE" in said
    assert "Each search ran 3 times (seeds 0 to 2;" in said
    minutes = [r["train_cpu_median_s"] / 60 for r in rows if r["queries"] == 40]
    assert f"stand for {min(minutes):.1f} to {max(minutes):.1f} CPU minutes" in " ".join(
        said.split()
    )
    figure, alt = nas_search.figure(searched)
    assert len(figure.axes) == 4
    assert "medians of 3 runs, with quartiles as bars" in alt


@pytest.mark.parametrize(
    ("mean", "verdict"), [(0.010, "no difference shown"), (0.016, "more"), (0.004, "less")]
)
def test_a_search_is_told_from_random_only_beyond_the_interval(mean, verdict):
    random = {"method": "random", "regret_mean": 0.011, "regret_std": 0.02, "repeats": 200}
    said = nas_search._compared(random | {"regret_mean": mean, "method": "m"}, random)
    assert said == f"m {100 * mean:.2f} ({verdict})"


# Statistics and the datasheet


def test_rank_correlation_is_spearmans_with_ties():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 6, 40), rng.integers(0, 6, 40)
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)


def test_the_summary_separates_architectures_from_seeds():
    s = summary(TabularBenchmark(made_up_table(noise=0.001)))
    assert (s.count, s.seeds) == (SPACE.size, 3)
    assert s.between > 20 * s.within > 0
    assert s.seed_correlation > 0.99
    assert s.macs_frontier > 50 > s.latency_frontier  # MACs grow with quality, latency does not


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        (("dense", 1, "dense", 1), 3),  # with the stem
        (("separable", 2, "dense", 1), 1 + 4 + 1),
        (("inverted", 1, "inverted_se", 2), 1 + 3 + 10),  # a gate has two
    ],
)
def test_convolutions_are_counted_with_stem_and_gates(blocks, expected):
    chosen = dict(zip(("block_1", "depth_1", "block_2", "depth_2"), blocks, strict=True))
    assert convolutions(chosen | {"width": 8, "kernel": 3}) == expected


def test_latency_that_counts_layers_correlates_with_the_number_of_convolutions():
    made = made_up_table()
    times = {r["architecture"]: convolutions({c: r[c] for c in SPACE.choices}) for r in made.rows}
    rows = tuple(row | {"latency_s": 1e-6 * times[row["architecture"]]} for row in made.rows)
    s = summary(TabularBenchmark(Table(made.name, made.columns, rows)))
    assert s.convolutions_latency == pytest.approx(1.0)
    assert abs(s.macs_latency) < 0.5
    assert abs(summary(TabularBenchmark(made)).convolutions_latency) < 0.5


def test_the_datasheet_says_what_is_in_the_rows():
    table = made_up_table(noise=0.01)
    text = datasheet(table, nas_benchmark.RECIPE)
    for section in ("Motivation", "Composition", "Collection process", "Uses", "Limits"):
        assert f"\n## {section}\n" in text
    assert "256 architectures; 256" in text
    assert "in 768 rows" in text
    assert "a machine" in text
    assert "lie 40% of its median apart" in text
    assert nas_benchmark.RECIPE in text
    assert "{" not in text
    assert set(nas_benchmark.documents(table)) == {"nas_benchmark_datasheet.md"}


def test_the_benchmark_can_be_read_and_drawn():
    table = made_up_table(noise=0.01)
    assert "256 architectures with 3 seeds" in nas_benchmark.reading(table)
    assert len(nas_benchmark.figure(table)[0].axes) == 2
    assert len(nas_benchmark.jobs(False)) == SPACE.size
    assert {job.key["architecture"] for job in nas_benchmark.jobs(True)} == set(
        nas_benchmark.QUICK
    )


def test_new_latencies_replace_the_old_and_nothing_else():
    table = made_up_table()
    timings = {row["architecture"]: Timing(3.0, 2.0, 4.0) for row in table.rows}
    stamp = {"hardware": "a machine"}
    rows = nas_latency.with_latencies(table, timings, stamp, "c0de")
    for old, new in zip(table.rows, rows, strict=True):
        times = {"latency_s": 3.0, "latency_q1_s": 2.0, "latency_q3_s": 4.0}
        assert new == old | times | {"latency_commit": "c0de"}
    with pytest.raises(ValueError, match="another machine"):
        nas_latency.with_latencies(table, timings, {"hardware": "another machine"}, "c0de")


def test_the_datasheet_and_the_reading_do_with_and_without_the_latencies_commit(tmp_path):
    old = made_up_table(noise=0.01)
    names = [row["architecture"] for row in old.rows]
    timings = {name: Timing(3.0 + i, 2.0 + i, 4.0 + i) for i, name in enumerate(names)}
    runner._write(tmp_path / "t.csv", nas_latency.with_latencies(old, timings, {}, "c0de"))
    new = read(tmp_path / "t.csv")
    assert new.columns[-3:] == ("latency_commit", "seconds", "hardware")
    assert set(new.column("latency_commit")) == {"c0de"}
    for table, recorded in ((old, False), (new, True)):
        text = datasheet(table, nas_benchmark.RECIPE)
        assert ("| latency_commit | by which code the latencies were measured |" in text) is (
            recorded
        )
        assert ("at a commit that was not recorded" in text) is not recorded
        assert "by which code it was trained" in text
        assert "256 architectures with 3 seeds" in nas_benchmark.reading(table)


def test_new_rows_say_by_which_code_their_latency_was_measured(monkeypatch):
    name, *_ = nas_benchmark.QUICK
    timing = {name: Timing(3.0, 2.0, 4.0)}
    monkeypatch.setattr(nas_benchmark, "latencies", lambda names: timing)
    architecture = next(a for a in SPACE.enumerate() if architecture_name(a) == name)
    untrained = SimpleNamespace(model=built(partial(benchmark_network, architecture), 0))
    monkeypatch.setattr(nas_benchmark, "_fit", lambda *_: (untrained, 1.0))
    row = next(iter(nas_benchmark._train(name, architecture, quick=True)))
    assert row["latency_commit"] == commit()


# What the small trainings share


class Recorder(nn.Module):
    def __init__(self, name: str, log: list[str]):
        super().__init__()
        self.name, self.log = name, log
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.log.append(self.name)
        return x


def test_latency_goes_round_all_models_before_it_returns_to_one():
    log: list[str] = []
    recorders = {name: Recorder(name, log) for name in "abc"}
    inputs = dict.fromkeys(recorders, torch.zeros(1))
    timings = interleaved_latency(recorders, inputs, rounds=8, calls=3)
    blocks = [log[i : i + 5] for i in range(0, len(log), 5)]
    assert all(len(set(block)) == 1 for block in blocks)
    rounds = [tuple(b[0] for b in blocks[i : i + 3]) for i in range(0, len(blocks), 3)]
    assert len(rounds) == 8
    assert all(set(one) == set("abc") for one in rounds)
    assert len(set(rounds)) > 1  # another order each time
    assert all(0 < t.q1_s <= t.median_s <= t.q3_s for t in timings.values())


def test_through_file_reports_the_files_bytes_and_keeps_every_value():
    model = built(models.lenet_300_100, seed=1).eval()
    read, size = through_file(model, techniques=())
    assert size == len(codec.to_bytes(model, techniques=()))
    for name, tensor in model.state_dict().items():
        assert torch.equal(read.state_dict()[name], tensor)
    assert read is not model


def test_built_depends_on_the_seed_alone():
    torch.manual_seed(5)
    a = built(models.lenet_300_100, seed=1)
    state = torch.get_rng_state()
    b = built(models.lenet_300_100, seed=1)
    c = built(models.lenet_300_100, seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a.fc1.weight, b.fc1.weight)
    assert not torch.equal(a.fc1.weight, c.fc1.weight)


# Files of equal bytes


@pytest.mark.parametrize("limit", [1, 2, 7, 8, 15, 99])
def test_largest_finds_the_last_that_fits(limit):
    assert contestants.largest(1, 50, lambda n: n <= limit) == min(limit, 50)


def test_largest_says_that_nothing_fits():
    with pytest.raises(contestants.DoesNotFitError):
        contestants.largest(3, 50, lambda n: False)


def test_random_scores_rank_zeros_last():
    weight = torch.tensor([0.0, 1.0, -2.0, 0.0, 3.0])
    score = contestants._random_score(weight, seed=0)
    assert score[weight == 0].max() < score[weight != 0].min()


def test_the_sparsity_that_fits_is_the_smallest():
    contest = contestants.Contest(8192, 0, True)
    model = built(models.lenet_300_100, seed=0)
    magnitude, halved = contestants.prune.magnitude, contestants._halved
    sparsity = contestants._sparsity_that_fits(contest, model, magnitude, halved)
    total = 266_200
    for more, fits in ((0, True), (30, False)):  # 30 more weights are some 60 bytes
        cut = contestants.prune.prune_model(model, sparsity - more / total).model
        assert contest.fits(halved(cut)) is fits


def test_a_file_that_grew_is_trimmed_and_one_that_fits_is_not():
    contest = contestants.Contest(8192, 0, True)
    large = contestants._halved(built(models.lenet_300_100, seed=0))
    small = contestants._trimmed(contest, large)
    assert contestants.file_bytes(small) <= 8192 < contestants.file_bytes(large)
    assert contestants._trimmed(contest, small) is small


def test_what_does_not_fit_has_a_row_that_says_so(monkeypatch):
    def too_large(contest):
        raise contestants.DoesNotFitError("no")

    monkeypatch.setitem(contestants.CONTESTANTS, "low rank", too_large)
    (row,) = equal_bytes._enter("low rank", contestants.Contest(4096, 0, True))
    assert row["test_accuracy"] is None
    assert row["says"] == "none is small enough"


def equal_bytes_table() -> Table:
    rows = []
    for budget, seed in itertools.product((4096, 8192), (0, 1, 2)):
        for i, name in enumerate(contestants.CONTESTANTS):
            fits = name != "low rank" or budget > 4096
            accuracy = 0.90 + 0.01 * i + 0.0001 * seed
            measured = {
                "test_accuracy": accuracy if fits else None,
                "size_bytes": budget if fits else None,
                "train_images": 25_000 if fits else None,
                "epochs": 6 if fits else None,
                "macs": 50_000 if fits else None,
            }
            rows.append({"budget_bytes": budget, "contestant": name, "seed": seed, **measured})
    return Table("equal_bytes", tuple(rows[0]), tuple(rows))


def test_the_contest_lists_the_best_first_and_names_who_is_absent():
    text = equal_bytes.reading(equal_bytes_table())
    assert "In 4 KB: pruned and quantized 97.01 ± 0.01 %" in text
    assert "In 8 KB: low rank 98.01" in text
    assert "No file of low rank is small enough" in text
    lines = equal_bytes.figure(equal_bytes_table())[0].axes[0].lines
    assert len({(line.get_marker(), line.get_markerfacecolor()) for line in lines}) == 9


# The grid of widths and resolutions


def test_exponents_of_an_exact_power_law_are_found():
    grid = itertools.product((0.25, 0.5, 1.0), (0.5, 0.75, 1.0))
    logs = np.log([(w, r, 7 * w**1.5 * r**2.25) for w, r in grid])
    assert width_resolution._exponents(logs) == pytest.approx((1.5, 2.25))


def test_neighbours_differ_in_one_step_of_one_axis():
    grid = itertools.product((1.0, 2.0, 4.0), (0.5, 1.0), (0, 2))
    points = [width_resolution._Point(w, r, d, (0.9, 0.91), 1, 1.0) for w, r, d in grid]
    pairs = width_resolution._neighbours(points)
    assert len(pairs) == 2 * 2 * 2 + 3 * 1 * 2 + 3 * 2 * 1
    for a, b in pairs:
        assert sum((a.width != b.width, a.resolution != b.resolution, a.depth != b.depth)) == 1
        assert max(a.width, b.width) <= 2 * min(a.width, b.width)


def test_the_grids_reading_says_how_latency_was_measured_and_what_was_not_tried():
    rows = [
        {"width": width, "resolution": resolution, "depth": depth, "seed": seed}
        | {"test_accuracy": 0.9 + 0.01 * depth + 0.001 * seed, "macs": int(1e6 * width)}
        | {"latency_s": 1e-3, "latency_q1_s": 0.9e-3, "latency_q3_s": 1.2e-3}
        | {"threads": 1, "epochs": 3, "train_images": 7_000}
        for width, resolution, depth, seed in itertools.product(
            (0.25, 0.5), (0.5, 1.0), (0, 2), range(3)
        )
    ]
    made = Table("width_resolution", tuple(rows[0]), tuple(rows))
    said = " ".join(width_resolution.reading(made).split())
    assert "(eager PyTorch, one thread; the quartiles of a latency lie 30% of its median" in said
    assert "photographs were not tried" in said
    assert "not corrected for many comparisons" in said
    assert "error bars are standard deviations over 3 seeds" in width_resolution.figure(made)[1]


def test_every_size_of_the_grid_is_one_job():
    keys = [tuple(job.key.values()) for job in width_resolution.jobs(False)]
    assert len(set(keys)) == len(keys) == 24
    assert len(width_resolution.jobs(True)) == 4


def test_tables_of_the_quick_run_have_the_columns_of_key():
    for module in (nas_benchmark, nas_search, width_resolution, equal_bytes):
        job = module.jobs(True)[0]
        assert set(job.key) <= set(module.KEY)
        assert isinstance(job.work, partial)
