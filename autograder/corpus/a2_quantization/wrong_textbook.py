"""The mistake that each question invites most."""


# %% affine_params
# expect: 2^b for 2^b - 1
def affine_params(low, high, bits):
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return 1.0, 0
    scale = (high - low) / 2**bits
    return scale, round(-low / scale)


# %% quantize
# expect: floor for round
def quantize(x, scale, zero_point, bits):
    q = torch.floor(x / scale) + zero_point
    return q.clamp(0, 2**bits - 1).to(torch.int64)


def dequantize(q, scale, zero_point):
    return scale * (q - zero_point)


# %% per_channel
# expect: per tensor
def quantize_per_channel(weight, bits):
    last = 2 ** (bits - 1) - 1
    scales = (weight.abs().max() / last).repeat(len(weight))
    scales = torch.where(scales == 0, 1.0, scales)
    shaped = scales.reshape(-1, *[1] * (weight.ndim - 1))
    return torch.round(weight / shaped).to(torch.int64), scales


# %% kmeans
# expect: centroids not updated
def assign(values, centroids):
    return (values[..., None] - centroids).abs().argmin(-1)


def update(values, positions, centroids):
    new = centroids.clone()
    for k in range(len(centroids)):
        members = values[positions == k]
        new[k] = centroids[k]
    return new


# %% codebook_bytes
# expect: without the codebook
def codebook_bytes(count, centroids, value_bits=32):
    bits = (centroids - 1).bit_length()
    positions = (count * bits + 7) // 8
    return {"positions": positions, "total": positions}


# %% calibrate
# expect: only the last batch
def calibrate(batches):
    return batches[-1].min(), batches[-1].max()


# %% integer_linear
# expect: the input's scale is missing
def bias_to_int(bias, x_scale, weight_scales):
    return torch.round(bias / weight_scales).to(torch.int32)


def integer_linear(q_x, x_zero, q_weight, q_bias, multiplier, y_zero):
    x = q_x.to(torch.int64) - x_zero
    total = x @ q_weight.to(torch.int64).T + q_bias
    levels = torch.round(total * multiplier.double()) + y_zero
    return levels.clamp(0, 255)


# %% fake_quantize
# expect: rounding stops it
def fake_quantize(x, scale, zero_point, bits):
    low, high = -zero_point * scale, (2**bits - 1 - zero_point) * scale
    inside = x.clamp(low, high)
    return torch.round(inside / scale) * scale


# %% binary_weight
# expect: no scale
def binary_weight(weight):
    alpha = weight.flatten(1).abs().mean(1)
    alpha = alpha.reshape(-1, *[1] * (weight.ndim - 1))
    return torch.where(weight >= 0, 1.0, -1.0)


# %% pack_bits
# expect: one byte each
def pack_bits(levels, bits):
    return levels


# %% lowest_bits
# expect: past the first that is not
def lowest_bits(correct, allowed):
    best = 32
    for bits in sorted(correct, reverse=True):
        if correct[32] - correct[bits] > allowed:
            continue
        best = bits
    return best
