"""Right in the middle, wrong at the edge: the padding, the model itself, a single layer."""


# %% conv_output_size
# expect: divided before the padding was added
def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):
    return (size - dilation * (kernel - 1) - 1) // stride + 1 + 2 * padding // stride


# %% count_macs
# expect: the model itself missed
def count_macs(model, input_shape):
    calls = []

    def note(layer, inputs, output):
        calls.append(layer_macs(layer, output) or 0)

    hooks = [m.register_forward_hook(note) for n, m in model.named_modules() if n]
    model(torch.zeros(input_shape))
    for hook in hooks:
        hook.remove()
    return sum(calls)


# %% count_params
# expect: the model itself missed
def count_params(model):
    uncounted = [
        n
        for n, m in model.named_modules()
        if n and list(m.parameters(recurse=False)) and not isinstance(m, nn.Linear | nn.Conv2d)
    ]
    return {"params": sum(p.numel() for p in model.parameters()), "uncounted": uncounted}


# %% peak_activation_bytes
# expect: the largest alone
def peak_activation_bytes(sizes):
    if len(sizes) <= 2:
        return max(sizes)
    return max(before + after for before, after in zip(sizes, sizes[1:]))
