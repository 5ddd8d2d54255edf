"""A step is left out."""


# %% depthwise_separable
# expect: the stride is ignored
def depthwise_separable(x, depthwise, pointwise, stride=1):
    k = depthwise.shape[-1]
    y = F.relu(F.conv2d(x, depthwise, stride=1, padding=k // 2, groups=len(depthwise)))
    return F.relu(F.conv2d(y, pointwise, stride=1))


# %% inverted_residual
# expect: the input is not added
def inverted_residual(x, expand, depthwise, project, stride=1):
    y = F.relu6(F.conv2d(x, expand))
    y = F.relu6(F.conv2d(y, depthwise, stride=stride, padding=1, groups=len(depthwise)))
    y = F.conv2d(y, project)
    return y


# %% squeeze_excite
# expect: not the hard one
def squeeze_excite(x, reduce, restore):
    factors = torch.sigmoid(F.relu(x.mean((2, 3)) @ reduce.T) @ restore.T)
    return x * factors[:, :, None, None]


# %% channel_shuffle
# expect: not reordered
def channel_shuffle(x, groups):
    n, c, h, w = x.shape
    return x.reshape(n, groups, c // groups, h, w).reshape(n, c, h, w)


# %% fire
# expect: in the wrong order
def fire(x, squeeze, expand1, expand3):
    y = F.relu(F.conv2d(x, squeeze))
    parts = F.conv2d(y, expand1), F.conv2d(y, expand3, padding=1)
    return F.relu(torch.cat(parts[::-1], dim=1))


# %% block_cost
# expect: the expansion is missing
def block_cost(channels, expansion, size, stride=1):
    inner = channels[0] * expansion
    before = size[0] * size[1]
    after = ((size[0] - 1) // stride + 1) * ((size[1] - 1) // stride + 1)
    expand, depthwise, project = 0, 9 * inner, inner * channels[1]
    return {
        "params": expand + depthwise + project,
        "macs": before * expand + after * (depthwise + project),
    }


# %% round_channels
# expect: never below 90 % is missing
def round_channels(channels, divisor=8):
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded


# %% compound_scaling
# expect: the first step above
def compound_scaling(budget, alpha=1.2, beta=1.1, gamma=1.15):
    growth, phi = alpha * beta**2 * gamma**2, 0
    while growth**phi <= budget:
        phi += 1
    return {
        "phi": phi,
        "depth": alpha**phi,
        "width": beta**phi,
        "resolution": gamma**phi,
        "macs": growth**phi,
    }


# %% svd_split
# expect: the singular values are missing
def svd_split(weight, rank):
    u, s, vh = torch.linalg.svd(weight, full_matrices=False)
    return u[:, :rank], vh[:rank]


# %% break_even_rank
# expect: half of the smaller side
def break_even_rank(out_features, in_features):
    return min(out_features, in_features) // 2


# %% stored_parameters
# expect: each use of a shared
def stored_parameters(model):
    if not list(model.children()):
        return sum(p.numel() for p in model.parameters())
    return sum(stored_parameters(child) for child in model._modules.values())


# %% attention
# expect: the heads are ignored
def attention(q, k, v, heads=1, causal=False):
    n, t, dim = q.shape

    def split(x):
        return x.reshape(n, t, 1, dim).transpose(1, 2)

    scores = split(q) @ split(k).transpose(2, 3) / dim**0.5
    if causal:
        later = torch.ones(t, t, dtype=torch.bool).triu(1)
        scores = scores.masked_fill(later, float("-inf"))
    mixed = scores.softmax(-1) @ split(v)
    return mixed.transpose(1, 2).reshape(n, t, dim)
