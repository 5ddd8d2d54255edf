"""Binary layers as they are deployed: one bit per weight, in memory, in the file, in the product.

A trained binary layer needs its master weights no longer. Its signs take a 32nd of the bytes; an
"xnor" layer multiplies them with the signs of its input 64 at a time, the others unpack them.
Source: Rastegari et al. 2016 (XNOR-Net), sections 3.1 and 3.2.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.binary.layers import BinaryConv2d, BinaryLinear, geometry, weight_scale
from course_lib.binary.signs import (
    Words,
    pack_bits,
    pack_signs,
    to_words,
    unpack_signs,
    words_product,
)
from course_lib.cost.stand_in import StandIn, plain_layer, stored_bytes
from course_lib.quantize.replace import replace_layers


class PackedLayer(nn.Module):
    """A BinaryLinear or BinaryConv2d in eval mode, its weight packed; same input, same output.

    State, and all that a file holds: signs uint8 [F, ceil(K / 8)] for K weights per filter, alpha
    float [F] unless the method is "connect", and the bias. Runs on the CPU and is not trainable.
    """

    signs: Tensor
    alpha: Tensor | None

    def __init__(self, layer: BinaryLinear | BinaryConv2d) -> None:
        super().__init__()
        weight = layer.weight.detach()
        self.shape = weight.shape
        alpha = weight_scale(layer)
        self.register_buffer("signs", pack_signs(weight.flatten(1)))
        self.register_buffer("alpha", None if alpha is None else alpha.detach())
        self.layer: BinaryLinear | BinaryConv2d = copy.deepcopy(layer).requires_grad_(False)
        del self.layer.weight  # an empty buffer takes its place and is in no file
        self.layer.register_buffer("weight", torch.empty(0), persistent=False)
        self.columns = self._group_columns()
        self.register_load_state_dict_post_hook(_refresh_columns)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        if layer.method == "xnor":
            x = layer.pad(x) if isinstance(layer, BinaryConv2d) else x
            # Contiguous as a float layer's: in another layout later sums would round otherwise.
            product = self._xnor_product(x).to(x.dtype).contiguous()
        else:
            weight = unpack_signs(self.signs, self.shape[1:].numel()).reshape(self.shape).to(x)
            if isinstance(layer, BinaryConv2d):
                product = layer.convolve(x, weight, layer.border)
            else:
                product = F.linear(x, weight)
        return layer.rescale(product, x, self.alpha)

    def counts_as(self) -> StandIn:
        """For `course_lib.cost.count`: the MACs of the float layer, the bytes of packed signs."""
        bias = self.layer.bias
        dtype = next((t.dtype for t in (bias, self.alpha) if t is not None), torch.float32)
        convolution = geometry(self.layer)
        plain = plain_layer(
            self.shape, bias=bias is not None, convolution=convolution, dtype=dtype
        )
        return StandIn(plain, weight_bytes=stored_bytes(self))

    def _xnor_product(self, x: Tensor) -> Tensor:
        if isinstance(self.layer, BinaryConv2d):
            return self._xnor_conv(x, self.layer)
        rows = x.reshape(x.shape[:-1].numel(), x.shape[-1])
        product = words_product(to_words(pack_bits(rows >= 0)), self.columns[0], rows.shape[1])
        return product.reshape(*x.shape[:-1], self.shape[0])

    def _xnor_conv(self, x: Tensor, layer: BinaryConv2d) -> Tensor:
        """Padded [N, C, H, W] -> [N, F, H', W']: filters times the packed patches of the input."""
        (dh, dw), (sh, sw), (kh, kw) = layer.dilation, layer.stride, layer.kernel_size
        patches = (x >= 0).unfold(2, dh * (kh - 1) + 1, sh).unfold(3, dw * (kw - 1) + 1, sw)
        patches = patches[..., ::dh, ::dw].permute(0, 2, 3, 1, 4, 5)  # [N, H', W', C, kH, kW]
        n, height, width, channels = patches.shape[:4]
        count = self.shape[1:].numel()
        inputs = patches.split(channels // layer.groups, dim=3)
        products = []
        for group, columns in zip(inputs, self.columns, strict=True):
            rows = pack_bits(group.reshape(n * height * width, count))
            products.append(words_product(to_words(rows), columns, count))
        return torch.cat(products, 1).reshape(n, height, width, -1).permute(0, 3, 1, 2)

    def _group_columns(self) -> list[Words]:
        """The words of each group's filters, [W, F / groups], as `words_product` wants them."""
        groups = self.layer.groups if isinstance(self.layer, BinaryConv2d) else 1
        return [to_words(signs).T.copy() for signs in self.signs.chunk(groups)]


def pack_model(model: nn.Module) -> nn.Module:
    """Return a copy in which every binary layer is a PackedLayer: the model to save and deploy.

    Its state_dict is what `safetensors.torch.save_file` needs: 1 bit for each binary weight, where
    the trained model has 32. ValueError if the model has no binary layer.

    >>> model = nn.Sequential(BinaryLinear(800, 500, bias=False, method="connect"))
    >>> sum(tensor.nbytes for tensor in pack_model(model).state_dict().values())  # 800 * 500 / 8
    50000
    """
    return replace_layers(
        model, lambda _, layer: PackedLayer(layer), (BinaryLinear, BinaryConv2d)
    ).eval()


def _refresh_columns(module: Any, _: Any) -> None:
    module.columns = module._group_columns()
