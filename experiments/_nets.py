"""What the sweeps compress: a redundant and an efficient network of about equal accuracy.

LeNet-300-100 has 8 times the weights of the MobileNet beside it. Each is trained with three
seeds, which are three networks, not three evaluations of one; a spread over them is what another
training would change. They are kept in `runner.SCRATCH`, so that all sweeps share them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from course_lib import codec, data, train
from course_lib.files import write_whole
from experiments import runner
from experiments.recipes import Recipe

REDUNDANT, EFFICIENT = "lenet_300_100", "mobilenet_mnist"
SEEDS = (0, 1, 2)
RETRAIN_IMAGES, RETRAIN_EPOCHS = 7_500, 3  # few of the images: one training in seconds
_MOBILENET = {"width": 0.125, "num_classes": 10, "in_channels": 1, "middle_blocks": 0}

NETS = {
    REDUNDANT: Recipe(
        "lenet_300_100",
        "mnist",
        epochs=12,
        learning_rate=1e-3,
        weight_decay=0.01,
        shift=1,
        bfloat16=True,
    ),
    EFFICIENT: Recipe(
        "mobilenet_v1",
        "mnist",
        epochs=8,
        learning_rate=0.1,
        arguments=_MOBILENET,
        optimizer="sgd",
        weight_decay=1e-4,
        shift=1,
    ),
}
# After a change of the weights: a smaller rate, no augmentation (three passes are no danger).
RETRAIN = {
    REDUNDANT: replace(
        NETS[REDUNDANT], epochs=RETRAIN_EPOCHS, learning_rate=5e-4, shift=0, bfloat16=False
    ),
    EFFICIENT: replace(NETS[EFFICIENT], epochs=RETRAIN_EPOCHS, learning_rate=0.06, shift=0),
}


@dataclass(frozen=True)
class Subject:
    """A trained network, the data it meets, and the one opening of the test split."""

    net: str
    model: nn.Module
    dataset: data.Dataset  # its training split is the one to retrain on
    test: data.Split

    @property
    def example(self) -> Tensor:
        """One input, [1, C, H, W]."""
        return self.dataset.train.inputs([0])

    def scores(self, model: nn.Module) -> runner.Row:
        """Accuracy on the validation and the test split, and how large these are."""
        validation = train.evaluate(model, self.dataset.validation)
        test = train.evaluate(model, self.test)
        return {
            "validation_accuracy": validation.accuracy,
            "accuracy": test.accuracy,
            "test_images": test.count,
        }


def subject(net: str, seed: int, quick: bool, claim: str) -> Subject:
    """The network `net` of `seed`, with the test split opened for `claim`."""
    dataset = data.load("mnist")
    test = dataset.open_test(claim)
    model = _trained(net, seed, quick)
    if quick:
        few, validation = dataset.train.head(2000), dataset.validation.head(500)
        return Subject(
            net, model, replace(dataset, train=few, validation=validation), test.head(1000)
        )
    dataset = replace(dataset, train=dataset.train.head(RETRAIN_IMAGES))
    return Subject(net, model, dataset, test)


def through_file(model: nn.Module, techniques: Iterable[str] = ()) -> tuple[nn.Module, int]:
    """Write the model to a file; return it as it comes back, and the bytes of the file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        codec.save(model, path, techniques=tuple(techniques))
        return codec.load(path, model), path.stat().st_size


@cache
def _trained(net: str, seed: int, quick: bool) -> nn.Module:
    """Train, or read what an earlier job or sweep has trained."""
    recipe = replace(NETS[net], epochs=2, batch_size=32) if quick else NETS[net]
    digest = hashlib.sha256(f"{recipe} {seed} {quick}".encode()).hexdigest()[:12]
    path = runner.SCRATCH / "nets" / f"{net}-{seed}-{digest}.safetensors"
    model = recipe.untrained(seed)
    if not path.exists():
        dataset = data.load(recipe.dataset)
        if quick:
            dataset = replace(dataset, train=dataset.train.head(4000))
        trained = recipe.train(dataset, seed).model
        state = {name: tensor.contiguous() for name, tensor in trained.state_dict().items()}
        write_whole(path, save(state))
    model.load_state_dict(load_file(path))
    return model.eval()


def channels_last(model: nn.Module) -> nn.Module:
    """The model in the memory layout in which convolutions are fastest here (in place)."""
    converted: nn.Module = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return converted
