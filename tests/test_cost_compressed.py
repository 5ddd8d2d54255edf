"""Counting compressed models: held to the dense count, to the nonzeros, and to bytes on disk."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from course_lib import binary, integer, models, prune, quantize, sparse
from course_lib.cost import ModelCost, StandIn, UncountedWarning
from course_lib.cost import count as count_with_warnings

IMAGES = (3, 1, 28, 28)


def count(model: nn.Module, *inputs: object) -> ModelCost:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UncountedWarning)
        return count_with_warnings(model, *inputs)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def odd_convolutions() -> nn.Sequential:
    """Stride, padding, dilation, groups, no bias, an uneven kernel: [N, 1, 28, 28] -> [N, 7]."""
    return nn.Sequential(
        nn.Conv2d(1, 6, (3, 5), stride=(2, 1), padding=(1, 2), bias=False),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(6, 9, 3, dilation=2, groups=3), nn.MaxPool2d(2)),
        nn.Flatten(),
        nn.Linear(540, 7, bias=False),
    )


def static(model: nn.Module) -> nn.Module:
    return quantize.post_training_static(model, [torch.randn(8, *IMAGES[1:])], symmetric=True)


def trained_aware(model: nn.Module) -> nn.Module:
    aware = quantize.quantization_aware(model).train()
    aware(torch.randn(8, *IMAGES[1:]))
    return aware.eval()


COMPRESS = {
    "weight only": lambda m: quantize.post_training_dynamic(m, bits=3, activation_bits=None),
    "dynamic": lambda m: quantize.post_training_dynamic(m, bits=5, per_channel=False),
    "static": static,
    "aware": trained_aware,
    "frozen": lambda m: quantize.freeze(trained_aware(m)),
    "codebook": lambda m: quantize.share_weights(m, 3),
    "integer": lambda m: integer.integer_network(static(m)),
    "connect": lambda m: binary.binary_model(m, "connect"),
    "bwn": lambda m: binary.binary_model(m, "bwn"),
    "xnor": lambda m: binary.binary_model(m, "xnor"),
    "packed connect": lambda m: binary.pack_model(binary.binary_model(m, "connect")),
    "packed xnor": lambda m: binary.pack_model(binary.binary_model(m, "xnor")),
}
MODELS = {
    "lenet_300_100": models.lenet_300_100,
    "lenet_5": models.lenet_5,
    "odd": odd_convolutions,
}
STORED = sorted(set(COMPRESS) - {"aware", "connect", "bwn", "xnor"})


@pytest.mark.parametrize("method", COMPRESS)
@pytest.mark.parametrize("name", MODELS)
def test_macs_and_shapes_of_each_layer_are_those_of_the_dense_model(name, method):
    dense = MODELS[name]()
    compressed = COMPRESS[method](dense)
    expected, found = count(dense, IMAGES), count(compressed, IMAGES)

    def weighty(cost: ModelCost) -> list[tuple]:
        return [
            (la.input_shape, la.output_shape, la.macs, la.calls) for la in cost.layers if la.macs
        ]

    assert found.macs == expected.macs
    assert weighty(found) == weighty(expected)
    assert found.uncounted == ()
    assert found.unused == ()
    assert found.peak_activation_bytes == expected.peak_activation_bytes
    assert tuple(compressed(torch.randn(IMAGES)).shape) == found.layers[-1].output_shape


@pytest.mark.parametrize("method", COMPRESS)
def test_rows_keep_the_names_and_kinds_of_the_compressed_layers(method):
    compressed = COMPRESS[method](models.lenet_5())
    names = {name: type(module).__name__ for name, module in compressed.named_modules()}
    rows = count(compressed, IMAGES).layers
    assert sum(row.macs > 0 for row in rows) == 4
    for row in rows:
        assert names[row.name] == row.kind
        assert row.kind not in ("Linear", "Conv2d")


@pytest.mark.parametrize("method", STORED)
@pytest.mark.parametrize("name", MODELS)
def test_weight_bytes_are_those_of_the_written_file(tmp_path, name, method):
    compressed = COMPRESS[method](MODELS[name]())
    save_file(quantize.stored_tensors(compressed), tmp_path / "model.safetensors")
    on_disk = sum(t.nbytes for t in load_file(tmp_path / "model.safetensors").values())
    cost = count(compressed, IMAGES)
    assert cost.weight_bytes == on_disk == quantize.size_bytes(compressed)
    assert cost.buffer_bytes == 0  # nothing is counted twice


def test_weight_bytes_by_hand():
    layer = nn.Linear(100, 10)
    quantized = quantize.post_training_dynamic(layer, bits=4)
    assert count(quantized, (1, 100)).weight_bytes == 500 + 10 * (4 + 4 + 1)
    packed = binary.pack_model(binary.binary_model(nn.Sequential(layer), "bwn"))
    assert count(packed, (1, 100)).weight_bytes == 10 * 13 + 10 * 4 + 10 * 4
    trained = binary.binary_model(layer, "bwn")
    assert count(trained, (1, 100)).weight_bytes == 4 * 1010  # bits are not stored until packed


@pytest.mark.parametrize("method", sorted(set(COMPRESS) - {"codebook", "integer"}))
def test_params_are_those_of_the_dense_model(method):
    dense = odd_convolutions()
    assert count(COMPRESS[method](dense), IMAGES).params == count(dense, IMAGES).params


def test_params_of_a_codebook_are_its_trainable_numbers():
    shared = quantize.share_weights(models.lenet_5(), 3)
    assert count(shared, IMAGES).params == sum(p.numel() for p in shared.parameters())


@pytest.mark.parametrize("bias", [True, False])
def test_params_of_an_integer_layer_include_the_bias_it_always_has(bias):
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 7, bias))
    assert count(integer.integer_network(static(model)), IMAGES).params == 785 * 7


@pytest.mark.parametrize("sparsity", [0.0, 0.37, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("shape", [(5, 64), (2, 3, 64), (64,)])
def test_sparse_macs_are_nonzeros_times_positions(shape, sparsity):
    torch.manual_seed(3)
    weights = [torch.randn(33, 64), torch.randn(7, 33)]
    weights = [w * (torch.rand_like(w) >= sparsity) for w in weights]
    model = nn.Sequential(
        sparse.SparseLinear(weights[0], torch.randn(33)),
        nn.ReLU(),
        sparse.SparseLinear(weights[1]),
    )
    positions = torch.Size(shape[:-1]).numel()
    nonzeros = [int(w.count_nonzero()) for w in weights]
    cost = count(model, shape)
    assert [row.macs for row in cost.layers] == [
        nonzeros[0] * positions,
        0,
        nonzeros[1] * positions,
    ]
    assert cost.params == sum(nonzeros) + 33
    bytes_ = sparse.csr_bytes(33, nonzeros[0]) + sparse.csr_bytes(7, nonzeros[1]) + 33 * 4
    assert cost.weight_bytes == bytes_ == sum(t.nbytes for t in model.state_dict().values())
    assert cost.buffer_bytes == 0


def test_sparse_layers_beside_dense_convolutions():
    model = models.lenet_5()
    model = prune.apply_masks(model, prune.make_masks(prune.score_model(model), 0.9))
    linears = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    cost = count(sparse.sparsify(model), IMAGES)
    macs = {row.name: row.macs for row in cost.layers}
    dense = {row.name: row.macs for row in count(model, IMAGES).layers}
    for name, linear in linears.items():
        assert macs[name] == 3 * int(linear.weight.count_nonzero()) < dense[name]
    assert macs["conv1"] == dense["conv1"]
    assert macs["conv2"] == dense["conv2"]


@pytest.mark.parametrize(
    "convert",
    [
        sparse.sparsify,
        lambda m: binary.pack_model(binary.binary_model(m, "bwn")),
        lambda m: binary.binary_model(m, "xnor"),
        quantize.post_training_dynamic,
        lambda m: quantize.share_weights(m, 2),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_double_precision_models_count_in_double_precision(convert, bias):
    compressed = convert(nn.Sequential(nn.Linear(6, 5, bias), nn.ReLU()).double())
    assert count(compressed, (2, 6)).activation_bytes == 2 * (2 * 5 * 8)


LAYERS = {
    "static": lambda m: quantize.post_training_static(m, [torch.randn(8, 28)]),
    "sparse": sparse.sparsify,
    **{name: COMPRESS[name] for name in ("dynamic", "codebook", "xnor", "packed xnor")},
}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_used_twice_costs_its_macs_twice_and_its_bytes_once(kind):
    layer = LAYERS[kind](nn.Sequential(nn.Linear(28, 28)))[0]
    once, twice = count(layer, (4, 28)), count(nn.Sequential(layer, nn.ReLU(), layer), (4, 28))
    assert (once.macs, twice.macs) == (4 * 784, 8 * 784)
    assert once.params == twice.params
    assert once.weight_bytes == twice.weight_bytes
    assert twice.layers[0].calls == 2


@pytest.mark.parametrize("kind", LAYERS)
def test_nested_layers_and_the_layer_alone_agree(kind):
    layer = LAYERS[kind](nn.Sequential(nn.Linear(28, 28)))[0]
    alone = count(layer, (4, 28)).layers
    assert len(alone) == 1
    assert alone[0].name == ""
    assert alone[0].kind == type(layer).__name__
    nested = nn.Sequential(nn.Identity(), nn.ModuleDict({"a": nn.Sequential(layer)})["a"])
    row = next(row for row in count(nested, (4, 28)).layers if row.macs)
    assert row.name == "1.0"
    assert (row.macs, row.params, row.weight_bytes) == (
        alone[0].macs,
        alone[0].params,
        alone[0].weight_bytes,
    )


def test_an_integer_network_inside_another_model():
    network = integer.integer_network(static(models.lenet_5()))
    cost = count(nn.Sequential(network, nn.Linear(10, 2)), IMAGES)
    alone = count(network, IMAGES)
    assert cost.macs == alone.macs + 3 * 20
    assert cost.weight_bytes == alone.weight_bytes + 22 * 4
    assert "0.steps.0" in {row.name for row in cost.layers}


def test_macs_grow_with_the_batch_and_bytes_do_not():
    for compress in COMPRESS.values():
        model = compress(models.lenet_5())
        one, five = count(model, (1, 1, 28, 28)), count(model, (5, 1, 28, 28))
        assert five.macs == 5 * one.macs
        assert (five.params, five.weight_bytes) == (one.params, one.weight_bytes)


def test_tied_binary_and_aware_weights_are_counted_once():
    for convert in (lambda m: binary.binary_model(m, "bwn"), quantize.quantization_aware):
        first, second = nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False)
        second.weight = first.weight
        assert count(convert(nn.Sequential(first, second)), (1, 5)).params == 25


@pytest.mark.parametrize("method", [*COMPRESS, "sparse"])
def test_the_model_given_is_never_changed(method):
    model = (COMPRESS | {"sparse": sparse.sparsify})[method](models.lenet_300_100()).train()
    seen: list[nn.Module] = []
    for module in model.modules():
        module.register_forward_hook(lambda m, *_: seen.append(m))
    modules = dict(model.named_modules())
    state = copy.deepcopy(model.state_dict())
    fields = {name: list(vars(module)) for name, module in modules.items()}
    hooks = {name: list(module._forward_hooks) for name, module in modules.items()}
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    random = torch.get_rng_state()
    first = count(model, IMAGES)
    assert all(m not in modules.values() for m in seen)
    assert dict(model.named_modules()) == modules
    assert state.keys() == model.state_dict().keys()
    assert {name: p.requires_grad for name, p in model.named_parameters()} == flags
    for name, module in modules.items():
        assert module.training
        assert list(vars(module)) == fields[name]
        assert list(module._forward_hooks) == hooks[name]
        assert not module._forward_pre_hooks
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name])
        assert tensor.device.type == "cpu"
    assert torch.equal(torch.get_rng_state(), random)
    assert count(model, IMAGES) == first


class Reads(nn.Module):
    """Reads a value in its forward pass, as a student's own layer might."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.answer = answer

    def counts_as(self) -> object:
        return self.answer

    def forward(self, x: Tensor) -> Tensor:
        return x * float(self.scale)


def test_stand_ins_may_hold_layers_with_stand_ins():
    inner = sparse.SparseLinear(torch.eye(4))
    outer = Reads(StandIn(nn.Sequential(inner, nn.ReLU(), nn.Linear(4, 2)), weight_bytes=7))
    cost = count(nn.Sequential(outer, nn.Sequential(nn.Linear(2, 4), inner)), (5, 4))
    rows = [row for row in cost.layers if row.weight_bytes]
    assert [(row.name, row.kind, row.macs, row.params, row.weight_bytes) for row in rows] == [
        ("0", "Reads", 0, 0, 7),
        (
            "0.0",
            "SparseLinear",
            2 * 5 * 4,
            4,
            sparse.csr_bytes(4, 4),
        ),  # one layer, though it is held in two places
        ("0.2", "Linear", 5 * 8, 10, 40),
        ("1.0", "Linear", 5 * 8, 12, 48),
    ]


def test_a_stand_in_of_the_wrong_type_is_refused():
    with pytest.raises(TypeError, match=r"Reads\.counts_as must return a StandIn"):
        count(Reads(nn.Linear(4, 4)), (5, 4))
