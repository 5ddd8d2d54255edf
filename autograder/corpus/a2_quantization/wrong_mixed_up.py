"""One thing is taken for another."""


# %% affine_params
# expect: not a whole number
def affine_params(low, high, bits):
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return 1.0, 0
    scale = (high - low) / (2**bits - 1)
    return scale, -low / scale


# %% quantize
# expect: signed
def quantize(x, scale, zero_point, bits):
    q = torch.round(x / scale) + zero_point
    return q.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def dequantize(q, scale, zero_point):
    return scale * (q - zero_point)


# %% per_channel
# expect: floor for round
def quantize_per_channel(weight, bits):
    last = 2 ** (bits - 1) - 1
    scales = weight.flatten(1).abs().amax(1) / last
    scales = torch.where(scales == 0, 1.0, scales)
    shaped = scales.reshape(-1, *[1] * (weight.ndim - 1))
    return torch.floor(weight / shaped).to(torch.int64), scales


# %% kmeans
# expect: the centroid's value
def assign(values, centroids):
    return centroids[(values[..., None] - centroids).abs().argmin(-1)]


def update(values, positions, centroids):
    new = centroids.clone()
    for k in range(len(centroids)):
        members = values[positions == k]
        if len(members):
            new[k] = members.mean()
    return new


# %% codebook_bytes
# expect: one byte per centroid
def codebook_bytes(count, centroids, value_bits=32):
    bits = (centroids - 1).bit_length()
    positions = (count * bits + 7) // 8
    return {"positions": positions, "total": positions + centroids}


# %% calibrate
# expect: swapped
def calibrate(batches):
    return max(b.max() for b in batches), min(b.min() for b in batches)


# %% integer_linear
# expect: not clamped
def bias_to_int(bias, x_scale, weight_scales):
    return torch.round(bias / (x_scale * weight_scales)).to(torch.int32)


def integer_linear(q_x, x_zero, q_weight, q_bias, multiplier, y_zero):
    x = q_x.to(torch.int64) - x_zero
    total = x @ q_weight.to(torch.int64).T + q_bias
    levels = torch.round(total * multiplier.double()) + y_zero
    return levels


# %% fake_quantize
# expect: multiplied by the scale
def fake_quantize(x, scale, zero_point, bits):
    low, high = -zero_point * scale, (2**bits - 1 - zero_point) * scale
    inside = x.clamp(low, high)
    values = torch.round(inside / scale) * scale
    return scale * inside + (values - scale * inside).detach()


# %% binary_weight
# expect: magnitude forgotten
def binary_weight(weight):
    alpha = weight.flatten(1).mean(1)
    alpha = alpha.reshape(-1, *[1] * (weight.ndim - 1))
    return torch.where(weight >= 0, alpha, -alpha)


# %% pack_bits
# expect: leading zeros of a level lost
def pack_bits(levels, bits):
    text = "".join(f"{level:b}" for level in levels)
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


# %% lowest_bits
# expect: the width before
def lowest_bits(correct, allowed):
    best = 32
    for bits in sorted(correct, reverse=True):
        if correct[best] - correct[bits] > allowed:
            break
        best = bits
    return best
