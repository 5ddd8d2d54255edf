"""Quantization: what bits, grids, granularity and training cost a redundant and an efficient net

Every combination of the factors is evaluated after training (PTQ), which costs only evaluations.
Quantization-aware training (QAT) covers every level of every factor, but not every combination:
all bits for the usual choice (symmetric, per channel, activations at the same bits), and a few
bits along each other axis. It trains RETRAIN_EPOCHS epochs on RETRAIN_IMAGES images; the method
"finetuned" is the float network after the same training, the control for what that alone does.
At 2 bits a symmetric grid is ternary. A codebook is one per tensor: per channel its 2^bits floats
would outweigh the indices. `batch_norm` says whether it was folded into the convolutions first,
as integer engines need. The networks of course_lib.models.pretrained are evaluated on part of
their splits (`test_images`), with one seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from course_lib import binary, codec, cost, data, deploy, models, quantize
from experiments._nets import (
    EFFICIENT,
    NETS,
    REDUNDANT,
    RETRAIN,
    SEEDS,
    Subject,
    channels_last,
    subject,
    through_file,
)
from experiments._quantization_details import details
from experiments._quantization_report import figure, reading
from experiments.recipes import CIFAR_NOTE
from experiments.runner import Job, Row

SETTING = ("scheme", "granularity", "range", "bits", "activation_bits", "batch_norm")
KEY = ("net", "seed", "method", *SETTING)
SPREAD = {"accuracy": 0.01, "validation_accuracy": 0.01, "size_bytes": 0, "params": 0, "macs": 0}
BITS = (2, 3, 4, 5, 6, 7, 8)
FLOAT = 32
PRETRAINED = ("lenet_5", "vgg_cifar", "resnet20", "mobilenet_0500")
CALIBRATION_IMAGES = 512
QAT_RATE = {REDUNDANT: 5e-4, EFFICIENT: 4e-3}  # of Adam; with SGD the MobileNet diverges at 2 bits


@dataclass(frozen=True)
class Setting:
    """How to quantize; `bits` and `activation_bits` of 32 mean float."""

    scheme: str
    granularity: str
    range: str
    bits: int
    activation_bits: int
    batch_norm: str = "kept"


UNCHANGED = Setting("float", "none", "none", FLOAT, FLOAT)


def jobs(quick: bool) -> list[Job]:
    """Per network and seed: one job for all that is not trained, one for each QAT scheme."""
    seeds = SEEDS[:1] if quick else SEEDS
    made = []
    for seed, net in product(seeds, NETS):  # a seed at a time: a part of the table can be read
        key = {"net": net, "seed": seed}
        made.append(Job(key | {"method": "ptq"}, partial(_ptq, net, seed, quick)))
        for scheme in (
            ("symmetric",) if quick else ("float", "symmetric", "affine", "codebook", "binary")
        ):
            method = "finetuned" if scheme == "float" else "qat"
            made.append(
                Job(
                    key | {"method": method, "scheme": scheme},
                    partial(_qat, net, seed, scheme, quick),
                )
            )
    known = {checkpoint.name for checkpoint in models.checkpoints()}
    names = () if quick else tuple(name for name in PRETRAINED if name in known)
    return made + [
        Job({"net": name, "seed": 0, "method": "ptq"}, partial(_pretrained, name))
        for name in names
    ]


def ptq_settings(quick: bool) -> Iterator[Setting]:
    """What is tried without training, the float network first."""
    yield UNCHANGED
    bits = (2, 4, 8) if quick else BITS
    schemes = ("symmetric",) if quick else ("symmetric", "affine")
    ranges = ("min_max",) if quick else ("min_max", "mse")
    for scheme, granularity, method, b in product(schemes, ("tensor", "channel"), ranges, bits):
        usual = scheme == "symmetric" and method == "min_max"
        with_eight = {8} if usual and not quick else set()
        for activation_bits in sorted({FLOAT, b} | with_eight):
            setting = Setting(scheme, granularity, method, b, activation_bits)
            yield setting
            if usual and activation_bits in (FLOAT, b):
                yield replace(setting, batch_norm="folded")
    for b in bits:
        yield Setting("codebook", "tensor", "none", b, FLOAT)
    yield Setting("binary", "channel", "none", 1, FLOAT)


def qat_settings(scheme: str, quick: bool) -> list[Setting]:
    """What is trained, for one scheme."""
    if scheme == "float":
        return [UNCHANGED]
    if scheme == "codebook":
        return [Setting("codebook", "tensor", "none", b, FLOAT) for b in (2, 3, 4)]
    if scheme == "binary":
        return [Setting("binary", "channel", "none", 1, FLOAT)]
    trained = partial(Setting, scheme, range="min_max")
    if scheme == "affine":
        return [trained("channel", bits=b, activation_bits=b) for b in (2, 4, 8)]
    whole = [trained("channel", bits=b, activation_bits=b) for b in ((2, 4) if quick else BITS)]
    if quick:
        return whole
    weights = [trained("channel", bits=b, activation_bits=FLOAT) for b in (2, 3, 4)]
    return whole + weights + [trained("tensor", bits=b, activation_bits=b) for b in (2, 3, 4, 8)]


def _ptq(net: str, seed: int, quick: bool) -> Iterator[Row]:
    claim = f"accuracy of {net} (seed {seed}) quantized after training"
    yield from _evaluated(subject(net, seed, quick, claim), ptq_settings(quick))


def _pretrained(name: str) -> Iterator[Row]:
    """A checkpoint of the course; of CIFAR-10, a part of each split."""
    card = next(card for card in models.checkpoints() if card.name == name)
    is_cifar = not card.dataset.startswith("mnist")
    dataset = data.load("cifar10" if is_cifar else "mnist")
    test = dataset.open_test(f"accuracy of the checkpoint {name} quantized after training")
    if is_cifar:
        dataset = replace(dataset, validation=dataset.validation.head(500))
        test = test.head(2000)
    model = channels_last(models.pretrained(name))
    settings = [
        setting
        for setting in ptq_settings(quick=False)
        if setting.scheme in ("float", "symmetric")
        and setting.range != "mse"
        and setting.bits not in (5, 7)
        and setting.activation_bits in (FLOAT, setting.bits)
        and (setting.batch_norm, setting.activation_bits) != ("folded", FLOAT)
    ]
    for row in _evaluated(Subject(name, model, dataset, test), settings):
        yield row | {"dataset": CIFAR_NOTE if is_cifar else "mnist"}


def _evaluated(about: Subject, settings: Iterable[Setting]) -> Iterator[Row]:
    has_norm = any(isinstance(m, nn.BatchNorm2d) for m in about.model.modules())
    folded = deploy.fold_batch_norm(about.model) if has_norm else about.model
    calibration = about.dataset.train.inputs(slice(0, CALIBRATION_IMAGES)).split(128)
    for setting in settings:
        if setting.batch_norm == "folded" and not has_norm:
            continue
        model = folded if setting.batch_norm == "folded" else about.model
        quantized = _quantized(model, setting, calibration)
        if not has_norm:
            setting = replace(setting, batch_norm="none")
        yield _row(about, quantized, setting, "none" if setting.bits == FLOAT else "ptq")


def _quantized(
    model: nn.Module, setting: Setting, calibration: Iterable[torch.Tensor]
) -> nn.Module:
    if setting.scheme == "float":
        return model
    if setting.scheme == "codebook":
        return quantize.share_weights(model, setting.bits)
    if setting.scheme == "binary":
        return binary.pack_model(binary.binary_model(model, "bwn"))
    grid: dict[str, Any] = {
        "bits": setting.bits,
        "per_channel": setting.granularity == "channel",
        "symmetric": setting.scheme == "symmetric",
        "method": setting.range,
    }
    if setting.activation_bits == FLOAT:
        return quantize.post_training_dynamic(model, activation_bits=None, **grid)
    return quantize.post_training_static(
        model,
        calibration,
        activation_bits=setting.activation_bits,
        # The least squared error over activations costs a hundred passes over all of them.
        activation_method="percentile" if setting.range == "mse" else "min_max",
        **grid,
    )


def _qat(net: str, seed: int, scheme: str, quick: bool) -> Iterator[Row]:
    claim = f"accuracy of {net} (seed {seed}) trained with {scheme} quantization"
    about = subject(net, seed, quick, claim)
    recipe = replace(RETRAIN[net], optimizer="adam", learning_rate=QAT_RATE[net])
    for setting in qat_settings(scheme, quick):
        fitted = recipe.continue_training(
            _trainable(about.model, setting),
            about.dataset,
            seed,
            after_step=binary.clip_weights if scheme == "binary" else None,
        ).model
        if scheme == "binary":
            fitted = binary.pack_model(fitted)
        elif scheme in ("affine", "symmetric"):
            fitted = quantize.freeze(fitted)
        norm = "none" if net == REDUNDANT else "kept"
        method = "finetuned" if scheme == "float" else "qat"
        yield _row(about, fitted, replace(setting, batch_norm=norm), method)


def _trainable(model: nn.Module, setting: Setting) -> nn.Module:
    if setting.scheme == "float":
        return model
    if setting.scheme == "codebook":
        return quantize.share_weights(model, setting.bits)
    if setting.scheme == "binary":
        return binary.binary_model(model, "bwn")
    return quantize.quantization_aware(
        model,
        bits=setting.bits,
        activation_bits=None if setting.activation_bits == FLOAT else setting.activation_bits,
        per_channel=setting.granularity == "channel",
        symmetric=setting.scheme == "symmetric",
        momentum=0.95,
    )


def _row(about: Subject, model: nn.Module, setting: Setting, method: str) -> Row:
    """Evaluate what comes back from the file."""
    read, size = stored(model)
    counted = cost.count(about.model, about.example)
    return {
        "method": method,
        **asdict(setting),
        **about.scores(read),
        "size_bytes": size,
        "params": counted.params,
        "macs": counted.macs,
        "dataset": "mnist",
    }


def stored(model: nn.Module) -> tuple[nn.Module, int]:
    """Write the model with packed levels or signs; return it as read back, and its bytes."""
    kinds = (quantize.QuantizedLayer, quantize.CodebookLayer)
    if not any(isinstance(module, kinds) for module in model.modules()):
        return through_file(model)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        codec.save(quantize.stored_tensors(model), path, techniques=())
        read = quantize.from_stored(model, codec.load_state(path))
        return read.eval(), path.stat().st_size


__all__ = ["KEY", "SPREAD", "details", "figure", "jobs", "reading"]
