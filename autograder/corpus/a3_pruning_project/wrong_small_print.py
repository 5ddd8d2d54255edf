"""The small print was not read."""


# %% scores
# expect: the magnitude taken
def magnitude(weight):
    return weight.abs()


def taylor(weight, gradient):
    return (weight * gradient).abs()


def obd(weight, curvature):
    return (curvature * weight**2 / 2).abs()


# %% prune_mask
# expect: the scores' magnitude taken
def prune_mask(scores, sparsity):
    return prune.make_mask(scores.abs(), sparsity)


# %% make_masks
# expect: mean of the layers' thresholds
def make_masks(scores, sparsity, scope):
    if scope == "layer":
        return prune.make_masks(scores, sparsity, scope=scope)
    thresholds = [
        score.flatten().sort().values[round(sparsity * score.numel())] for score in scores.values()
    ]
    threshold = torch.stack(thresholds).mean()
    return {name: score >= threshold for name, score in scores.items()}


# %% cubic
# expect: the same share of all weights
def one_shot(step, final, at):
    return final if step >= at else 0.0


def iterative(number, rounds, final):
    return final * number / rounds


def cubic(step, initial, final, begin, end):
    part = min(max((step - begin) / (end - begin), 0), 1)
    return final + (initial - final) * (1 - part) ** 3


# %% train_masked
# expect: the 2 of the derivative forgotten
def train_masked(weight, mask, inputs, targets, steps, rate, momentum):
    weight, velocity = weight * mask, torch.zeros_like(weight)
    for _ in range(steps):
        residual = inputs @ weight.T - targets
        gradient = residual.T @ inputs / residual.numel()
        velocity = momentum * velocity + gradient
        weight = (weight - rate * velocity) * mask
    return weight


# %% sensitivity
# expect: the error, not the accuracy
def sensitivity(model, masks, inputs, labels):
    found = {}
    for name, choices in masks.items():
        found[name] = []
        for mask in choices:
            alone = prune.apply_masks(model, {f"{name}.weight": mask})
            wrong = alone(inputs).argmax(1) != labels
            found[name].append(wrong.float().mean().item())
    return found


# %% shrink_conv
# expect: the bias of the next layer was cut
def shrink_conv(state, keep):
    smaller = {name: value[keep] for name, value in list(state.items())[:6]}
    smaller["conv2.weight"] = state["conv2.weight"][:, keep]
    rows = [c for c in keep if c < len(state["conv2.bias"])]
    smaller["conv2.bias"] = state["conv2.bias"][rows]
    return smaller


# %% shrink_flatten
# expect: not in the shape [out, in]
def shrink_flatten(weight, keep, positions):
    return weight.reshape(len(weight), -1, positions)[:, keep]


# %% bitmask_bytes
# expect: filled up once, not each stream
def bitmask_bytes(count, nonzeros, value_bits):
    return (count + nonzeros * value_bits + 7) // 8


def relative_bytes(weights, index_bits, value_bits):
    entries, gap = 0, 0
    for weight in weights:
        if weight == 0:
            gap += 1
        else:
            entries += 1 + gap // 2**index_bits
            gap = 0
    return (entries * (index_bits + value_bits) + 7) // 8


# %% code_lengths
# expect: symbols that never occur left out of the list
def code_lengths(counts):
    used = [count for count in counts if count]
    return codec.code_lengths(used).tolist()


# %% codewords
# expect: counted without symbols that have no code
def codewords(lengths):
    codes = codec.canonical_codes(lengths)
    return [
        format(int(code), f"0{bits}b") if bits else ""
        for code, bits in zip(codes, lengths, strict=True)
    ]


def decode(bits, codes):
    used = [code for code in codes if code]
    symbols, read = [], ""
    for bit in bits:
        read += bit
        if read in used:
            symbols.append(used.index(read))
            read = ""
    return symbols


# %% compressed_model
# expect: fc1.weight, fc1.bias
def recipe(network):
    return network


def compressed_model():
    from torch import nn

    return codec.to_bytes(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)))
