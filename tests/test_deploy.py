"""Deployment: folding is exact whatever is folded, files run elsewhere, rows tell the truth."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import attention, deploy, models


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def lived_in(model: nn.Module) -> nn.Module:
    """Give batch norms the statistics and weights of a trained network, in place."""
    generator = torch.Generator().manual_seed(4)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            if module.running_mean is not None:
                module.running_mean.normal_(generator=generator)
                module.running_var.uniform_(0.2, 3.0, generator=generator)
            if module.affine:
                nn.init.normal_(module.weight, 1.0, 0.5, generator=generator)
                nn.init.normal_(module.bias, generator=generator)
    return model


def norms_in(model: nn.Module) -> int:
    return sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())


def assert_folded_equals(model: nn.Module, *inputs: Tensor, left: int = 0) -> nn.Module:
    """Fold and compare with eval mode; nothing of the model may change."""
    before = copy.deepcopy(model.state_dict())
    flags = [m.training for m in model.modules()]
    folded = deploy.fold_batch_norm(model)
    assert flags == [m.training for m in model.modules()]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert norms_in(folded) == left
    assert not any(m.training for m in folded.modules())
    with torch.no_grad():
        expected = copy.deepcopy(model).eval()(*inputs)
        actual = folded(*inputs)
    scale = expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5 * max(1.0, scale))
    return folded


CONVOLUTIONS: list[tuple[Any, Any, dict[str, Any]]] = [
    (nn.Conv1d, nn.BatchNorm1d, {}),
    (nn.Conv2d, nn.BatchNorm2d, {}),
    (nn.Conv2d, nn.BatchNorm2d, {"groups": 2}),
    (nn.Conv2d, nn.BatchNorm2d, {"stride": 2, "padding": 1, "dilation": 2}),
    (nn.Conv2d, nn.BatchNorm2d, {"padding": 2, "padding_mode": "reflect"}),
    (nn.Conv3d, nn.BatchNorm3d, {}),
    (nn.ConvTranspose1d, nn.BatchNorm1d, {"groups": 2}),
    (nn.ConvTranspose2d, nn.BatchNorm2d, {}),
    (nn.ConvTranspose2d, nn.BatchNorm2d, {"groups": 2, "stride": 2, "output_padding": 1}),
    (nn.ConvTranspose3d, nn.BatchNorm3d, {"groups": 2}),
]


@pytest.mark.parametrize(("conv", "norm", "options"), CONVOLUTIONS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_every_kind_of_convolution_absorbs_its_norm(
    conv: Any, norm: Any, options: dict[str, Any], bias: bool, affine: bool
) -> None:
    torch.manual_seed(0)
    layer = conv(4, 6, 3, bias=bias, **options)
    model = lived_in(nn.Sequential(layer, norm(6, affine=affine, eps=0.1), nn.ReLU()))
    dims = layer.weight.ndim - 2
    folded = assert_folded_equals(model, randn(2, 4, *[7] * dims))
    assert isinstance(folded[0], conv)
    assert isinstance(folded[1], nn.Identity)


@pytest.mark.parametrize("transposed", [False, True])
def test_depthwise_convolutions_fold(transposed: bool) -> None:
    conv = nn.ConvTranspose2d if transposed else nn.Conv2d
    model = nn.Sequential(conv(5, 10, 3, groups=5, bias=False), nn.BatchNorm2d(10))
    assert_folded_equals(lived_in(model), randn(1, 5, 8, 8))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (7, 3)])
def test_linear_layers_fold(bias: bool, inputs: int, outputs: int) -> None:
    model = nn.Sequential(nn.Linear(inputs, outputs, bias=bias), nn.BatchNorm1d(outputs))
    assert_folded_equals(lived_in(model), randn(4, inputs))


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (models.resnet20(width=4), (2, 3, 16, 16)),
        (models.mobilenet_v1(0.25, 10, small_input=True), (1, 3, 32, 32)),
        (models.mobilenet_v1(0.25, 10, middle_blocks=0, resolution=0.5), (1, 3, 64, 64)),
    ],
)
def test_course_networks_lose_all_their_norms(model: nn.Module, shape: tuple[int, ...]) -> None:
    norms = norms_in(model)
    assert norms > 0
    assert_folded_equals(lived_in(model), randn(*shape))
    assert len(deploy.foldable_pairs(model)) == norms


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "mobilenet_v3_small"])
def test_torchvisions_networks_lose_all_their_norms(name: str) -> None:
    import torchvision

    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None, num_classes=5)
    assert_folded_equals(lived_in(model), randn(1, 3, 64, 64))


def test_pre_activation_norms_stay_and_the_others_go() -> None:
    import torchvision

    torch.manual_seed(0)
    model = torchvision.models.DenseNet(4, (2, 2), 8, num_classes=5)
    pairs = deploy.foldable_pairs(model)
    left = norms_in(model) - len(pairs)
    assert 0 < len(pairs) < norms_in(model)
    assert ("features.conv0", "features.norm0") in pairs
    assert_folded_equals(lived_in(model), randn(1, 3, 64, 64), left=left)


def test_the_network_of_a_model_without_norms_is_a_copy() -> None:
    model = models.lenet_5()
    folded = assert_folded_equals(model, randn(1, 1, 28, 28))
    assert folded is not model
    assert deploy.foldable_pairs(model) == ()
    vit = attention.VisionTransformer(8, 4, 8, 2, 1, 5)
    assert_folded_equals(vit, randn(1, 3, 8, 8))


class Branches(nn.Module):
    """Each case in which a norm behind a layer must not be folded."""

    def __init__(self, case: str):
        super().__init__()
        self.case = case
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.case == "used twice":
            return self.norm(y) + y
        if self.case == "layer called twice":
            return self.norm(y) + self.conv(x + 1).relu()
        if self.case == "norm called twice":
            return self.norm(y) + self.norm(x)
        if self.case == "between":
            return self.norm(y.relu())
        return self.norm(y) + F.conv2d(x, self.conv.weight, padding=1)  # "weight read"


@pytest.mark.parametrize(
    "case", ["used twice", "layer called twice", "norm called twice", "between", "weight read"]
)
def test_a_norm_that_cannot_go_stays(case: str) -> None:
    assert_folded_equals(lived_in(Branches(case)), randn(1, 3, 5, 5), left=1)


def test_a_layer_with_a_hook_keeps_its_norm() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    model[0].register_forward_hook(lambda module, args, output: output * 2)
    assert_folded_equals(lived_in(model), randn(1, 3, 5, 5), left=1)


def test_a_layer_with_a_reparametrized_weight_keeps_its_norm() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    model = nn.Sequential(layer, nn.BatchNorm1d(4))
    assert_folded_equals(lived_in(model), randn(2, 3), left=1)


class Decides(nn.Module):
    """What torch.fx cannot follow, in a part without norms."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


class Wrapped(nn.Module):
    """A convolution inside a module of its own; its norm outside."""

    def __init__(self, decides: bool):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.decide = Decides() if decides else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.decide(F.pad(x, (1, 1, 1, 1))))


@pytest.mark.parametrize("decides", [False, True])
def test_layers_are_found_inside_modules_and_beside_untraceable_ones(decides: bool) -> None:
    model = nn.Sequential(Wrapped(decides), nn.BatchNorm2d(4), Decides())
    assert_folded_equals(lived_in(model), randn(2, 3, 6, 6))


def test_a_layer_that_shares_its_weight_leaves_the_other_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.BatchNorm1d(3), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    folded = assert_folded_equals(lived_in(model), randn(4, 3))
    assert torch.equal(folded[2].weight, model[2].weight)


def test_a_norm_that_normalizes_by_the_batch_is_refused() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False))
    with pytest.raises(ValueError, match="running statistics"):
        deploy.fold_batch_norm(model)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_folding_keeps_the_type_and_rounds_once(dtype: torch.dtype) -> None:
    layer, norm = nn.Linear(5, 4), lived_in(nn.BatchNorm1d(4)).eval()
    expected = deploy.fold(copy.deepcopy(layer).double(), copy.deepcopy(norm).double())
    layer = layer.to(dtype)
    wide = deploy.fold(copy.deepcopy(layer).double(), norm)
    narrow = deploy.fold(layer, norm)
    assert narrow.weight.dtype == narrow.bias.dtype == dtype
    assert torch.equal(narrow.weight, wide.weight.to(dtype))
    assert torch.equal(narrow.bias, wide.bias.to(dtype))
    assert expected.weight.dtype == torch.float64


def test_fold_of_a_pair_by_hand() -> None:
    layer, norm = nn.Linear(1, 1), nn.BatchNorm1d(1, eps=0.0)
    with torch.no_grad():
        for parameter, value in [
            (layer.weight, 3.0),
            (layer.bias, 1.0),
            (norm.weight, 5.0),
            (norm.bias, 7.0),
            (norm.running_mean, 2.0),
            (norm.running_var, 4.0),
        ]:
            parameter.fill_(value)
    folded = deploy.fold(layer, norm)  # 5 (3 x + 1 - 2) / 2 + 7
    assert (folded.weight.item(), folded.bias.item()) == (7.5, 4.5)
    assert (layer.weight.item(), layer.bias.item()) == (3.0, 1.0)


def test_a_folded_network_can_be_trained_on_unless_it_was_frozen() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    assert all(p.requires_grad for p in deploy.fold_batch_norm(model).parameters())
    model.requires_grad_(False)
    assert not any(p.requires_grad for p in deploy.fold_batch_norm(model).parameters())


class Shifted(nn.Module):
    def __init__(self, by: float):
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        return x + self.by


class DecidesAroundNorm(Branches):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) if x.sum() > 0 else x


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: deploy.fold_batch_norm("model"), TypeError, "model"),
        (lambda: deploy.fold_batch_norm(DecidesAroundNorm("")), ValueError, "fold\\(layer, norm"),
        (
            lambda: deploy.fold_batch_norm(nn.Sequential(nn.LazyLinear(3), nn.BatchNorm1d(3))),
            ValueError,
            "lazy",
        ),
        (lambda: deploy.fold(nn.ReLU(), nn.BatchNorm1d(3)), TypeError, "layer"),
        (lambda: deploy.fold(nn.Linear(2, 3), nn.LayerNorm(3)), TypeError, "norm"),
        (lambda: deploy.fold(nn.Linear(2, 3), nn.BatchNorm1d(2)), ValueError, "features"),
        (lambda: deploy.export_onnx(nn.ReLU(), [1.0], "x.onnx"), TypeError, "example"),
        (lambda: deploy.OnnxSession("nowhere.onnx"), FileNotFoundError, "nowhere"),
        (lambda: deploy.quantize_onnx("nowhere.onnx", "x.onnx"), FileNotFoundError, "nowhere"),
        (lambda: deploy.compare_engines(nn.ReLU(), randn(2), []), ValueError, "engines"),
        (lambda: deploy.compare_engines(nn.ReLU(), randn(2), ["gpu"]), ValueError, "gpu"),
        (lambda: deploy.compare_engines(nn.ReLU(), randn(2), "eager"), TypeError, "engines"),
        (lambda: deploy.compare_engines(nn.ReLU(), randn(0)), ValueError, "example"),
        (lambda: deploy.compare_engines(nn.ReLU(), torch.tensor(1.0)), ValueError, "example"),
        (lambda: deploy.compare_engines(nn.ReLU(), randn(2), judged=randn(3)), ValueError, "judg"),
        (lambda: deploy.compare_engines(nn.ReLU(), randn(2), judged=randn(0)), ValueError, "judg"),
        (
            lambda: deploy.compare_engines(nn.ReLU(), randn(2, 3), judged=randn(2, 4)),
            ValueError,
            r"judged must hold a multiple of 2 inputs of shape \(3,\)",
        ),
        (lambda: deploy.compare_engines(nn.ReLU(), randn(1), repeats=0), ValueError, "repeats"),
        (lambda: deploy.compare_engines(nn.ReLU(), randn(1), threads=0), ValueError, "threads"),
        (lambda: deploy.compare_engines(nn.ReLU(), torch.tensor([torch.nan])), ValueError, "exam"),
        (lambda: deploy.compare_engines(Shifted(torch.inf), randn(1)), ValueError, "output"),
        (
            lambda: deploy.compare_engines(nn.GRU(2, 2), randn(1, 1, 2), ["eager"]),
            TypeError,
            "output of model",
        ),
        (
            lambda: deploy.compare_engines(nn.Linear(2, 2, device="meta"), randn(1, 2)),
            ValueError,
            "CPU",
        ),
    ],
)
def test_bad_input_is_refused_in_words(
    call: Callable[[], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        call()


# Files and engines


class Small(nn.Sequential):
    """Convolution, norm and linear layers with outputs that differ from image to image."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(
            nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 16, 64), nn.ReLU(), nn.Linear(64, 10),
        )  # fmt: skip
        lived_in(self)


IMAGES = (64, 1, 8, 8)


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exported on one example; in training mode, which must neither matter nor change."""
    model = Small().train()
    path = deploy.export_onnx(model, randn(1, 1, 8, 8), tmp_path_factory.mktemp("onnx") / "m.onnx")
    assert model.training
    return path


@pytest.mark.parametrize("batch", [1, 5])
def test_onnx_runtime_computes_what_the_model_computes_at_any_batch(
    onnx_file: Path, batch: int
) -> None:
    session = deploy.OnnxSession(onnx_file)
    images = randn(batch, 1, 8, 8)
    with torch.no_grad():
        expected = Small().eval()(images)
    torch.testing.assert_close(session(images), expected, rtol=1e-5, atol=1e-5)
    lean = deploy.OnnxSession(onnx_file, keep_scratch=False, threads=2)
    torch.testing.assert_close(lean(images), expected, rtol=1e-5, atol=1e-5)
    assert lean._session.get_session_options().intra_op_num_threads == 2
    assert session.size_bytes == onnx_file.stat().st_size
    assert list(onnx_file.parent.glob("m.onnx*")) == [onnx_file]  # weights inside


def test_an_exported_file_is_valid_and_its_norms_are_folded(onnx_file: Path) -> None:
    import onnx

    graph = onnx.load(onnx_file)
    onnx.checker.check_model(graph, full_check=True)
    assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}


@pytest.mark.parametrize("static", [True, False])
def test_int8_files_are_smaller_and_agree(onnx_file: Path, tmp_path: Path, static: bool) -> None:
    images = randn(*IMAGES)
    path = deploy.quantize_onnx(onnx_file, tmp_path / "q.onnx", images if static else None)
    session = deploy.OnnxSession(path)
    with torch.no_grad():
        expected = Small().eval()(images)
    assert session.size_bytes < 0.6 * onnx_file.stat().st_size
    error = (session(images) - expected).abs().max()
    assert 0 < error < 0.05 * expected.abs().max()
    weights = [t for t in load(path).graph.initializer if t.data_type in (2, 3) and t.dims]
    assert len([t for t in weights if len(t.dims) > 1]) == 3  # all three layers, in 8 bits
    assert list(tmp_path.iterdir()) == [path]


def load(path: Path) -> Any:
    import onnx

    return onnx.load(path)


def test_static_ranges_come_from_the_calibration_data(onnx_file: Path, tmp_path: Path) -> None:
    images = randn(*IMAGES)
    with torch.no_grad():
        expected = Small().eval()(images)
    errors = []
    for factor in (1.0, 100.0):  # ranges 100 times too wide leave no bits for the data
        path = deploy.quantize_onnx(onnx_file, tmp_path / f"{factor}.onnx", images * factor)
        errors.append((deploy.OnnxSession(path)(images) - expected).abs().mean().item())
    assert errors[1] > 10 * errors[0]


def test_sessions_refuse_what_does_not_fit_in_words(onnx_file: Path, tmp_path: Path) -> None:
    session = deploy.OnnxSession(onnx_file)
    for images in (randn(1, 1, 9, 9), randn(1, 1, 8, 8, dtype=torch.float64)):
        with pytest.raises(ValueError, match="inputs must fit"):
            session(images)
    torn = tmp_path / "torn.onnx"
    torn.write_bytes(onnx_file.read_bytes()[:1000])
    with pytest.raises(ValueError, match="ONNX model"):
        deploy.OnnxSession(torn)
    with pytest.raises(ValueError, match="finite"):
        deploy.quantize_onnx(onnx_file, tmp_path / "q.onnx", torch.full(IMAGES, torch.nan))


FAST = [name for name in deploy.ENGINES if name != "compile"]


@pytest.fixture(scope="module")
def rows() -> tuple[deploy.EngineRow, ...]:
    return deploy.compare_engines(Small(), randn(*IMAGES), FAST, warmup=1, repeats=3, threads=2)


def test_every_engine_has_a_row_with_all_its_numbers(rows: tuple[deploy.EngineRow, ...]) -> None:
    assert [row.engine for row in rows] == FAST
    for row in rows:
        assert row.note == ""
        assert row.latency_s > row.latency_q1_s * 0.999 > 0
        assert row.size_bytes > 0
        assert row.peak_memory_bytes >= 0
        assert (row.batch, row.threads) == (64, 2)
        engine = "onnxruntime" if "onnx" in row.engine else "torch"
        assert row.version == f"{engine} {importlib.import_module(engine).__version__}"
        assert all((row.cpu, row.os, row.python, row.torch, row.logical_cores))


def test_float_engines_are_exact_and_int8_ones_agree(rows: tuple[deploy.EngineRow, ...]) -> None:
    by_name = {row.engine: row for row in rows}
    assert by_name["eager"].max_abs_error == 0
    for row in rows:
        if "int8" in row.engine:
            assert 1e-4 < row.max_abs_error < 1
            assert 0.85 <= row.agreement <= 1
            assert row.size_bytes < by_name["onnxruntime"].size_bytes
        else:
            assert row.max_abs_error < 1e-5
            assert row.agreement == 1
    assert by_name["folded"].size_bytes < by_name["eager"].size_bytes


def test_an_exported_file_holds_the_model_and_not_the_images() -> None:
    many = randn(1000, 64)
    view, few, more = (
        deploy.compare_engines(nn.Linear(64, 2), example, ["export"], repeats=1)[0].size_bytes
        for example in (many[:2], many[:2].clone(), many[:50].clone())
    )
    assert view == few
    assert abs(more - few) < many[0].nbytes


def test_what_is_judged_is_more_than_what_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that answers otherwise for the last of six inputs, which come two at a time."""
    sizes: list[int] = []

    def build(job: deploy.engines.Job) -> deploy.engines.Engine:
        buffer = torch.empty(2, 3)  # the same for all its answers, as some engines have it

        def run(inputs: torch.Tensor) -> torch.Tensor:
            sizes.append(len(inputs))
            buffer.copy_(job.model(inputs).detach())
            buffer[inputs[:, 0] > 4] = torch.tensor([0.0, 0.0, 9.0])
            return buffer

        return deploy.engines.Engine(run, run, 1, "made up")

    monkeypatch.setitem(deploy.engines.BUILDERS, "folded", build)
    inputs = torch.arange(6.0).view(6, 1).repeat(1, 3)
    inputs[:, 1] += 1  # the middle one is eager's answer
    (row,) = deploy.compare_engines(
        nn.Identity(), inputs[:2], ["folded"], judged=inputs, warmup=0, repeats=1
    )
    assert set(sizes) == {2}
    assert row.agreement == pytest.approx(5 / 6)
    assert row.max_abs_error == 6  # of the last input, (5, 6, 5)
    assert row.note == "the output is not eager's"
    (row,) = deploy.compare_engines(nn.Identity(), inputs[:2], ["folded"], warmup=0, repeats=1)
    assert (row.agreement, row.max_abs_error) == (1, 0)


def test_rows_are_frozen_and_flat_enough_for_csv(rows: tuple[deploy.EngineRow, ...]) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        rows[0].note = "better"
    cells = dataclasses.asdict(rows[0]).values()
    assert all(isinstance(cell, str | int | float) for cell in cells)


def test_the_table_has_a_line_per_engine(rows: tuple[deploy.EngineRow, ...]) -> None:
    lines = deploy.engine_table(rows).splitlines()
    assert [line.split()[0] for line in lines] == ["engine", *FAST]


def test_a_gpt_runs_in_every_file_based_engine() -> None:
    torch.manual_seed(0)
    model = attention.GPT(32, 8, 16, 2, 1)
    engines = ["export", "onnxruntime", "onnxruntime_int8_dynamic"]
    rows = deploy.compare_engines(model, torch.arange(12).view(2, 6), engines, repeats=1)
    assert [row.note for row in rows] == [""] * 3
    assert max(row.max_abs_error for row in rows[:2]) < 1e-5


def test_torch_compile_computes_what_eager_computes() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    (row,) = deploy.compare_engines(model, randn(2, 4), ["compile"], warmup=0, repeats=1)
    if row.note:  # no C++ compiler here: the row has to say so
        assert row.latency_s is None
        assert "Error" in row.note or "Compiler" in row.note
    else:
        assert row.max_abs_error < 1e-6
        assert row.agreement == 1


def test_a_session_compiles_more_networks_than_versions_of_one() -> None:
    """All nn.Sequential share one forward, of which PyTorch compiles few versions by itself."""
    with torch._dynamo.config.patch(recompile_limit=1):
        notes = [
            deploy.compare_engines(
                nn.Sequential(nn.Linear(4, n), nn.Tanh()), randn(2, 4), ["compile"],
                warmup=0, repeats=1,
            )[0].note
            for n in (3, 5)
        ]  # fmt: skip
    assert not any("RecompileLimit" in note for note in notes)


@pytest.mark.parametrize("engine", ["compile", "export", "onnxruntime"])
def test_an_engine_that_cannot_run_the_model_says_why(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("No working C++ compiler found.\nMore lines.")

    for target in ("compile", "export.export", "onnx.export"):
        monkeypatch.setattr(f"torch.{target}", fail)
    rows = deploy.compare_engines(nn.Linear(2, 2), randn(1, 2), [engine, "eager"], repeats=1)
    assert rows[0].note == "RuntimeError: No working C++ compiler found."
    assert rows[0].latency_s is rows[0].size_bytes is rows[0].max_abs_error is None
    assert rows[1].note == ""
    assert "No working" in deploy.engine_table(rows)


def test_a_model_that_decides_by_values_has_rows_that_say_so() -> None:
    model = nn.Sequential(nn.Linear(2, 2), Decides())
    rows = deploy.compare_engines(model, randn(1, 2), ["eager", "export"], repeats=1)
    assert rows[0].note == ""
    assert rows[1].note
    assert rows[1].latency_s is None


def test_a_wrong_engine_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("course_lib.deploy.engines.fold_batch_norm", lambda model: Shifted(10.0))
    (row,) = deploy.compare_engines(Shifted(0.0), torch.ones(1, 2), ["folded"], repeats=1)
    assert row.max_abs_error == 10
    assert row.note


def test_comparing_leaves_model_threads_and_folders_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model, threads = Small().train(), torch.get_num_threads()
    before = copy.deepcopy(model.state_dict())
    deploy.compare_engines(model, randn(2, 1, 8, 8), ["eager", "export"], repeats=1, threads=1)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.get_num_threads() == threads
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str, *args: object, **kwargs: object) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(ModuleNotFoundError, match=r"efficient-dl-course\[deploy\]"):
        deploy.export_onnx(nn.Linear(2, 2), randn(1, 2), tmp_path / "m.onnx")
    (row,) = deploy.compare_engines(nn.Linear(2, 2), randn(1, 2), ["onnxruntime"], repeats=1)
    assert "deploy" in row.note


def test_importing_deploy_imports_no_engine() -> None:
    import subprocess
    import sys

    code = (
        "import sys, course_lib.deploy, course_lib.attention; "
        "print([m for m in ('onnx', 'onnxruntime', 'onnxscript', 'torchvision') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
