"""With the course's own library where it has the function, float64 elsewhere."""

# %% affine_params
from course_lib import quantize as _quantize


def affine_params(low, high, bits):
    if low == high == 0:
        return 1.0, 0
    scale = (max(high, 0) - min(low, 0)) / (2**bits - 1)
    return torch.tensor(scale, dtype=torch.float64), torch.tensor(round(-min(low, 0) / scale))


# %% quantize
def quantize(x, scale, zero_point, bits):
    last = 2**bits - 1
    return torch.clip(torch.round(x.double().div(scale).add(zero_point)), min=0, max=last)


def dequantize(q, scale, zero_point):
    return q.double().sub(zero_point).mul(scale)


# %% per_channel
def quantize_per_channel(weight, bits):
    last = 2 ** (bits - 1) - 1
    rest = tuple(range(1, weight.ndim))
    scales = torch.amax(abs(weight.double()), dim=rest, keepdim=True) / last
    scales[scales == 0] = 1
    q = (weight.double() / scales).round().clamp(-last, last).to(torch.int8)
    return q, scales.flatten()


# %% kmeans
def assign(values, centroids):
    points = values.reshape(-1, 1).double()
    return torch.cdist(points, centroids.reshape(-1, 1).double()).argmin(1).view(values.shape)


def update(values, positions, centroids):
    member = torch.nn.functional.one_hot(positions.flatten(), len(centroids)).double()
    sizes = member.sum(0)
    means = values.flatten().double() @ member / sizes
    return torch.where(sizes == 0, centroids.double(), means)


# %% codebook_bytes
from course_lib import codec


def codebook_bytes(count, centroids, value_bits=32):
    bits = len(f"{centroids - 1:b}") if centroids > 1 else 0
    packed = len(codec.pack(torch.zeros(count, dtype=torch.int64), bits)) if bits else 0
    return {"positions": packed, "total": packed + value_bits * centroids / 8}


# %% calibrate
from functools import reduce


def calibrate(batches):
    low = reduce(torch.minimum, (batch.amin() for batch in batches))
    return low, reduce(torch.maximum, (batch.amax() for batch in batches))


# %% integer_linear
def bias_to_int(bias, x_scale, weight_scales):
    return bias.double().div(weight_scales.double() * x_scale).round().int()


def integer_linear(q_x, x_zero, q_weight, q_bias, multiplier, y_zero):
    w = q_weight.int()
    correction = q_bias.int() - x_zero * w.sum(1, dtype=torch.int32)  # once, ahead of time
    total = (q_x.double() @ w.double().T).int() + correction
    return torch.clamp(torch.round(total * multiplier) + y_zero, 0, 255).to(torch.int64)


# %% fake_quantize
def fake_quantize(x, scale, zero_point, bits):
    return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, 0, 2**bits - 1)


# %% binary_weight
from course_lib import binary


def binary_weight(weight):
    return binary.binary_weight(weight)


# %% pack_bits
from course_lib import codec


def pack_bits(levels, bits):
    return list(codec.pack(torch.tensor(levels, dtype=torch.int64), bits))


# %% lowest_bits
from itertools import takewhile


def lowest_bits(correct, allowed):
    order = sorted(correct.items(), reverse=True)
    return list(takewhile(lambda item: correct[32] - item[1] <= allowed, order))[-1][0]
