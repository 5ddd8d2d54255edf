"""Random changes of training images that leave their class alone.

Each is a function from a batch to a batch of the same shape, made for `train.fit(augment=...)`.
They draw from PyTorch's global generator, which `fit` seeds and puts back.
Sources: He et al. 2016, section 4.2 (shift by up to 4 pixels and flip); DeVries and Taylor 2017,
arXiv:1708.04552 (cutout).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib._validate import check_int, check_tensor

Augment = Callable[[Tensor], Tensor]


def flip(images: Tensor) -> Tensor:
    """Mirror each image left to right with probability 1/2, [N, C, H, W] -> [N, C, H, W]."""
    check_tensor("images", images, ndim=4)
    mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(mirrored, images.flip(3), images)


def shift(images: Tensor, pixels: int = 4) -> Tensor:
    """Move each image by up to `pixels` in both directions, [N, C, H, W] -> [N, C, H, W].

    What comes in at the border is the reflection of the image, so `pixels` must be below H and
    W. Raises ValueError if it is not.
    """
    check_tensor("images", images, ndim=4)
    check_int("pixels", pixels, minimum=0)
    n, _, height, width = images.shape
    if pixels >= min(height, width):
        raise ValueError(
            f"pixels must be below the images' height and width, {height} x {width}, got {pixels}."
        )
    padded = F.pad(images, (pixels,) * 4, mode="reflect")
    down, right = torch.randint(2 * pixels + 1, (2, n, 1))
    rows = (down + torch.arange(height))[:, None, :, None]  # [N, 1, H, 1]
    columns = (right + torch.arange(width))[:, None, None, :]  # [N, 1, 1, W]
    picture = torch.arange(n)[:, None, None, None]
    channel = torch.arange(images.shape[1])[:, None, None]
    return padded[picture, channel, rows, columns]


def cutout(images: Tensor, side: int = 8) -> Tensor:
    """Blank a square of `side` pixels in each image, [N, C, H, W] -> [N, C, H, W].

    Its centre is drawn from all pixels, so a part of it may lie outside. It becomes 0, the mean
    colour of normalized images. Raises ValueError if `side` is larger than an image.
    """
    check_tensor("images", images, ndim=4)
    check_int("side", side, minimum=0)
    n, _, height, width = images.shape
    if side > min(height, width):
        raise ValueError(
            f"side must be at most the images' height and width, {height} x {width}, got {side}."
        )
    rows, columns = (_spans(n, length, side) for length in (height, width))
    blank = rows[:, None, :, None] & columns[:, None, None, :]  # [N, 1, H, W]
    return images.masked_fill(blank.to(images.device), 0.0)


def in_turn(*steps: Augment) -> Augment:
    """Return one function that applies `steps` from left to right.

    >>> in_turn(flip, shift)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 3, 32, 32])
    """
    for step in steps:
        if not callable(step):
            raise TypeError(f"every step must be a function, got {step!r}.")

    def augment(images: Tensor) -> Tensor:
        for step in steps:
            images = step(images)
        return images

    return augment


def _spans(n: int, length: int, side: int) -> Tensor:
    """Return which of `length` places a span of `side` around a random one covers, [n, length]."""
    first = torch.randint(length, (n, 1)) - side // 2
    places = torch.arange(length)
    return (places >= first) & (places < first + side)
