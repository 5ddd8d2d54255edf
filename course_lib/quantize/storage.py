"""What a quantized model weighs: the tensors its file holds, b bits to a level or index.

Scales, zero points, codebooks and everything that stays float are counted too; a size without
them is not a size. `safetensors.torch.save_file(stored_tensors(model), path)` writes the file.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from course_lib.quantize.affine import dequantize, integer_range
from course_lib.quantize.aware import AwareLayer
from course_lib.quantize.codebook import CodebookLayer
from course_lib.quantize.post_training import QuantizedLayer
from course_lib.quantize.replace import replace_layers


def stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the state of the model as its file holds it: packed levels, indices, and the rest.

    Weights of QuantizedLayers and indices of codebooks become uint8 [ceil(count * bits / 8)], zero
    points int8; every other tensor stays as in `state_dict`. `from_stored` is the inverse.
    Raises ValueError for a `quantization_aware` model: its master weights are float.
    """
    stored = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    for name, module in model.named_modules():
        if isinstance(module, AwareLayer):
            raise ValueError(f"Layer {name!r} keeps float master weights: call freeze(model).")
        if isinstance(module, QuantizedLayer):
            bits = module.weight_bits
            levels = module.levels().cpu().int() - integer_range(bits)[0]
            stored[_join(name, "layer.weight")] = pack_levels(levels, bits)
            zero_point = module.weight_zero_point.cpu().to(torch.int8)
            stored[_join(name, "weight_zero_point")] = zero_point
        if isinstance(module, CodebookLayer):
            stored[_join(name, "indices")] = pack_levels(module.indices.cpu(), module.bits)
    return {name: tensor.contiguous() for name, tensor in stored.items()}


def from_stored(model: nn.Module, stored: Mapping[str, Tensor]) -> nn.Module:
    """Return a copy of `model` with the state that `stored_tensors` of its like had returned.

    `model` gives the structure: layers, bits and, if it has codebooks, as many entries.
    Raises ValueError if a packed tensor has the wrong length, RuntimeError if names do not match.
    """
    model = copy.deepcopy(model)
    state = dict(stored)
    for name, module in model.named_modules():
        if isinstance(module, QuantizedLayer):
            key, bits = _join(name, "layer.weight"), module.weight_bits
            levels = unpack_levels(stored[key], bits, module.layer.weight.shape)
            zero_point = stored[_join(name, "weight_zero_point")]
            state[key] = dequantize(
                levels + integer_range(bits)[0],
                stored[_join(name, "weight_scale")],
                zero_point.int(),
                dim=module.dim,
            )
        if isinstance(module, CodebookLayer):
            key = _join(name, "indices")
            levels = unpack_levels(stored[key], module.bits, module.indices.shape)
            state[key] = levels.to(torch.uint8)
    model.load_state_dict(state)
    return model


def plain(model: nn.Module) -> nn.Module:
    """Return a copy in which quantized and codebook layers are ordinary nn.Linear and nn.Conv2d.

    They hold the same values as float parameters that can be trained, and no longer quantize
    their input: what other tools (codec, export) expect. ValueError if there is no such layer.
    """
    kinds = (QuantizedLayer, CodebookLayer)
    return replace_layers(model, lambda _, module: module.plain(), kinds)


def size_bytes(model: nn.Module) -> int:
    """Return the bytes of all `stored_tensors`; a safetensors file adds only its header of names.

    Works for any model: one that is not quantized counts 4 bytes for each float32.

    >>> from course_lib.quantize import post_training_dynamic
    >>> model = nn.Linear(100, 10)
    >>> size_bytes(model)  # (1000 weights + 10 biases) * 4
    4040
    >>> size_bytes(post_training_dynamic(model, bits=4))  # 500 + 10 * (4 + 4 + 1)
    590
    """
    return sum(tensor.nbytes for tensor in stored_tensors(model).values())


def pack_levels(levels: Tensor, bits: int) -> Tensor:
    """Return integers in 0..2^bits - 1 as uint8 [ceil(count * bits / 8)], bits 1..8.

    >>> pack_levels(torch.tensor([1, 2, 3]), bits=4)
    tensor([18, 48], dtype=torch.uint8)
    """
    from course_lib.codec.packing import pack

    return torch.frombuffer(bytearray(pack(levels.numpy(), bits)), dtype=torch.uint8)


def unpack_levels(packed: Tensor, bits: int, shape: tuple[int, ...]) -> Tensor:
    """Return what `pack_levels` packed, int64 of the given shape; ValueError if lengths differ.

    >>> unpack_levels(torch.tensor([18, 48], dtype=torch.uint8), 4, (3,))
    tensor([1, 2, 3])
    """
    from course_lib.codec.packing import unpack

    values = unpack(packed.cpu().numpy().tobytes(), bits, torch.Size(shape).numel())
    return torch.from_numpy(values).reshape(shape)


def _join(*names: str) -> str:
    return ".".join(name for name in names if name)
