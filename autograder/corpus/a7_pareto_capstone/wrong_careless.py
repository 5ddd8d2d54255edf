"""Slips of the pen."""


# %% fold
# expect: the old bias is not scaled
def fold(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / torch.sqrt(var + eps)
    old = torch.zeros_like(mean) if bias is None else bias
    shape = (-1,) + (1,) * (weight.ndim - 1)
    return weight * scale.reshape(shape), old - mean * scale + beta


# %% dominates
# expect: swapped
def dominates(a, b, directions):
    signs = [1 if direction == "max" else -1 for direction in directions]
    gains = [s * (y - x) for s, x, y in zip(signs, a, b, strict=True)]
    return min(gains) >= 0 and max(gains) > 0


# %% frontier
# expect: a number
def frontier(points, directions):
    signs = [-1 if d == "max" else 1 for d in directions]
    costs = [[s * x for s, x in zip(signs, point)] for point in points]

    def beats(a, b):
        return a != b and all(x <= y for x, y in zip(a, b))

    return [points[i] for i, b in enumerate(costs) if not any(beats(a, b) for a in costs)]


# %% hypervolume
# expect: the box around
def hypervolume(points, reference, directions):
    signs = [1 if direction == "max" else -1 for direction in directions]
    sides = [
        [s * (x - r) for x, r, s in zip(point, reference, signs, strict=True)] for point in points
    ]
    sides = [[max(s[k] for s in sides) for k in (0, 1)]] if sides else []
    area, height = 0.0, 0.0
    for width, tall in sorted(sides, reverse=True):
        area += width * max(tall - height, 0.0)
        height = max(height, tall)
    return area


# %% difference
# expect: `t` is ignored
def difference(a, b, t=2.0):
    a, b = np.array(a, dtype=float), np.array(b, dtype=float)
    va, vb, n, m = a.var(ddof=1), b.var(ddof=1), len(a), len(b)
    error = np.sqrt(va / n + vb / m)
    middle = a.mean() - b.mean()
    return middle - 1 * error, middle + 1 * error


# %% noisy_frontier
# expect: the answer for
def noisy_frontier(models, t=2.0):
    def clearly(a, b):
        return a[0] - b[0] > t * a[1]

    def beats(a, b):
        return (a[2] <= b[2] and clearly(a, b)) or (a[2] < b[2] and not clearly(b, a))

    return [i for i, b in enumerate(models) if not any(beats(a, b) for a in models)]


# %% same_units
# expect: a fraction taken for percent
def same_units(rows):
    units = {"bytes": 1, "kb": 1e3, "mb": 1e6, "kib": 2**10, "mib": 2**20}
    pairs = []
    for row in rows:
        if "accuracy" in row:
            accuracy = row["accuracy"]
        elif "accuracy_percent" in row:
            accuracy = row["accuracy_percent"]
        else:
            accuracy = 100 - row["error_percent"]
        size = -(-row.get("params", 0) * row.get("bits", 0) // 8)
        for unit, factor in units.items():
            size += factor * row.get(f"size_{unit}", 0)
        pairs.append((accuracy, size))
    return pairs


# %% equal_bytes
# expect: a baseline of equal bytes left out
def equal_bytes(claims, baselines, noise):
    verdicts = []
    for accuracy, size in claims:
        rivals = [other for other, least in baselines if least < size]
        if not rivals:
            verdicts.append("untested")
        elif accuracy > max(rivals) + noise:
            verdicts.append("survives")
        else:
            verdicts.append("refuted")
    return verdicts


# %% entropy_bytes
# expect: the sign
def entropy_bytes(levels):
    counts = [levels.count(v) for v in set(levels)]
    n = sum(counts)
    p = [count / n for count in counts]
    return n * sum(x * math.log2(x) for x in p) / 8


# %% submission
# expect: expected the bytes of a file
def student_id():
    return "instructor"


def compressed_model():
    return "my_network.safetensors"
