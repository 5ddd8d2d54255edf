"""Two things were mixed up."""


# %% scores
# expect: the gradient alone
def magnitude(weight):
    return weight.abs()


def taylor(weight, gradient):
    return gradient.abs()


def obd(weight, curvature):
    return curvature * weight**2 / 2


# %% prune_mask
# expect: the highest pruned
def prune_mask(scores, sparsity):
    return prune.make_mask(-scores, sparsity)


# %% make_masks
# expect: one threshold for all when one per layer was asked
def make_masks(scores, sparsity, scope):
    return prune.make_masks(scores, sparsity, scope="global")


# %% cubic
# expect: slow first, then ever faster
def one_shot(step, final, at):
    return final if step >= at else 0.0


def iterative(number, rounds, final):
    return 1 - (1 - final) ** (number / rounds)


def cubic(step, initial, final, begin, end):
    part = min(max((step - begin) / (end - begin), 0), 1)
    return initial + (final - initial) * part**3


# %% train_masked
# expect: the mask inverted
def train_masked(weight, mask, inputs, targets, steps, rate, momentum):
    weight, velocity = weight * ~mask, torch.zeros_like(weight)
    for _ in range(steps):
        residual = inputs @ weight.T - targets
        gradient = 2 * residual.T @ inputs / residual.numel()
        velocity = momentum * velocity + gradient
        weight = (weight - rate * velocity) * ~mask
    return weight


# %% sensitivity
# expect: the mask inverted
def sensitivity(model, masks, inputs, labels):
    found = {}
    for name, choices in masks.items():
        found[name] = []
        for mask in choices:
            alone = prune.apply_masks(model, {f"{name}.weight": ~mask})
            right = alone(inputs).argmax(1) == labels
            found[name].append(right.float().mean().item())
    return found


# %% shrink_conv
# expect: wrong axis in the next layer
def shrink_conv(state, keep):
    rows = [c for c in keep if c < len(state["conv2.weight"])]
    smaller = {name: value[keep] for name, value in list(state.items())[:6]}
    smaller["conv2.weight"] = state["conv2.weight"][rows]
    smaller["conv2.bias"] = state["conv2.bias"]
    return smaller


# %% shrink_flatten
# expect: positions outside, channels inside
def shrink_flatten(weight, keep, positions):
    maps = weight.reshape(len(weight), positions, -1)
    return maps[:, :, keep].flatten(1)


# %% bitmask_bytes
# expect: bits taken for bytes
def bitmask_bytes(count, nonzeros, value_bits):
    return count + nonzeros * value_bits


def relative_bytes(weights, index_bits, value_bits):
    entries, gap = 0, 0
    for weight in weights:
        if weight == 0:
            gap += 1
        else:
            entries += 1 + gap // 2**index_bits
            gap = 0
    return (entries * index_bits + 7) // 8 + (entries * value_bits + 7) // 8


# %% code_lengths
# expect: the longest codes for the most frequent
def code_lengths(counts):
    best = codec.code_lengths(counts).tolist()
    used = [i for i, count in enumerate(counts) if count]
    ranks = sorted(used, key=lambda i: counts[i])
    bits = sorted(best[i] for i in used)
    lengths = [0] * len(counts)
    for symbol, length in zip(ranks, bits, strict=True):
        lengths[symbol] = length
    return lengths


# %% codewords
# expect: expected a number, got text
def codewords(lengths):
    codes = codec.canonical_codes(lengths)
    return [
        format(int(code), f"0{bits}b") if bits else ""
        for code, bits in zip(codes, lengths, strict=True)
    ]


def decode(bits, codes):
    symbols, read = [], ""
    for bit in bits:
        read += bit
        if read in codes:
            symbols.append(read)
            read = ""
    return symbols


# %% compressed_model
# expect: must return bytes
def recipe(network):
    return network


def compressed_model():
    return "pruned_lenet.edl"
