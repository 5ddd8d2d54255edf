"""Where each data set may lie on this machine, and how it is decoded and split.

MNIST: the idx files of this package. The others: a folder in the Hugging Face parquet layout or in
torchvision's layout, named by COURSE_DATA_DIR, or what torchvision downloaded into the cache.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor

from course_lib import _cache, _idx, _parquet

_DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
_CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_CIFAR = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
# of the four unpacked files as LeCun published them
_MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@dataclass(frozen=True)
class Spec:
    """What is known of a data set before it is read; `shape` is [C, H, W] of an image."""

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    train_count: int
    test_count: int
    validation_step: int
    torchvision_class: str

    def warn_unless_whole(self, train_count: int, test_count: int) -> None:
        """Warn where a folder holds another number of images than the published data set."""
        if (train_count, test_count) != (self.train_count, self.test_count):
            warnings.warn(
                f"This copy of {self.name} holds {train_count} training and {test_count} test "
                f"images, the published one {self.train_count} and {self.test_count}: results "
                "cannot be compared with published ones.",
                RuntimeWarning,
                stacklevel=4,
            )


SPECS = {
    spec.name: spec
    for spec in (
        Spec("mnist", _DIGITS, (1, 28, 28), 60_000, 10_000, 12, "MNIST"),
        Spec("fashion_mnist", _CLOTHES, (1, 28, 28), 60_000, 10_000, 12, "FashionMNIST"),
        Spec("cifar10", _CIFAR, (3, 32, 32), 50_000, 10_000, 10, "CIFAR10"),
    )
}

Part = tuple[Tensor, Tensor]  # images uint8 [N, C, H, W] and labels int64 [N]


@dataclass(frozen=True)
class Decoded:
    """The two published parts of a data set, with the class names if the source has them."""

    train: Part
    test: Part
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Source:
    """The files that hold a data set, and how to read them."""

    files: tuple[Path, ...]
    decode: Callable[[], Decoded]

    def fingerprint(self) -> str:
        """Return a checksum of the names and contents of all files."""
        digest = hashlib.sha256()
        for path in self.files:
            digest.update(path.name.encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def find(spec: Spec) -> Source | None:
    """Return where `spec` lies on this machine, or None."""
    if spec.name == "mnist":
        return _packaged_mnist()
    named = os.environ.get("COURSE_DATA_DIR")
    if named:
        chosen = Path(named).expanduser().absolute()
        for folder in (chosen / spec.name, chosen):
            # A folder that bears another data set's name holds that one.
            if folder == chosen and chosen.name in set(SPECS) - {spec.name}:
                continue
            if source := _in_parquet(spec, folder) or _in_torchvision_layout(spec, folder):
                return source
    return _in_torchvision_layout(spec, _downloads())


def fetch(spec: Spec, download: bool) -> Source:
    """Download `spec` through torchvision; FileNotFoundError if not asked to, or not able to."""
    remedy = (
        f"With a network, run load({spec.name!r}, download=True) once. Without one, set "
        f"COURSE_DATA_DIR to a folder that holds its train-*.parquet and test-*.parquet, or that "
        f"has such a folder named {spec.name} in it. MNIST needs neither."
    )
    if not download:
        named = os.environ.get("COURSE_DATA_DIR")
        where = f"in {named} (COURSE_DATA_DIR) nor in the cache" if named else "on this machine"
        raise FileNotFoundError(f"{spec.name} is not {where}. {remedy}")
    from torchvision import datasets

    try:
        getattr(datasets, spec.torchvision_class)(_downloads(), download=True)
    except (OSError, RuntimeError) as error:  # no network, a wrong checksum, a full disk
        reason = " ".join(str(error).split())
        raise FileNotFoundError(f"{spec.name} was not downloaded ({reason}). {remedy}") from error
    source = find(spec)
    if source is None:
        raise RuntimeError(f"torchvision left {spec.name} in another layout under {_downloads()}.")
    return source


def prepare(spec: Spec, source: Source) -> _cache.Stored:
    """Decode `source`, take the validation images out of the training part, measure the rest."""
    decoded = source.decode()
    images, labels = decoded.train
    # Whole pairs: MNIST's odd images are heavier than its even ones, throughout.
    pair = torch.arange(len(labels)) // 2
    held_out = pair % spec.validation_step == spec.validation_step - 1
    parts = {
        "train": (images[~held_out], labels[~held_out]),
        "validation": (images[held_out], labels[held_out]),
        "test": decoded.test,
    }
    tensors: dict[str, Tensor] = {}
    for name, (images, labels) in parts.items():
        if len(labels) == 0:
            raise ValueError(f"{source.files[0].parent} has too few images for a {name} split.")
        tensors |= {f"{name}.images": images, f"{name}.labels": labels}
    mean, std = _moments(tensors["train.images"])
    facts = {
        "classes": decoded.classes or spec.classes,
        "mean": mean,
        "std": std,
        "source": source.fingerprint(),
    }
    return _cache.Stored(tensors, facts)


def _moments(images: Tensor) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation per channel, of pixels in [0, 1]."""
    values = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in images.unbind(1):
        share = torch.bincount(channel.flatten(), minlength=256).to(torch.float64)
        share /= share.sum().clamp(min=1)
        mean = float(share @ values)
        deviation = float(share @ (values - mean) ** 2) ** 0.5
        means.append(mean)
        deviations.append(deviation or 1.0)  # a constant channel is only shifted
    return means, deviations


def _downloads() -> Path:
    return _cache.folder() / "downloads"


def _packaged_mnist() -> Source:
    folder = Path(str(files("course_lib"))) / "assets" / "mnist"
    paths = tuple(folder / f"{name}.gz" for name in _MNIST_SHA256)

    def decode() -> Decoded:
        for path in paths:
            if hashlib.sha256(_idx.contents(path)).hexdigest() != _MNIST_SHA256[path.stem]:
                raise ValueError(f"{path} is not the published file. Install the course again.")
        return _decode_idx(SPECS["mnist"], paths)

    return Source(paths, decode)


def _in_parquet(spec: Spec, folder: Path) -> Source | None:
    shards = _parquet.shards(folder)
    if shards is None:
        return None
    train, test = shards

    def decode() -> Decoded:
        names = _parquet.class_names(train[0])
        return Decoded(
            _checked(spec, folder, _parquet.decode(train, spec.shape)),
            _checked(spec, folder, _parquet.decode(test, spec.shape)),
            names if names and len(names) == len(spec.classes) else None,
        )

    return Source((*train, *test), decode)


def _in_torchvision_layout(spec: Spec, root: Path) -> Source | None:
    if spec.name == "cifar10":
        return _cifar_batches(spec, root)
    folder = root / spec.torchvision_class / "raw"
    # The packed file is preferred: it carries a checksum.
    candidates = [
        next((p for p in (folder / f"{name}.gz", folder / name) if p.is_file()), None)
        for name in _MNIST_SHA256
    ]
    paths = tuple(path for path in candidates if path)
    if len(paths) < len(candidates):
        return None
    return Source(paths, lambda: _decode_idx(spec, paths))


def _decode_idx(spec: Spec, paths: tuple[Path, ...]) -> Decoded:
    def part(images: Path, labels: Path) -> Part:
        pixels, classes = _idx.read(images, ndim=3), _idx.read(labels, ndim=1)
        return _checked(spec, images, (pixels.unsqueeze(1), classes.to(torch.int64)))

    train_images, train_labels, test_images, test_labels = paths
    return Decoded(part(train_images, train_labels), part(test_images, test_labels))


def _cifar_batches(spec: Spec, root: Path) -> Source | None:
    """CIFAR-10 as torchvision keeps it: pickles, opened only once their checksums are right."""
    folder = root / "cifar-10-batches-py"
    if not folder.is_dir():
        return None
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    checksums = dict([*CIFAR10.train_list, *CIFAR10.test_list])
    checksums[CIFAR10.meta["filename"]] = CIFAR10.meta["md5"]

    def part(train: bool) -> Part:
        batches = CIFAR10(root, train=train)
        pixels = torch.from_numpy(batches.data).permute(0, 3, 1, 2).contiguous()
        return _checked(spec, folder, (pixels, torch.tensor(batches.targets)))

    def decode() -> Decoded:
        for name, md5 in checksums.items():
            if not check_integrity(folder / name, md5):
                raise ValueError(
                    f"{folder / name} is missing or damaged. Remove {folder} and load it "
                    "with download=True."
                )
        return Decoded(part(train=True), part(train=False))

    return Source(tuple(p for p in map(folder.joinpath, checksums) if p.is_file()), decode)


def _checked(spec: Spec, where: Path, part: Part) -> Part:
    """Return `part` if its images and labels can be those of `spec`; ValueError names `where`."""
    images, labels = part
    if images.shape[1:] != spec.shape:
        got, wanted = tuple(images.shape[1:]), spec.shape
        raise ValueError(f"{where} holds images of shape {got}, but {spec.name} has {wanted}.")
    if len(images) != len(labels):
        raise ValueError(
            f"{where} holds {len(images)} images, but there are {len(labels)} labels."
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(spec.classes):
        raise ValueError(
            f"{where} has labels in {int(labels.min())}..{int(labels.max())}, "
            f"but {spec.name} has classes 0..{len(spec.classes) - 1}."
        )
    return part
