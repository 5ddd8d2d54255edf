"""NumPy, in float64."""


# %% fold
def fold(weight, bias, gamma, beta, mean, var, eps=1e-5):
    w, g, s, m, v = (x.detach().double().numpy() for x in (weight, gamma, beta, mean, var))
    old = np.zeros(len(g)) if bias is None else bias.detach().double().numpy()
    scale = g / np.sqrt(v + eps)
    return (w.T * scale).T, (old - m) * scale + s


# %% dominates
def dominates(a, b, directions):
    signs = np.where(np.array(directions) == "max", 1, -1)
    gains = signs * (np.array(a) - np.array(b))
    return np.all(gains >= 0) and np.any(gains > 0)


# %% frontier
def frontier(points, directions):
    if len(points) == 0:
        return np.array([], dtype=int)
    signs = np.array([-1 if direction == "max" else 1 for direction in directions])
    costs = np.array(points) * signs
    no_worse = (costs[:, None] <= costs[None]).all(axis=2)
    better = (costs[:, None] < costs[None]).any(axis=2)
    return np.flatnonzero(~(no_worse & better).any(axis=0))


# %% hypervolume
def hypervolume(points, reference, directions):
    signs = np.array([1 if direction == "max" else -1 for direction in directions])
    sides = signs * (np.array(points, dtype=float).reshape(-1, 2) - np.array(reference))
    sides = sides[(sides > 0).all(axis=1)]
    sides = sides[np.argsort(-sides[:, 1], kind="stable")]
    widest = np.maximum.accumulate(sides[:, 0]) if len(sides) else np.zeros(0)
    return np.diff(widest, prepend=0.0) @ sides[:, 1]


# %% difference
def difference(a, b, t=2.0):
    squares = [np.var(runs, ddof=1) / len(runs) for runs in (a, b)]
    return np.mean(a) - np.mean(b) + np.array([-t, t]) * np.sqrt(sum(squares))


# %% noisy_frontier
def noisy_frontier(models, t=2.0):
    accuracy, error, size = np.array(models, dtype=float).T
    gain = accuracy[:, None] - accuracy
    clearly = gain > t * np.sqrt(error[:, None] ** 2 + error**2)
    beats = np.where(size[:, None] < size, ~clearly.T, clearly & (size[:, None] == size))
    return [i for i in range(len(models)) if not beats[:, i].any()]


# %% same_units
def same_units(rows):
    table = np.zeros((len(rows), 2))
    for i, row in enumerate(rows):
        fraction = row.get("accuracy")
        percent = row.get("accuracy_percent", 100 - row.get("error_percent", 0))
        table[i, 0] = percent if fraction is None else 100 * fraction
        table[i, 1] = np.ceil(row.get("params", 0) * row.get("bits", 0) / 8)
        for k, prefix in enumerate(("", "k", "m")):
            table[i, 1] += row.get(f"size_{prefix}b", 0) * 1000**k
            table[i, 1] += row.get(f"size_{prefix}ib", 0) * 1024**k
        table[i, 1] += row.get("size_bytes", 0)
    return table


# %% equal_bytes
def equal_bytes(claims, baselines, noise):
    names = np.array(["refuted", "survives", "untested"])
    codes = []
    for accuracy, size in claims:
        best = max((a for a, least in baselines if least <= size), default=None)
        codes.append(2 if best is None else int(accuracy - noise > best))
    return [str(name) for name in names[codes]]


# %% entropy_bytes
def entropy_bytes(levels):
    counts = np.bincount(np.array(levels) - min(levels))
    counts = counts[counts > 0]
    n = len(levels)
    return (n * np.log2(n) - (counts * np.log2(counts)).sum()) / 8


# %% submission
def student_id():
    return "tim"


def compressed_model(cached=[]):
    if not cached:
        cached.append(trained_by_hand())
    return cached[0]


def trained_by_hand(hidden=31, epochs=5, batch=100):
    """Momentum without autograd; the backward pass of two layers fits in five lines."""
    rng = np.random.default_rng(0)
    split = data.load("mnist").train
    x, labels = split.inputs().flatten(1).numpy(), split.labels.numpy()
    one_hot = np.eye(10, dtype=np.float32)[labels]
    shapes = {"fc1.weight": (hidden, 784), "fc1.bias": (hidden,), "fc2.weight": (10, hidden)}
    shapes["fc2.bias"] = (10,)
    w = {k: rng.normal(0, s[-1] ** -0.5, s).astype(np.float32) for k, s in shapes.items()}
    speed = {k: np.zeros_like(v) for k, v in w.items()}
    steps = epochs * (len(x) // batch)
    order = np.concatenate([rng.permutation(len(x)) for _ in range(epochs)])
    for k in range(steps):
        now = order[k * batch : (k + 1) * batch]
        inner = np.maximum(x[now] @ w["fc1.weight"].T + w["fc1.bias"], 0)
        logits = inner @ w["fc2.weight"].T + w["fc2.bias"]
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        d2 = (p / p.sum(axis=1, keepdims=True) - one_hot[now]) / batch
        d1 = (d2 @ w["fc2.weight"]) * (inner > 0)
        slopes = {"fc1.weight": d1.T @ x[now], "fc1.bias": d1.sum(0)}
        slopes |= {"fc2.weight": d2.T @ inner, "fc2.bias": d2.sum(0)}
        rate = 0.1 * (1 - k / steps)
        for name, slope in slopes.items():
            speed[name] = 0.9 * speed[name] + slope + 1e-4 * w[name]
            w[name] -= rate * speed[name]
    grid = {k: np.round(v * 16) / 16 for k, v in w.items()}
    return codec.to_bytes(
        {k: torch.from_numpy(v) for k, v in grid.items()}, techniques=codec.TECHNIQUES
    )
