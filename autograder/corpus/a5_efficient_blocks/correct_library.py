"""NumPy, torch modules and the course's own library."""


# %% depthwise_separable
def depthwise_separable(x, depthwise, pointwise, stride=1):
    patches = F.unfold(x, depthwise.shape[-1], padding=depthwise.shape[-1] // 2, stride=stride)
    n, c = x.shape[:2]
    patches = patches.view(n, c, -1, patches.shape[-1])
    y = torch.einsum("nckp,ck->ncp", patches, depthwise.flatten(1)).relu()
    z = torch.einsum("ncp,dc->ndp", y, pointwise.flatten(1)).relu()
    height = -(-x.shape[2] // stride)
    return z.view(n, len(pointwise), height, -1).numpy()


# %% inverted_residual
def inverted_residual(x, expand, depthwise, project, stride=1):
    x64 = x.double()
    y = F.hardtanh(F.conv2d(x64, expand.double()), 0, 6)
    y = F.hardtanh(
        F.conv2d(y, depthwise.double(), stride=stride, padding=1, groups=len(depthwise)), 0, 6
    )
    y = F.conv2d(y, project.double())
    return y + x64 if stride == 1 and y.shape[1] == x.shape[1] else y


# %% squeeze_excite
import numpy as np


def squeeze_excite(x, reduce, restore):
    a = x.numpy()
    s = np.maximum(a.mean(axis=(2, 3)) @ reduce.numpy().T, 0) @ restore.numpy().T
    return a * (np.clip(s + 3, 0, 6) / 6)[:, :, None, None]


# %% channel_shuffle
def channel_shuffle(x, groups):
    return torch.cat(
        [x[:, start :: x.shape[1] // groups] for start in range(x.shape[1] // groups)], dim=1
    )


# %% fire
def fire(x, squeeze, expand1, expand3):
    y = torch.einsum("nchw,sc->nshw", x, squeeze[..., 0, 0]).relu()
    parts = [
        torch.einsum("nshw,as->nahw", y, expand1[..., 0, 0]),
        F.conv2d(y, expand3, padding="same"),
    ]
    return torch.hstack(parts).relu().tolist()


# %% block_cost
from course_lib import cost


def block_cost(channels, expansion, size, stride=1):
    e = channels[0] * expansion
    model = nn.Sequential(
        nn.Conv2d(channels[0], e, 1, bias=False),
        nn.Conv2d(e, e, 3, stride, 1, groups=e, bias=False),
        nn.Conv2d(e, channels[1], 1, bias=False),
    )
    counted = cost.count(model, torch.zeros(1, channels[0], *size))
    return {"params": counted.params, "macs": counted.macs}


# %% round_channels
from course_lib import models


def round_channels(channels, divisor=8):
    return models.round_channels(channels, divisor)


# %% compound_scaling
def compound_scaling(budget, alpha=1.2, beta=1.1, gamma=1.15):
    rates = torch.tensor([alpha, beta, gamma], dtype=torch.float64)
    growth = (rates ** torch.tensor([1, 2, 2])).prod()
    phi = max(step for step in range(200) if growth**step <= budget)
    depth, width, resolution = (rates**phi).tolist()
    return {
        "macs": growth**phi,
        "phi": torch.tensor(phi),
        "depth": depth,
        "width": width,
        "resolution": resolution,
    }


# %% svd_split
def svd_split(weight, rank):
    u, s, vh = torch.linalg.svd(weight.double())
    keep = torch.zeros(len(u), rank, dtype=torch.float64)
    keep[:rank, :rank] = torch.diag(s[:rank])
    return [u, keep][0] @ keep, vh[:rank, :]


# %% break_even_rank
import math


def break_even_rank(out_features, in_features):
    return math.ceil(out_features * in_features / (out_features + in_features)) - 1


# %% stored_parameters
from course_lib import cost


def stored_parameters(model):
    return sum(p.numel() for _, p in model.named_parameters(remove_duplicate=True))


# %% attention
import numpy as np


def attention(q, k, v, heads=1, causal=False):
    q, k, v = (np.stack(np.split(x.double().numpy(), heads, axis=-1)) for x in (q, k, v))
    scores = np.einsum("hntd,hnsd->hnts", q, k) / np.sqrt(q.shape[-1])
    if causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.concatenate(list(weights @ v), axis=-1)
