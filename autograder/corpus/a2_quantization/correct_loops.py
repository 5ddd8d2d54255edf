"""Everything value by value, in plain Python."""


# %% affine_params
def affine_params(low, high, bits):
    if low > 0:
        low = 0.0
    if high < 0:
        high = 0.0
    if low == 0 and high == 0:
        return (1, 0)
    steps = (1 << bits) - 1
    width = high - low
    zero = int((0 - low) * steps / width + 0.5)
    return [width / steps, zero]


# %% quantize
import math


def quantize(x, scale, zero_point, bits):
    def one(value):
        level = math.floor(value / scale + 0.5) + zero_point
        if level < 0:
            return 0
        if level > 2**bits - 1:
            return 2**bits - 1
        return level

    def walk(part):
        return [walk(each) for each in part] if isinstance(part, list) else one(part)

    return walk(x.tolist())


def dequantize(q, scale, zero_point):
    out = torch.empty(q.shape)
    flat, source = out.view(-1), q.reshape(-1)
    for i in range(len(source)):
        flat[i] = scale * (int(source[i]) - zero_point)
    return out


# %% per_channel
def quantize_per_channel(weight, bits):
    scales, levels = [], []
    for channel in weight:
        values = channel.reshape(-1).tolist()
        largest = max(abs(value) for value in values)
        scale = largest / (2 ** (bits - 1) - 1)
        if scale == 0:
            scale = 1.0
        scales.append(scale)
        levels.append([round(value / scale) for value in values])
    return torch.tensor(levels).reshape(weight.shape), scales


# %% kmeans
def assign(values, centroids):
    table = centroids.tolist()

    def nearest(value):
        best = 0
        for k, centre in enumerate(table):
            if abs(value - centre) < abs(value - table[best]):
                best = k
        return best

    return torch.tensor([nearest(v) for v in values.flatten().tolist()]).view(values.shape)


def update(values, positions, centroids):
    sums, counts = [0.0] * len(centroids), [0] * len(centroids)
    for value, k in zip(values.flatten().tolist(), positions.flatten().tolist()):
        sums[k] += value
        counts[k] += 1
    return [
        sums[k] / counts[k] if counts[k] else float(centroids[k]) for k in range(len(centroids))
    ]


# %% codebook_bytes
def codebook_bytes(count, centroids, value_bits=32):
    bits = 0
    while 2**bits < centroids:
        bits += 1
    total_bits = count * bits
    positions = total_bits // 8 + (1 if total_bits % 8 else 0)
    return {"positions": positions, "total": positions + centroids * (value_bits / 8)}


# %% calibrate
def calibrate(batches):
    low, high = float("inf"), float("-inf")
    for batch in batches:
        for value in batch.flatten().tolist():
            low = value if value < low else low
            high = value if value > high else high
    return [low, high]


# %% integer_linear
def bias_to_int(bias, x_scale, weight_scales):
    return [round(float(b) / (float(s) * x_scale)) for b, s in zip(bias, weight_scales)]


def integer_linear(q_x, x_zero, q_weight, q_bias, multiplier, y_zero):
    rows = []
    for x in q_x.tolist():
        row = []
        for w, b, m in zip(q_weight.tolist(), q_bias.tolist(), multiplier.tolist()):
            total = b
            for i in range(len(x)):
                total += w[i] * (x[i] - x_zero)
            row.append(max(0, min(255, round(total * m) + y_zero)))
        rows.append(row)
    return rows


# %% fake_quantize
class Staircase(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale, zero_point, bits):
        levels = torch.round(x / scale) + zero_point
        last = 2**bits - 1
        ctx.save_for_backward((levels >= 0) & (levels <= last))
        return (levels.clamp(0, last) - zero_point) * scale

    @staticmethod
    def backward(ctx, above):
        (inside,) = ctx.saved_tensors
        return above * inside, None, None, None


def fake_quantize(x, scale, zero_point, bits):
    return Staircase.apply(x, scale, zero_point, bits)


# %% binary_weight
def binary_weight(weight):
    out = torch.empty_like(weight)
    for o in range(weight.shape[0]):
        alpha = sum(abs(v) for v in weight[o].flatten().tolist()) / weight[o].numel()
        for i, v in enumerate(weight[o].flatten().tolist()):
            out[o].view(-1)[i] = alpha if v >= 0 else -alpha
    return out


# %% pack_bits
def pack_bits(levels, bits):
    row = []
    for level in levels:
        for place in range(bits - 1, -1, -1):
            row.append((level >> place) & 1)
    while len(row) % 8:
        row.append(0)
    out = []
    for start in range(0, len(row), 8):
        byte = 0
        for bit in row[start : start + 8]:
            byte = 2 * byte + bit
        out.append(byte)
    return out


# %% lowest_bits
def lowest_bits(correct, allowed):
    widths = sorted(correct)
    while widths[:-1]:
        now = widths.pop()
        if correct[widths[-1]] < correct[32] - allowed:
            return now
    return widths[0]
