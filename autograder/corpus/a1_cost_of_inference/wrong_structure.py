"""Groups, heads, sharing and blocks misunderstood."""


# %% linear_cost
# expect: bias counted twice
def linear_cost(in_features, out_features, bias=True, batch=1, bits=32):
    return {
        "macs": batch * in_features * out_features,
        "params": in_features * out_features + 2 * out_features * bias,
        "activation_bytes": batch * out_features * bits // 8,
    }


# %% conv_output_size
# expect: dilation ignored
def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - kernel) // stride + 1


# %% conv2d_cost
# expect: groups ignored
def conv2d_cost(channels, kernel, output, groups=1, bias=True, batch=1):
    taps = channels[0] * kernel[0] * kernel[1]
    values = batch * channels[1] * output[0] * output[1]
    return {
        "macs": values * taps,
        "params": channels[1] * taps + (channels[1] if bias else 0),
        "activation_bytes": 4 * values,
    }


# %% separable_cost
# expect: counted as a dense one
def separable_cost(in_channels, out_channels, kernel, positions, order):
    middle = in_channels if order == "spatial_first" else out_channels
    depthwise = kernel**2 * middle**2
    pointwise = in_channels * out_channels
    params = depthwise + pointwise
    return {
        "params": params,
        "macs": params * positions,
        "saving": kernel**2 * in_channels * out_channels / params,
    }


# %% attention_cost
# expect: heads multiplied the work
def attention_cost(tokens, dim, heads, bias=True, batch=1, bits=32):
    return {
        "macs": batch * (4 * tokens * dim**2 + 2 * heads * tokens**2 * dim),
        "params": 4 * dim**2 + (4 * dim if bias else 0),
        "score_bytes": batch * heads * tokens**2 * bits // 8,
    }


# %% count_macs
# expect: runs three times counted once
def count_macs(model, input_shape):
    outputs = {}

    def note(layer, inputs, output):
        outputs[layer] = output

    hooks = [layer.register_forward_hook(note) for layer in model.modules()]
    model(torch.zeros(input_shape))
    for hook in hooks:
        hook.remove()
    return sum(layer_macs(layer, output) or 0 for layer, output in outputs.items())


# %% count_params
# expect: containers listed
def count_params(model):
    known = (nn.Linear, nn.Conv2d)
    return {
        "params": sum(p.numel() for p in model.parameters()),
        "uncounted": [
            name
            for name, layer in model.named_modules()
            if list(layer.parameters()) and not isinstance(layer, known)
        ],
    }


# %% peak_activation_bytes
# expect: largest alone
def peak_activation_bytes(sizes):
    return max(sizes)


# %% roofline
# expect: giga taken for 2^30
def roofline(macs, bytes_moved, peak_gflops, bandwidth_gb_s):
    compute_s = 2 * macs / (peak_gflops * 1e9)
    memory_s = bytes_moved / (bandwidth_gb_s * 2**30)
    return {
        "compute_s": compute_s,
        "memory_s": memory_s,
        "time_s": max(compute_s, memory_s),
        "bound": "compute" if compute_s > memory_s else "memory",
    }


# %% energy
# expect: SRAM forgotten
def energy(macs, dram_bytes, sram_bytes, picojoules):
    dram = dram_bytes / 4 * picojoules["dram_read"]
    sram = 0
    return {
        "compute_j": macs * (picojoules["add"] + picojoules["mul"]) * 1e-12,
        "memory_j": (dram + sram) * 1e-12,
    }


# %% device_fit
# expect: exact fit left out
def device_fit(params, activations, memory_kib, bits=32, sparsity=0, batch=1):
    weight_bytes = params * (1 - sparsity) * bits / 8
    activation_bytes = batch * activations * bits / 8
    return {
        "weight_bytes": weight_bytes,
        "activation_bytes": activation_bytes,
        "fits": [
            name
            for name, kib in memory_kib.items()
            if weight_bytes + activation_bytes < kib * 1024
        ],
    }
