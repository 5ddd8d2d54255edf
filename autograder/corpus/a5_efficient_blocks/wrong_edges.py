"""Right in general, wrong where two numbers are equal or at the end of a range."""


# %% squeeze_excite
# expect: not cut at 0
def squeeze_excite(x, reduce, restore):
    factors = (F.relu(x.mean((2, 3)) @ reduce.T) @ restore.T + 3).clamp(max=6) / 6
    return x * factors[:, :, None, None]


# %% block_cost
# expect: block_cost
def block_cost(channels, expansion, size, stride=1):
    inner = channels[0] * expansion
    before = size[0] * size[1]
    after = ((size[0] - 1) // stride + 1) * ((size[1] - 1) // stride + 1)
    expand = 0 if expansion == 1 else channels[0] * inner
    depthwise, project = 9 * inner, inner * channels[1]
    return {
        "params": expand + depthwise + project,
        "macs": before * expand + after * (depthwise + project),
    }


# %% round_channels
# expect: exactly 90 % is enough
def round_channels(channels, divisor=8):
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded <= 0.9 * channels else rounded


# %% compound_scaling
# expect: the whole budget is within it
def compound_scaling(budget, alpha=1.2, beta=1.1, gamma=1.15):
    growth, phi = alpha * beta**2 * gamma**2, 0
    while growth ** (phi + 1) < budget:
        phi += 1
    return {
        "phi": phi,
        "depth": alpha**phi,
        "width": beta**phi,
        "resolution": gamma**phi,
        "macs": growth**phi,
    }


# %% break_even_rank
# expect: break_even_rank
def break_even_rank(out_features, in_features):
    return (out_features * in_features - 2) // (out_features + in_features)


# %% stored_parameters
# expect: tensors of equal values counted once
def stored_parameters(model):
    values = {tuple(parameter.flatten().tolist()) for parameter in model.parameters()}
    return sum(len(each) for each in values)
