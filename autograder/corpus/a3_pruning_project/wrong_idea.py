"""Another idea of what was asked."""


# %% scores
# expect: squared
def magnitude(weight):
    return weight.square()


def taylor(weight, gradient):
    return (weight * gradient).square()


def obd(weight, curvature):
    return curvature * weight**2 / 2


# %% prune_mask
# expect: of equals the last ones went
def prune_mask(scores, sparsity):
    flat = scores.flatten().flip(0)
    return prune.make_mask(flat, sparsity).flip(0).reshape(scores.shape)


# %% make_masks
# expect: one too few
def make_masks(scores, sparsity, scope):
    masks = {}
    for name, score in scores.items():
        values = score.flatten()
        if scope == "global":
            values = torch.cat([each.flatten() for each in scores.values()])
        count = round(sparsity * len(values))
        threshold = values.sort().values[count - 1]
        masks[name] = score >= threshold
    return masks


# %% cubic
# expect: not held after `end`
def one_shot(step, final, at):
    return final if step >= at else 0.0


def iterative(number, rounds, final):
    return 1 - (1 - final) ** (number / rounds)


def cubic(step, initial, final, begin, end):
    part = max((step - begin) / (end - begin), 0)
    return final + (initial - final) * (1 - part) ** 3


# %% train_masked
# expect: not masked before the first step
def train_masked(weight, mask, inputs, targets, steps, rate, momentum):
    velocity = torch.zeros_like(weight)
    for _ in range(steps):
        residual = inputs @ weight.T - targets
        gradient = 2 * residual.T @ inputs / residual.numel()
        velocity = momentum * velocity + gradient
        weight = (weight - rate * velocity) * mask
    return weight


# %% sensitivity
# expect: all layers pruned at once
def sensitivity(model, masks, inputs, labels):
    found = {name: [] for name in masks}
    for level in range(len(next(iter(masks.values())))):
        chosen = {f"{name}.weight": each[level] for name, each in masks.items()}
        right = prune.apply_masks(model, chosen)(inputs).argmax(1) == labels
        for name in masks:
            found[name].append(right.float().mean().item())
    return found


# %% shrink_conv
# expect: set to zero, not removed
def shrink_conv(state, keep):
    stays = torch.zeros(len(state["conv1.bias"]))
    stays[keep] = 1
    smaller = dict(state)
    smaller["conv1.weight"] = state["conv1.weight"] * stays[:, None, None, None]
    smaller["conv1.bias"] = state["conv1.bias"] * stays
    return smaller


# %% shrink_flatten
# expect: the channels to keep removed
def shrink_flatten(weight, keep, positions):
    maps = weight.reshape(len(weight), -1, positions)
    others = [c for c in range(maps.shape[1]) if c not in keep]
    return maps[:, others].flatten(1)


# %% bitmask_bytes
# expect: a filler stands for a zero, too
def bitmask_bytes(count, nonzeros, value_bits):
    return (count + 7) // 8 + (nonzeros * value_bits + 7) // 8


def relative_bytes(weights, index_bits, value_bits):
    entries, gap = 0, 0
    for weight in weights:
        if weight == 0:
            gap += 1
        else:
            entries += 1 + gap // (2**index_bits - 1)
            gap = 0
    return (entries * index_bits + 7) // 8 + (entries * value_bits + 7) // 8


# %% code_lengths
# expect: log2 rounded up
def code_lengths(counts):
    import math

    total = sum(counts)
    return [max(math.ceil(math.log2(total / count)), 1) if count else 0 for count in counts]


# %% codewords
# expect: symbols without a code left out
def codewords(lengths):
    used = [bits for bits in lengths if bits]
    codes = codec.canonical_codes(used)
    return [format(int(code), f"0{bits}b") for code, bits in zip(codes, used, strict=True)]


def decode(bits, codes):
    symbols, read = [], ""
    for bit in bits:
        read += bit
        if read in codes:
            symbols.append(codes.index(read))
            read = ""
    return symbols


# %% compressed_model
# expect: too much is gone
def recipe(network):
    return network


def compressed_model():
    pruned = prune.prune_model(network, 0.99).model
    return codec.to_bytes(pruned)
