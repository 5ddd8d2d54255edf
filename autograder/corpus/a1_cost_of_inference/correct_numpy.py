"""NumPy throughout: the results are NumPy scalars, 0-d arrays and arrays of names."""

# %% linear_cost
import numpy as np


def linear_cost(in_features, out_features, bias=True, batch=1, bits=32):
    weight = np.broadcast_to(np.int8(0), (out_features, in_features))
    return {
        "macs": np.int64(batch) * weight.size,
        "params": np.array(weight.size + bool(bias) * out_features),
        "activation_bytes": np.prod([batch, out_features, bits]) / np.float64(8),
    }


# %% conv_output_size
import numpy as np


def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):
    starts = np.arange(0, size + 2 * padding, stride)
    return np.count_nonzero(starts + dilation * (kernel - 1) < size + 2 * padding)


# %% conv2d_cost
import numpy as np


def conv2d_cost(channels, kernel, output, groups=1, bias=True, batch=1):
    filters = np.array([channels[1], channels[0] / groups, *kernel])
    result = np.array([batch, channels[1], *output], dtype=np.float64)
    return {
        "macs": filters[1:].prod() * result.prod(),
        "params": filters.prod() + (channels[1] if bias else 0),
        "activation_bytes": result.prod() * np.dtype(np.float32).itemsize,
    }


# %% separable_cost
import numpy as np


def separable_cost(in_channels, out_channels, kernel, positions, order):
    depth = np.where(order == "spatial_first", in_channels, out_channels)
    params = np.array([kernel * kernel * depth, in_channels * out_channels]).sum()
    saving = 1 / (depth / (in_channels * out_channels) + 1 / np.square(kernel))
    return {"params": params, "macs": params * positions, "saving": saving}


# %% attention_cost
import numpy as np


def attention_cost(tokens, dim, heads, bias=True, batch=1, bits=32):
    tokens, dim = np.int64(tokens), np.int64(dim)
    per_sequence = np.polyval([2 * dim, 4 * dim * dim, 0], tokens)
    return {
        "macs": per_sequence * batch,
        "params": np.dot([4, 4 * int(bias)], [dim * dim, dim]),
        "score_bytes": np.full((batch, heads), tokens**2).sum() * bits / 8,
    }


# %% count_macs
import numpy as np


def count_macs(model, input_shape):
    calls = []
    hooks = [
        layer.register_forward_hook(lambda layer, _, y: calls.append((layer, y.shape)))
        for layer in set(model.modules())
        if type(layer) in (nn.Linear, nn.Conv2d)
    ]
    model(torch.randn(input_shape))
    [hook.remove() for hook in hooks]
    return np.sum([np.prod(shape) * layer.weight[0].numel() for layer, shape in calls])


# %% count_params
import numpy as np


def count_params(model):
    sizes = {id(p): np.prod(p.shape) for _, p in model.named_parameters()}
    owners = {name.rpartition(".")[0] for name, _ in model.named_parameters()}
    known = {n for n, m in model.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))}
    return {"params": sum(sizes.values()), "uncounted": np.array(sorted(owners - known))}


# %% peak_activation_bytes
import numpy as np


def peak_activation_bytes(sizes):
    padded = np.array([0, *sizes])
    return (padded[1:] + padded[:-1]).max()


# %% roofline
import numpy as np


def roofline(macs, bytes_moved, peak_gflops, bandwidth_gb_s):
    times = np.array([2 * macs, bytes_moved]) / np.array([peak_gflops, bandwidth_gb_s]) / 1e9
    return {
        "compute_s": times[0],
        "memory_s": times[1],
        "time_s": times.max(),
        "bound": np.array(["compute", "memory"])[times.argmax()],
    }


# %% energy
import numpy as np


def energy(macs, dram_bytes, sram_bytes, picojoules):
    words = np.array([dram_bytes, sram_bytes]) / 4
    prices = np.array([picojoules["dram_read"], picojoules["sram_read"]])
    return {
        "compute_j": np.float64(macs) * (picojoules["add"] + picojoules["mul"]) / 10**12,
        "memory_j": words @ prices * 1e-12,
    }


# %% device_fit
import numpy as np


def device_fit(params, activations, memory_kib, bits=32, sparsity=0, batch=1):
    size = np.array([params * (1 - sparsity), activations * batch]) * bits / 8
    names, memory = np.array(list(memory_kib)), np.array(list(memory_kib.values()))
    fits = names[memory * 2**10 >= size.sum()]
    return {"weight_bytes": size[0], "activation_bytes": size[1], "fits": fits.tolist()}
