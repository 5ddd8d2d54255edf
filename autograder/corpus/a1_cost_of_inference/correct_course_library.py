"""Call the course's own library, and a class that walks torch.fx graphs."""

# %% linear_cost
from course_lib import cost


def linear_cost(in_features, out_features, bias=True, batch=1, bits=32):
    return {
        "macs": cost.linear_macs(in_features, out_features, rows=batch),
        "params": cost.linear_params(in_features, out_features, bias=bias),
        "activation_bytes": cost.tensor_bytes((batch, out_features), bits),
    }


# %% conv_output_size
from course_lib import cost


def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):
    return cost.conv_output_size(size, kernel, stride=stride, padding=padding, dilation=dilation)


# %% conv2d_cost
from course_lib import cost


def conv2d_cost(channels, kernel, output, groups=1, bias=True, batch=1):
    inside = (output[0] + kernel[0] - 1, output[1] + kernel[1] - 1)
    return {
        "macs": cost.conv2d_macs(*channels, kernel, inside, groups=groups, batch=batch),
        "params": cost.conv2d_params(*channels, kernel, groups=groups, bias=bias),
        "activation_bytes": cost.tensor_bytes((batch, channels[1], *output)),
    }


# %% separable_cost
from fractions import Fraction

from course_lib import cost


def separable_cost(in_channels, out_channels, kernel, positions, order):
    params = cost.depthwise_separable_params(in_channels, out_channels, kernel, order=order)
    dense = cost.conv2d_params(in_channels, out_channels, kernel, bias=False)
    return {"params": params, "macs": params * positions, "saving": Fraction(dense, params)}


# %% attention_cost
from course_lib import cost


def attention_cost(tokens, dim, heads, bias=True, batch=1, bits=32):
    return {
        "macs": cost.attention_macs(tokens, dim, heads=heads, batch=batch),
        "params": cost.attention_params(dim, bias=bias),
        "score_bytes": cost.tensor_bytes((batch, heads, tokens, tokens), bits),
    }


# %% count_macs
from torch import fx


class MacCounter(fx.Interpreter):
    macs = 0

    def call_module(self, target, args, kwargs):
        output = super().call_module(target, args, kwargs)
        self.macs += layer_macs(self.module.get_submodule(target), output) or 0
        return output


def count_macs(model, input_shape):
    # Inside a block: fx would trace into a model that is a layer itself.
    counter = MacCounter(fx.symbolic_trace(nn.Sequential(model)))
    counter.run(torch.zeros(input_shape))
    return counter.macs


# %% count_params
from collections import Counter


def count_params(model):
    owners = Counter(name.rpartition(".")[0] for name, _ in model.named_parameters())
    return {
        "params": sum({p: p.numel() for p in model.parameters()}.values()),
        "uncounted": [
            name
            for name in owners
            if not isinstance(model.get_submodule(name), (nn.Linear, nn.Conv2d))
        ],
    }


# %% peak_activation_bytes
from course_lib import cost


def peak_activation_bytes(sizes):
    return cost.chain_peak_bytes(sizes)


# %% roofline
from decimal import Decimal


def roofline(macs, bytes_moved, peak_gflops, bandwidth_gb_s):
    giga = Decimal(10) ** 9
    compute_s = 2 * macs / (Decimal(peak_gflops) * giga)
    memory_s = bytes_moved / (Decimal(bandwidth_gb_s) * giga)
    time_s, bound = max((compute_s, "compute"), (memory_s, "memory"))
    return {"compute_s": compute_s, "memory_s": memory_s, "time_s": time_s, "bound": bound}


# %% energy
from decimal import Decimal


def energy(macs, dram_bytes, sram_bytes, picojoules):
    pico = Decimal(10) ** -12
    price = {name: Decimal(value) * pico for name, value in picojoules.items()}
    return {
        "compute_j": macs * sum(price[name] for name in ("add", "mul")),
        "memory_j": (dram_bytes * price["dram_read"] + sram_bytes * price["sram_read"]) / 4,
    }


# %% device_fit
from fractions import Fraction


def device_fit(params, activations, memory_kib, bits=32, sparsity=0, batch=1):
    weights = Fraction(params * bits, 8) * (1 - Fraction(sparsity))
    values = Fraction(activations * batch * bits, 8)
    return {
        "weight_bytes": weights,
        "activation_bytes": values,
        "fits": [*filter(lambda name: weights + values <= 1024 * memory_kib[name], memory_kib)],
    }
