"""What layers cost on paper: multiply-adds, parameters and bytes, as integers.

Convention: one MAC is one multiply-add, so 1 MAC = 2 FLOPs; adding a bias, normalizing and
activating cost no MACs. Attention against recurrence after Vaswani et al. (2017,
arXiv:1706.03762, table 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from course_lib._validate import check_int, check_number, check_shape


def flops(macs: int) -> int:
    """Floating-point operations in `macs` multiply-adds: one multiplication and one addition each.

    >>> flops(569_000_000)
    1138000000
    """
    return 2 * check_int("macs", macs, minimum=0)


def tensor_bytes(shape: Sequence[int], bits: int = 32) -> int:
    """Bytes of a tensor of `shape` whose elements take `bits` bits, rounded up to a whole byte.

    The empty shape `()` is a scalar: one element.

    >>> tensor_bytes((1, 64, 112, 112)), tensor_bytes((3,), bits=4)
    (3211264, 2)
    """
    return -(-prod(check_shape("shape", shape)) * check_int("bits", bits) // 8)


def linear_params(in_features: int, out_features: int, *, bias: bool = True) -> int:
    """Parameters of a fully connected layer: one weight per pair, one bias per output.

    >>> linear_params(784, 300)
    235500
    """
    inputs, outputs = (
        check_int("in_features", in_features),
        check_int("out_features", out_features),
    )
    return outputs * (inputs + bool(bias))


def linear_macs(in_features: int, out_features: int, *, rows: int = 1) -> int:
    """MACs of a fully connected layer applied to `rows` vectors (batch, or batch times tokens).

    >>> linear_macs(784, 300)
    235200
    """
    inputs, outputs = (
        check_int("in_features", in_features),
        check_int("out_features", out_features),
    )
    return check_int("rows", rows) * inputs * outputs


def attention_params(dim: int, *, bias: bool = True) -> int:
    """Parameters of multi-head self-attention: query, key, value and output projections.

    >>> attention_params(768)
    2362368
    """
    return 4 * linear_params(dim, dim, bias=bias)


def attention_macs(
    tokens: int, dim: int, *, heads: int = 1, batch: int = 1, projections: bool = True
) -> int:
    """MACs of multi-head self-attention `[N, T, D] -> [N, T, D]`.

    Four projections of T D^2, then Q K^T and (softmax) V of T^2 D each. Heads split D and change
    nothing; the quadratic part overtakes the projections at T = 2 D. `projections=False` counts
    the quadratic part alone. ValueError unless `heads` divides `dim`.

    >>> attention_macs(197, 768, heads=12)
    524391936
    """
    tokens, dim = check_int("tokens", tokens), check_int("dim", dim)
    if dim % check_int("heads", heads):
        raise ValueError(f"heads must divide dim={dim}, got heads={heads}.")
    mixing = 2 * tokens * tokens * dim
    projecting = 4 * linear_macs(dim, dim, rows=tokens) if projections else 0
    return check_int("batch", batch) * (mixing + projecting)


def recurrence_params(
    input_size: int, hidden_size: int, *, gates: int = 1, bias: bool = True
) -> int:
    """Parameters of one recurrent layer, with PyTorch's two bias vectors per gate.

    `gates` is 1 for a plain RNN, 3 for a GRU, 4 for an LSTM.
    """
    inputs, hidden = check_int("input_size", input_size), check_int("hidden_size", hidden_size)
    return check_int("gates", gates) * hidden * (inputs + hidden + 2 * bool(bias))


def recurrence_macs(
    steps: int, input_size: int, hidden_size: int, *, gates: int = 1, batch: int = 1
) -> int:
    """MACs of one recurrent layer over a sequence: T gates (input hidden + hidden^2).

    Gating multiplies element by element and counts as activation, not as MACs.

    >>> recurrence_macs(10, 32, 64, gates=4)
    245760
    """
    inputs, hidden = check_int("input_size", input_size), check_int("hidden_size", hidden_size)
    rows = check_int("steps", steps) * check_int("batch", batch)
    return rows * check_int("gates", gates) * hidden * (inputs + hidden)


def chain_peak_bytes(sizes_bytes: Sequence[int]) -> int:
    """Peak activation memory of a chain of layers: the largest input + output, never the sum.

    `sizes_bytes` holds the bytes of the input and then of every layer's output, in order. While a
    layer runs, its input and its output are alive; everything older has been freed.

    >>> chain_peak_bytes([3136, 46080, 11520, 12800])
    57600
    """
    wanted = "the bytes of the input and then of every layer's output, such as [3136, 46080]"
    if not isinstance(sizes_bytes, Sequence) or isinstance(sizes_bytes, str):
        raise TypeError(f"sizes_bytes must list {wanted}; got {sizes_bytes!r}.")
    if not sizes_bytes:
        raise ValueError(f"sizes_bytes must list {wanted}; got an empty sequence.")
    sizes = [check_int(f"sizes_bytes[{i}]", s, minimum=0) for i, s in enumerate(sizes_bytes)]
    return max((a + b for a, b in pairwise(sizes)), default=sizes[0])


def information_density(top1_percent: float, params: int) -> float:
    """Top-1 accuracy (in percent) per million parameters.

    >>> round(information_density(70.6, 4_200_000), 1)
    16.8
    """
    percent = check_number("top1_percent", top1_percent, 0.0, 100.0)
    return percent / (check_int("params", params) / 1e6)
