"""The right values, but an argument is changed on the way."""


# %% quantize
# expect: x was changed: work on a copy
def quantize(x, scale, zero_point, bits):
    x /= scale
    return (x.round_() + zero_point).clamp(0, 2**bits - 1)


def dequantize(q, scale, zero_point):
    return scale * (q - zero_point)


# %% per_channel
# expect: the weight was changed: work on a copy
def quantize_per_channel(weight, bits):
    s = weight.flatten(1).abs().amax(1) / (2 ** (bits - 1) - 1)
    s = torch.where(s == 0, 1.0, s)
    return weight.div_(s.reshape(-1, *[1] * (weight.ndim - 1))).round_(), s


# %% kmeans
# expect: centroids were changed: work on a copy
def assign(values, centroids):
    return (values[..., None] - centroids).abs().argmin(-1)


def update(values, positions, centroids):
    for k in range(len(centroids)):
        m = values[positions == k]
        if len(m):
            centroids[k] = m.mean()
    return centroids


# %% binary_weight
# expect: the weight was changed: work on a copy
def binary_weight(weight):
    a = weight.abs().mean(tuple(range(1, weight.ndim)), keepdim=True)
    weight[weight == 0] = 1e-9
    return a * weight.sign()


# %% pack_bits
# expect: levels was changed: work on a copy
def pack_bits(levels, bits):
    t = ""
    while levels:
        t += f"{levels.pop(0):0{bits}b}"
    t += "0" * (-len(t) % 8)
    return [int(t[i : i + 8], 2) for i in range(0, len(t), 8)]


# %% lowest_bits
# expect: correct was changed: work on a copy
def lowest_bits(correct, allowed):
    top = correct.pop(32)
    best = 32
    for b in sorted(correct, reverse=True):
        if top - correct[b] > allowed:
            break
        best = b
    return best
