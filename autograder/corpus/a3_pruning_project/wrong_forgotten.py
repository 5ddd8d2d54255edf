"""Something was forgotten."""


# %% scores
# expect: the half forgotten
def magnitude(weight):
    return weight.abs()


def taylor(weight, gradient):
    return (weight * gradient).abs()


def obd(weight, curvature):
    return curvature * weight**2


# %% prune_mask
# expect: one too few (kth off by one
def prune_mask(scores, sparsity):
    ordered = scores.flatten().argsort(stable=True)
    mask = torch.ones(scores.numel(), dtype=torch.bool)
    mask[ordered[: max(round(sparsity * scores.numel()) - 1, 0)]] = False
    return mask.reshape(scores.shape)


# %% make_masks
# expect: flat, not in the shape of the scores
def make_masks(scores, sparsity, scope):
    masks = prune.make_masks(scores, sparsity, scope=scope)
    return {name: mask.flatten() for name, mask in masks.items()}


# %% cubic
# expect: `begin` forgotten
def one_shot(step, final, at):
    return final if step >= at else 0.0


def iterative(number, rounds, final):
    return 1 - (1 - final) ** (number / rounds)


def cubic(step, initial, final, begin, end):
    part = min(step / end, 1)
    return final + (initial - final) * (1 - part) ** 3


# %% train_masked
# expect: momentum forgotten
def train_masked(weight, mask, inputs, targets, steps, rate, momentum):
    weight = weight * mask
    for _ in range(steps):
        residual = inputs @ weight.T - targets
        gradient = 2 * residual.T @ inputs / residual.numel()
        weight = (weight - rate * gradient) * mask
    return weight


# %% sensitivity
# expect: the model was changed
def sensitivity(model, masks, inputs, labels):
    found = {}
    for name, choices in masks.items():
        found[name] = []
        dense = model.get_submodule(name).weight.data.clone()
        for mask in choices:
            model.get_submodule(name).weight.data = dense * mask
            right = model(inputs).argmax(1) == labels
            found[name].append(right.float().mean().item())
    return found


# %% shrink_conv
# expect: every filter has a bias of its own
def shrink_conv(state, keep):
    smaller = dict(state)
    smaller["conv1.weight"] = state["conv1.weight"][keep]
    for name in ("weight", "bias", "running_mean", "running_var"):
        smaller[f"bn.{name}"] = state[f"bn.{name}"][keep]
    smaller["conv2.weight"] = state["conv2.weight"][:, keep]
    return smaller


# %% shrink_flatten
# expect: one input per channel
def shrink_flatten(weight, keep, positions):
    return weight[:, keep]


# %% bitmask_bytes
# expect: no fillers in long gaps
def bitmask_bytes(count, nonzeros, value_bits):
    return (count + 7) // 8 + (nonzeros * value_bits + 7) // 8


def relative_bytes(weights, index_bits, value_bits):
    entries = sum(weight != 0 for weight in weights)
    return (entries * index_bits + 7) // 8 + (entries * value_bits + 7) // 8


# %% code_lengths
# expect: a symbol alone needs a bit
def code_lengths(counts):
    groups = [(count, [i]) for i, count in enumerate(counts) if count]
    lengths = [0] * len(counts)
    while len(groups) > 1:
        groups.sort()
        (a, first), (b, second), *rest = groups
        for symbol in first + second:
            lengths[symbol] += 1
        groups = [(a + b, first + second), *rest]
    return lengths


# %% codewords
# expect: leading zeros lost
def codewords(lengths):
    codes = codec.canonical_codes(lengths)
    return [
        format(int(code), "b") if bits else "" for code, bits in zip(codes, lengths, strict=True)
    ]


def decode(bits, codes):
    symbols, read = [], ""
    for bit in bits:
        read += bit
        if read in codes:
            symbols.append(codes.index(read))
            read = ""
    return symbols


# %% compressed_model
# expect: no file
def recipe(network):
    return network


def compressed_model():
    return Path("no_such_folder/pruned_lenet.edl").read_bytes()
