"""The right values, but an argument is changed where it is easily overlooked."""


# %% quantize
# expect: q was changed: work on a copy
def quantize(x, scale, zero_point, bits):
    return (torch.round(x / scale) + zero_point).clamp(0, 2**bits - 1)


def dequantize(q, scale, zero_point):
    q -= zero_point
    return scale * q


# %% kmeans
# expect: values were changed: work on a copy
def assign(values, centroids):
    return (values[..., None] - centroids).abs().argmin(-1)


def update(values, positions, centroids):
    new = centroids.clone()
    for k in range(len(centroids)):
        members = values[positions == k]
        if len(members):
            new[k] = members.mean()
    values -= new[positions]
    return new


# %% codebook_bytes
# expect: a codebook of 2^bits entries
def codebook_bytes(count, centroids, value_bits=32):
    bits = (centroids - 1).bit_length()
    positions = (count * bits + 7) // 8
    return {"positions": positions, "total": positions + 2**bits * value_bits // 8}


# %% integer_linear
# expect: q_bias was changed: work on a copy
def bias_to_int(bias, x_scale, weight_scales):
    return torch.round(bias / (x_scale * weight_scales)).to(torch.int32)


def integer_linear(q_x, x_zero, q_weight, q_bias, multiplier, y_zero):
    q_bias -= (x_zero * q_weight.to(torch.int32).sum(1)).to(torch.int32)
    total = q_x.to(torch.int64) @ q_weight.to(torch.int64).T + q_bias
    return (torch.round(total * multiplier.double()) + y_zero).clamp(0, 255)


# %% fake_quantize
# expect: x was changed: work on a copy
def fake_quantize(x, scale, zero_point, bits):
    low, high = -zero_point * scale, (2**bits - 1 - zero_point) * scale
    inside = x.clamp(low, high)
    x.data.clamp_(low, high)
    return inside + (torch.round(inside / scale) * scale - inside).detach()
