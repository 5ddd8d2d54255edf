"""Right values, written over the caller's input; and two that look at the wrong property."""


# %% depthwise_separable
# expect: was changed
def depthwise_separable(x, depthwise, pointwise, stride=1):
    options = {"stride": stride, "padding": depthwise.shape[-1] // 2, "groups": len(depthwise)}
    y = F.relu(F.conv2d(F.relu(F.conv2d(x, depthwise, **options)), pointwise))
    x.zero_()
    return y


# %% inverted_residual
# expect: the input was changed
def inverted_residual(x, expand, depthwise, project, stride=1):
    y = F.relu6(F.conv2d(x, expand))
    y = F.relu6(F.conv2d(y, depthwise, stride=stride, padding=1, groups=len(depthwise)))
    y = F.conv2d(y, project)
    if x.shape == y.shape:
        x += y
        return x
    return y


# %% squeeze_excite
# expect: the input was changed
def squeeze_excite(x, reduce, restore):
    x *= F.hardsigmoid(F.relu(x.mean((2, 3)) @ reduce.T) @ restore.T)[:, :, None, None]
    return x


# %% channel_shuffle
# expect: the input was changed
def channel_shuffle(x, groups):
    order = torch.arange(x.shape[1]).reshape(groups, -1).T.flatten()
    x[:] = x[:, order]
    return x


# %% fire
# expect: was changed
def fire(x, squeeze, expand1, expand3):
    y = F.relu(F.conv2d(x, squeeze))
    x.clamp_(min=0)
    return F.relu(torch.cat((F.conv2d(y, expand1), F.conv2d(y, expand3, padding=1)), dim=1))


# %% block_cost
# expect: the addition of the input counted
def block_cost(channels, expansion, size, stride=1):
    inner = channels[0] * expansion
    before = size[0] * size[1]
    after = ((size[0] - 1) // stride + 1) * ((size[1] - 1) // stride + 1)
    expand, depthwise, project = channels[0] * inner, 9 * inner, inner * channels[1]
    macs = before * expand + after * (depthwise + project)
    if stride == 1 and channels[0] == channels[1]:
        macs += before * channels[0]
    return {"params": expand + depthwise + project, "macs": macs}


# %% svd_split
# expect: the weight was changed
def svd_split(weight, rank):
    a, b = [], []
    for _ in range(rank):
        u, s, vh = torch.linalg.svd(weight, full_matrices=False)
        a.append(u[:, 0] * s[0])
        b.append(vh[0])
        weight -= torch.outer(a[-1], b[-1])
    return torch.stack(a, 1), torch.stack(b)


# %% stored_parameters
# expect: frozen parameters forgotten
def stored_parameters(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


# %% attention
# expect: was changed
def attention(q, k, v, heads=1, causal=False):
    n, t, dim = q.shape
    q /= (dim // heads) ** 0.5
    q, k, v = (x.reshape(n, t, heads, -1).transpose(1, 2) for x in (q, k, v))
    scores = q @ k.transpose(2, 3)
    if causal:
        scores = scores.masked_fill(torch.ones(t, t).triu(1).bool(), float("-inf"))
    return (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, t, dim)
