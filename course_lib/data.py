"""Data sets with fixed train, validation and test splits, as uint8 images.

MNIST (LeCun et al., 1998) lies inside the package and needs no network. Fashion-MNIST (Xiao et
al., 2017) and CIFAR-10 (Krizhevsky, 2009) come from a folder named by COURSE_DATA_DIR or, on
request, from torchvision. Choices are made on the validation split; the test split is opened once
per claim, and every opening is logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from course_lib import _cache, _openings, _sources
from course_lib._openings import TestOpening
from course_lib._validate import check_choice, check_int, check_tensor

__all__ = ["Dataset", "Split", "TestOpening", "load", "names", "test_openings"]


def names() -> tuple[str, ...]:
    """Return the names that `load` knows.

    >>> names()
    ('mnist', 'fashion_mnist', 'cifar10')
    """
    return tuple(_sources.SPECS)


def load(name: str, *, download: bool = False) -> Dataset:
    """Return the data set `name`, decoded once and memory-mapped from the cache afterwards.

    The validation split is every 12th pair of neighbours among the 60,000 training images of MNIST
    and Fashion-MNIST (`index // 2 % 12 == 11`) and every 10th pair of CIFAR-10's 50,000 (`index //
    2 % 10 == 9`), in the order of the source: 5,000 images each. The other training images are the
    train split. (Pairs, because MNIST's odd images are heavier than its even ones.)

    The cache is one file in COURSE_CACHE_DIR, or else in `course_lib` inside the user's cache
    folder. It is checked at every load and rebuilt where it is damaged or its source has changed;
    where it cannot be written, the images are kept in memory.

    With `download=True`, a data set that is nowhere on this machine is fetched by torchvision,
    which checks its checksum.

    Raises ValueError for an unknown name or a damaged source file, and FileNotFoundError where the
    data set is not on this machine and was not, or could not be, downloaded.
    """
    spec = _sources.SPECS[check_choice("name", name, _sources.SPECS)]
    source = _sources.find(spec)
    path = _cache.folder() / f"{name}.safetensors"
    stored = _cache.read(path, source.fingerprint() if source else None)
    if stored is None:
        source = source or _sources.fetch(spec, download=download)
        fresh = _sources.prepare(spec, source)
        # Reading back what was written gives every load the same memory-mapped tensors.
        stored = _cache.read(path) if _cache.write(path, fresh) else None
        stored = stored or fresh
    return _dataset(spec, stored)


def test_openings() -> tuple[TestOpening, ...]:
    """Return what this process recorded each time it opened a test split, oldest first."""
    return _openings.recorded()


test_openings.__test__ = False  # type: ignore[attr-defined]  # its name is no test for pytest


@dataclass(frozen=True, eq=False)
class Split:
    """Some images of a data set, with what it takes to normalize them.

    images: uint8 [N, C, H, W]; labels: int64 [N]; mean and std: one number per channel, of pixels
    scaled to [0, 1] (for every split those of the train split).
    """

    images: Tensor
    labels: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        check_tensor("images", self.images, ndim=4)
        check_tensor("labels", self.labels, ndim=1)
        if self.images.dtype != torch.uint8:
            raise TypeError(f"images must be torch.uint8, got {self.images.dtype}.")
        if self.labels.dtype != torch.int64:
            raise TypeError(f"labels must be torch.int64, got {self.labels.dtype}.")
        if len(self.images) != len(self.labels):
            raise ValueError(
                f"images and labels must be equally many, "
                f"got {len(self.images)} images and {len(self.labels)} labels."
            )
        channels = self.images.shape[1]
        if not len(self.mean) == len(self.std) == channels:
            raise ValueError(
                f"mean and std must hold one number for each of the {channels} channels, "
                f"got {self.mean!r} and {self.std!r}."
            )
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std must be positive in every channel, got {self.std!r}.")

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Split({len(self):,} images of {_times(self.images.shape[1:])})"

    def inputs(self, indices: Tensor | Sequence[int] | slice | None = None) -> Tensor:
        """Return the images at `indices` (all by default) as a network wants them.

        uint8 [N, C, H, W] -> float32 [len(indices), C, H, W]: scaled to [0, 1], less `mean`,
        divided by `std`. `indices` is a slice, a list or tensor of integers, or a mask of N
        booleans. Raises TypeError for anything else and IndexError outside of the split.
        """
        images = self.images if indices is None else self.images[self._checked(indices)]
        mean, std = (
            torch.tensor(v, device=images.device).view(-1, 1, 1) for v in (self.mean, self.std)
        )
        return images.to(torch.float32).div_(255).sub_(mean).div_(std)

    def head(self, n: int) -> Split:
        """Return the first `n` images as a split that shares this one's memory.

        Raises ValueError where the split holds fewer than `n` images.
        """
        n = check_int("n", n, minimum=0, maximum=len(self))
        return Split(self.images[:n], self.labels[:n], self.mean, self.std)

    def _checked(self, indices: object) -> Tensor | slice:
        if isinstance(indices, slice):
            return indices
        try:
            index = torch.as_tensor(indices)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(
                f"indices must be a slice, a list or a tensor of integers, got {indices!r}."
            ) from None
        if index.numel() == 0:
            index = index.to(torch.int64)  # an empty list comes out as float
        if index.ndim != 1 or index.is_floating_point() or index.is_complex():
            raise TypeError(
                f"indices must be a slice, a list or a tensor of integers, "
                f"got {index.dtype} of shape {tuple(index.shape)}."
            )
        if index.dtype == torch.bool:
            if len(index) != len(self):
                raise IndexError(
                    f"indices, as a mask, must hold {len(self)} booleans, got {len(index)}."
                )
            return index
        index = index.to(torch.int64)
        if len(index) and not -len(self) <= int(index.min()) <= int(index.max()) < len(self):
            raise IndexError(
                f"indices must lie in 0..{len(self) - 1}, "
                f"got {int(index.min())}..{int(index.max())}."
            )
        return index


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set and its three splits; opening the test split is logged."""

    name: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train: Split
    validation: Split
    _test: Split = field(repr=False)

    @property
    def test(self) -> Split:
        """The test split; the log says that no claim was stated."""
        return self.open_test("not stated")

    def open_test(self, claim: str) -> Split:
        """Return the test split and log `claim`, the sentence that it is opened for.

        Raises TypeError or ValueError unless `claim` is a text that says something.
        """
        if not isinstance(claim, str):
            raise TypeError(f"claim must be a sentence, got {claim!r}.")
        if not claim.strip():
            raise ValueError("claim must say what the test split is opened for; it is empty.")
        _openings.record(self.name, claim)
        return self._test

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name}: {len(self.train):,} train, {len(self.validation):,} "
            f"validation and {len(self._test):,} test images of "
            f"{_times(self.train.images.shape[1:])}, {len(self.classes)} classes)"
        )


def _dataset(spec: _sources.Spec, stored: _cache.Stored) -> Dataset:
    mean, std = tuple(stored.facts["mean"]), tuple(stored.facts["std"])
    train, validation, test = (
        Split(stored.tensors[f"{part}.images"], stored.tensors[f"{part}.labels"], mean, std)
        for part in ("train", "validation", "test")
    )
    spec.warn_unless_whole(len(train) + len(validation), len(test))
    return Dataset(spec.name, tuple(stored.facts["classes"]), mean, std, train, validation, test)


def _times(shape: Sequence[int]) -> str:
    return "×".join(str(size) for size in shape)
