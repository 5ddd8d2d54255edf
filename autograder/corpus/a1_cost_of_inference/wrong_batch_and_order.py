"""The batch in the wrong place; the order or a choice ignored."""


# %% linear_cost
# expect: batch counted in the parameters
def linear_cost(in_features, out_features, bias=True, batch=1, bits=32):
    return {
        "macs": batch * in_features * out_features,
        "params": batch * (in_features * out_features + (out_features if bias else 0)),
        "activation_bytes": batch * out_features * bits // 8,
    }


# %% conv_output_size
# expect: stride ignored
def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):
    return size + 2 * padding - dilation * (kernel - 1)


# %% conv2d_cost
# expect: batch counted in the parameters
def conv2d_cost(channels, kernel, output, groups=1, bias=True, batch=1):
    taps = channels[0] // groups * kernel[0] * kernel[1]
    values = batch * channels[1] * output[0] * output[1]
    return {
        "macs": values * taps,
        "params": batch * channels[1] * (taps + bool(bias)),
        "activation_bytes": 4 * values,
    }


# %% separable_cost
# expect: order ignored
def separable_cost(in_channels, out_channels, kernel, positions, order):
    middle = in_channels
    depthwise = kernel**2 * middle
    pointwise = in_channels * out_channels
    params = depthwise + pointwise
    return {
        "params": params,
        "macs": params * positions,
        "saving": kernel**2 * in_channels * out_channels / params,
    }


# %% attention_cost
# expect: batch is missing
def attention_cost(tokens, dim, heads, bias=True, batch=1, bits=32):
    return {
        "macs": 4 * tokens * dim**2 + 2 * tokens**2 * dim,
        "params": 4 * dim**2 + (4 * dim if bias else 0),
        "score_bytes": heads * tokens**2 * bits // 8,
    }


# %% count_macs
# expect: batch is missing
def count_macs(model, input_shape):
    calls = []

    def note(layer, inputs, output):
        calls.append(layer_macs(layer, output) or 0)

    hooks = [layer.register_forward_hook(note) for layer in model.modules()]
    model(torch.zeros((1, *input_shape[1:])))
    for hook in hooks:
        hook.remove()
    return sum(calls)


# %% count_params
# expect: weight tensor of two layers counted twice
def count_params(model):
    known = (nn.Linear, nn.Conv2d)
    return {
        "params": sum(p.numel() for m in model.modules() for p in m.parameters(recurse=False)),
        "uncounted": [
            name
            for name, layer in model.named_modules()
            if list(layer.parameters(recurse=False)) and not isinstance(layer, known)
        ],
    }


# %% peak_activation_bytes
# expect: two largest
def peak_activation_bytes(sizes):
    return sum(sorted(sizes)[-2:])


# %% roofline
# expect: the faster decides
def roofline(macs, bytes_moved, peak_gflops, bandwidth_gb_s):
    compute_s = 2 * macs / (peak_gflops * 1e9)
    memory_s = bytes_moved / (bandwidth_gb_s * 1e9)
    return {
        "compute_s": compute_s,
        "memory_s": memory_s,
        "time_s": min(compute_s, memory_s),
        "bound": "compute" if compute_s > memory_s else "memory",
    }


# %% energy
# expect: bytes taken for words
def energy(macs, dram_bytes, sram_bytes, picojoules):
    dram = dram_bytes * picojoules["dram_read"]
    sram = sram_bytes * picojoules["sram_read"]
    return {
        "compute_j": macs * (picojoules["add"] + picojoules["mul"]) * 1e-12,
        "memory_j": (dram + sram) * 1e-12,
    }


# %% device_fit
# expect: batch is missing
def device_fit(params, activations, memory_kib, bits=32, sparsity=0, batch=1):
    weight_bytes = params * (1 - sparsity) * bits / 8
    activation_bytes = activations * bits / 8
    return {
        "weight_bytes": weight_bytes,
        "activation_bytes": activation_bytes,
        "fits": [
            name
            for name, kib in memory_kib.items()
            if weight_bytes + activation_bytes <= kib * 1024
        ],
    }
