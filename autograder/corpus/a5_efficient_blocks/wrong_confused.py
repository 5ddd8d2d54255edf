"""One thing is taken for another."""


# %% depthwise_separable
# expect: the activation at the end is missing
def depthwise_separable(x, depthwise, pointwise, stride=1):
    k = depthwise.shape[-1]
    y = F.relu(F.conv2d(x, depthwise, stride=stride, padding=k // 2, groups=len(depthwise)))
    return F.conv2d(y, pointwise, stride=1)


# %% inverted_residual
# expect: the activation after the expansion
def inverted_residual(x, expand, depthwise, project, stride=1):
    y = F.conv2d(x, expand)
    y = F.relu6(F.conv2d(y, depthwise, stride=stride, padding=1, groups=len(depthwise)))
    y = F.conv2d(y, project)
    return x + y if stride == 1 and y.shape == x.shape else y


# %% squeeze_excite
# expect: the largest value squeezed
def squeeze_excite(x, reduce, restore):
    factors = F.hardsigmoid(F.relu(x.amax((2, 3)) @ reduce.T) @ restore.T)
    return x * factors[:, :, None, None]


# %% channel_shuffle
# expect: in reverse
def channel_shuffle(x, groups):
    n, c, h, w = x.shape
    return x.flip(1)


# %% fire
# expect: the 3 x 3 part only
def fire(x, squeeze, expand1, expand3):
    y = F.relu(F.conv2d(x, squeeze))
    parts = F.conv2d(y, expand1), F.conv2d(y, expand3, padding=1)
    return F.relu(parts[1])


# %% block_cost
# expect: the stride already in the expansion
def block_cost(channels, expansion, size, stride=1):
    inner = channels[0] * expansion
    before = size[0] * size[1]
    after = ((size[0] - 1) // stride + 1) * ((size[1] - 1) // stride + 1)
    expand, depthwise, project = channels[0] * inner, 9 * inner, inner * channels[1]
    return {"params": expand + depthwise + project, "macs": after * (expand + depthwise + project)}


# %% round_channels
# expect: always rounded up
def round_channels(channels, divisor=8):
    rounded = -int(-channels // divisor) * divisor
    return rounded if rounded >= 0.9 * channels else rounded + divisor


# %% compound_scaling
# expect: the budget instead
def compound_scaling(budget, alpha=1.2, beta=1.1, gamma=1.15):
    growth, phi = alpha * beta**2 * gamma**2, 0
    while growth ** (phi + 1) <= budget:
        phi += 1
    return {
        "phi": phi,
        "depth": alpha**phi,
        "width": beta**phi,
        "resolution": gamma**phi,
        "macs": budget,
    }


# %% svd_split
# expect: in both factors
def svd_split(weight, rank):
    u, s, vh = torch.linalg.svd(weight, full_matrices=False)
    return u[:, :rank] * s[:rank], s[:rank, None] * vh[:rank]


# %% break_even_rank
# expect: rounded up
def break_even_rank(out_features, in_features):
    return -(-out_features * in_features // (out_features + in_features))


# %% stored_parameters
# expect: biases forgotten
def stored_parameters(model):
    return sum(p.numel() for name, p in model.named_parameters() if "bias" not in name)


# %% attention
# expect: does not see itself
def attention(q, k, v, heads=1, causal=False):
    n, t, dim = q.shape

    def split(x):
        return x.reshape(n, t, heads, dim // heads).transpose(1, 2)

    scores = split(q) @ split(k).transpose(2, 3) / (dim // heads) ** 0.5
    if causal:
        later = torch.ones(t, t, dtype=torch.bool).triu(0)
        scores = scores.masked_fill(later, -1e9)
    mixed = scores.softmax(-1) @ split(v)
    return mixed.transpose(1, 2).reshape(n, t, dim)
