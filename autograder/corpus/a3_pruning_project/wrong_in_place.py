"""The right values, but an argument is changed on the way."""


# %% scores
# expect: must not change weight
def magnitude(weight):
    return weight.abs_()


def taylor(weight, gradient):
    return weight.mul_(gradient).abs_()


def obd(weight, curvature):
    return curvature * weight**2 / 2


# %% prune_mask
# expect: must not change scores
def prune_mask(scores, sparsity):
    f = scores.view(-1)
    k = round(sparsity * f.numel())
    m = torch.ones(f.numel(), dtype=torch.bool)
    m[f.argsort(stable=True)[:k]] = False
    f[~m] = 0
    return m.view(scores.shape)


# %% train_masked
# expect: must not change weight
def train_masked(weight, mask, inputs, targets, steps, rate, momentum):
    weight *= mask
    v = torch.zeros_like(weight)
    w = weight
    for _ in range(steps):
        v = momentum * v + 2 * (inputs @ w.T - targets).T @ inputs / targets.numel()
        w = (w - rate * v) * mask
    return w


# %% shrink_conv
# expect: must not change state
def shrink_conv(state, keep):
    for k in list(state):
        if k == "conv2.weight":
            state[k] = state[k][:, keep]
        elif k != "conv2.bias":
            state[k] = state[k][keep]
    return state


# %% sensitivity
# expect: the model was changed
def sensitivity(model, masks, inputs, labels):
    r = {}
    for n, ms in masks.items():
        w = model.get_submodule(n).weight
        s = w.detach().clone()
        r[n] = []
        for m in ms:
            w.data = s * m
            r[n].append((model(inputs).argmax(1) == labels).float().mean().item())
    return r
