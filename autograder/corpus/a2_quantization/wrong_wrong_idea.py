"""The idea is misunderstood."""


# %% affine_params
# expect: only half of the levels
def affine_params(low, high, bits):
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return 1.0, 0
    scale = (high - low) / (2 ** (bits - 1) - 1)
    return scale, round(-low / scale)


# %% quantize
# expect: cut off towards 0
def quantize(x, scale, zero_point, bits):
    q = (x / scale).to(torch.int64) + zero_point
    return q.clamp(0, 2**bits - 1).to(torch.int64)


def dequantize(q, scale, zero_point):
    return scale * (q - zero_point)


# %% per_channel
# expect: unsigned levels
def quantize_per_channel(weight, bits):
    last = 2**bits - 1
    scales = weight.flatten(1).abs().amax(1) / last
    scales = torch.where(scales == 0, 1.0, scales)
    shaped = scales.reshape(-1, *[1] * (weight.ndim - 1))
    return torch.round(weight / shaped).to(torch.int64), scales


# %% kmeans
# expect: without its magnitude
def assign(values, centroids):
    return (values[..., None] - centroids).argmin(-1)


def update(values, positions, centroids):
    new = centroids.clone()
    for k in range(len(centroids)):
        members = values[positions == k]
        if len(members):
            new[k] = members.mean()
    return new


# %% codebook_bytes
# expect: codebook's bits taken for bytes
def codebook_bytes(count, centroids, value_bits=32):
    bits = (centroids - 1).bit_length()
    positions = (count * bits + 7) // 8
    return {"positions": positions, "total": positions + centroids * value_bits}


# %% calibrate
# expect: 0 always counted in
def calibrate(batches):
    low, high = 0.0, 0.0
    for batch in batches:
        low, high = min(low, batch.min().item()), max(high, batch.max().item())
    return low, high


# %% integer_linear
# expect: the zero point of y is missing
def bias_to_int(bias, x_scale, weight_scales):
    return torch.round(bias / (x_scale * weight_scales)).to(torch.int32)


def integer_linear(q_x, x_zero, q_weight, q_bias, multiplier, y_zero):
    x = q_x.to(torch.int64) - x_zero
    total = x @ q_weight.to(torch.int64).T + q_bias
    levels = torch.round(total * multiplier.double())
    return levels.clamp(0, 255)


# %% fake_quantize
# expect: upside down
def fake_quantize(x, scale, zero_point, bits):
    low, high = -zero_point * scale, (2**bits - 1 - zero_point) * scale
    values = torch.round(x.clamp(low, high) / scale) * scale
    beyond = ((x < low) | (x > high)) * x
    return values.detach() + beyond - beyond.detach()


# %% binary_weight
# expect: one scale per input
def binary_weight(weight):
    alpha = weight.transpose(0, 1).flatten(1).abs().mean(1)
    alpha = alpha.reshape(1, -1, *[1] * (weight.ndim - 2))
    return torch.where(weight >= 0, alpha, -alpha)


# %% pack_bits
# expect: filled up with ones
def pack_bits(levels, bits):
    text = "".join(f"{level:0{bits}b}" for level in levels)
    text += "1" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


# %% lowest_bits
# expect: lowest_bits
def lowest_bits(correct, allowed):
    best = 32
    for bits in sorted(correct, reverse=True):
        if abs(correct[32] - correct[bits]) > allowed // 2:
            break
        best = bits
    return best
