"""Vectorised NumPy, arrays in and out."""

# %% affine_params
import numpy as np


def affine_params(low, high, bits):
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    if high - low == 0:
        return np.float64(1), np.int64(0)
    scale = (high - low) / (np.power(2, bits) - 1)
    return scale, np.rint(-low / scale).astype(int)


# %% quantize
import numpy as np


def quantize(x, scale, zero_point, bits):
    q = np.rint(np.asarray(x, dtype=np.float64) / scale).astype(np.int64) + zero_point
    return np.clip(q, 0, 2**bits - 1)


def dequantize(q, scale, zero_point):
    return (np.asarray(q).astype(np.float64) - zero_point) * scale


# %% per_channel
import numpy as np


def quantize_per_channel(weight, bits):
    w = weight.numpy().astype(np.float64)
    scales = np.abs(w).max(axis=tuple(range(1, w.ndim))) / (2 ** (bits - 1) - 1)
    scales[scales == 0] = 1
    q = np.rint(w / np.expand_dims(scales, tuple(range(1, w.ndim))))
    return q, scales


# %% kmeans
import numpy as np


def assign(values, centroids):
    gaps = np.abs(values.numpy()[..., None] - centroids.numpy())
    return torch.from_numpy(np.argmin(gaps, axis=-1))


def update(values, positions, centroids):
    k = len(centroids)
    at = positions.numpy().ravel()
    counts = np.bincount(at, minlength=k)
    sums = np.bincount(at, weights=values.numpy().ravel().astype(np.float64), minlength=k)
    return np.where(counts > 0, sums / np.maximum(counts, 1), centroids.numpy())


# %% codebook_bytes
import math


def codebook_bytes(count, centroids, value_bits=32):
    bits = math.ceil(math.log2(centroids))
    positions = math.ceil(count * bits / 8)
    return {"positions": positions, "total": positions + centroids * value_bits // 8}


# %% calibrate
import numpy as np


def calibrate(batches):
    everything = np.concatenate([np.asarray(batch).ravel() for batch in batches])
    return everything.min(), everything.max()


# %% integer_linear
import numpy as np


def bias_to_int(bias, x_scale, weight_scales):
    return np.rint(bias.numpy().astype(np.float64) / x_scale / weight_scales.numpy()).astype(int)


def integer_linear(q_x, x_zero, q_weight, q_bias, multiplier, y_zero):
    x, w = q_x.numpy().astype(np.int32), q_weight.numpy().astype(np.int32)
    total = np.einsum("ni,oi->no", x - x_zero, w) + q_bias.numpy()
    y = np.rint(total * multiplier.numpy()[None, :]) + y_zero
    return np.clip(y, 0, 255).astype(np.uint8)


# %% fake_quantize
def fake_quantize(x, scale, zero_point, bits):
    low, high = -zero_point * scale, (2**bits - 1 - zero_point) * scale
    with torch.no_grad():
        values = (torch.round(x / scale) * scale).clamp(low, high)
        inside = ((x >= low) & (x <= high)).to(x.dtype)
    return values + (x - x.detach()) * inside


# %% binary_weight
import numpy as np


def binary_weight(weight):
    w = weight.numpy()
    rest = tuple(range(1, w.ndim))
    alpha = np.mean(np.abs(w), axis=rest, keepdims=True)
    return alpha * np.where(w < 0, -1, 1)


# %% pack_bits
import numpy as np


def pack_bits(levels, bits):
    places = np.arange(bits - 1, -1, -1)
    row = (np.array(levels, dtype=np.int64)[:, None] >> places) & 1
    return np.packbits(row.astype(np.uint8).ravel())


# %% lowest_bits
def lowest_bits(correct, allowed):
    bad = [bits for bits in correct if correct[bits] < correct[32] - allowed]
    return min(bits for bits in correct if bits > max(bad, default=0))
