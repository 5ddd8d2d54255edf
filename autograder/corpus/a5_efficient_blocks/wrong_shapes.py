"""Axes, strides and special cases."""


# %% depthwise_separable
# expect: RuntimeError
def depthwise_separable(x, depthwise, pointwise, stride=1):
    k = depthwise.shape[-1]
    y = F.relu(F.conv2d(x, depthwise, stride=stride, padding=k // 2, groups=1))
    return F.relu(F.conv2d(y, pointwise, stride=1))


# %% inverted_residual
# expect: inverted_residual
def inverted_residual(x, expand, depthwise, project, stride=1):
    y = F.relu6(F.conv2d(x, expand))
    y = F.relu6(F.conv2d(y, depthwise, padding=1, groups=len(depthwise)))
    y = F.conv2d(y, project)
    return x + y if stride == 1 and y.shape == x.shape else y


# %% squeeze_excite
# expect: the hard sigmoid is missing
def squeeze_excite(x, reduce, restore):
    factors = F.relu(x.mean((2, 3)) @ reduce.T) @ restore.T
    return x * factors[:, :, None, None]


# %% channel_shuffle
# expect: shuffled twice
def channel_shuffle(x, groups):
    n, c, h, w = x.shape
    return F.channel_shuffle(F.channel_shuffle(x, groups), groups)


# %% fire
# expect: fire
def fire(x, squeeze, expand1, expand3):
    y = F.relu(F.conv2d(x, squeeze))
    parts = F.conv2d(y, expand1), F.conv2d(y, expand3, padding=1)
    return F.relu(parts[0] + parts[1][:, : parts[0].shape[1]])


# %% block_cost
# expect: positions rounded down
def block_cost(channels, expansion, size, stride=1):
    inner = channels[0] * expansion
    before = size[0] * size[1]
    after = (size[0] // stride) * (size[1] // stride)
    expand, depthwise, project = channels[0] * inner, 9 * inner, inner * channels[1]
    return {
        "params": expand + depthwise + project,
        "macs": before * expand + after * (depthwise + project),
    }


# %% round_channels
# expect: `divisor` ignored
def round_channels(channels, divisor=8):
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


# %% compound_scaling
# expect: the square of the resolution
def compound_scaling(budget, alpha=1.2, beta=1.1, gamma=1.15):
    growth, phi = alpha * beta**2 * gamma, 0
    while growth ** (phi + 1) <= budget:
        phi += 1
    return {
        "phi": phi,
        "depth": alpha**phi,
        "width": beta**phi,
        "resolution": gamma**phi,
        "macs": growth**phi,
    }


# %% svd_split
# expect: transposed
def svd_split(weight, rank):
    u, s, vh = torch.linalg.svd(weight, full_matrices=False)
    return u[:, :rank] * s[:rank], vh[:rank].T


# %% break_even_rank
# expect: break_even_rank
def break_even_rank(out_features, in_features):
    return out_features * in_features // (2 * (out_features + in_features))


# %% stored_parameters
# expect: the outermost layers only
def stored_parameters(model):
    own = {id(p): p.numel() for m in model for p in m._parameters.values() if p is not None}
    return sum(own.values())


# %% attention
# expect: along the wrong axis
def attention(q, k, v, heads=1, causal=False):
    n, t, dim = q.shape

    def split(x):
        return x.reshape(n, t, heads, dim // heads).transpose(1, 2)

    scores = split(q) @ split(k).transpose(2, 3) / (dim // heads) ** 0.5
    if causal:
        later = torch.ones(t, t, dtype=torch.bool).triu(1)
        scores = scores.masked_fill(later, float("-inf"))
    mixed = scores.softmax(-2) @ split(v)
    return mixed.transpose(1, 2).reshape(n, t, dim)
