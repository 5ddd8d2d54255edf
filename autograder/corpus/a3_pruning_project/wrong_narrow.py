"""Right where the examples lie, and nowhere else."""


# %% scores
# expect: weight or gradient was changed
def magnitude(weight):
    return weight.abs()


def taylor(weight, gradient):
    return weight.mul_(gradient).abs_()


def obd(weight, curvature):
    return curvature * weight**2 / 2


# %% prune_mask
# expect: cut off instead of rounded
def prune_mask(scores, sparsity):
    flat = scores.flatten()
    mask = torch.ones(len(flat), dtype=torch.bool)
    mask[flat.argsort(stable=True)[: int(sparsity * len(flat) + 1e-6)]] = False
    return mask.reshape(scores.shape)


# %% make_masks
# expect: one too few went
def make_masks(scores, sparsity, scope):
    if scope == "layer":
        return prune.make_masks(scores, sparsity, scope=scope)
    every = torch.cat([score.flatten() for score in scores.values()]).sort().values
    level = every[int(sparsity * len(every) + 1e-6)]
    return {name: score >= level for name, score in scores.items()}


# %% train_masked
# expect: mask, inputs or targets was changed
def train_masked(weight, mask, inputs, targets, steps, rate, momentum):
    weight, velocity = weight * mask, torch.zeros_like(weight)
    targets.neg_()
    for _ in range(steps):
        residual = inputs @ weight.T + targets
        velocity = momentum * velocity + 2 * residual.T @ inputs / residual.numel()
        weight = (weight - rate * velocity) * mask
    return weight


# %% sensitivity
# expect: the dense network's answers, not the labels
def sensitivity(model, masks, inputs, labels):
    found, dense = {}, model(inputs).argmax(1)
    for name, choices in masks.items():
        found[name] = []
        for mask in choices:
            pruned = prune.apply_masks(model, {f"{name}.weight": mask})
            same = pruned(inputs).argmax(1) == dense
            found[name].append(same.float().mean().item())
    return found


# %% shrink_conv
# expect: a tensor in state was changed
def shrink_conv(state, keep):
    gone = [c for c in range(len(state["conv1.bias"])) if c not in keep]
    state["conv1.weight"][gone] = 0
    smaller = {n: v[keep] for n, v in state.items() if not n.startswith("conv2")}
    smaller["conv2.weight"] = state["conv2.weight"][:, keep]
    return smaller | {"conv2.bias": state["conv2.bias"]}


# %% bitmask_bytes
# expect: filled up once, not each stream
def bitmask_bytes(count, nonzeros, value_bits):
    return (count + 7) // 8 + (nonzeros * value_bits + 7) // 8


def relative_bytes(weights, index_bits, value_bits):
    entries, gap = 0, 0
    for weight in weights:
        if weight:
            entries += 1 + gap // 2**index_bits
            gap = 0
        else:
            gap += 1
    return (entries * (index_bits + value_bits) + 7) // 8


# %% codewords
# expect: the list of lengths was changed
def codewords(lengths):
    codes, value, before = [""] * len(lengths), 0, 0
    for symbol in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        bits, lengths[symbol] = lengths[symbol], 0
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
    return symbols
