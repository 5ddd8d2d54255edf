"""torch.nn.functional, written another way."""


# %% depthwise_separable
def depthwise_separable(x, depthwise, pointwise, stride=1):
    channels, _, k, _ = depthwise.shape
    y = torch.conv2d(x, depthwise, None, stride, k // 2, 1, channels).clamp(min=0)
    return torch.einsum("nchw,dc->ndhw", y, pointwise[:, :, 0, 0]).clamp(min=0)


# %% inverted_residual
def inverted_residual(x, expand, depthwise, project, stride=1):
    y = torch.conv2d(x, expand).clamp(0, 6)
    y = torch.conv2d(y, depthwise, None, stride, 1, 1, y.shape[1]).clamp(0, 6)
    y = torch.conv2d(y, project)
    if stride == 1 and project.shape[0] == x.shape[1]:
        y = y + x
    return y


# %% squeeze_excite
def squeeze_excite(x, reduce, restore):
    n, c = x.shape[:2]
    pooled = F.adaptive_avg_pool2d(x, 1).view(n, c)
    gates = (F.linear(F.linear(pooled, reduce).relu(), restore) + 3).clamp(0, 6) / 6
    return torch.einsum("nchw,nc->nchw", x, gates)


# %% channel_shuffle
def channel_shuffle(x, groups):
    return F.channel_shuffle(x, groups)


# %% fire
def fire(x, squeeze, expand1, expand3):
    y = F.conv2d(x, squeeze).relu()
    wide = torch.zeros(*expand1.shape[:2], 3, 3)
    wide[:, :, 1, 1] = expand1[:, :, 0, 0]
    return F.conv2d(y, torch.cat([wide, expand3]), padding=1).relu()


# %% block_cost
def block_cost(channels, expansion, size, stride=1):
    c, d = channels
    e = c * expansion
    out = [-(-side // stride) for side in size]
    return {
        "params": e * (c + 9 + d),
        "macs": e * (c * size[0] * size[1] + (9 + d) * out[0] * out[1]),
    }


# %% round_channels
import math


def round_channels(channels, divisor=8):
    rounded = math.floor(channels / divisor + 0.5) * divisor
    if rounded < divisor:
        rounded = divisor
    while rounded < 0.9 * channels:
        rounded += divisor
    return rounded


# %% compound_scaling
import math


def compound_scaling(budget, alpha=1.2, beta=1.1, gamma=1.15):
    growth = alpha * beta**2 * gamma**2
    phi = int(math.log(budget) / math.log(growth) + 1e-12)
    return dict(
        phi=phi, depth=alpha**phi, width=beta**phi, resolution=gamma**phi, macs=growth**phi
    )


# %% svd_split
def svd_split(weight, rank):
    u, s, v = torch.svd(weight)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, (v[:, :rank] * root).T


# %% break_even_rank
def break_even_rank(out_features, in_features):
    rank = 0
    while (rank + 1) * (out_features + in_features) < out_features * in_features:
        rank += 1
    return rank


# %% stored_parameters
def stored_parameters(model):
    seen = {
        id(p): p.numel()
        for module in model.modules()
        for p in module._parameters.values()
        if p is not None
    }
    return sum(seen.values())


# %% attention
def attention(q, k, v, heads=1, causal=False):
    def split(x):
        return torch.stack(x.chunk(heads, dim=-1), dim=1)

    mixed = F.scaled_dot_product_attention(split(q), split(k), split(v), is_causal=causal)
    return torch.cat(mixed.unbind(1), dim=-1)
