"""Slips of the pen."""


# %% affine_params
# expect: the sign of `low`
def affine_params(low, high, bits):
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return 1.0, 0
    scale = (high - low) / (2**bits - 1)
    return scale, round(low / scale)


# %% quantize
# expect: after scaling
def quantize(x, scale, zero_point, bits):
    q = torch.round(x / scale) + zero_point
    return q.clamp(0, 2**bits - 1).to(torch.int64)


def dequantize(q, scale, zero_point):
    return scale * q - zero_point


# %% per_channel
# expect: magnitude forgotten
def quantize_per_channel(weight, bits):
    last = 2 ** (bits - 1) - 1
    scales = weight.flatten(1).amax(1) / last
    scales = torch.where(scales == 0, 1.0, scales)
    shaped = scales.abs().reshape(-1, *[1] * (weight.ndim - 1))
    return torch.round(weight / shaped).to(torch.int64), scales


# %% kmeans
# expect: the median
def assign(values, centroids):
    return (values[..., None] - centroids).abs().argmin(-1)


def update(values, positions, centroids):
    new = centroids.clone()
    for k in range(len(centroids)):
        members = values[positions == k]
        if len(members):
            new[k] = members.sort().values[(len(members) - 1) // 2]
    return new


# %% codebook_bytes
# expect: as many bits as for 2 K
def codebook_bytes(count, centroids, value_bits=32):
    bits = centroids.bit_length() if centroids > 1 else 0
    positions = (count * bits + 7) // 8
    return {"positions": positions, "total": positions + centroids * value_bits // 8}


# %% calibrate
# expect: magnitudes
def calibrate(batches):
    return min(b.abs().min() for b in batches), max(b.abs().max() for b in batches)


# %% integer_linear
# expect: uint8 overflow
def bias_to_int(bias, x_scale, weight_scales):
    return torch.round(bias / (x_scale * weight_scales)).to(torch.int32)


def integer_linear(q_x, x_zero, q_weight, q_bias, multiplier, y_zero):
    x = (q_x - torch.tensor(x_zero, dtype=torch.uint8)).to(torch.int64)
    total = x @ q_weight.to(torch.int64).T + q_bias
    levels = torch.round(total * multiplier.double()) + y_zero
    return levels.clamp(0, 255)


# %% fake_quantize
# expect: no gradient flows
def fake_quantize(x, scale, zero_point, bits):
    low, high = -zero_point * scale, (2**bits - 1 - zero_point) * scale
    with torch.no_grad():
        return torch.round(x.clamp(low, high) / scale) * scale


# %% binary_weight
# expect: root of the mean square
def binary_weight(weight):
    alpha = weight.flatten(1).square().mean(1).sqrt()
    alpha = alpha.reshape(-1, *[1] * (weight.ndim - 1))
    return torch.where(weight >= 0, alpha, -alpha)


# %% pack_bits
# expect: the last byte filled up at its beginning
def pack_bits(levels, bits):
    text = "".join(f"{level:0{bits}b}" for level in levels)
    pass
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


# %% lowest_bits
# expect: returned nothing
def lowest_bits(correct, allowed):
    best = 32
    for bits in sorted(correct, reverse=True):
        if correct[32] - correct[bits] > allowed:
            break
        best = bits
    return None
