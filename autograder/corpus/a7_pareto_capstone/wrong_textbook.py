"""The mistake that each question invites most."""


# %% fold
# expect: `eps` is missing
def fold(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / torch.sqrt(var)
    old = torch.zeros_like(mean) if bias is None else bias
    shape = (-1,) + (1,) * (weight.ndim - 1)
    return weight * scale.reshape(shape), (old - mean) * scale + beta


# %% dominates
# expect: better in every metric is not asked
def dominates(a, b, directions):
    signs = [1 if direction == "max" else -1 for direction in directions]
    gains = [s * (x - y) for s, x, y in zip(signs, a, b, strict=True)]
    return min(gains) > 0


# %% frontier
# expect: dominated only if worse in both
def frontier(points, directions):
    signs = [-1 if d == "max" else 1 for d in directions]
    costs = [[s * x for s, x in zip(signs, point)] for point in points]

    def beats(a, b):
        return all(x < y for x, y in zip(a, b))

    return [i for i, b in enumerate(costs) if not any(beats(a, b) for a in costs)]


# %% hypervolume
# expect: overlaps counted again
def hypervolume(points, reference, directions):
    signs = [1 if direction == "max" else -1 for direction in directions]
    sides = [
        [s * (x - r) for x, r, s in zip(point, reference, signs, strict=True)] for point in points
    ]
    sides = [side for side in sides if min(side) > 0]
    area, height = 0.0, 0.0
    for width, tall in sorted(sides, reverse=True):
        area += width * tall
        height = 0
    return area


# %% difference
# expect: n instead of n - 1
def difference(a, b, t=2.0):
    a, b = np.array(a, dtype=float), np.array(b, dtype=float)
    va, vb, n, m = a.var(ddof=0), b.var(ddof=0), len(a), len(b)
    error = np.sqrt(va / n + vb / m)
    middle = a.mean() - b.mean()
    return middle - t * error, middle + t * error


# %% noisy_frontier
# expect: noise is ignored
def noisy_frontier(models, t=2.0):
    def clearly(a, b):
        return a[0] > b[0]

    def beats(a, b):
        return (a[2] <= b[2] and clearly(a, b)) or (a[2] < b[2] and not clearly(b, a))

    return [i for i, b in enumerate(models) if not any(beats(a, b) for a in models)]


# %% same_units
# expect: 1024 bytes in a kB
def same_units(rows):
    units = {"bytes": 1, "kb": 2**10, "mb": 2**20, "kib": 2**10, "mib": 2**20}
    pairs = []
    for row in rows:
        if "accuracy" in row:
            accuracy = 100 * row["accuracy"]
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
# expect: larger baselines
def equal_bytes(claims, baselines, noise):
    verdicts = []
    for accuracy, size in claims:
        rivals = [other for other, least in baselines if True]
        if not rivals:
            verdicts.append("untested")
        elif accuracy > max(rivals) + noise:
            verdicts.append("survives")
        else:
            verdicts.append("refuted")
    return verdicts


# %% entropy_bytes
# expect: the natural logarithm
def entropy_bytes(levels):
    counts = [levels.count(v) for v in set(levels)]
    n = sum(counts)
    p = [count / n for count in counts]
    return -n * sum(x * math.log(x) for x in p) / 8


# %% submission
# expect: more size_bytes than the budget
def student_id():
    return "instructor"


def compressed_model():
    return codec.to_bytes(models.pretrained("lenet_300_100"))
