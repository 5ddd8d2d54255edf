"""Wrong in a corner: levels above 127, a codebook of one, an argument that is seldom changed."""


# %% affine_params
# expect: clamped to 127
def affine_params(low, high, bits):
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return 1.0, 0
    scale = (high - low) / (2**bits - 1)
    return scale, min(127, round(-low / scale))


# %% quantize
# expect: levels above 127
def quantize(x, scale, zero_point, bits):
    q = (torch.round(x / scale) + zero_point).clamp(0, 2**bits - 1)
    return q.to(torch.uint8).to(torch.int8)


def dequantize(q, scale, zero_point):
    return scale * (q - zero_point)


# %% kmeans
# expect: values were changed: work on a copy
def assign(values, centroids):
    values.clamp_(centroids.min(), centroids.max())
    return (values[..., None] - centroids).abs().argmin(-1)


def update(values, positions, centroids):
    new = centroids.clone()
    for k in range(len(centroids)):
        members = values[positions == k]
        if len(members):
            new[k] = members.mean()
    return new


# %% codebook_bytes
# expect: one centroid needs a codebook, too
def codebook_bytes(count, centroids, value_bits=32):
    if centroids == 1:
        return {"positions": 0, "total": 0}
    positions = (count * (centroids - 1).bit_length() + 7) // 8
    return {"positions": positions, "total": positions + centroids * value_bits // 8}


# %% integer_linear
# expect: the bias was changed: work on a copy
def bias_to_int(bias, x_scale, weight_scales):
    return bias.div_(x_scale * weight_scales).round().to(torch.int32)


def integer_linear(q_x, x_zero, q_weight, q_bias, multiplier, y_zero):
    total = (q_x.to(torch.int64) - x_zero) @ q_weight.to(torch.int64).T + q_bias
    return (torch.round(total * multiplier.double()) + y_zero).clamp(0, 255)
