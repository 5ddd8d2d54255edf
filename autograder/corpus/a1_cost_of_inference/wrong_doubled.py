"""Something is counted twice, or added that runs side by side."""


# %% linear_cost
# expect: MACs doubled to FLOPs
def linear_cost(in_features, out_features, bias=True, batch=1, bits=32):
    return {
        "macs": 2 * batch * in_features * out_features,
        "params": in_features * out_features + (out_features if bias else 0),
        "activation_bytes": batch * out_features * bits // 8,
    }


# %% conv_output_size
# expect: on one side only
def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):
    return (size + padding - dilation * (kernel - 1) - 1) // stride + 1


# %% conv2d_cost
# expect: MACs doubled to FLOPs
def conv2d_cost(channels, kernel, output, groups=1, bias=True, batch=1):
    taps = channels[0] // groups * kernel[0] * kernel[1]
    values = batch * channels[1] * output[0] * output[1]
    return {
        "macs": 2 * values * taps,
        "params": channels[1] * taps + (channels[1] if bias else 0),
        "activation_bytes": 4 * values,
    }


# %% separable_cost
# expect: MACs doubled to FLOPs
def separable_cost(in_channels, out_channels, kernel, positions, order):
    middle = in_channels if order == "spatial_first" else out_channels
    depthwise = kernel**2 * middle
    pointwise = in_channels * out_channels
    params = depthwise + pointwise
    return {
        "params": params,
        "macs": 2 * params * positions,
        "saving": kernel**2 * in_channels * out_channels / params,
    }


# %% attention_cost
# expect: MACs doubled to FLOPs
def attention_cost(tokens, dim, heads, bias=True, batch=1, bits=32):
    return {
        "macs": 2 * batch * (4 * tokens * dim**2 + 2 * tokens**2 * dim),
        "params": 4 * dim**2 + (4 * dim if bias else 0),
        "score_bytes": batch * heads * tokens**2 * bits // 8,
    }


# %% count_macs
# expect: three hooks
def count_macs(model, input_shape):
    calls, hooks = [], []

    def note(layer, inputs, output):
        calls.append(layer_macs(layer, output) or 0)

    def visit(layer):
        hooks.append(layer.register_forward_hook(note))
        for child in layer._modules.values():
            visit(child)

    visit(model)
    model(torch.zeros(input_shape))
    for hook in hooks:
        hook.remove()
    return sum(calls)


# %% count_params
# expect: used twice counted twice
def count_params(model):
    def visit(layer, name):
        own = list(layer.parameters(recurse=False))
        if own and not isinstance(layer, (nn.Linear, nn.Conv2d)):
            names.append(name)
        total = sum(p.numel() for p in own if p not in stored or layer in seen)
        stored.update(own)
        seen.add(layer)
        for part, child in layer._modules.items():
            total += visit(child, f"{name}.{part}" if name else part)
        return total

    names, stored, seen = [], set(), set()
    return {"params": visit(model, ""), "uncounted": names}


# %% peak_activation_bytes
# expect: sum of all
def peak_activation_bytes(sizes):
    return sum(sizes)


# %% roofline
# expect: the sum
def roofline(macs, bytes_moved, peak_gflops, bandwidth_gb_s):
    compute_s = 2 * macs / (peak_gflops * 1e9)
    memory_s = bytes_moved / (bandwidth_gb_s * 1e9)
    return {
        "compute_s": compute_s,
        "memory_s": memory_s,
        "time_s": compute_s + memory_s,
        "bound": "compute" if compute_s > memory_s else "memory",
    }


# %% energy
# expect: doubled
def energy(macs, dram_bytes, sram_bytes, picojoules):
    dram = dram_bytes / 4 * picojoules["dram_read"]
    sram = sram_bytes / 4 * picojoules["sram_read"]
    return {
        "compute_j": 2 * macs * (picojoules["add"] + picojoules["mul"]) * 1e-12,
        "memory_j": (dram + sram) * 1e-12,
    }


# %% device_fit
# expect: batch counted in the parameters
def device_fit(params, activations, memory_kib, bits=32, sparsity=0, batch=1):
    weight_bytes = batch * params * (1 - sparsity) * bits / 8
    activation_bytes = batch * activations * bits / 8
    return {
        "weight_bytes": weight_bytes,
        "activation_bytes": activation_bytes,
        "fits": [
            name
            for name, kib in memory_kib.items()
            if weight_bytes + activation_bytes <= kib * 1024
        ],
    }
