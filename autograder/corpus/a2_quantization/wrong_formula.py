"""The formula is off by a little."""


# %% affine_params
# expect: zero not representable
def affine_params(low, high, bits):
    low, high = low, high
    if low == high:
        return 1.0, 0
    scale = (high - low) / (2**bits - 1)
    return scale, round(-low / scale)


# %% quantize
# expect: 2^b for 2^b - 1
def quantize(x, scale, zero_point, bits):
    q = torch.round(x / scale) + zero_point
    return q.clamp(0, 2**bits)


def dequantize(q, scale, zero_point):
    return scale * (q - zero_point)


# %% per_channel
# expect: 2^b for 2^b - 1
def quantize_per_channel(weight, bits):
    last = 2 ** (bits - 1)
    scales = weight.flatten(1).abs().amax(1) / last
    scales = torch.where(scales == 0, 1.0, scales)
    shaped = scales.reshape(-1, *[1] * (weight.ndim - 1))
    return torch.round(weight / shaped).to(torch.int64), scales


# %% kmeans
# expect: the sum, not the mean
def assign(values, centroids):
    return (values[..., None] - centroids).abs().argmin(-1)


def update(values, positions, centroids):
    new = centroids.clone()
    for k in range(len(centroids)):
        members = values[positions == k]
        if len(members):
            new[k] = members.sum()
    return new


# %% codebook_bytes
# expect: one byte per position
def codebook_bytes(count, centroids, value_bits=32):
    bits = (centroids - 1).bit_length()
    positions = count if centroids > 1 else 0
    return {"positions": positions, "total": positions + centroids * value_bits // 8}


# %% calibrate
# expect: symmetric around 0
def calibrate(batches):
    top = max(batch.abs().max() for batch in batches)
    return -top, top


# %% integer_linear
# expect: the zero point of x is not subtracted
def bias_to_int(bias, x_scale, weight_scales):
    return torch.round(bias / (x_scale * weight_scales)).to(torch.int32)


def integer_linear(q_x, x_zero, q_weight, q_bias, multiplier, y_zero):
    x = q_x.to(torch.int64)
    total = x @ q_weight.to(torch.int64).T + q_bias
    levels = torch.round(total * multiplier.double()) + y_zero
    return levels.clamp(0, 255)


# %% fake_quantize
# expect: levels, not values
def fake_quantize(x, scale, zero_point, bits):
    low, high = -zero_point * scale, (2**bits - 1 - zero_point) * scale
    inside = x.clamp(low, high)
    levels = torch.round(inside / scale) + zero_point
    return inside + (levels - inside).detach()


# %% binary_weight
# expect: the sign of 0 is 0
def binary_weight(weight):
    alpha = weight.flatten(1).abs().mean(1)
    alpha = alpha.reshape(-1, *[1] * (weight.ndim - 1))
    return alpha * weight.sign()


# %% pack_bits
# expect: filled up at its beginning
def pack_bits(levels, bits):
    text = "".join(f"{level:0{bits}b}" for level in levels)
    text = "0" * (-len(text) % 8) + text
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


# %% lowest_bits
# expect: refused
def lowest_bits(correct, allowed):
    best = 32
    for bits in sorted(correct, reverse=True):
        if bits < 32 and correct[32] - correct[bits] >= allowed:
            break
        best = bits
    return best
