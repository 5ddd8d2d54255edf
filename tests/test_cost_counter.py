"""`count` against PyTorch's own counter, an executor that frees tensors, and sums by hand."""

from __future__ import annotations

import copy
import warnings
from dataclasses import FrozenInstanceError, dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.utils import parametrizations, prune
from torch.utils.flop_counter import FlopCounterMode

from course_lib.cost import (
    UncountedWarning,
    attention_macs,
    chain_peak_bytes,
    conv2d_macs,
    count,
    recurrence_macs,
)

SDPA_AS_PRODUCTS = torch.nn.attention.SDPBackend.MATH


class Model(nn.Module):
    """A model from a function `forward(self, *inputs)` and its layers, parameters, constants."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def weight(*shape):
    return nn.Parameter(torch.randn(*shape))


def small_convnet():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, stride=2, groups=4),
        nn.Flatten(),
        nn.Linear(12 * 7 * 7, 10),
    )


MODELS = {
    "convnet": (small_convnet, [(2, 3, 32, 32)]),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, dilation=2), [(2, 4, 11)]),
    "conv3d": (lambda: nn.Conv3d(2, 4, (1, 2, 3), groups=2), [(1, 2, 4, 5, 6)]),
    "convolution without a batch": (lambda: nn.Conv2d(3, 4, 3), [(3, 8, 8)]),
    "transposed convolution": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2),
        [(2, 4, 5, 7)],
    ),
    "linear on a vector": (lambda: nn.Linear(5, 3), [(5,)]),
    "linear on four axes": (lambda: nn.Linear(5, 3), [(2, 3, 4, 5)]),
    "attention": (lambda: nn.MultiheadAttention(12, 3, batch_first=True), [(2, 7, 12)] * 3),
    "cross attention": (
        lambda: nn.MultiheadAttention(12, 3, kdim=5, vdim=6, batch_first=True),
        [(2, 7, 12), (2, 4, 5), (2, 4, 6)],
    ),
    "encoder": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(12, 3, 20, batch_first=True), 2, enable_nested_tensor=False
        ),
        [(2, 7, 12)],
    ),
    "transformer": (
        lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
        [(3, 5, 8), (3, 4, 8)],
    ),
    "einsum": (
        lambda: Model(lambda m, x: torch.einsum("bij,kj->bik", x, m.w), w=weight(4, 5)),
        [(2, 3, 5)],
    ),
    "functions": (
        lambda: Model(
            lambda m, x: F.conv2d(x, m.w).flatten(1) @ m.v, w=weight(4, 3, 2, 2), v=weight(36, 2)
        ),
        [(2, 3, 4, 4)],
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_macs_are_half_of_what_pytorchs_counter_sees_in_a_real_run(name):
    build, shapes = MODELS[name]
    model = build().train()  # keeps PyTorch off its fused inference path, which it cannot count
    with FlopCounterMode(display=False) as flops, torch.nn.attention.sdpa_kernel(SDPA_AS_PRODUCTS):
        model(*(torch.randn(shape) for shape in shapes))
    cost = count(model, *shapes)
    assert cost.macs == flops.get_total_flops() / 2 > 0
    assert cost.params == sum(p.numel() for p in model.parameters())
    assert cost.weight_bytes == 4 * cost.params
    assert cost.uncounted == ()
    assert cost.unused == ()


@pytest.mark.parametrize("name", MODELS)
def test_layers_add_up_to_the_model(name):
    build, shapes = MODELS[name]
    cost = count(build, *shapes)
    for quantity in ("macs", "params", "weight_bytes", "activation_bytes"):
        total = sum(getattr(layer, quantity) for layer in cost.layers)
        assert getattr(cost, quantity) == total


@pytest.mark.parametrize("name", ["convnet", "attention", "encoder"])
def test_batch_scales_macs_and_activations_but_never_parameters(name):
    build, shapes = MODELS[name]
    model = build()
    one = count(model, *((1, *shape[1:]) for shape in shapes))
    five = count(model, *((5, *shape[1:]) for shape in shapes))
    for quantity in ("macs", "activation_bytes", "peak_activation_bytes"):
        assert getattr(five, quantity) == 5 * getattr(one, quantity)
    for quantity in ("params", "weight_bytes", "buffer_bytes"):
        assert getattr(five, quantity) == getattr(one, quantity)


@pytest.mark.parametrize(("layer", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_recurrent_layers_cost_their_gates_at_every_step(layer, gates):
    expected = recurrence_macs(7, 6, 10, gates=gates, batch=2)
    cost = count(layer(6, 10, batch_first=True), (2, 7, 6))
    assert cost.macs == expected
    assert cost.uncounted == ()
    second = recurrence_macs(7, 2 * 10, 10, gates=gates, batch=2)
    both_ways = count(layer(6, 10, 2, batch_first=True, bidirectional=True), (2, 7, 6))
    assert both_ways.macs == 2 * (expected + second)


def test_lstm_with_projection_and_lstm_cell():
    cost = count(nn.LSTM(6, 10, proj_size=3), (7, 2, 6))
    assert cost.macs == 7 * 2 * (4 * 10 * (6 + 3) + 10 * 3)
    assert count(nn.LSTMCell(6, 10), (2, 6)).macs == recurrence_macs(1, 6, 10, gates=4, batch=2)


def test_attention_agrees_with_the_formula_and_leaves_no_layer_unused():
    cost = count(nn.MultiheadAttention(12, 3, batch_first=True), *[(2, 7, 12)] * 3)
    assert cost.macs == attention_macs(7, 12, heads=3, batch=2)
    assert cost.layers[0].macs == cost.macs  # the output projection runs inside it
    fused = Model(lambda m, x: F.scaled_dot_product_attention(x, x, x, is_causal=True))
    assert count(fused, (2, 3, 7, 4)).macs == attention_macs(7, 12, batch=2, projections=False)


@pytest.mark.parametrize(
    ("product", "shapes", "macs"),
    [
        (lambda m, a, b: a @ b, [(4, 5), (5,)], 20),
        (lambda m, a, b: a @ b, [(5,), (5,)], 5),
        (lambda m, a, b: torch.vdot(a, b), [(5,), (5,)], 5),
        (lambda m, c, a, b: torch.addmv(c, a, b), [(4,), (4, 5), (5,)], 20),
        (lambda m, c, a, b: torch.addbmm(c, a, b), [(3, 4), (2, 3, 5), (2, 5, 4)], 2 * 3 * 5 * 4),
        (lambda m, c, a, b: torch.baddbmm(c, a, b), [(3, 4), (2, 3, 5), (2, 5, 4)], 2 * 3 * 5 * 4),
        (lambda m, a, b: torch.tensordot(a, b, 2), [(2, 3, 4), (3, 4, 5)], 2 * 12 * 5),
        (lambda m, a, b: torch.einsum("bi,bi->b", a, b), [(2, 3), (2, 3)], 6),
    ],
)
def test_every_spelling_of_a_product_is_counted(product, shapes, macs):
    assert count(Model(product), *shapes).macs == macs


def test_bilinear_costs_what_einsum_pays_for_the_same_contraction():
    with FlopCounterMode(display=False) as flops:
        torch.einsum("bi,oij,bj->bo", torch.ones(2, 3), torch.ones(5, 3, 4), torch.ones(2, 4))
    cost = count(nn.Bilinear(3, 4, 5), (2, 3), (2, 4))
    assert cost.macs == flops.get_total_flops() / 2 == 2 * (5 * 3 * 4 + 5 * 4)


def test_a_layer_called_twice_costs_its_macs_twice_and_its_parameters_once():
    layer = nn.Linear(8, 8)
    cost = count(nn.Sequential(layer, nn.ReLU(), layer), (2, 8))
    assert (cost.macs, cost.params) == (2 * 2 * 64, 72)
    (row,) = (row for row in cost.layers if row.kind == "Linear")
    assert (row.calls, row.macs, row.params, row.activation_bytes) == (2, 256, 72, 2 * 64)


class TiedLanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(self.embedding(tokens))


@pytest.mark.parametrize("model", [TiedLanguageModel(), TiedLanguageModel], ids=["built", "class"])
def test_tied_weights_are_stored_once_and_multiplied_where_they_are_used(model):
    cost = count(model, torch.zeros(2, 3, dtype=torch.long))
    assert (cost.params, cost.weight_bytes, cost.macs) == (40, 160, 2 * 3 * 4 * 10)
    by_name = {layer.name: layer for layer in cost.layers}
    assert (by_name["embedding"].params, by_name["head"].params) == (40, 0)
    assert (by_name["embedding"].macs, by_name["head"].macs) == (0, 240)


def test_a_shared_layer_shows_the_shapes_of_its_first_call():
    pool = nn.AvgPool1d(2)
    (row,) = count(nn.Sequential(pool, pool), (1, 3, 8)).layers
    assert (row.input_shape, row.output_shape) == ((1, 3, 8), (1, 3, 4))
    assert (row.calls, row.activation_bytes) == (2, 4 * 3 * (4 + 2))


def test_an_embedding_used_as_a_matrix_by_its_owner_is_counted():
    tied = Model(lambda m, x: F.linear(m.embedding(x), m.embedding.weight))
    tied.embedding = nn.Embedding(10, 4)
    assert count(tied, torch.zeros(2, 3, dtype=torch.int32)).macs == 240


def test_layer_rows_name_shapes_and_costs_in_order_of_execution():
    cost = count(small_convnet(), (2, 3, 32, 32))
    conv, norm, relu, pool, grouped, flat, linear = cost.layers
    assert [layer.name for layer in cost.layers] == list("0123456")
    assert (conv.kind, conv.input_shape, conv.output_shape) == (
        "Conv2d",
        (2, 3, 32, 32),
        (2, 8, 32, 32),
    )
    assert conv.macs == conv2d_macs(3, 8, 3, 32, padding=1, batch=2)
    assert grouped.macs == conv2d_macs(8, 12, 3, 16, stride=2, groups=4, batch=2)
    assert [layer.macs for layer in (norm, relu, pool, flat)] == [0, 0, 0, 0]
    assert linear.activation_bytes == 2 * 10 * 4
    assert cost.buffer_bytes == 2 * 8 * 4 + 8  # running mean and variance, and a counter


def test_activation_bytes_are_those_that_hooks_on_the_real_layers_see():
    model, seen = small_convnet().eval(), []
    watched = copy.deepcopy(model)
    for layer in watched:
        layer.register_forward_hook(lambda _, __, out: seen.append(out.numel() * 4))
    watched(torch.zeros(2, 3, 32, 32))
    assert count(model, (2, 3, 32, 32)).activation_bytes == sum(seen)


class Freeing(fx.Interpreter):
    """Runs a traced model for real, drops every value after its last use, notes the peak."""

    def __init__(self, model):
        super().__init__(fx.symbolic_trace(model), garbage_collect_values=True)
        self.peak = 0

    def run_node(self, node):
        result = super().run_node(node)
        alive = {}
        for value in (*self.env.values(), result):
            for tensor in value if isinstance(value, list | tuple) else [value]:
                if isinstance(tensor, torch.Tensor):
                    storage = tensor.untyped_storage()
                    alive[storage.data_ptr()] = storage.nbytes()
        self.peak = max(self.peak, sum(alive.values()))
        return result


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_0", "googlenet"])
def test_peak_memory_is_that_of_an_executor_that_frees_after_last_use(name):
    models = pytest.importorskip("torchvision").models
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    model = models.get_model(name, **options).eval()
    executor = Freeing(model)
    with torch.no_grad():
        executor.run(torch.zeros(1, 3, 64, 64))
    assert count(model, (1, 3, 64, 64)).peak_activation_bytes == executor.peak


def test_peak_of_a_chain_is_the_largest_input_plus_output():
    model = nn.Sequential(nn.Linear(10, 90), nn.Sigmoid(), nn.Linear(90, 40), nn.Linear(40, 95))
    sizes = [2 * 4 * width for width in (10, 90, 90, 40, 95)]
    cost = count(model, (2, 10))
    assert cost.peak_activation_bytes == chain_peak_bytes(sizes) == 2 * 4 * 180
    assert cost.peak_activation_bytes < cost.activation_bytes


def test_pooling_indices_that_nobody_reads_take_no_memory():
    lenet_head = nn.Sequential(nn.Conv2d(1, 20, 5), nn.MaxPool2d(2))
    sizes = [4 * 28 * 28, 4 * 20 * 24 * 24, 4 * 20 * 12 * 12]
    assert count(lenet_head, (1, 1, 28, 28)).peak_activation_bytes == chain_peak_bytes(sizes)


def test_in_place_and_view_layers_take_no_memory():
    plain = nn.Sequential(nn.Linear(10, 90), nn.ReLU(), nn.Linear(90, 10))
    thrifty = nn.Sequential(
        nn.Linear(10, 90), nn.ReLU(inplace=True), nn.Unflatten(1, (9, 10)), nn.Flatten(),
        nn.Identity(), nn.Linear(90, 10),
    )  # fmt: skip
    assert count(plain, (1, 10)).peak_activation_bytes == 4 * (90 + 90)
    assert count(thrifty, (1, 10)).peak_activation_bytes == 4 * (90 + 10)


def test_a_skip_connection_keeps_one_more_tensor_alive():
    body = {"a": nn.Linear(10, 50), "b": nn.Linear(50, 10)}
    chain = Model(lambda m, x: m.b(m.a(x)), **body)
    residual = Model(lambda m, x: x + m.b(m.a(x)), **body)
    assert count(chain, (1, 10)).peak_activation_bytes == 4 * (10 + 50)
    assert count(residual, (1, 10)).peak_activation_bytes == 4 * (10 + 50 + 10)


def test_results_live_to_the_end_and_inputs_only_to_their_last_use():
    both = Model(lambda m, x: (m.a(x), m.b(x)), a=nn.Linear(10, 70), b=nn.Linear(10, 30))
    assert count(both, (1, 10)).peak_activation_bytes == 4 * (10 + 70 + 30)
    unused_input = Model(lambda m, x, y: m.a(x) * 2, a=nn.Linear(10, 20))
    assert count(unused_input, (1, 10), (1, 35)).peak_activation_bytes == 4 * max(45, 30, 40)
    assert count(nn.Identity(), (1, 10)).peak_activation_bytes == 40


@dataclass
class Prediction:
    logits: torch.Tensor


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y: {"logits": y},
        lambda y: [y, None, 3],
        lambda y: ((y,),),
        Prediction,
    ],
    ids=["dict", "list", "tuple", "dataclass"],
)
def test_outputs_and_inputs_may_be_nested(wrap):
    model = Model(lambda m, batch: wrap(m.a(batch["x"]) * batch["scale"]), a=nn.Linear(10, 20))
    cost = count(model, {"x": torch.zeros(2, 10), "scale": 3})
    assert (cost.macs, cost.input_shapes) == (400, ((2, 10),))
    assert cost.peak_activation_bytes == 2 * 4 * 40


@pytest.mark.parametrize(
    ("by_hand", "shape"),
    [
        (lambda m, x: (x.unsqueeze(-1) * m.w).sum(-2), (8, 4)),
        (lambda m, x: torch.stack([(x * row).sum(-1) for row in m.w.T], -1), (8, 4)),
        (lambda m, x: (x.unsqueeze(-1).repeat(1, 1, 4) * m.w).sum(-2), (8, 4)),
        (lambda m, x: sum(x[:, i : i + 1] * m.w[i] for i in range(8)), (8, 4)),
        (lambda m, x: (x[:, :, None].expand(-1, -1, 4).clone().mul_(m.w)).sum(1), (8, 4)),
    ],
    ids=["broadcast", "row by row", "repeated", "outer products", "in place"],
)
def test_a_matrix_product_written_by_hand_is_reported_with_its_multiplications(by_hand, shape):
    model = nn.Sequential(nn.ReLU(), Model(by_hand, w=weight(*shape)))
    torch.testing.assert_close(model[1](torch.eye(8)), model[1].w)  # it is x @ w indeed
    with pytest.warns(UncountedWarning, match="macs=0 may be too low"):
        cost = count(model, (2, 8))
    (entry,) = cost.uncounted
    assert (entry.name, entry.kind, entry.params, entry.elements) == ("1", "Model", 32, 2 * 32)
    assert set(entry.operations) <= {"mul", "mul_"}
    assert "MACs may be missing: 1 (Model)" in str(cost)


def test_a_hand_written_product_is_reported_beside_counted_ones():
    mixed = Model(lambda m, x: m.a(x) + (x.unsqueeze(-1) * m.w).sum(-2), w=weight(8, 8))
    mixed.a = nn.Linear(8, 8)
    with pytest.warns(UncountedWarning):
        cost = count(mixed, (2, 8))
    assert cost.macs == 128
    assert [(entry.name, entry.params, entry.elements) for entry in cost.uncounted] == [
        ("", 64, 128)
    ]


def test_distances_to_prototypes_written_by_hand_are_reported():
    adder = Model(lambda m, x: -(x.unsqueeze(1) - m.prototypes).abs().sum(-1))
    adder.prototypes = weight(4, 8)
    with pytest.warns(UncountedWarning):
        (entry,) = count(adder, (2, 8)).uncounted
    assert (entry.params, entry.elements, entry.operations) == (32, 2 * 4 * 8, ("sub",))


def test_a_scale_that_hardly_counts_is_listed_without_a_warning():
    scaled = Model(lambda m, x: m.a(x) * m.gamma, a=nn.Linear(512, 512), gamma=weight(512))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cost = count(scaled, (2, 512))
    assert [(entry.params, entry.elements) for entry in cost.uncounted] == [(512, 1024)]


def test_a_transform_without_a_formula_is_reported():
    fnet = Model(lambda m, x: m.a(torch.fft.fft2(x).real), a=nn.Linear(512, 512))
    with pytest.warns(UncountedWarning, match="_fft"):
        cost = count(fnet, (2, 512))
    assert cost.macs == 2 * 512 * 512
    assert cost.uncounted[0].params == 0


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm1d(4),
        nn.InstanceNorm1d(4, affine=True, track_running_stats=True),
        nn.GroupNorm(2, 4),
        nn.LayerNorm(6),
        nn.RMSNorm(6),
        nn.PReLU(4),
        Model(lambda m, x: x + m.position, position=weight(4, 6)),
        Model(lambda m, x: x - m.mean, mean=weight(6)),
        Model(lambda m, x: torch.cat([m.token.expand(len(x), 1, 6), x], 1), token=weight(1, 1, 6)),
        Model(lambda m, x: F.layer_norm(x, (6,), m.gain), gain=weight(6)),
        Model(lambda m, x: x + m.table(torch.arange(4)), table=nn.Embedding(4, 6)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_norms_shifts_and_lookups_cost_no_macs_and_are_nothing_to_report(layer):
    cost = count(layer, (3, 4, 6))
    assert (cost.macs, cost.uncounted, cost.unused) == (0, (), ())
    assert cost.params == sum(p.numel() for p in layer.parameters())


def test_parameters_that_the_pass_never_touches_are_named():
    model = Model(lambda m, x: m.a(x), a=nn.Linear(3, 2), spare=weight(4), b=nn.Linear(2, 2))
    cost = count(model, (1, 3))
    assert cost.unused == ("spare", "b.weight", "b.bias")
    assert cost.params == 8 + 4 + 6
    rows = {layer.name: layer for layer in cost.layers}
    assert (rows["b"].calls, rows["b"].output_shape, rows["b"].params) == (0, None, 6)
    assert "never used: spare" in str(cost)


def pruned():
    model = nn.Sequential(nn.Linear(8, 4))
    prune.l1_unstructured(model[0], "weight", 0.5)
    model(torch.ones(1, 8))  # leaves a weight behind that is neither parameter nor leaf tensor
    return model


@pytest.mark.parametrize(
    "build",
    [
        pruned,
        lambda: parametrizations.weight_norm(nn.Linear(8, 4)),
        lambda: Model(lambda m, x: F.linear(x, m.w * m.mask), w=weight(4, 8), mask=torch.ones(8)),
        lambda: Model(
            lambda m, x: x @ m.w[0] @ m.w[1], w=nn.ParameterList([weight(8, 2), weight(2, 8)])
        ),
    ],
    ids=["pruned", "weight norm", "masked", "parameter list"],
)
def test_weights_that_are_computed_before_use_are_counted(build):
    cost = count(build(), (3, 8))
    assert cost.macs == 3 * 8 * 4
    assert (cost.uncounted, cost.unused) == ((), ())


def test_spectral_norm_pays_for_its_power_iteration():
    cost = count(parametrizations.spectral_norm(nn.Linear(8, 4)), (3, 8))
    assert cost.macs == 3 * 8 * 4 + 8 * 4 + 4  # the layer, and u^T (W v) for the norm
    assert cost.uncounted == ()


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
@pytest.mark.parametrize(
    ("dtype", "width"),
    [(torch.float16, 2), (torch.bfloat16, 2), (torch.float64, 8), (torch.complex64, 8)],
)
def test_a_shape_stands_for_a_tensor_of_the_models_own_type(dtype, width):
    cost = count(nn.Linear(10, 20).to(dtype), (2, 10))
    assert (cost.macs, cost.params) == (400, 220)
    assert cost.weight_bytes == 220 * width
    assert cost.peak_activation_bytes == 2 * 30 * width


def test_weight_bytes_at_other_widths_round_up():
    cost = count(nn.Linear(3, 1, bias=False), (1, 3))
    assert [cost.weight_bytes_at(bits) for bits in (1, 4, 8, 32)] == [1, 2, 3, 12]
    with pytest.raises(ValueError, match="bits"):
        cost.weight_bytes_at(0)


@pytest.mark.parametrize("build", [nn.Identity, nn.ReLU, lambda: nn.AvgPool1d(2)])
def test_a_model_without_parameters_costs_nothing(build):
    cost = count(build, (1, 4, 6))
    assert (cost.macs, cost.params, cost.weight_bytes, cost.uncounted) == (0, 0, 0, ())


def test_the_callers_model_is_untouched():
    model = small_convnet().train()
    model[1].eval()
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    before = copy.deepcopy(model)
    modes = [module.training for module in model.modules()]
    gradients = [p.grad.clone() for p in model.parameters()]
    random_state = torch.get_rng_state()
    count(model, (2, 3, 32, 32))
    assert [module.training for module in model.modules()] == modes
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    for name, tensor in before.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert torch.equal(parameter.grad, gradient)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_building_draws_no_random_numbers_from_the_caller():
    random_state = torch.get_rng_state()
    count(
        lambda: nn.Sequential(nn.Linear(3, 3), Model(lambda m, x: x @ m.w, w=weight(3, 3))), (1, 3)
    )
    assert torch.equal(torch.get_rng_state(), random_state)


def test_forty_gigabytes_of_weights_are_counted_without_allocating_them():
    cost = count(lambda: nn.Linear(100_000, 100_000), (2, 100_000))
    assert (cost.macs, cost.weight_bytes) == (2 * 10**10, 4 * (10**10 + 10**5))


def test_counting_a_built_model_copies_none_of_its_weights(monkeypatch):
    model = small_convnet()

    def refuse(*_):
        raise AssertionError("a weight was copied")

    monkeypatch.setattr(torch.Tensor, "clone", refuse)
    assert count(model, (1, 3, 32, 32)).params > 0


def test_constants_made_on_the_fly_meet_the_input():
    elsewhere = Model(lambda m, x: x @ torch.eye(4, device="cpu") * torch.from_numpy(np.ones(4)))
    assert count(elsewhere, (3, 4)).macs == 3 * 16
    unplaced = Model(lambda m, x: x @ torch.eye(4) + torch.arange(4))
    assert count(unplaced, (3, 4)).macs == 3 * 16
    kept = Model(lambda m, x: x @ m.table["a"], table={"a": torch.ones(4, 5)})
    assert count(kept, (3, 4)).macs == 3 * 20


def test_a_product_of_weights_with_a_constant_is_a_constant():
    def first_step(m, x):  # a gated unit whose state starts at zero
        state = m.recurrent(torch.zeros(len(x), 4))
        return torch.tanh(m.inner(x) + torch.sigmoid(m.gate(x)) * state)

    unit = Model(
        first_step, inner=nn.Linear(4, 4), gate=nn.Linear(4, 4), recurrent=nn.Linear(4, 4)
    )
    cost = count(unit, (2, 4))
    assert (cost.macs, cost.uncounted, cost.unused) == (3 * 2 * 16, (), ())


def test_a_buffer_filled_step_by_step_is_alive_until_it_is_read():
    def unroll(m, x):
        out = torch.zeros(5, 100)
        for step in range(5):
            out[step] = m.a(x[step])
        return m.b(out)

    cost = count(Model(unroll, a=nn.Linear(10, 100), b=nn.Linear(100, 200)), (5, 10))
    assert cost.macs == 5 * 10 * 100 + 5 * 100 * 200
    assert cost.peak_activation_bytes == 4 * (5 * 100 + 5 * 200)


def test_a_mask_whose_values_the_layer_looks_at_is_no_obstacle():
    block = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True)
    layers = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
    mask = nn.Transformer.generate_square_subsequent_mask
    masked = Model(lambda m, x: m.layers(x, mask=mask(x.shape[1])), layers=layers)
    assert count(masked, (2, 7, 12)).macs == count(layers, (2, 7, 12)).macs


def test_inference_mode_inside_the_model_hides_nothing():
    model = Model(
        torch.inference_mode()(lambda m, x: m.c(m.a(x))), a=nn.Linear(9, 8), c=nn.Conv1d(4, 3, 2)
    )
    assert count(model, (2, 4, 9)).macs == 2 * 4 * 9 * 8 + 2 * 7 * 3 * 4 * 2


def test_result_is_frozen_and_reads_as_a_table():
    cost = count(nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 10)), (1, 784))
    with pytest.raises(FrozenInstanceError):
        cost.macs = 0
    lines = str(cost).splitlines()
    assert lines[0].split() == [
        "layer",
        "kind",
        "output",
        "MACs",
        "parameters",
        "activation",
        "bytes",
    ]
    assert lines[1].split() == ["0", "Linear", "1", "×", "300", "235,200", "235,500", "1,200"]
    assert lines[4].split() == ["total", "238,200", "238,510", "2,440"]
    assert "weights 954,040 bytes" in lines[5]
    assert repr(cost).startswith("ModelCost(macs=238,200, params=238,510")


def plain_list():
    return Model(lambda m, x: m.hidden[0](x), hidden=[nn.Linear(8, 4)])


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        (nn.Linear(8, 4), [(2, 7)], r"inputs of shape \(2, 7\).*Check the shapes"),
        (nn.Linear(8, 4), [], r"no inputs.*missing 1 required"),
        (nn.Linear(8, 4), [(2, 0)], r"inputs\[0\]\[1\] must be an integer >= 1, got 0"),
        (nn.Embedding(8, 4), [(2, 7)], r"token ids are an integer tensor"),
        (nn.LazyLinear(4), [(2, 7)], r"lazy layer: 'weight' has no shape yet"),
        (lambda: nn.LazyLinear(4), [(2, 7)], r"Run one batch through the model first"),
        (Model(lambda m, x: x if x.sum() > 0 else -x), [(2, 7)], r"part by part"),
        (Model(lambda m, x: x[x > 0]), [(2, 7)], r"boolean mask"),
        (plain_list(), [(2, 8)], r"shape \(4, 8\) that is not registered.*nn.ModuleList"),
    ],
)
def test_what_cannot_be_counted_is_explained(model, inputs, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        count(model, *inputs)


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        ("resnet18", [(1, 3)], r"model must be an nn.Module or a function.*got str"),
        (lambda: 3, [(1, 3)], r"must build an nn.Module, got int"),
        (nn.Linear(8, 4), [2, 8], r"inputs\[0\] must be a shape such as"),
        (nn.Linear(8, 4), [None], r"inputs\[0\] must be a shape"),
        (nn.Linear(8, 4), ["28"], r"inputs\[0\] must be a shape"),
        (nn.Linear(8, 4), [((2, 8), (2, 8))], r"inputs\[0\]\[0\] must be an integer"),
        (nn.Linear(8, 4), [(2.0, 8)], r"inputs\[0\]\[0\] must be an integer"),
    ],
)
def test_arguments_of_another_kind_are_refused(model, inputs, message):
    with pytest.raises(TypeError, match=message):
        count(model, *inputs)


def test_a_failing_builder_or_copy_keeps_its_error_and_adds_the_remedy():
    def reads_weights():
        return nn.Linear(3, 3).weight.sum().item()

    with pytest.raises(RuntimeError) as raised:
        count(reads_weights, (1, 3))
    assert "if it needs them, build it" in raised.value.__notes__[0]
    with pytest.raises(TypeError) as raised:
        count(Model(lambda m, x: x, stream=(i for i in range(3))), (1, 3))
    assert "pass a function that builds it" in raised.value.__notes__[0]
