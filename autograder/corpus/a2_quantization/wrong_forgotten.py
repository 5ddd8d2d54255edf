"""A step is left out."""


# %% affine_params
# expect: floor for round
def affine_params(low, high, bits):
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return 1.0, 0
    scale = (high - low) / (2**bits - 1)
    return scale, int(-low / scale)


# %% quantize
# expect: not clamped
def quantize(x, scale, zero_point, bits):
    q = torch.round(x / scale) + zero_point
    return q.to(torch.int64)


def dequantize(q, scale, zero_point):
    return scale * (q - zero_point)


# %% per_channel
# expect: wrong axis
def quantize_per_channel(weight, bits):
    last = 2 ** (bits - 1) - 1
    scales = weight.transpose(0, 1).flatten(1).abs().amax(1) / last
    scales = torch.where(scales == 0, 1.0, scales)
    shaped = scales.reshape(1, -1, *[1] * (weight.ndim - 2))
    return torch.round(weight / shaped).to(torch.int64), scales


# %% kmeans
# expect: an empty cluster moved to 0
def assign(values, centroids):
    return (values[..., None] - centroids).abs().argmin(-1)


def update(values, positions, centroids):
    new = centroids.clone()
    for k in range(len(centroids)):
        members = values[positions == k]
        new[k] = members.sum() / max(len(members), 1)
    return new


# %% codebook_bytes
# expect: bits taken for bytes
def codebook_bytes(count, centroids, value_bits=32):
    bits = (centroids - 1).bit_length()
    positions = count * bits
    return {"positions": positions, "total": positions + centroids * value_bits // 8}


# %% calibrate
# expect: the mean of the batches
def calibrate(batches):
    lows, highs = zip(*((b.min(), b.max()) for b in batches))
    return sum(lows) / len(lows), sum(highs) / len(highs)


# %% integer_linear
# expect: int8 accumulator overflow
def bias_to_int(bias, x_scale, weight_scales):
    return torch.round(bias / (x_scale * weight_scales)).to(torch.int32)


def integer_linear(q_x, x_zero, q_weight, q_bias, multiplier, y_zero):
    x = q_x.to(torch.int64) - x_zero
    total = (x @ q_weight.to(torch.int64).T + q_bias).to(torch.int8).to(torch.int64)
    levels = torch.round(total * multiplier.double()) + y_zero
    return levels.clamp(0, 255)


# %% fake_quantize
# expect: without the clip mask
def fake_quantize(x, scale, zero_point, bits):
    low, high = -zero_point * scale, (2**bits - 1 - zero_point) * scale
    values = torch.round(x.clamp(low, high) / scale) * scale
    return x + (values - x).detach()


# %% binary_weight
# expect: one scale for all channels
def binary_weight(weight):
    alpha = weight.abs().mean()
    alpha = alpha.reshape([1] * weight.ndim)
    return torch.where(weight >= 0, alpha, -alpha)


# %% pack_bits
# expect: the last byte cut off
def pack_bits(levels, bits):
    text = "".join(f"{level:0{bits}b}" for level in levels)
    text = text[: len(text) // 8 * 8]
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


# %% lowest_bits
# expect: the first width that is not good enough
def lowest_bits(correct, allowed):
    best = 32
    for bits in sorted(correct, reverse=True):
        if correct[32] - correct[bits] > allowed:
            return bits
        best = bits
    return best
