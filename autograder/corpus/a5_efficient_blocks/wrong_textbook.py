"""The mistake that each question invites most."""


# %% depthwise_separable
# expect: the activation between the two is missing
def depthwise_separable(x, depthwise, pointwise, stride=1):
    k = depthwise.shape[-1]
    y = F.conv2d(x, depthwise, stride=stride, padding=k // 2, groups=len(depthwise))
    return F.relu(F.conv2d(y, pointwise, stride=1))


# %% inverted_residual
# expect: activation after the linear bottleneck
def inverted_residual(x, expand, depthwise, project, stride=1):
    y = F.relu6(F.conv2d(x, expand))
    y = F.relu6(F.conv2d(y, depthwise, stride=stride, padding=1, groups=len(depthwise)))
    y = F.relu6(F.conv2d(y, project))
    return x + y if stride == 1 and y.shape == x.shape else y


# %% squeeze_excite
# expect: the wrong axis
def squeeze_excite(x, reduce, restore):
    factors = F.hardsigmoid(F.relu(x.mean((0, 2, 3)) @ reduce.T) @ restore.T)
    return x * factors[:, None, None]


# %% channel_shuffle
# expect: the shuffle order
def channel_shuffle(x, groups):
    n, c, h, w = x.shape
    return x.reshape(n, c // groups, groups, h, w).transpose(1, 2).reshape(n, c, h, w)


# %% fire
# expect: ReLU after the squeeze
def fire(x, squeeze, expand1, expand3):
    y = F.conv2d(x, squeeze)
    parts = F.conv2d(y, expand1), F.conv2d(y, expand3, padding=1)
    return F.relu(torch.cat(parts, dim=1))


# %% block_cost
# expect: groups wrong
def block_cost(channels, expansion, size, stride=1):
    inner = channels[0] * expansion
    before = size[0] * size[1]
    after = ((size[0] - 1) // stride + 1) * ((size[1] - 1) // stride + 1)
    expand, depthwise, project = channels[0] * inner, 9 * inner**2, inner * channels[1]
    return {
        "params": expand + depthwise + project,
        "macs": before * expand + after * (depthwise + project),
    }


# %% round_channels
# expect: rounded down
def round_channels(channels, divisor=8):
    rounded = max(divisor, int(channels) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


# %% compound_scaling
# expect: the squares of width and resolution
def compound_scaling(budget, alpha=1.2, beta=1.1, gamma=1.15):
    growth, phi = alpha * beta * gamma, 0
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
# expect: not cut to the rank
def svd_split(weight, rank):
    u, s, vh = torch.linalg.svd(weight, full_matrices=False)
    return u * s, vh


# %% break_even_rank
# expect: as many weights is not fewer
def break_even_rank(out_features, in_features):
    return out_features * in_features // (out_features + in_features)


# %% stored_parameters
# expect: a tied weight counted twice
def stored_parameters(model):
    return sum(
        sum(p.numel() for p in m._parameters.values() if p is not None) for m in model.modules()
    )


# %% attention
# expect: not divided by the root of d
def attention(q, k, v, heads=1, causal=False):
    n, t, dim = q.shape

    def split(x):
        return x.reshape(n, t, heads, dim // heads).transpose(1, 2)

    scores = split(q) @ split(k).transpose(2, 3)
    if causal:
        later = torch.ones(t, t, dtype=torch.bool).triu(1)
        scores = scores.masked_fill(later, float("-inf"))
    mixed = scores.softmax(-1) @ split(v)
    return mixed.transpose(1, 2).reshape(n, t, dim)
