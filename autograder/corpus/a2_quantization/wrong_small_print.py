"""The special case is overlooked."""


# %% affine_params
# expect: zero point clamped
def affine_params(low, high, bits):
    low, high = low, high
    if low == high:
        return 1.0, 0
    scale = (high - low) / (2**bits - 1)
    return scale, min(max(round(-low / scale), 0), 2**bits - 1)


# %% quantize
# expect: the zero point is missing
def quantize(x, scale, zero_point, bits):
    q = torch.round(x / scale)
    return q.clamp(0, 2**bits - 1).to(torch.int64)


def dequantize(q, scale, zero_point):
    return scale * q


# %% per_channel
# expect: a channel of zeros needs scale 1
def quantize_per_channel(weight, bits):
    last = 2 ** (bits - 1) - 1
    scales = weight.flatten(1).abs().amax(1) / last
    shaped = scales.reshape(-1, *[1] * (weight.ndim - 1))
    return torch.round(weight / shaped.clamp(min=1e-9)).to(torch.int64), scales


# %% kmeans
# expect: centroids sorted
def assign(values, centroids):
    return (values[..., None] - centroids.sort().values).abs().argmin(-1)


def update(values, positions, centroids):
    new = centroids.clone()
    for k in range(len(centroids)):
        members = values[positions == k]
        if len(members):
            new[k] = members.mean()
    return new


# %% codebook_bytes
# expect: the last byte cut off
def codebook_bytes(count, centroids, value_bits=32):
    bits = (centroids - 1).bit_length()
    positions = count * bits // 8
    return {"positions": positions, "total": positions + centroids * value_bits // 8}


# %% calibrate
# expect: only the first batch
def calibrate(batches):
    return batches[0].min(), batches[0].max()


# %% integer_linear
# expect: floor for round
def bias_to_int(bias, x_scale, weight_scales):
    return torch.round(bias / (x_scale * weight_scales)).to(torch.int32)


def integer_linear(q_x, x_zero, q_weight, q_bias, multiplier, y_zero):
    x = q_x.to(torch.int64) - x_zero
    total = x @ q_weight.to(torch.int64).T + q_bias
    levels = torch.floor(total * multiplier.double()) + y_zero
    return levels.clamp(0, 255)


# %% fake_quantize
# expect: not clamped
def fake_quantize(x, scale, zero_point, bits):
    low, high = -zero_point * scale, (2**bits - 1 - zero_point) * scale
    values = torch.round(x / scale) * scale
    passed = ((x >= low) & (x <= high)) * x
    return values.detach() + passed - passed.detach()


# %% binary_weight
# expect: the largest magnitude
def binary_weight(weight):
    alpha = weight.flatten(1).abs().amax(1)
    alpha = alpha.reshape(-1, *[1] * (weight.ndim - 1))
    return torch.where(weight >= 0, alpha, -alpha)


# %% pack_bits
# expect: least significant bit first
def pack_bits(levels, bits):
    text = "".join(f"{level:0{bits}b}"[::-1] for level in levels)
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8][::-1], 2) for i in range(0, len(text), 8)]


# %% lowest_bits
# expect: 32 bits always
def lowest_bits(correct, allowed):
    return max(correct)
