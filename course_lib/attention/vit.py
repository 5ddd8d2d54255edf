"""The vision transformer: an image is a sequence of patches.

Patches become tokens by one linear map, written as a convolution; a class token reads them all
(ViT, Dosovitskiy et al. 2021, arXiv:2010.11929). DeiT adds a second such token with a head of its
own, which learns from a teacher (Touvron et al. 2021, arXiv:2012.12877).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from course_lib._validate import check_int, check_tensor
from course_lib.attention.multihead import TransformerBlock


class VisionTransformer(nn.Module):
    """Classify square images: [N, in_channels, image_size, image_size] -> logits [N, num_classes].

    A `distilled` one has a distillation token, and its forward returns the mean of the two heads'
    logits. The default sizes are ViT-B/16: 86,567,656 parameters. Raises ValueError unless
    `patch_size` divides `image_size` and `heads` divides `dim`, or for images of another shape.
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        dim: int = 768,
        heads: int = 12,
        layers: int = 12,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        distilled: bool = False,
    ):
        super().__init__()
        if check_int("image_size", image_size) % check_int("patch_size", patch_size):
            raise ValueError(
                f"patch_size must divide image_size={image_size}, got patch_size={patch_size}."
            )
        check_int("num_classes", num_classes)
        self.input_shape = (check_int("in_channels", in_channels), image_size, image_size)
        tokens = (image_size // patch_size) ** 2 + 1 + distilled
        self.patches = nn.Conv2d(in_channels, check_int("dim", dim), patch_size, stride=patch_size)
        self.class_token = nn.Parameter(torch.empty(1, 1, dim))
        self.distillation_token = nn.Parameter(torch.empty(1, 1, dim)) if distilled else None
        self.position = nn.Parameter(torch.empty(1, tokens, dim))
        self.blocks = nn.ModuleList(
            TransformerBlock(dim, heads, norm_eps=1e-6) for _ in range(check_int("layers", layers))
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, num_classes)
        self.distillation_head = nn.Linear(dim, num_classes) if distilled else None
        self._initialize()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [N, num_classes], the mean of both heads' where there are two."""
        heads = self.all_logits(images)
        return heads[0] if len(heads) == 1 else (heads[0] + heads[1]) / 2

    def all_logits(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the class head's logits and, if distilled, the distillation head's.

        Both [N, num_classes]: what `distill.token_distillation_loss` takes.
        """
        x = self._embed(images)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        if self.distillation_head is None:
            return (self.head(x[:, 0]),)
        return self.head(x[:, 0]), self.distillation_head(x[:, 1])

    def attention_weights(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the weights [N, heads, T, T] of every layer; row 0 is what the class token read.

        The patches are the last T - 1 tokens (T - 2 if distilled), row by row.
        """
        x, weights = self._embed(images), []
        for block in self.blocks:
            attended = cast(TransformerBlock, block).attend(x)
            x = attended.output
            weights.append(attended.weights)
        return tuple(weights)

    def _embed(self, images: Tensor) -> Tensor:
        check_tensor("images", images, ndim=4, floating=True)
        if tuple(images.shape[1:]) != self.input_shape:
            wanted = ", ".join(map(str, self.input_shape))
            raise ValueError(f"images must be [N, {wanted}], got {tuple(images.shape)}.")
        patches = self.patches(images).flatten(2).mT  # [N, D, H', W'] -> [N, H' W', D]
        added = [self.class_token, self.distillation_token]
        first = [t.expand(images.shape[0], -1, -1) for t in added if t is not None]
        return torch.cat([*first, patches], dim=1) + self.position

    def _initialize(self) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" not in name:
                nn.init.trunc_normal_(parameter, std=0.02)


def vit_b_16(num_classes: int = 1000) -> VisionTransformer:
    """ViT-B/16: [N, 3, 224, 224] -> logits [N, num_classes], 86,567,656 parameters for 1000."""
    return VisionTransformer(num_classes=num_classes)


def deit_tiny(num_classes: int = 1000, *, distilled: bool = False) -> VisionTransformer:
    """DeiT-Ti: [N, 3, 224, 224] -> logits [N, num_classes] (Touvron et al. 2021, Table 1).

    5,717,416 parameters for 1000 classes; 5,910,800 with distillation token and head.
    """
    return VisionTransformer(
        dim=192, heads=3, layers=12, num_classes=num_classes, distilled=distilled
    )
