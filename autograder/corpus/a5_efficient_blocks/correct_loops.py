"""Loops over channels, groups, heads and tokens."""


# %% depthwise_separable
def depthwise_separable(x, depthwise, pointwise, stride=1):
    pad = depthwise.shape[-1] // 2
    maps = [
        F.conv2d(x[:, c : c + 1], depthwise[c : c + 1], stride=stride, padding=pad).relu()
        for c in range(x.shape[1])
    ]
    out = []
    for d in range(pointwise.shape[0]):
        total = 0
        for c, image in enumerate(maps):
            total = total + pointwise[d, c, 0, 0] * image
        out.append(total.relu())
    return torch.cat(out, dim=1)


# %% inverted_residual
class _Cut(nn.Module):
    def forward(self, x):
        return torch.minimum(torch.maximum(x, torch.tensor(0.0)), torch.tensor(6.0))


def inverted_residual(x, expand, depthwise, project, stride=1):
    e, c = expand.shape[:2]
    d = project.shape[0]
    block = nn.Sequential(
        nn.Conv2d(c, e, 1, bias=False),
        _Cut(),
        nn.Conv2d(e, e, 3, stride, 1, groups=e, bias=False),
        _Cut(),
        nn.Conv2d(e, d, 1, bias=False),
    )
    for index, weight in ((0, expand), (2, depthwise), (4, project)):
        block[index].weight.data = weight
    y = block(x).detach()
    return y.add(x) if (stride, c) == (1, d) else y


# %% squeeze_excite
def squeeze_excite(x, reduce, restore):
    out = torch.empty_like(x)
    for n, image in enumerate(x):
        means = torch.stack([channel.mean() for channel in image])
        inner = [max(0.0, float(row @ means)) for row in reduce]
        for c in range(len(image)):
            gate = sum(float(restore[c, r]) * value for r, value in enumerate(inner))
            out[n, c] = image[c] * min(max(gate + 3, 0), 6) / 6
    return out


# %% channel_shuffle
def channel_shuffle(x, groups):
    size = x.shape[1] // groups
    order = []
    for member in range(size):
        for group in range(groups):
            order.append(group * size + member)
    return x[:, order]


# %% fire
def fire(x, squeeze, expand1, expand3):
    y = nn.functional.relu(nn.functional.conv2d(x, squeeze))
    left = nn.functional.relu(nn.functional.conv2d(y, expand1))
    right = nn.functional.relu(nn.functional.conv2d(F.pad(y, (1, 1, 1, 1)), expand3))
    return torch.concat((left, right), 1)


# %% block_cost
def block_cost(channels, expansion, size, stride=1):
    inside = expansion * channels[0]
    weights = [channels[0] * inside, 9 * inside, inside * channels[1]]
    rows = len(range(0, size[0], stride))
    columns = len(range(0, size[1], stride))
    places = [size[0] * size[1], rows * columns, rows * columns]
    macs = 0
    for weight, place in zip(weights, places):
        macs += weight * place
    return {"params": sum(weights), "macs": float(macs)}


# %% round_channels
def round_channels(channels, divisor=8):
    best = divisor
    k = 1
    while k * divisor <= channels + divisor:
        candidate = k * divisor
        if abs(candidate - channels) <= abs(best - channels):
            best = candidate
        k += 1
    if best < 0.9 * channels:
        best += divisor
    return best


# %% compound_scaling
def compound_scaling(budget, alpha=1.2, beta=1.1, gamma=1.15):
    phi, depth, width, resolution, macs = 0, 1.0, 1.0, 1.0, 1.0
    while True:
        d, w, r = depth * alpha, width * beta, resolution * gamma
        if d * w * w * r * r > budget * (1 + 1e-12):
            break
        phi, depth, width, resolution, macs = phi + 1, d, w, r, d * w * w * r * r
    return {"phi": phi, "depth": depth, "width": width, "resolution": resolution, "macs": macs}


# %% svd_split
import numpy as np


def svd_split(weight, rank):
    values, vectors = np.linalg.eigh(weight.double().numpy().T @ weight.double().numpy())
    basis = vectors[:, np.argsort(values)[::-1][:rank]]
    return weight.double().numpy() @ basis, basis.T


# %% break_even_rank
def break_even_rank(out_features, in_features):
    best = 0
    for rank in range(1, min(out_features, in_features) + 1):
        if rank * out_features + rank * in_features < out_features * in_features:
            best = rank
    return best


# %% stored_parameters
def stored_parameters(model):
    seen, total = set(), 0
    for parameter in model.parameters():
        if parameter.data_ptr() not in seen:
            seen.add(parameter.data_ptr())
            total += parameter.numel()
    return total


# %% attention
import math


def attention(q, k, v, heads=1, causal=False):
    n, t, dim = q.shape
    d = dim // heads
    out = torch.zeros(n, t, dim)
    for image in range(n):
        for h in range(heads):
            part = slice(h * d, (h + 1) * d)
            for i in range(t):
                last = i + 1 if causal else t
                scores = [
                    float(q[image, i, part] @ k[image, j, part]) / math.sqrt(d)
                    for j in range(last)
                ]
                top = max(scores)
                weights = [math.exp(s - top) for s in scores]
                for j, weight in enumerate(weights):
                    out[image, i, part] += weight / sum(weights) * v[image, j, part]
    return out
