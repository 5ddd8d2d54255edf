"""An argument is taken and never used."""


# %% linear_cost
# expect: a bias counted where bias=False
def linear_cost(in_features, out_features, bias=True, batch=1, bits=32):
    return {
        "macs": batch * in_features * out_features,
        "params": in_features * out_features + out_features,
        "activation_bytes": batch * out_features * bits // 8,
    }


# %% conv_output_size
# expect: k - 1 steps apart
def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - dilation * kernel) // stride + 1


# %% conv2d_cost
# expect: batch is missing
def conv2d_cost(channels, kernel, output, groups=1, bias=True, batch=1):
    taps = channels[0] // groups * kernel[0] * kernel[1]
    values = channels[1] * output[0] * output[1]
    return {
        "macs": values * taps,
        "params": channels[1] * taps + (channels[1] if bias else 0),
        "activation_bytes": 4 * values,
    }


# %% separable_cost
# expect: positions forgotten
def separable_cost(in_channels, out_channels, kernel, positions, order):
    middle = in_channels if order == "spatial_first" else out_channels
    depthwise = kernel**2 * middle
    pointwise = in_channels * out_channels
    params = depthwise + pointwise
    return {
        "params": params,
        "macs": params,
        "saving": kernel**2 * in_channels * out_channels / params,
    }


# %% attention_cost
# expect: `bits` ignored
def attention_cost(tokens, dim, heads, bias=True, batch=1, bits=32):
    return {
        "macs": batch * (4 * tokens * dim**2 + 2 * tokens**2 * dim),
        "params": 4 * dim**2 + (4 * dim if bias else 0),
        "score_bytes": batch * heads * tokens**2 * 4,
    }


# %% count_macs
# expect: blocks of blocks missed
def count_macs(model, input_shape):
    calls = []

    def note(layer, inputs, output):
        calls.append(layer_macs(layer, output) or 0)

    hooks = [
        layer.register_forward_hook(note)
        for layer in [m for name, m in model.named_modules() if name.count(".") < 2]
    ]
    model(torch.zeros(input_shape))
    for hook in hooks:
        hook.remove()
    return sum(calls)


# %% count_params
# expect: layers without parameters listed
def count_params(model):
    known = (nn.Linear, nn.Conv2d)
    return {
        "params": sum(p.numel() for p in model.parameters()),
        "uncounted": [
            name
            for name, layer in model.named_modules()
            if not list(layer.children()) and not isinstance(layer, known)
        ],
    }


# %% peak_activation_bytes
# expect: where there is no layer
def peak_activation_bytes(sizes):
    return max((sizes[i] + sizes[i + 1] for i in range(len(sizes) - 1)), default=0)


# %% roofline
# expect: divided by the operations
def roofline(macs, bytes_moved, peak_gflops, bandwidth_gb_s):
    compute_s = 2 * macs / (peak_gflops * 1e9)
    memory_s = bytes_moved / (peak_gflops * 1e9)
    return {
        "compute_s": compute_s,
        "memory_s": memory_s,
        "time_s": max(compute_s, memory_s),
        "bound": "compute" if compute_s > memory_s else "memory",
    }


# %% energy
# expect: multiplication forgotten
def energy(macs, dram_bytes, sram_bytes, picojoules):
    dram = dram_bytes / 4 * picojoules["dram_read"]
    sram = sram_bytes / 4 * picojoules["sram_read"]
    return {
        "compute_j": macs * picojoules["add"] * 1e-12,
        "memory_j": (dram + sram) * 1e-12,
    }


# %% device_fit
# expect: sparsity ignored
def device_fit(params, activations, memory_kib, bits=32, sparsity=0, batch=1):
    weight_bytes = params * bits / 8
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
