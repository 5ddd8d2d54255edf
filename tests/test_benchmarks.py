"""The comparisons of `make bench` at tiny sizes: their numbers agree and their tables are whole.

How fast anything is, is not asserted anywhere.
"""

from __future__ import annotations

import csv
import importlib.util
import math
import random
import warnings
import zlib
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

# The benchmarks are run from a checkout, `python -m benchmarks`, and are not installed.
from benchmarks import __main__ as command
from benchmarks import binary, counting, grading, huffman, integer, report, sparse, timing, widgets
from benchmarks.report import Row, Table
from course_lib import codec, models

PEERS_MISSING = [
    subject
    for subject, (package, _) in counting.PEERS.items()
    if importlib.util.find_spec(package.partition(".")[0]) is None
]
FEW = {"repeats": 2, "budget_s": 0.0}
COUNTED = ("squeezenet1_1", "shufflenet_v2_x0_5")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():  # PyTorch's quantized tensors are deprecated
        warnings.simplefilter("ignore")
        yield
    torch.set_num_threads(before)


@cache
def table(name: str) -> Table:
    if name == "counting":
        return counting.measure(COUNTED, rounds=2)
    if name == "integer":
        return integer.measure((16,), (1, 3), **FEW)
    if name == "binary":
        return binary.measure(70, (1,), **FEW)
    if name == "sparse":
        return sparse.measure((0.5, 0.9), (1,), **FEW)
    if name == "grading":
        return grading.measure(students=2, rounds=1, unchanged=2)
    if name == "widgets":
        return widgets.measure(("temperature", "attention"), moves=2)
    return huffman.measure(images=256, **FEW)


def rows_of(name: str, subject: str) -> list[Row]:
    found = [row for row in table(name).rows if row.subject == subject]
    assert found, f"{name} has no rows of {subject}"
    return found


every_table = pytest.mark.parametrize("name", command.BENCHMARKS)


@every_table
def test_every_row_has_positive_numbers_or_says_why_not(name):
    for row in table(name).rows:
        if row.time is None:
            assert row.note
            assert row.ratio is None
        else:
            assert 0 < row.time.q1 <= row.time.median <= row.time.q3
            assert row.ratio is not None
            assert 0 < row.ratio.q1 <= row.ratio.median <= row.ratio.q3


@every_table
def test_a_reference_is_measured_in_its_own_case_and_takes_as_long_as_itself(name):
    measured = {(row.case, row.subject): row for row in table(name).rows if row.time}
    for row in measured.values():
        reference = measured[row.case, row.reference]
        assert reference.reference == reference.subject
        assert reference.ratio == timing.Quartiles(1.0, 1.0, 1.0)
        assert row.subject != row.reference or row is reference


@every_table
def test_no_contestant_appears_twice_in_a_case(name):
    keys = [(row.case, row.subject) for row in table(name).rows]
    assert len(set(keys)) == len(keys)


@every_table
def test_the_text_has_a_line_per_row_and_ends_with_a_reading(name):
    lines = table(name).text().splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("case"))
    assert lines[begin + 1 + len(table(name).rows)] == ""
    assert lines[-1].startswith("Reading")
    assert lines[-1].endswith(".")
    assert "nan" not in lines[-1]


@every_table
def test_the_csv_has_every_row_with_its_machine(name, tmp_path):
    machine = report.machine()
    path = table(name).write_csv(tmp_path / "new" / "folder", machine)
    with path.open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert path.name == f"{name}.csv"
    for row, line in zip(table(name).rows, written, strict=True):
        assert (line["case"], line["subject"]) == (row.case, row.subject)
        assert line["seconds"] == (str(row.time.median) if row.time else "")
        assert {key: line[key] for key in machine} == {k: str(v) for k, v in machine.items()}


def test_the_machine_names_the_version_of_all_that_is_compared():
    machine = report.machine()
    assert {"cpu", "torch", "threads", "load_1min", "zlib", *report.PACKAGES} <= set(machine)
    assert machine["threads"] == 1
    missing = {name for name in report.PACKAGES if machine[name] == "not installed"}
    assert missing == {n for n in report.PACKAGES if importlib.util.find_spec(n) is None}


# Turns and ratios


def test_contestants_take_turns(monkeypatch):
    monkeypatch.setattr(timing, "SHORTEST_SAMPLE_S", 0.0)
    log: list[str] = []
    samples = timing.interleave({name: lambda name=name: log.append(name) for name in "AB"}, 3)
    assert "".join(log).endswith("ABABAB")
    assert log[:-6].count("A") == log[:-6].count("B") > 0  # the warm-up
    assert {name: len(values) for name, values in samples.items()} == {"A": 3, "B": 3}


@pytest.mark.parametrize(
    ("repeats", "budget_s", "rounds"), [(5, 1e9, 5), (50, 0.0, 3), (2, 0.0, 2)]
)
def test_rounds_end_with_the_budget_but_not_before_the_third(repeats, budget_s, rounds):
    assert len(timing.interleave({"A": lambda: None}, repeats, budget_s)["A"]) == rounds


def test_a_short_call_is_repeated_within_a_sample_and_its_time_divided():
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1

    (sample,) = timing.interleave({"A": call}, repeats=1)["A"]
    assert calls > 100
    assert 0 < sample < timing.SHORTEST_SAMPLE_S


def test_seconds_are_those_of_one_call(monkeypatch):
    clock = 0.0

    def call() -> None:
        nonlocal clock
        clock += 0.25

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock)
    assert timing.seconds(call, count=4) == 0.25
    assert timing.interleave({"A": call, "B": lambda: (call(), call())}, 2, budget_s=9.0) == {
        "A": (0.25, 0.25),
        "B": (0.5, 0.5),
    }


def test_a_ratio_is_taken_within_each_round():
    """Both slow down fourfold in the course of it; the ratio of the medians' rounds stays."""
    assert timing.ratios((1.0, 2.0, 4.0), (2.0, 4.0, 8.0)) == timing.Quartiles(0.5, 0.5, 0.5)
    assert timing.ratios((1.0, 1.0, 9.0), (2.0, 1.0, 3.0)).median == 1.0


def test_rows_refer_to_the_times_of_their_own_reference():
    samples = {"A": (1.0,), "B": (2.0,), "C": (3.0,), "D": (12.0,)}
    rows = report.rows_of("case", samples, {"A": "A", "B": "A", "C": "C", "D": "C"}, {})
    assert [row.ratio.median for row in rows if row.ratio] == [1.0, 2.0, 1.0, 4.0]
    assert report.span(rows, "D") == "4"
    assert report.span(rows[:3], "D") == "not measured"
    assert report.span([*rows, Row("other", "D", (1.0,), "A", (2.0,))], "D") == "0.5 to 4"


def test_quartiles_are_numpys_and_their_spread_is_relative():
    values = timing.Quartiles.of((1.0, 2.0, 3.0, 4.0, 10.0))
    assert (values.q1, values.median, values.q3) == (2.0, 3.0, 4.0)
    assert values.spread == pytest.approx(2 / 3)


# Counting


def test_course_lib_counts_every_model_as_published():
    for row in rows_of("counting", counting.OURS):
        assert (row.extra["counted"], row.extra["wrong"], row.extra["fails"]) == (2, 0, 0)


@pytest.mark.skipif(not PEERS_MISSING, reason="all peers of the extra `bench` are installed")
def test_a_peer_that_is_not_installed_is_named_with_the_remedy():
    for subject in PEERS_MISSING:
        for row in rows_of("counting", subject):
            assert row.time is None
            assert "No module named" in row.note
            assert "bench" in row.note


@pytest.mark.skipif(bool(PEERS_MISSING), reason=f"not installed: {', '.join(PEERS_MISSING)}")
def test_every_peer_counts_squeezenet_on_the_cpu():
    for subject in counting.PEERS:
        row = next(r for r in rows_of("counting", subject) if r.case == counting.HOMES["cpu"])
        assert row.extra["fails"] == 0


def count_with(monkeypatch: pytest.MonkeyPatch, peer: counting.Counter) -> Row:
    monkeypatch.setattr(counting, "PEERS", {"peer": ("torch", peer)})
    result = counting.measure(COUNTED, rounds=2)
    return next(row for row in result.rows if row.subject == "peer")


def test_a_peer_that_counts_double_is_wrong_on_every_model(monkeypatch):
    row = count_with(monkeypatch, lambda m, side: 2 * counting.count(m, (1, 3, side, side)).macs)
    assert (row.extra["counted"], row.extra["wrong"], row.extra["fails"]) == (2, 2, 0)
    assert row.extra["worst error %"] == pytest.approx(100, abs=1.5)  # 0.0005 of 0.04 are 1.25 %


def test_a_peer_that_fails_on_one_model_is_compared_on_the_other(monkeypatch):
    def peer(model: nn.Module, side: int) -> int:
        if type(model).__name__ == "ShuffleNetV2":
            raise NotImplementedError("no shuffling\nand more")
        return counting.count(model, (1, 3, side, side)).macs

    row = count_with(monkeypatch, peer)
    assert (row.extra["counted"], row.extra["wrong"], row.extra["fails"]) == (1, 0, 1)
    assert row.note == "shufflenet_v2_x0_5: NotImplementedError: no shuffling"
    assert len(row.samples_s) == len(row.reference_s) == 2


def test_a_peer_that_fails_in_a_later_round_has_no_time_for_that_model(monkeypatch):
    calls = 0

    def peer(model: nn.Module, side: int) -> int:
        nonlocal calls
        calls += type(model).__name__ == "ShuffleNetV2"
        if calls == 2:
            raise MemoryError
        return counting.count(model, (1, 3, side, side)).macs

    row = count_with(monkeypatch, peer)
    assert (row.extra["counted"], row.extra["wrong"], row.extra["fails"]) == (1, 0, 1)
    assert row.note == "shufflenet_v2_x0_5: MemoryError: "
    assert len(row.samples_s) == 2


@pytest.mark.parametrize(
    ("macs", "error"),
    [
        (40_000_000, 0.0),
        (40_499_999, 0.0),  # within the rounding of the published 0.040
        (39_500_001, 0.0),
        (40_700_000, 0.005),
        (39_300_000, -0.005),
        (80_500_000, 1.0),
    ],
)
def test_an_error_is_what_rounding_does_not_explain(macs, error):
    assert counting._error(macs, 0.040e9) == pytest.approx(error)


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "efficientnet_b7"])
def test_the_published_cost_is_that_of_the_smallest_input(name):
    side, macs = counting._published(name)
    assert (side, macs) == {
        "resnet18": (224, 1.814e9),
        "vit_b_16": (224, 17.564e9),
        "efficientnet_b7": (600, 37.746e9),
    }[name]


# int8


@pytest.fixture
def exact_int8() -> None:
    """Processors without VNNI add pairs of products in 16 bits; real engines let them saturate."""
    x = torch.quantize_per_tensor(torch.full((1, 64), 255.0), 1.0, 0, torch.quint8)
    weight = torch.quantize_per_tensor(torch.full((8, 64), 127.0), 1.0, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(weight, torch.zeros(8))
    result = torch.ops.quantized.linear(x, packed, 255.0 * 127, 0).dequantize()
    if not bool((result == 64 * 255 * 127).all()):
        pytest.skip("this processor's int8 products saturate")


def largest_error(x: torch.Tensor, layer: integer.Layer, y: torch.Tensor) -> torch.Tensor:
    """How far each output can be off if inputs, weights and outputs are, by half a step each.

    (x + e)(w + f) - x w <= (|x| + |e|)(|w| + |f|) - |x| |w|, term by term of the sums.
    """
    step = lambda values: integer._grid(values)[0]
    weight = layer.weight.abs()
    if isinstance(layer, nn.Linear):
        product = lambda a, b: torch.nn.functional.linear(a, b)
    else:
        product = lambda a, b: torch.nn.functional.conv2d(a, b, padding=layer.padding)
    off = product(x.abs() + step(x) / 2, weight + weight.amax() / 127 / 2)
    return off - product(x.abs(), weight) + step(y) / 2


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(48, 32), (5, 48)),
        (nn.Linear(7, 1), (1, 7)),
        (nn.Conv2d(9, 16, 3, padding=1), (2, 9, 7, 7)),
    ],
    ids=["linear", "one output", "convolution"],
)
def test_int8_results_are_as_close_to_float32_as_their_steps_allow(
    layer, shape, tmp_path, exact_int8
):
    x = integer._inputs(*shape)
    with torch.no_grad():
        expected = layer(x)
        engines = [
            integer._torch_int8(layer, x),
            integer._onnxruntime(layer, x, tmp_path),
            integer._course_lib(layer, x),
        ]
        torch.testing.assert_close(engines[1].pop(integer.ONNX)(), expected)
        bound = largest_error(x, layer, expected) + 1e-6
        for name, run in (pair for engine in engines for pair in engine.items()):
            result = run().dequantize() if "inner" in name else run()
            assert bool(((result - expected).abs() <= bound).all()), name


def test_torchs_int8_error_is_that_of_rounding_to_8_bits(exact_int8):
    """Rounding errors are uniform, of variance step^2 / 12, and add up over the products."""
    torch.manual_seed(0)
    layer, x = nn.Linear(256, 256), integer._inputs(64, 256)
    with torch.no_grad():
        layer.weight.normal_()  # as wide a range as the input's, so that each part matters
        expected = layer(x)
        variance = lambda step: torch.as_tensor(step).square().mean() / 12
        from_input = variance(integer._grid(x)[0]) * layer.weight.square().sum() / 256
        from_weight = variance(layer.weight.abs().amax(1) / 127) * x.square().sum() / 64
        from_output = variance(integer._grid(expected)[0])
        noise = (from_input + from_weight + from_output) / expected.square().mean()
        for name in ("torch int8 inner", "torch int8 static"):
            error = integer._rms_error(integer._torch_int8(layer, x)[name](), expected)
            assert error == pytest.approx(float(noise.sqrt()), rel=0.03), name


@pytest.mark.parametrize("values", [[-1.0, 2.0], [0.5, 4.0], [-3.0, -1.0]])
def test_a_grid_reaches_from_end_to_end_and_holds_zero(values):
    scale, zero = integer._grid(torch.tensor(values))
    x = torch.tensor([min(values[0], 0.0), 0.0, max(values[1], 0.0)])
    levels = torch.quantize_per_tensor(x, scale, zero, torch.quint8)
    assert (levels.int_repr()[0], levels.int_repr()[2]) == (0, 255)
    assert levels.dequantize()[1] == 0


def test_every_engine_is_compared_with_its_own_float32():
    subjects = {row.subject for row in table("integer").rows}
    assert subjects == set(integer.REFERENCES)  # where the extra `deploy` is installed
    for row in table("integer").rows:
        assert row.reference == integer.REFERENCES[row.subject]


def test_an_engine_that_is_missing_has_a_row_that_says_so(monkeypatch):
    def missing(*_: object) -> None:
        raise ModuleNotFoundError("This needs onnxruntime, which is not installed.")

    monkeypatch.setattr(integer, "_onnxruntime", missing)
    rows = integer.measure((8,), (1,), **FEW).rows
    notes = [row.note for row in rows if row.subject == "onnxruntime"]
    assert notes == ["ModuleNotFoundError: This needs onnxruntime, which is not installed."] * 2
    assert any(row.subject == "course_lib int8" and row.time for row in rows)


@pytest.mark.parametrize(("off", "error"), [(0.0, 0.0), (3.0, 1.0), (-1.5, 0.5)])
def test_the_reported_error_is_relative_to_the_rms_of_float32(off, error):
    expected = torch.tensor([3.0, -3.0, 3.0])
    assert integer._rms_error(expected + off, expected) == pytest.approx(error)


# XNOR


def test_xnor_products_equal_float32s():
    assert [row.extra["equal"] for row in table("binary").rows] == [True] * len(
        table("binary").rows
    )


def test_packed_weights_take_a_bit_each_and_whole_bytes_per_row():
    for subject in (binary.PACKED, binary.PACKING):
        for row in rows_of("binary", subject):
            _, columns, count = map(int, str(row.extra["rows x columns x K"]).split(" x "))
            assert row.extra["weight bytes"] == columns * math.ceil(count / 8)
            assert row.extra["bytes ratio"] == math.ceil(count / 8) / (4 * count)


def test_a_wrong_product_is_reported_as_unequal(monkeypatch):
    product = binary.xnor_product
    monkeypatch.setattr(binary, "xnor_product", lambda a, b, k: product(a, b, k) + 2)
    result = binary.measure(16, (1,), **FEW)
    assert {row.extra["equal"] for row in result.rows if row.subject == binary.PACKED} == {False}
    assert "0 of 10 results" in result.reading


def test_the_lenet_layers_are_those_of_the_networks():
    layers = dict(models.lenet_5().named_modules()) | {
        f"300 {name}": layer for name, layer in models.lenet_300_100().named_modules()
    }
    names = {"LeNet-300-100 fc1": "300 fc1", "LeNet-300-100 fc2": "300 fc2"}
    for name, (outputs, inputs, _) in binary.LENET_LAYERS.items():
        weight = layers[names.get(name, name.split()[-1])].weight
        assert (outputs, inputs) == tuple(weight.flatten(1).shape)


# Shrunken, dense, sparse


def test_sparse_and_shrunken_networks_compute_what_they_stand_for():
    for row in table("sparse").rows:
        assert isinstance(row.extra["error"], float)
        assert row.extra["error"] < 1e-5


@pytest.mark.parametrize("build", [models.lenet_300_100, models.lenet_5])
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.75, 0.95])
def test_all_contestants_have_at_most_the_same_weights_left(build, sparsity):
    dense = build()
    total = sparse.weights(dense)
    networks = sparse._networks(dense, sparsity)
    left = {name: sparse.weights(network) for name, (network, _) in networks.items()}
    assert left["dense"] == total
    assert left["masked"] == left["sparse"] == pytest.approx((1 - sparsity) * total, abs=4)
    assert left["shrunken"] <= (1 - sparsity) * total
    assert left["shrunken"] > 0.75 * (1 - sparsity) * total  # a step of 1 % of all layers


# Huffman


def test_sizes_lie_between_entropy_and_one_bit_more():
    for row in rows_of("huffman", huffman.OURS):
        entropy, bits = row.extra["entropy"], row.extra["bits/symbol"]
        assert isinstance(entropy, float)
        assert isinstance(bits, float)
        assert entropy <= bits <= entropy + 1


def test_the_speed_is_the_symbols_over_the_median():
    for row in table("huffman").rows:
        assert row.time is not None
        assert row.extra["MB/s"] == pytest.approx(0.4305 / row.time.median)


def test_the_streams_hold_an_index_for_every_weight_of_lenet_5():
    streams = huffman.streams(models.lenet_5())
    for symbols in streams.values():
        assert symbols.dtype == np.uint8
        assert symbols.size == 430_500
        assert symbols.max() <= 2**huffman.BITS
    assert np.count_nonzero(streams["dense"] == 0) == 0
    assert np.count_nonzero(streams["90 % pruned"] == 0) == 387_450


@pytest.mark.parametrize("broken", ["course_lib", "zlib"])
def test_a_code_that_loses_symbols_is_not_timed(monkeypatch, broken):
    symbols = np.arange(33, dtype=np.uint8)
    if broken == "zlib":
        monkeypatch.setattr(zlib, "decompress", lambda code: bytes(33))
    else:
        decode = lambda code, lengths, count: np.zeros(count, np.int64)
        monkeypatch.setattr(codec, "huffman_decode", decode)
    with pytest.raises(ValueError, match=f"{broken}.* did not give the symbols back"):
        huffman.compare("case", symbols, **FEW)


# Explorers


def test_every_explorer_is_timed():
    assert set(widgets.EXPLORERS) == widgets.explorers_there_are()


def test_the_moves_of_all_controls_are_counted_together():
    for name in ("temperature", "attention"):
        rows = [row for row in table("widgets").rows if row.case == name]
        whole = next(row for row in rows if row.subject == widgets.ALL)
        single = [row for row in rows if row is not whole]
        assert [len(row.samples_s) for row in single] == [2] * len(single)
        assert sorted(whole.samples_s) == sorted(s for row in single for s in row.samples_s)
        for row in rows:
            p95 = row.extra["wall p95 ms"]
            assert p95 == pytest.approx(1e3 * np.percentile(row.samples_s, 95))
            assert row.extra["p95 <= 150 ms"] == (p95 <= 150)


def test_a_move_is_to_another_value_that_the_control_can_take():
    import ipywidgets as kinds

    rng = random.Random(0)
    for control in (
        kinds.IntSlider(2, 0, 3),
        kinds.FloatSlider(0.5, min=0, max=1, step=0.25),
        kinds.FloatLogSlider(1.0, min=-1, max=1, step=0.5),
        kinds.Dropdown(options=["a", "b"]),
        kinds.SelectionSlider(options=[("one", 1), ("two", 2), ("three", 3)]),
        kinds.SelectMultiple(options=["a", "b", "c"], value=["a"]),
        kinds.Checkbox(value=True),
        kinds.Text("some"),
    ):
        values = widgets.other_values(control, rng)
        assert values
        assert control.value not in values
        for value in values:
            control.value = value
            assert control.value == value
    assert widgets.other_values(kinds.Dropdown(options=["only"]), rng) == []
    with pytest.raises(TypeError, match="Button"):
        widgets.other_values(kinds.Button(), rng)


# The command


def test_the_command_prints_and_writes_what_is_asked_for(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(binary, "QUICK", {"square": 8, "batches": (1,), **FEW})
    command.main(["--quick", "--output", str(tmp_path), "binary"])
    printed = capsys.readouterr().out
    assert "1 thread" in printed
    assert table("binary").title in printed
    assert "cpu: " in printed
    assert [path.name for path in tmp_path.iterdir()] == ["binary.csv"]
    with (tmp_path / "binary.csv").open(newline="") as file:
        assert {line["quick"] for line in csv.DictReader(file)} == {"True"}


def test_an_unknown_name_is_refused_with_those_there_are(capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["counting", "speed"])
    message = capsys.readouterr().err
    assert "'speed'" in message
    assert "counting, integer, binary, sparse, huffman" in message


@every_table
def test_both_settings_are_arguments_of_the_measurement(name):
    module = command.BENCHMARKS[name]
    assert module.QUICK.keys() == module.FULL.keys()
