"""A detail is wrong."""


# %% depthwise_separable
# expect: padded input size
def depthwise_separable(x, depthwise, pointwise, stride=1):
    k = depthwise.shape[-1]
    y = F.relu(F.conv2d(x, depthwise, stride=stride, padding=0, groups=len(depthwise)))
    return F.relu(F.conv2d(y, pointwise, stride=1))


# %% inverted_residual
# expect: ReLU instead of ReLU6
def inverted_residual(x, expand, depthwise, project, stride=1):
    y = F.relu(F.conv2d(x, expand))
    y = F.relu(F.conv2d(y, depthwise, stride=stride, padding=1, groups=len(depthwise)))
    y = F.conv2d(y, project)
    return x + y if stride == 1 and y.shape == x.shape else y


# %% squeeze_excite
# expect: ReLU between the layers
def squeeze_excite(x, reduce, restore):
    factors = F.hardsigmoid((x.mean((2, 3)) @ reduce.T) @ restore.T)
    return x * factors[:, :, None, None]


# %% channel_shuffle
# expect: the groups swapped as a whole
def channel_shuffle(x, groups):
    n, c, h, w = x.shape
    return x.reshape(n, groups, c // groups, h, w).flip(1).reshape(n, c, h, w)


# %% fire
# expect: ReLU at the end
def fire(x, squeeze, expand1, expand3):
    y = F.relu(F.conv2d(x, squeeze))
    parts = F.conv2d(y, expand1), F.conv2d(y, expand3, padding=1)
    return torch.cat(parts, dim=1)


# %% block_cost
# expect: the stride is ignored
def block_cost(channels, expansion, size, stride=1):
    inner = channels[0] * expansion
    before = size[0] * size[1]
    after = before
    expand, depthwise, project = channels[0] * inner, 9 * inner, inner * channels[1]
    return {
        "params": expand + depthwise + project,
        "macs": before * expand + after * (depthwise + project),
    }


# %% round_channels
# expect: never below one divisor
def round_channels(channels, divisor=8):
    rounded = int(channels + divisor / 2) // divisor * divisor
    return rounded if rounded >= 0.9 * channels or rounded == 0 else rounded + divisor


# %% compound_scaling
# expect: depth and width swapped
def compound_scaling(budget, alpha=1.2, beta=1.1, gamma=1.15):
    growth, phi = alpha * beta**2 * gamma**2, 0
    while growth ** (phi + 1) <= budget:
        phi += 1
    return {
        "phi": phi,
        "depth": beta**phi,
        "width": alpha**phi,
        "resolution": gamma**phi,
        "macs": growth**phi,
    }


# %% svd_split
# expect: the smallest singular values
def svd_split(weight, rank):
    u, s, vh = torch.linalg.svd(weight, full_matrices=False)
    return u[:, -rank:] * s[-rank:], vh[-rank:]


# %% break_even_rank
# expect: the smaller side
def break_even_rank(out_features, in_features):
    return min(out_features, in_features)


# %% stored_parameters
# expect: buffers counted
def stored_parameters(model):
    return sum(p.numel() for p in model.parameters()) + sum(b.numel() for b in model.buffers())


# %% attention
# expect: divided by d, not by its root
def attention(q, k, v, heads=1, causal=False):
    n, t, dim = q.shape

    def split(x):
        return x.reshape(n, t, heads, dim // heads).transpose(1, 2)

    scores = split(q) @ split(k).transpose(2, 3) / (dim // heads)
    if causal:
        later = torch.ones(t, t, dtype=torch.bool).triu(1)
        scores = scores.masked_fill(later, float("-inf"))
    mixed = scores.softmax(-1) @ split(v)
    return mixed.transpose(1, 2).reshape(n, t, dim)
