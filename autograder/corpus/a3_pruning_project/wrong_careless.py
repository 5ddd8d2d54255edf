"""Slips of the pen."""


# %% scores
# expect: the weight is not squared
def magnitude(weight):
    return weight.abs()


def taylor(weight, gradient):
    return (weight * gradient).abs()


def obd(weight, curvature):
    return curvature * weight / 2


# %% prune_mask
# expect: sparsity taken as a percentage
def prune_mask(scores, sparsity):
    return prune.make_mask(scores, sparsity / 100)


# %% make_masks
# expect: the masks inverted
def make_masks(scores, sparsity, scope):
    masks = prune.make_masks(scores, sparsity, scope=scope)
    return {name: ~mask for name, mask in masks.items()}


# %% cubic
# expect: squared, not cubed
def one_shot(step, final, at):
    return final if step >= at else 0.0


def iterative(number, rounds, final):
    return 1 - (1 - final) ** (number / rounds)


def cubic(step, initial, final, begin, end):
    part = min(max((step - begin) / (end - begin), 0), 1)
    return final + (initial - final) * (1 - part) ** 2


# %% train_masked
# expect: only at the end
def train_masked(weight, mask, inputs, targets, steps, rate, momentum):
    velocity = torch.zeros_like(weight)
    for _ in range(steps):
        residual = inputs @ weight.T - targets
        gradient = 2 * residual.T @ inputs / residual.numel()
        velocity = momentum * velocity + gradient
        weight = weight - rate * velocity
    return weight * mask


# %% sensitivity
# expect: as a percentage
def sensitivity(model, masks, inputs, labels):
    found = {}
    for name, choices in masks.items():
        found[name] = []
        for mask in choices:
            alone = prune.apply_masks(model, {f"{name}.weight": mask})
            right = alone(inputs).argmax(1) == labels
            found[name].append(100 * right.float().mean().item())
    return found


# %% shrink_conv
# expect: the order of `keep` lost
def shrink_conv(state, keep):
    keep = sorted(keep)
    smaller = {name: value[keep] for name, value in list(state.items())[:6]}
    smaller["conv2.weight"] = state["conv2.weight"][:, keep]
    smaller["conv2.bias"] = state["conv2.bias"]
    return smaller


# %% shrink_flatten
# expect: the order of `keep` lost
def shrink_flatten(weight, keep, positions):
    maps = weight.reshape(len(weight), -1, positions)
    mask = torch.zeros(maps.shape[1], dtype=torch.bool)
    mask[keep] = True
    return maps[:, mask].flatten(1)


# %% bitmask_bytes
# expect: cut off instead of filled up
def bitmask_bytes(count, nonzeros, value_bits):
    return count // 8 + nonzeros * value_bits // 8


def relative_bytes(weights, index_bits, value_bits):
    entries, gap = 0, 0
    for weight in weights:
        if weight == 0:
            gap += 1
        else:
            entries += 1 + gap // 2**index_bits
            gap = 0
    return entries * index_bits // 8 + entries * value_bits // 8


# %% code_lengths
# expect: symbols that never occur got codes
def code_lengths(counts):
    groups = [(count, [i]) for i, count in enumerate(counts)]
    lengths = [0] * len(counts)
    while len(groups) > 1:
        groups.sort()
        (a, first), (b, second), *rest = groups
        for symbol in first + second:
            lengths[symbol] += 1
        groups = [(a + b, first + second), *rest]
    return lengths


# %% codewords
# expect: the last symbol is missing
def codewords(lengths):
    codes = codec.canonical_codes(lengths)
    return [
        format(int(code), f"0{bits}b") if bits else ""
        for code, bits in zip(codes, lengths, strict=True)
    ]


def decode(bits, codes):
    symbols, read = [], ""
    for bit in bits:
        if read and read in codes:
            symbols.append(codes.index(read))
            read = ""
        read += bit
    return symbols


# %% compressed_model
# expect: cannot be read
def recipe(network):
    return network


def compressed_model():
    import io

    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    return file.getvalue()
