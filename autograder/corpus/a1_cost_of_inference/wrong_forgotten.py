"""One part of the sum is left out."""


# %% linear_cost
# expect: bias forgotten
def linear_cost(in_features, out_features, bias=True, batch=1, bits=32):
    return {
        "macs": batch * in_features * out_features,
        "params": in_features * out_features,
        "activation_bytes": batch * out_features * bits // 8,
    }


# %% conv_output_size
# expect: padding ignored
def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):
    return (size - dilation * (kernel - 1) - 1) // stride + 1


# %% conv2d_cost
# expect: bias forgotten
def conv2d_cost(channels, kernel, output, groups=1, bias=True, batch=1):
    taps = channels[0] // groups * kernel[0] * kernel[1]
    values = batch * channels[1] * output[0] * output[1]
    return {
        "macs": values * taps,
        "params": channels[1] * taps,
        "activation_bytes": 4 * values,
    }


# %% separable_cost
# expect: depthwise step forgotten
def separable_cost(in_channels, out_channels, kernel, positions, order):
    middle = in_channels if order == "spatial_first" else out_channels
    depthwise = 0 * middle
    pointwise = in_channels * out_channels
    params = depthwise + pointwise
    return {
        "params": params,
        "macs": params * positions,
        "saving": kernel**2 * in_channels * out_channels / params,
    }


# %% attention_cost
# expect: output projection forgotten
def attention_cost(tokens, dim, heads, bias=True, batch=1, bits=32):
    return {
        "macs": batch * (3 * tokens * dim**2 + 2 * tokens**2 * dim),
        "params": 3 * dim**2 + (3 * dim if bias else 0),
        "score_bytes": batch * heads * tokens**2 * bits // 8,
    }


# %% count_macs
# expect: linear layer missed
def count_macs(model, input_shape):
    calls = []

    def note(layer, inputs, output):
        calls.append(layer_macs(layer, output) if isinstance(layer, nn.Conv2d) else 0)

    hooks = [layer.register_forward_hook(note) for layer in model.modules()]
    model(torch.zeros(input_shape))
    for hook in hooks:
        hook.remove()
    return sum(calls)


# %% count_params
# expect: biases left out
def count_params(model):
    known = (nn.Linear, nn.Conv2d)
    return {
        "params": sum(p.numel() for n, p in model.named_parameters() if not n.endswith("bias")),
        "uncounted": [
            name
            for name, layer in model.named_modules()
            if list(layer.parameters(recurse=False)) and not isinstance(layer, known)
        ],
    }


# %% peak_activation_bytes
# expect: network's input forgotten
def peak_activation_bytes(sizes):
    if len(sizes) == 1:
        return sizes[0]
    return max(a + b for a, b in zip(sizes[1:], [*sizes[2:], 0]))


# %% roofline
# expect: giga forgotten
def roofline(macs, bytes_moved, peak_gflops, bandwidth_gb_s):
    compute_s = 2 * macs / peak_gflops
    memory_s = bytes_moved / bandwidth_gb_s
    return {
        "compute_s": compute_s,
        "memory_s": memory_s,
        "time_s": max(compute_s, memory_s),
        "bound": "compute" if compute_s > memory_s else "memory",
    }


# %% energy
# expect: DRAM forgotten
def energy(macs, dram_bytes, sram_bytes, picojoules):
    dram = 0
    sram = sram_bytes / 4 * picojoules["sram_read"]
    return {
        "compute_j": macs * (picojoules["add"] + picojoules["mul"]) * 1e-12,
        "memory_j": (dram + sram) * 1e-12,
    }


# %% device_fit
# expect: activations forgotten
def device_fit(params, activations, memory_kib, bits=32, sparsity=0, batch=1):
    weight_bytes = params * (1 - sparsity) * bits / 8
    activation_bytes = batch * activations * bits / 8
    return {
        "weight_bytes": weight_bytes,
        "activation_bytes": activation_bytes,
        "fits": [name for name, kib in memory_kib.items() if weight_bytes <= kib * 1024],
    }
