"""Flip, shift and cutout: what each may make of an image, and how often it does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import augment

SHAPE = (4000, 2, 5, 7)
SIGMAS = 5  # of a count of independent draws


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def images() -> Tensor:
    """Images without two equal pixels, none of them 0."""
    return (torch.randperm(4000 * 2 * 5 * 7) + 1.0).reshape(SHAPE)


def which(changed: Tensor, candidates: list[Tensor]) -> Tensor:
    """The candidate that each image has become; it must be one of them and only one."""
    equal = torch.stack([(changed == c).flatten(1).all(1) for c in candidates])
    assert (equal.sum(0) == 1).all()
    return equal.int().argmax(0)


def check_frequencies(counts: Tensor, probability: Tensor | float, draws: int) -> None:
    """Each count is one of `draws` independent events of its probability."""
    p = torch.as_tensor(probability)
    deviation = (counts - draws * p).abs()
    assert (deviation <= SIGMAS * (draws * p * (1 - p)).sqrt() + 1e-9).all()


def test_flip_mirrors_half_of_the_images_left_to_right(images: Tensor) -> None:
    mirrored = which(augment.flip(images), [images, images.flip(3)])
    check_frequencies(mirrored.sum(), 0.5, len(images))


@pytest.mark.parametrize("pixels", [1, 2, 3])  # at 4, two windows are one
def test_shift_cuts_every_window_of_the_reflected_image_alike(images: Tensor, pixels: int) -> None:
    padded = F.pad(images, (pixels,) * 4, mode="reflect")
    places = list(itertools.product(range(2 * pixels + 1), repeat=2))
    windows = [padded[:, :, r : r + 5, c : c + 7] for r, c in places]
    found = which(augment.shift(images, pixels), windows)
    counts = torch.bincount(found, minlength=len(places))
    check_frequencies(counts, 1 / len(places), len(images))


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_cutout_blanks_one_square_around_any_pixel(images: Tensor, side: int) -> None:
    """All squares, cut off at the border, are listed; where two are one, it is drawn as often."""
    rows, columns = torch.arange(5)[:, None], torch.arange(7)
    squares, expected = {}, torch.zeros(5, 7)
    for row, column in itertools.product(range(5), range(7)):
        top, left = row - side // 2, column - side // 2
        square = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
        squares[str(square.tolist())] = square[None, None]
        expected += square / 35
    cut = augment.cutout(images, side)
    blanked = cut == 0
    assert torch.equal(blanked[:, 0], blanked[:, 1])
    which(blanked[:, :1], list(squares.values()))
    assert torch.equal(cut[~blanked], images[~blanked])
    check_frequencies(blanked[:, 0].sum(0), expected, len(images))


@pytest.mark.parametrize(
    "nothing", [lambda x: augment.shift(x, 0), lambda x: augment.cutout(x, 0), augment.in_turn()]
)
def test_a_change_of_size_zero_is_none(images: Tensor, nothing: augment.Augment) -> None:
    assert torch.equal(nothing(images), images)


@pytest.mark.parametrize("change", [augment.flip, augment.shift, augment.cutout])
def test_the_seed_decides_and_the_originals_stay(change: augment.Augment) -> None:
    images = torch.randn(9, 3, 32, 32)
    before = images.clone()
    torch.manual_seed(3)
    first = change(images)
    torch.manual_seed(3)
    assert torch.equal(change(images), first)
    assert not torch.equal(change(images), first)
    assert torch.equal(images, before)
    assert first.shape == images.shape
    assert first.dtype == images.dtype


def test_steps_are_taken_from_left_to_right() -> None:
    both = augment.in_turn(lambda x: x + 1, lambda x: 2 * x)
    assert both(torch.tensor(3.0)) == 8


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: augment.shift(x, 5), ValueError, "pixels must be below .* 5 x 7, got 5"),
        (lambda x: augment.shift(x, -1), ValueError, "pixels"),
        (lambda x: augment.cutout(x, 6), ValueError, "side must be at most .* 5 x 7, got 6"),
        (lambda x: augment.cutout(x, 1.5), TypeError, "side"),
        (lambda x: augment.flip(x[0]), ValueError, "images"),
        (lambda _: augment.flip([1]), TypeError, "images"),
        (lambda _: augment.in_turn(augment.flip, 3), TypeError, "every step .* got 3"),
    ],
)
def test_bad_arguments_are_named(images: Tensor, call, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        call(images)
