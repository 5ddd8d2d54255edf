"""The mistakes that the course's syllabus lists for pruning."""


# %% scores
# expect: abs forgotten
def magnitude(weight):
    return weight


def taylor(weight, gradient):
    return (weight * gradient).abs()


def obd(weight, curvature):
    return curvature * weight**2 / 2


# %% prune_mask
# expect: `>` for `>=` with ties
def prune_mask(scores, sparsity):
    count = round(sparsity * scores.numel())
    if count == 0:
        return torch.ones_like(scores, dtype=torch.bool)
    return scores > scores.flatten().kthvalue(count).values


# %% make_masks
# expect: threshold per layer when global was asked
def make_masks(scores, sparsity, scope):
    return {name: prune.make_mask(score, sparsity) for name, score in scores.items()}


# %% cubic
# expect: as a percentage
def one_shot(step, final, at):
    return final if step >= at else 0.0


def iterative(number, rounds, final):
    return 1 - (1 - final) ** (number / rounds)


def cubic(step, initial, final, begin, end):
    part = min(max((step - begin) / (end - begin), 0), 1)
    return 100 * (final + (initial - final) * (1 - part) ** 3)


# %% train_masked
# expect: lost on the next step
def train_masked(weight, mask, inputs, targets, steps, rate, momentum):
    weight = (weight * mask).requires_grad_()
    optimizer = torch.optim.SGD([weight], rate, momentum=momentum)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(inputs @ weight.T, targets).backward()
        optimizer.step()
    return weight.detach()


# %% sensitivity
# expect: the layers before are still pruned
def sensitivity(model, masks, inputs, labels):
    model = prune.apply_masks(model, {})
    found = {}
    for name, choices in masks.items():
        found[name] = []
        for mask in choices:
            model.get_submodule(name).weight.data *= mask
            right = model(inputs).argmax(1) == labels
            found[name].append(right.float().mean().item())
    return found


# %% shrink_conv
# expect: batch norm of the removed channels left
def shrink_conv(state, keep):
    smaller = dict(state)
    for name in ("conv1.weight", "conv1.bias", "bn.weight", "bn.bias"):
        smaller[name] = state[name][keep]
    smaller["conv2.weight"] = state["conv2.weight"][:, keep]
    return smaller


# %% shrink_flatten
# expect: the wrong axis
def shrink_flatten(weight, keep, positions):
    return weight[[c for c in keep if c < len(weight)]]


# %% bitmask_bytes
# expect: the mask forgotten
def bitmask_bytes(count, nonzeros, value_bits):
    return (nonzeros * value_bits + 7) // 8


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
# expect: as many bits for every symbol
def code_lengths(counts):
    used = sum(count > 0 for count in counts)
    bits = max((used - 1).bit_length(), 1)
    return [bits if count else 0 for count in counts]


# %% codewords
# expect: one code is the beginning of another
def codewords(lengths):
    return [
        format(symbol % 2**bits, f"0{bits}b") if bits else ""
        for symbol, bits in enumerate(lengths)
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
# expect: hardly smaller than the dense network
def recipe(network):
    return network


def compressed_model():
    return codec.to_bytes(network)
