from __future__ import annotations

import dataclasses
import platform
import sys
from itertools import accumulate

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import course_lib._peak_memory
from course_lib import measure, models

MEGABYTE = 2**20
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Clock:
    """A clock that says the calls took `durations`, in turn, whatever they took."""

    def __init__(self, *durations: float) -> None:
        # Each call reads the clock twice; between two calls it stands still.
        ends = list(accumulate(durations))
        self.times = [t for pair in zip([0.0, *ends], ends, strict=False) for t in pair]
        self.reads = 0

    def __call__(self) -> float:
        self.reads += 1
        return self.times[(self.reads - 1) % len(self.times)]


@pytest.fixture
def clock(monkeypatch):
    def install(*durations: float) -> Clock:
        fake = Clock(*durations)
        monkeypatch.setattr(measure.time, "perf_counter", fake)
        return fake

    return install


class Recorder:
    def __init__(self) -> None:
        self.calls: list[tuple] = []
        self.threads: list[int] = []

    def __call__(self, *inputs):
        self.calls.append(inputs)
        self.threads.append(torch.get_num_threads())


# latency


@pytest.mark.parametrize(("warmup", "repeats"), [(0, 1), (5, 30), (3, 2)])
def test_fn_is_called_warmup_plus_repeats_times_and_the_clock_read_for_repeats(
    clock, warmup, repeats
):
    fn, fake = Recorder(), clock(*[0.1] * repeats)
    result = measure.latency(fn, "x", 2, warmup=warmup, repeats=repeats)
    assert fn.calls == [("x", 2)] * (warmup + repeats)
    assert fake.reads == 2 * repeats
    assert len(result.samples_s) == repeats


@pytest.mark.parametrize(
    "durations", [(0.5,), (0.1, 0.1, 0.1), (0.25, 0.5), (1.0, 0.125, 4.0, 2.0, 0.25), range(1, 31)]
)
def test_the_statistics_are_numpys(clock, durations):
    clock(*durations)
    result = measure.latency(lambda: None, repeats=len(durations))
    expected = np.percentile(np.array(durations, dtype=float), [0, 25, 50, 75])
    np.testing.assert_allclose(result.samples_s, durations, rtol=1e-12)
    np.testing.assert_allclose(
        (result.min_s, result.q1_s, result.median_s, result.q3_s), expected, rtol=1e-12
    )
    assert result.spread == pytest.approx((expected[3] - expected[1]) / expected[2])


def test_a_clock_that_stands_still_gives_no_division_by_zero(clock):
    clock(0.0, 0.0)
    result = measure.latency(lambda: None, repeats=2)
    assert (result.median_s, result.spread, result.items_per_s) == (0.0, 0.0, float("inf"))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_are_pinned_during_the_calls_and_restored(threads):
    before = torch.get_num_threads()
    fn = Recorder()
    result = measure.latency(fn, warmup=1, repeats=2, threads=threads)
    assert fn.threads == [threads] * 3
    assert result.threads == threads
    assert torch.get_num_threads() == before


def test_threads_and_training_flags_are_restored_after_an_error():
    before = torch.get_num_threads()
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).train()
    model[1].eval()
    with pytest.raises(RuntimeError, match="shapes"):
        measure.latency(model, torch.zeros(1, 3), threads=before + 1)
    assert torch.get_num_threads() == before
    assert [m.training for m in model.modules()] == [True, True, False]


class Watched(nn.Module):
    """Notes in what state it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.seen: list[tuple] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append((self.training, torch.is_inference_mode_enabled(), x.shape, x.dtype))
        return self.linear(x)


def test_a_module_runs_in_eval_and_inference_mode_and_is_left_as_it_was():
    model = Watched().train()
    measure.latency(model, torch.zeros(4, 3), warmup=1, repeats=1)
    assert {(training, inference) for training, inference, *_ in model.seen} == {(False, True)}
    assert all(module.training for module in model.modules())


def test_a_plain_function_may_use_autograd():
    model = Watched().train()
    x = torch.zeros(4, 3)
    measure.latency(lambda: model(x).sum().backward(), warmup=0, repeats=2)
    assert {(training, inference) for training, inference, *_ in model.seen} == {(True, False)}
    assert model.linear.bias.grad.tolist() == [8.0, 8.0]


@pytest.mark.parametrize(
    ("inputs", "batch"),
    [
        ((), 1),
        (("text", 3), 1),
        ((torch.tensor(1.0),), 1),
        ((torch.zeros(7, 2),), 7),
        ((3, torch.zeros(5), torch.zeros(2, 2)), 5),
    ],
)
def test_batch_is_the_first_dimension_of_the_first_tensor(inputs, batch):
    assert measure.latency(lambda *_: None, *inputs, repeats=1).batch == batch


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"warmup": -1}, ValueError),
        ({"repeats": 0}, ValueError),
        ({"repeats": 2.5}, TypeError),
        ({"threads": 0}, ValueError),
        ({"threads": None}, TypeError),
    ],
)
def test_a_count_out_of_range_is_named_and_nothing_is_called(settings, error):
    fn = Recorder()
    with pytest.raises(error, match=next(iter(settings))):
        measure.latency(fn, **settings)
    assert fn.calls == []


@pytest.mark.parametrize("run", [measure.latency, measure.peak_memory])
def test_what_cannot_be_called_is_refused(run):
    with pytest.raises(TypeError, match="fn must be a function or a module, got Tensor"):
        run(torch.zeros(3))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2.0, "2 s"),
        (0.0123456, "12.3 ms"),
        (0.001, "1 ms"),
        (0.00025, "250 µs"),
        (3e-9, "3 ns"),
        (0.0, "0 ns"),
    ],
)
def test_printing_a_latency_gives_a_unit(seconds, text):
    latency = measure.Latency(seconds, seconds, seconds, seconds, (seconds,), threads=2, batch=4)
    assert str(latency) == f"{text} (quartiles {text} to {text}, 1 runs, 2 threads, batch 4)"


# batches


def test_latency_by_batch_runs_every_batch_size_in_the_models_type():
    model = Watched().double()
    measured = measure.latency_by_batch(model, (3,), (1, 4, 2), warmup=1, repeats=2)
    assert list(measured) == [1, 4, 2]
    assert [result.batch for result in measured.values()] == [1, 4, 2]
    shapes = [(shape, dtype) for _, _, shape, dtype in model.seen]
    assert shapes == [((b, 3), torch.float64) for b in (1, 4, 2) for _ in range(3)]


def test_throughput_is_batch_over_median(clock):
    clock(0.5, 0.25, 0.125)
    rates = measure.throughput(Watched(), (3,), (1, 8), warmup=0, repeats=3)
    assert rates == {1: 1 / 0.25, 8: 8 / 0.25}


def test_random_inputs_do_not_disturb_the_global_random_state():
    model, before = Watched(), torch.get_rng_state()
    measure.throughput(model, (3,), (1, 2), repeats=1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("shape", "batches", "error"),
    [
        ((0,), (1,), ValueError),
        (3, (1,), TypeError),
        ((3,), (0,), ValueError),
        ((3,), 4, TypeError),
    ],
)
def test_a_bad_shape_or_batch_is_named(shape, batches, error):
    with pytest.raises(error, match="input_shape" if batches == (1,) else "batches"):
        measure.throughput(Watched(), shape, batches)


# memory


def counting_error_bytes() -> int:
    """What the kernel may miss: it counts pages per core in batches of max(32, 2 cores)."""
    cores = measure.os.cpu_count()
    return cores * max(32, 2 * cores) * measure.os.sysconf("SC_PAGE_SIZE")


# What Python and the C library may allocate beside the tensor: two huge pages (one at each end
# of the block) of 2 MiB, which the kernel may hand out whole.
ROUNDING = 4 * MEGABYTE


@pytest.fixture(params=["VmHWM", "sampled"])
def method(request, monkeypatch):
    if request.param == "sampled":
        monkeypatch.setattr(course_lib._peak_memory, "_reset_high_water_mark", lambda: False)
    elif not course_lib._peak_memory._reset_high_water_mark():
        pytest.skip("this system does not let a process reset its high-water mark")
    torch.ones(10)  # loads the code that the measured calls run
    return request.param


@linux_only
@pytest.mark.parametrize("megabytes", [8, 64])
def test_peak_memory_of_an_allocation_is_its_size(method, megabytes):
    size = megabytes * MEGABYTE
    peak = measure.peak_memory(torch.ones, size // 4)
    assert peak.method == method
    assert size - counting_error_bytes() <= peak.bytes <= size + ROUNDING


@linux_only
def test_memory_held_before_is_not_counted(method):
    held = torch.ones(64 * MEGABYTE // 4)
    peak = measure.peak_memory(torch.ones, 8 * MEGABYTE // 4)
    assert peak.bytes <= 8 * MEGABYTE + ROUNDING < held.nbytes


@linux_only
def test_an_earlier_peak_is_not_counted(method):
    del_me = torch.ones(64 * MEGABYTE // 4)
    del del_me
    assert measure.peak_memory(torch.ones, 2).bytes <= ROUNDING


@linux_only
def test_memory_freed_before_the_call_ends_counts():
    if not course_lib._peak_memory._reset_high_water_mark():
        pytest.skip("this system does not let a process reset its high-water mark")

    def allocate_and_free() -> int:
        return len(torch.ones(64 * MEGABYTE // 4))

    # Linux may reclaim idle pages of this process meanwhile, which hides as much of the peak.
    peak = max(measure.peak_memory(allocate_and_free).bytes for _ in range(5))
    size = 64 * MEGABYTE
    assert size - counting_error_bytes() <= peak <= size + ROUNDING


@linux_only
def test_peak_memory_runs_a_module_once_in_inference_mode(method):
    model = Watched().train()
    measure.peak_memory(model, torch.zeros(2, 3))
    assert [state[:2] for state in model.seen] == [(False, True)]
    assert model.training


@linux_only
def test_an_error_inside_passes_through_and_leaves_no_thread(method):
    import threading

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        measure.peak_memory(lambda: 1 // 0)
    assert threading.active_count() == before


# size of the file


def tensor_bytes(model: nn.Module) -> int:
    return sum(t.nbytes for t in (*model.parameters(), *model.buffers()))


def test_file_size_is_that_of_a_file_that_gives_the_weights_back(tmp_path, monkeypatch):
    model = models.resnet_cifar(8, width=4)
    kept = tmp_path / "kept"
    kept.mkdir()

    class KeptFolder:
        __enter__ = lambda self: str(kept)
        __exit__ = lambda self, *_: None

    monkeypatch.setattr(measure.tempfile, "TemporaryDirectory", KeptFolder)
    size = measure.file_size_bytes(model)
    (file,) = kept.iterdir()
    assert size == file.stat().st_size
    loaded, state = load_file(file), model.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64, torch.bfloat16])
def test_file_size_follows_the_type_of_the_weights(dtype):
    model = nn.Linear(1000, 10).to(dtype)
    header = measure.file_size_bytes(model) - tensor_bytes(model)
    assert 8 < header < 300  # two names, types, shapes and offsets as JSON


def test_shared_tensors_are_written_once_and_buffers_are_written():
    model = nn.Sequential(nn.Linear(100, 100), nn.Linear(100, 100))
    alone = measure.file_size_bytes(model)
    model[1].weight = model[0].weight
    shared = measure.file_size_bytes(model)
    model[1].register_buffer("extra", torch.zeros(10_000, dtype=torch.int8))
    header = 500
    assert 40_000 - header < alone - shared < 40_000 + header
    assert 10_000 <= measure.file_size_bytes(model) - shared < 10_000 + header


def test_file_size_works_without_tensors_and_for_non_contiguous_ones():
    assert 0 < measure.file_size_bytes(nn.ReLU()) < 100
    model = nn.Linear(6, 4)
    model.weight = nn.Parameter(torch.randn(6, 4).T)
    before = model.weight.stride()
    assert measure.file_size_bytes(model) > 4 * 28
    assert model.weight.stride() == before


def test_file_size_refuses_what_is_no_model():
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got dict"):
        measure.file_size_bytes({})


# the machine


def test_hardware_names_what_a_result_depends_on():
    import psutil

    facts = measure.hardware()
    assert " ".join(facts) == "cpu logical_cores memory_bytes os python torch threads"
    assert facts["memory_bytes"] == psutil.virtual_memory().total
    assert 1 <= facts["logical_cores"] <= psutil.cpu_count()
    assert facts["python"] == platform.python_version()
    assert facts["torch"] == torch.__version__
    assert facts["threads"] == torch.get_num_threads()
    assert all(type(value) in (str, int) and value for value in facts.values())
    assert platform.node() not in facts["os"]


def test_roofline_divides_work_by_the_shortest_time(clock):
    clock(0.5, 0.25)  # of two matrix products, then of two copies
    roof = measure.roofline(matrix_size=10, buffer_bytes=4000, repeats=2)
    assert roof.peak_macs_per_s == 10**3 / 0.25
    assert roof.bandwidth_bytes_per_s == 2 * 4000 / 0.25


def test_roofline_restores_the_threads_and_the_random_state():
    before = torch.get_num_threads(), torch.get_rng_state()
    roof = measure.roofline(threads=2, matrix_size=8, buffer_bytes=64, repeats=1)
    assert roof.peak_macs_per_s > 0
    assert roof.bandwidth_bytes_per_s > 0
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize("argument", ["threads", "matrix_size", "buffer_bytes", "repeats"])
def test_roofline_names_an_argument_out_of_range(argument):
    with pytest.raises(ValueError, match=argument):
        measure.roofline(**{"matrix_size": 8, "buffer_bytes": 64, argument: 0})


@pytest.mark.parametrize("kind", [measure.Latency, measure.PeakMemory])
def test_results_are_frozen(kind):
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen
