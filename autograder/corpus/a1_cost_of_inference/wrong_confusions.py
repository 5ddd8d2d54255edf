"""One quantity is taken for another."""


# %% linear_cost
# expect: batch is missing
def linear_cost(in_features, out_features, bias=True, batch=1, bits=32):
    return {
        "macs": in_features * out_features,
        "params": in_features * out_features + (out_features if bias else 0),
        "activation_bytes": batch * out_features * bits // 8,
    }


# %% conv_output_size
# expect: first position forgotten
def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride


# %% conv2d_cost
# expect: height used for its width
def conv2d_cost(channels, kernel, output, groups=1, bias=True, batch=1):
    taps = channels[0] // groups * kernel[0] ** 2
    values = batch * channels[1] * output[0] * output[1]
    return {
        "macs": values * taps,
        "params": channels[1] * taps + (channels[1] if bias else 0),
        "activation_bytes": 4 * values,
    }


# %% separable_cost
# expect: limit for infinitely many channels
def separable_cost(in_channels, out_channels, kernel, positions, order):
    middle = in_channels if order == "spatial_first" else out_channels
    depthwise = kernel**2 * middle
    pointwise = in_channels * out_channels
    params = depthwise + pointwise
    return {
        "params": params,
        "macs": params * positions,
        "saving": kernel**2,
    }


# %% attention_cost
# expect: heads forgotten
def attention_cost(tokens, dim, heads, bias=True, batch=1, bits=32):
    return {
        "macs": batch * (4 * tokens * dim**2 + 2 * tokens**2 * dim),
        "params": 4 * dim**2 + (4 * dim if bias else 0),
        "score_bytes": batch * tokens**2 * bits // 8,
    }


# %% count_macs
# expect: weights counted
def count_macs(model, input_shape):
    calls = []

    def note(layer, inputs, output):
        calls.append(layer.weight.numel() if layer_macs(layer, output) else 0)

    hooks = [layer.register_forward_hook(note) for layer in model.modules()]
    model(torch.zeros(input_shape))
    for hook in hooks:
        hook.remove()
    return sum(calls)


# %% count_params
# expect: state_dict
def count_params(model):
    known = (nn.Linear, nn.Conv2d)
    return {
        "params": sum(t.numel() for t in model.state_dict().values()),
        "uncounted": [
            name
            for name, layer in model.named_modules()
            if list(layer.parameters(recurse=False)) and not isinstance(layer, known)
        ],
    }


# %% peak_activation_bytes
# expect: last layer forgotten
def peak_activation_bytes(sizes):
    return max([sizes[0], *(a + b for a, b in zip(sizes, sizes[1:-1]))])


# %% roofline
# expect: milliseconds
def roofline(macs, bytes_moved, peak_gflops, bandwidth_gb_s):
    compute_s = 2e3 * macs / (peak_gflops * 1e9)
    memory_s = 1e3 * bytes_moved / (bandwidth_gb_s * 1e9)
    return {
        "compute_s": compute_s,
        "memory_s": memory_s,
        "time_s": max(compute_s, memory_s),
        "bound": "compute" if compute_s > memory_s else "memory",
    }


# %% energy
# expect: addition forgotten
def energy(macs, dram_bytes, sram_bytes, picojoules):
    dram = dram_bytes / 4 * picojoules["dram_read"]
    sram = sram_bytes / 4 * picojoules["sram_read"]
    return {
        "compute_j": macs * picojoules["mul"] * 1e-12,
        "memory_j": (dram + sram) * 1e-12,
    }


# %% device_fit
# expect: zeros counted
def device_fit(params, activations, memory_kib, bits=32, sparsity=0, batch=1):
    weight_bytes = params * sparsity * bits / 8
    activation_bytes = batch * activations * bits / 8
    return {
        "weight_bytes": weight_bytes,
        "activation_bytes": activation_bytes,
        "fits": [
            name
            for name, kib in memory_kib.items()
            if (params + activations) * bits / 8 <= kib * 1024
        ],
    }
