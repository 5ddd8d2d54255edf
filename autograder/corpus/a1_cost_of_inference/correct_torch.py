"""Let PyTorch answer: build the layers, on the meta device where they are large, and look."""

# %% linear_cost
import torch
from torch.utils.flop_counter import FlopCounterMode


def linear_cost(in_features, out_features, bias=True, batch=1, bits=32):
    layer = torch.nn.Linear(in_features, out_features, bias=bias, device="meta")
    counter = FlopCounterMode(display=False)
    with counter:
        y = layer(torch.empty(batch, in_features, device="meta"))
    return {
        "macs": counter.get_total_flops() // 2,
        "params": torch.tensor(sum(p.numel() for p in layer.parameters())),
        "activation_bytes": torch.tensor(y.numel()) * bits / 8,
    }


# %% conv_output_size
import torch


def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):
    row, taps = torch.zeros(1, 1, size), torch.zeros(1, 1, kernel)
    result = torch.nn.functional.conv1d(
        row, taps, stride=stride, padding=padding, dilation=dilation
    )
    return result.shape[-1]


# %% conv2d_cost
import torch


def conv2d_cost(channels, kernel, output, groups=1, bias=True, batch=1):
    layer = torch.nn.Conv2d(*channels, kernel, groups=groups, bias=bias, device="meta")
    height, width = (n + k - 1 for n, k in zip(output, kernel))
    y = layer(torch.empty(batch, channels[0], height, width, device="meta"))
    assert tuple(y.shape[2:]) == tuple(output)
    return {
        "macs": layer.weight[0].numel() * y.numel(),
        "params": sum(p.numel() for p in layer.parameters()),
        "activation_bytes": y.numel() * y.element_size(),
    }


# %% separable_cost
import torch


def separable_cost(in_channels, out_channels, kernel, positions, order):
    pointwise = torch.nn.Conv2d(in_channels, out_channels, 1, bias=False)
    middle = in_channels if order == "spatial_first" else out_channels
    depthwise = torch.nn.Conv2d(middle, middle, kernel, groups=middle, bias=False)
    dense = torch.nn.Conv2d(in_channels, out_channels, kernel, bias=False)
    params = pointwise.weight.numel() + depthwise.weight.numel()
    return {
        "params": params,
        "macs": torch.tensor(params) * positions,
        "saving": torch.tensor(float(dense.weight.numel())) / params,
    }


# %% attention_cost
import torch


def attention_cost(tokens, dim, heads, bias=True, batch=1, bits=32):
    layer = torch.nn.MultiheadAttention(dim, heads, bias=bias)
    scores = torch.empty(batch * heads, tokens, tokens, device="meta")
    mixed = scores.numel() * (dim // heads)
    projected = batch * tokens * (layer.in_proj_weight.numel() + layer.out_proj.weight.numel())
    return {
        "macs": projected + 2 * mixed,
        "params": sum(p.numel() for p in layer.parameters()),
        "score_bytes": scores.numel() * bits // 8,
    }


# %% count_macs
from copy import deepcopy

from torch.utils.flop_counter import FlopCounterMode


def count_macs(model, input_shape):
    counter = FlopCounterMode(display=False)
    with counter, torch.device("meta"):
        deepcopy(model).to("meta")(torch.empty(input_shape))
    return counter.get_total_flops() / 2


# %% count_params
from torch.nn.utils import parameters_to_vector


def count_params(model):
    known = (nn.Linear, nn.Conv2d)
    return {
        "params": torch.tensor(len(parameters_to_vector(model.parameters()))),
        "uncounted": {
            name
            for name, layer in model.named_modules()
            if next(layer.parameters(recurse=False), None) is not None
            and not isinstance(layer, known)
        },
    }


# %% peak_activation_bytes
def peak_activation_bytes(sizes):
    row = torch.tensor(sizes)
    return torch.cat([row[:1], row[1:] + row[:-1]]).max()


# %% roofline
def roofline(macs, bytes_moved, peak_gflops, bandwidth_gb_s):
    times = {
        "compute": torch.tensor(2e-9) * macs / peak_gflops,
        "memory": torch.tensor(1e-9) * bytes_moved / bandwidth_gb_s,
    }
    bound = max(times, key=times.get)
    return {
        "compute_s": times["compute"],
        "memory_s": times["memory"],
        "time_s": times[bound],
        "bound": bound,
    }


# %% energy
def energy(macs, dram_bytes, sram_bytes, picojoules):
    price = {name: torch.tensor(pj * 1e-12) for name, pj in picojoules.items()}
    words = torch.tensor([dram_bytes, sram_bytes]) / 4
    reads = torch.stack([price["dram_read"], price["sram_read"]])
    return {"compute_j": macs * (price["add"] + price["mul"]), "memory_j": words @ reads}


# %% device_fit
def device_fit(params, activations, memory_kib, bits=32, sparsity=0, batch=1):
    weights = torch.tensor(params * (1 - sparsity)) * bits / 8
    values = torch.empty(batch, activations, device="meta").numel() * bits / 8
    fits = [name for name, kib in memory_kib.items() if weights + values <= kib << 10]
    return {"weight_bytes": weights, "activation_bytes": values, "fits": fits}
