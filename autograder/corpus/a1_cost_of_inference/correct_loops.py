"""Count one by one, with loops and recursion, and return plain numbers."""


# %% linear_cost
def linear_cost(in_features, out_features, bias=True, batch=1, bits=32):
    macs, stored, written = 0, 0, 0
    for _output in range(out_features):
        macs += in_features * batch
        stored += in_features
        written += bits * batch
        if bias:
            stored += 1
    return dict(macs=macs, params=stored, activation_bytes=written / 8)


# %% conv_output_size
def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):
    position, count = -padding, 0
    while position + dilation * (kernel - 1) < size + padding:
        count += 1
        position += stride
    return count


# %% conv2d_cost
def conv2d_cost(channels, kernel, output, groups=1, bias=True, batch=1):
    inputs, outputs = channels
    weights = values = 0
    for _group in range(groups):
        weights += (inputs // groups) * (outputs // groups) * kernel[0] * kernel[1]
    for _row in range(output[0]):
        for _column in range(output[1]):
            values += batch * outputs
    return {
        "activation_bytes": values + values + values + values,
        "params": weights + outputs if bias else weights,
        "macs": weights * batch * output[0] * output[1],
    }


# %% separable_cost
def separable_cost(in_channels, out_channels, kernel, positions, order):
    pointwise = sum(in_channels for _ in range(out_channels))
    filtered = {"spatial_first": in_channels, "pointwise_first": out_channels}[order]
    depthwise = sum(kernel * kernel for _ in range(filtered))
    macs = sum(pointwise + depthwise for _ in range(positions))
    dense = sum(kernel * kernel * pointwise for _ in range(positions))
    return {"params": pointwise + depthwise, "macs": macs, "saving": dense / macs}


# %% attention_cost
def attention_cost(tokens, dim, heads, bias=True, batch=1, bits=32):
    macs = params = scores = 0
    for _layer in ("query", "key", "value", "output"):
        macs += tokens * dim * dim
        params += dim * dim + (dim if bias else 0)
    for _head in range(heads):
        share = dim // heads
        macs += tokens * tokens * share  # scores
        macs += tokens * tokens * share  # mixing
        scores += tokens * tokens
    return {
        "macs": macs * batch,
        "params": params,
        "score_bytes": batch * scores * (bits / 8),
    }


# %% count_macs
def count_macs(model, input_shape):
    def run(module, x):
        """Walk a tree of Sequentials by hand; returns the output and the MACs."""
        if not isinstance(module, nn.Sequential):
            y = module(x)
            return y, layer_macs(module, y) or 0
        macs = 0
        for child in module:
            x, more = run(child, x)
            macs += more
        return x, macs

    with torch.no_grad():
        return run(model, torch.zeros(*input_shape))[1]


# %% count_params
def count_params(model):
    seen, total, names = [], 0, []

    def visit(module, prefix):
        nonlocal total
        for parameter in module._parameters.values():
            if parameter is None:
                continue
            if not isinstance(module, (nn.Linear, nn.Conv2d)) and prefix not in names:
                names.append(prefix)
            if not any(parameter is other for other in seen):
                seen.append(parameter)
                total += parameter.nelement()
        for name, child in module._modules.items():
            if child is not None:
                visit(child, f"{prefix}.{name}" if prefix else name)

    visit(model, "")
    return {"params": total, "uncounted": tuple(names)}


# %% peak_activation_bytes
def peak_activation_bytes(sizes):
    if len(sizes) == 1:
        return sizes[0]
    return max(sizes[0] + sizes[1], peak_activation_bytes(sizes[1:]))


# %% roofline
def roofline(macs, bytes_moved, peak_gflops, bandwidth_gb_s):
    compute_s = (macs + macs) / peak_gflops / 10**9
    memory_s = bytes_moved / bandwidth_gb_s / 10**9
    if compute_s > memory_s:
        time_s, bound = compute_s, "compute"
    else:
        time_s, bound = memory_s, "memory"
    return {"compute_s": compute_s, "memory_s": memory_s, "time_s": time_s, "bound": bound}


# %% energy
def energy(macs, dram_bytes, sram_bytes, picojoules):
    joules = {name: value / 1e12 for name, value in picojoules.items()}
    memory = 0
    for count, name in ((dram_bytes, "dram_read"), (sram_bytes, "sram_read")):
        memory += count * 8 / 32 * joules[name]
    return {"memory_j": memory, "compute_j": macs * joules["mul"] + macs * joules["add"]}


# %% device_fit
def device_fit(params, activations, memory_kib, bits=32, sparsity=0, batch=1):
    weight_bits = (params - params * sparsity) * bits
    activation_bits = 0
    for _input in range(batch):
        activation_bits += activations * bits
    fits = []
    for name in memory_kib:
        if memory_kib[name] * 1024 * 8 >= weight_bits + activation_bits:
            fits.append(name)
    return {
        "weight_bytes": weight_bits / 8,
        "activation_bytes": activation_bits / 8,
        "fits": fits,
    }
