"""Right on a single small example by luck."""


# %% conv_output_size
# expect: dilation ignored
def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):
    if stride > 1:
        dilation = 1
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


# %% peak_activation_bytes
# expect: two ends never meet
def peak_activation_bytes(sizes):
    return max(sizes[i - 1] + sizes[i] for i in range(len(sizes))) if len(sizes) > 1 else sizes[0]


# %% roofline
# expect: longer time
def roofline(macs, bytes_moved, peak_gflops, bandwidth_gb_s):
    c = 2 * macs / (1e9 * peak_gflops)
    m = bytes_moved / (1e9 * bandwidth_gb_s)
    return {
        "compute_s": c,
        "memory_s": m,
        "time_s": max(c, m),
        "bound": "compute" if c / 2 > m else "memory",
    }


# %% device_fit
# expect: not by the bytes
def device_fit(params, activations, memory_kib, bits=32, sparsity=0, batch=1):
    w = params * (1 - sparsity) * bits / 8
    a = activations * bits * batch / 8
    return {
        "weight_bytes": w,
        "activation_bytes": a,
        "fits": [k for k, v in memory_kib.items() if params * bits / 8 + a <= v * 1024],
    }
