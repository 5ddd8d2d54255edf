"""Right while nothing exceeds 6; and a divisor whose half is not whole."""


# %% depthwise_separable
# expect: ReLU6 instead of ReLU
def depthwise_separable(x, depthwise, pointwise, stride=1):
    k = depthwise.shape[-1]
    options = {"stride": stride, "padding": k // 2, "groups": len(depthwise)}
    return F.relu6(F.conv2d(F.relu6(F.conv2d(x, depthwise, **options)), pointwise))


# %% inverted_residual
# expect: activation after the sum
def inverted_residual(x, expand, depthwise, project, stride=1):
    y = F.relu6(F.conv2d(x, expand))
    y = F.relu6(F.conv2d(y, depthwise, stride=stride, padding=1, groups=len(depthwise)))
    y = F.conv2d(y, project)
    return F.relu6(x + y) if stride == 1 and y.shape == x.shape else y


# %% squeeze_excite
# expect: ReLU6 instead of ReLU
def squeeze_excite(x, reduce, restore):
    factors = F.hardsigmoid(F.relu6(x.mean((2, 3)) @ reduce.T) @ restore.T)
    return x * factors[:, :, None, None]


# %% fire
# expect: ReLU6 after the squeeze
def fire(x, squeeze, expand1, expand3):
    y = F.relu6(F.conv2d(x, squeeze))
    parts = F.conv2d(y, expand1), F.conv2d(y, expand3, padding=1)
    return F.relu(torch.cat(parts, dim=1))


# %% round_channels
# expect: half of an odd
def round_channels(channels, divisor=8):
    rounded = max(divisor, int(channels + divisor // 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


# %% compound_scaling
# expect: every step taken to double
def compound_scaling(budget, alpha=1.2, beta=1.1, gamma=1.15):
    phi = int(budget).bit_length() - 1
    return {
        "phi": phi,
        "depth": alpha**phi,
        "width": beta**phi,
        "resolution": gamma**phi,
        "macs": (alpha * beta**2 * gamma**2) ** phi,
    }
