"""Right values, written over the caller's arguments."""


# %% fold
# expect: was changed
def fold(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / torch.sqrt(var + eps)
    if bias is None:
        bias = torch.zeros_like(mean)
    bias -= mean
    bias *= scale
    bias += beta
    weight *= scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight, bias


# %% frontier
# expect: were changed
def frontier(points, directions):
    signs = [1 if direction == "min" else -1 for direction in directions]
    kept = list(points)
    points.sort(key=lambda point: [sign * x for sign, x in zip(signs, point)])

    def beats(a, b):
        return a != b and all(s * x <= s * y for s, x, y in zip(signs, a, b))

    return [i for i, b in enumerate(kept) if not any(beats(a, b) for a in points)]


# %% hypervolume
# expect: were changed
def hypervolume(points, reference, directions):
    signs = [1 if direction == "max" else -1 for direction in directions]
    points.sort(key=lambda point: -signs[0] * point[0])
    area, height = 0.0, 0.0
    for x, y in points:
        width, tall = signs[0] * (x - reference[0]), signs[1] * (y - reference[1])
        if width > 0 and tall > height:
            area += width * (tall - height)
            height = tall
    return area


# %% same_units
# expect: were changed
def same_units(rows):
    units = {"bytes": 1, "kb": 1e3, "mb": 1e6, "kib": 2**10, "mib": 2**20}
    pairs = []
    for row in rows:
        accuracy = 100 - row.pop("error_percent", 0)
        accuracy = row.pop("accuracy_percent", accuracy)
        if "accuracy" in row:
            accuracy = 100 * row.pop("accuracy")
        size = math.ceil(row.get("params", 0) * row.get("bits", 0) / 8)
        size += sum(unit * row.get(f"size_{name}", 0) for name, unit in units.items())
        pairs.append((accuracy, size))
    return pairs
