"""What a call leaves behind, and a gap that is just too long."""


# %% sensitivity
# expect: mode (training or evaluation) was changed
def sensitivity(model, masks, inputs, labels):
    model.train()
    found = {}
    for name, choices in masks.items():
        layer, found[name] = model.get_submodule(name), []
        old = layer.weight.data.clone()
        for mask in choices:
            layer.weight.data = old * mask
            right = model(inputs).argmax(1) == labels
            found[name].append(right.float().mean().item())
        layer.weight.data = old
    return found


# %% bitmask_bytes
# expect: a gap of 2^b zeros needs a filler
def bitmask_bytes(count, nonzeros, value_bits):
    return (count + 7) // 8 + (nonzeros * value_bits + 7) // 8


def relative_bytes(weights, index_bits, value_bits):
    entries, gap = 0, 0
    for weight in weights:
        if weight:
            entries += 1 + max(gap - 1, 0) // 2**index_bits
            gap = 0
        else:
            gap += 1
    return (entries * index_bits + 7) // 8 + (entries * value_bits + 7) // 8


# %% codewords
# expect: the list of codes was changed
def codewords(lengths):
    codes, value, before = [""] * len(lengths), 0, 0
    for symbol in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        bits = lengths[symbol]
        if bits:
            value <<= bits - before
            codes[symbol] = f"{value:0{bits}b}"
            value, before = value + 1, bits
    return codes


def decode(bits, codes):
    symbols, read = [], ""
    for bit in bits:
        read += bit
        if read in codes:
            symbols.append(codes.index(read))
            read = ""
    codes.clear()
    return symbols


# %% prune_mask
# expect: each row ranked by itself
def prune_mask(scores, sparsity):
    rows = scores.flatten(1) if scores.ndim > 1 else scores[None]
    count = round(sparsity * rows.shape[1])
    mask = torch.ones(rows.shape, dtype=torch.bool)
    mask.scatter_(1, rows.argsort(dim=1, stable=True)[:, :count], False)
    return mask.reshape(scores.shape)


# %% train_masked
# expect: one step too many
def train_masked(weight, mask, inputs, targets, steps, rate, momentum):
    weight, velocity = weight * mask, torch.zeros_like(weight)
    for _ in range(steps + 1):
        residual = inputs @ weight.T - targets
        velocity = momentum * velocity + 2 * residual.T @ inputs / residual.numel()
        weight = (weight - rate * velocity) * mask
    return weight


# %% shrink_flatten
# expect: a channel's inputs are side by side
def shrink_flatten(weight, keep, positions):
    channels = weight.shape[1] // positions
    return weight[:, [p * channels + k for k in keep for p in range(positions)]]
