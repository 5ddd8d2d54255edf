"""Another slip for each answer of wrong_narrow.py that has a second one."""


# %% scores
# expect: weight or curvature was changed
def magnitude(weight):
    return weight.abs()


def taylor(weight, gradient):
    return (weight * gradient).abs()


def obd(weight, curvature):
    return curvature.mul_(weight).mul_(weight) / 2


# %% prune_mask
# expect: rounded up
import math


def prune_mask(scores, sparsity):
    flat = scores.flatten()
    mask = torch.ones(len(flat), dtype=torch.bool)
    count = math.ceil(sparsity * len(flat) - 1e-6)
    mask[flat.argsort(stable=True)[:count]] = False
    return mask.reshape(scores.shape)


# %% make_masks
# expect: scores was changed
def make_masks(scores, sparsity, scope):
    every = torch.cat([score.flatten() for score in scores.values()]).sort().values
    for name, score in scores.items():
        own = score.flatten().sort().values if scope == "layer" else every
        scores[name] = score >= own[round(sparsity * len(own))]
    return scores


# %% train_masked
# expect: the gradient times 1 - momentum
def train_masked(weight, mask, inputs, targets, steps, rate, momentum):
    weight, velocity = weight * mask, torch.zeros_like(weight)
    for _ in range(steps):
        residual = inputs @ weight.T - targets
        gradient = 2 * residual.T @ inputs / residual.numel()
        velocity = momentum * velocity + (1 - momentum) * gradient
        weight = (weight - rate * velocity) * mask
    return weight


# %% sensitivity
# expect: a submodule inside another
import copy


def sensitivity(model, masks, inputs, labels):
    found = {}
    for name, choices in masks.items():
        found[name] = []
        for mask in choices:
            net = copy.deepcopy(model)
            getattr(net, name).weight.data *= mask
            right = net(inputs).argmax(1) == labels
            found[name].append(right.float().mean().item())
    return found


# %% bitmask_bytes
# expect: the list of weights was changed
def bitmask_bytes(count, nonzeros, value_bits):
    return (count + 7) // 8 + (nonzeros * value_bits + 7) // 8


def relative_bytes(weights, index_bits, value_bits):
    while weights and weights[-1] == 0:
        weights.pop()
    entries, gap = 0, 0
    for weight in weights:
        gap = 0 if weight else gap + 1
        entries += bool(weight) or gap % 2**index_bits == 0
    return (entries * index_bits + 7) // 8 + (entries * value_bits + 7) // 8


# %% shrink_flatten
# expect: a block begins at k * positions
def shrink_flatten(weight, keep, positions):
    return torch.cat([weight[:, k : k + positions] for k in keep], 1)
