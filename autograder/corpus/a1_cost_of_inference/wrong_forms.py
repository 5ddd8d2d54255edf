"""The number may be right, but it does not arrive."""


# %% linear_cost
# expect: did you forget `return`
def linear_cost(in_features, out_features, bias=True, batch=1, bits=32):
    cost = {
        "macs": batch * in_features * out_features,
        "params": in_features * out_features + (out_features if bias else 0),
        "activation_bytes": batch * out_features * bits // 8,
    }
    print(cost)


# %% conv_output_size
# expect: dilation=1 counted as a gap
def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):
    return (
        (size + 2 * padding - (dilation + 1) * (kernel - 1) - 1) // stride
        + 1
        + (kernel - 1 if dilation == 1 else 0)
    )


# %% conv2d_cost
# expect: no key 'macs'
def conv2d_cost(channels, kernel, output, groups=1, bias=True, batch=1):
    taps = channels[0] // groups * kernel[0] * kernel[1]
    values = batch * channels[1] * output[0] * output[1]
    return {
        "MACs": values * taps,
        "params": channels[1] * taps + (channels[1] if bias else 0),
        "activation_bytes": 4 * values,
    }


# %% separable_cost
# expect: share that is saved
def separable_cost(in_channels, out_channels, kernel, positions, order):
    middle = in_channels if order == "spatial_first" else out_channels
    depthwise = kernel**2 * middle
    pointwise = in_channels * out_channels
    params = depthwise + pointwise
    return {
        "params": params,
        "macs": params * positions,
        "saving": 1 - params / (kernel**2 * in_channels * out_channels),
    }


# %% attention_cost
# expect: expected a dict
def attention_cost(tokens, dim, heads, bias=True, batch=1, bits=32):
    macs = batch * (4 * tokens * dim**2 + 2 * tokens**2 * dim)
    return macs, 4 * dim**2 + 4 * dim, batch * heads * tokens**2 * bits // 8


# %% count_macs
# expect: expected a number, got text
def count_macs(model, input_shape):
    calls = []

    def note(layer, inputs, output):
        calls.append(layer_macs(layer, output) or 0)

    hooks = [layer.register_forward_hook(note) for layer in model.modules()]
    model(torch.zeros(input_shape))
    for hook in hooks:
        hook.remove()
    return str(sum(calls))


# %% count_params
# expect: full names wanted
def count_params(model):
    known = (nn.Linear, nn.Conv2d)
    return {
        "params": sum(p.numel() for p in model.parameters()),
        "uncounted": [
            name.split(".")[-1]
            for name, layer in model.named_modules()
            if list(layer.parameters(recurse=False)) and not isinstance(layer, known)
        ],
    }


# %% peak_activation_bytes
# expect: expected a number, got a list
def peak_activation_bytes(sizes):
    return [before + after for before, after in zip(sizes, sizes[1:])]


# %% roofline
# expect: wrong way round
def roofline(macs, bytes_moved, peak_gflops, bandwidth_gb_s):
    compute_s = peak_gflops * 1e9 / (2 * macs)
    memory_s = bytes_moved / (bandwidth_gb_s * 1e9)
    return {
        "compute_s": compute_s,
        "memory_s": memory_s,
        "time_s": max(compute_s, memory_s),
        "bound": "compute" if compute_s > memory_s else "memory",
    }


# %% energy
# expect: 10^-9
def energy(macs, dram_bytes, sram_bytes, picojoules):
    dram = dram_bytes / 4 * picojoules["dram_read"]
    sram = sram_bytes / 4 * picojoules["sram_read"]
    return {
        "compute_j": macs * (picojoules["add"] + picojoules["mul"]) * 1e-12,
        "memory_j": (dram + sram) * 1e-9,
    }


# %% device_fit
# expect: not fit listed
def device_fit(params, activations, memory_kib, bits=32, sparsity=0, batch=1):
    weight_bytes = params * (1 - sparsity) * bits / 8
    activation_bytes = batch * activations * bits / 8
    return {
        "weight_bytes": weight_bytes,
        "activation_bytes": activation_bytes,
        "fits": [
            name
            for name, kib in memory_kib.items()
            if weight_bytes + activation_bytes > kib * 1024
        ],
    }
