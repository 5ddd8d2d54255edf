"""Right in the plain case, wrong where two things meet."""


# %% conv_output_size
# expect: padding dilated
def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):
    return (size + 2 * padding * dilation - dilation * (kernel - 1) - 1) // stride + 1


# %% conv2d_cost
# expect: divided by the groups
def conv2d_cost(channels, kernel, output, groups=1, bias=True, batch=1):
    taps = channels[0] // groups * kernel[0] * kernel[1]
    v = batch * channels[1] * output[0] * output[1]
    return {
        "macs": v * taps,
        "params": channels[1] * (taps + bool(bias)),
        "activation_bytes": 4 * v // groups,
    }


# %% attention_cost
# expect: two bytes per score
def attention_cost(tokens, dim, heads, bias=True, batch=1, bits=32):
    return {
        "macs": batch * (4 * tokens * dim**2 + 2 * tokens**2 * dim),
        "params": 4 * dim * (dim + bool(bias)),
        "score_bytes": batch * heads * tokens**2 * 2,
    }


# %% count_macs
# expect: two hooks on the layer
def count_macs(model, input_shape):
    out = []

    def h(m, i, o):
        out.append(layer_macs(m, o) or 0)

    model.apply(lambda m: m.register_forward_hook(h))
    model(torch.zeros(input_shape))
    return sum(out)


# %% count_params
# expect: some kinds of layers
def count_params(model):
    bad = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.PReLU)
    return {
        "params": sum(p.numel() for p in model.parameters()),
        "uncounted": [
            n
            for n, m in model.named_modules()
            if list(m.parameters(recurse=False)) and isinstance(m, bad)
        ],
    }


# %% peak_activation_bytes
# expect: largest and a neighbour
def peak_activation_bytes(sizes):
    i = max(range(len(sizes)), key=lambda j: sizes[j])
    near = [sizes[j] for j in (i - 1, i + 1) if 0 <= j < len(sizes)]
    return sizes[i] + max(near, default=0)


# %% roofline
# expect: longer time
def roofline(macs, bytes_moved, peak_gflops, bandwidth_gb_s):
    c = 2 * macs / (1e9 * peak_gflops)
    m = bytes_moved / (1e9 * bandwidth_gb_s)
    return {
        "compute_s": c,
        "memory_s": m,
        "time_s": max(c, m),
        "bound": "compute" if macs > bytes_moved else "memory",
    }


# %% device_fit
# expect: not by the bytes
def device_fit(params, activations, memory_kib, bits=32, sparsity=0, batch=1):
    w = params * (1 - sparsity) * bits / 8
    a = activations * bits * batch / 8
    return {
        "weight_bytes": w,
        "activation_bytes": a,
        "fits": [k for k, v in memory_kib.items() if w + a / batch <= v * 1024],
    }
