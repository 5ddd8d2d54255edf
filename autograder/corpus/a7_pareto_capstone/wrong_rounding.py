"""Right where the numbers are whole, or where a byte is broken."""


# %% hypervolume
# expect: hypervolume
def hypervolume(points, reference, directions):
    signs = [1 if direction == "max" else -1 for direction in directions]
    sides = [
        [s * (x - r) for x, r, s in zip(point, reference, signs, strict=True)] for point in points
    ]
    area, height = 0, 0
    for width, tall in sorted(sides, reverse=True):
        if width > 0 and tall > height:
            area += int(width * (tall - height))
            height = tall
    return area


# %% same_units
# expect: a byte too many
def same_units(rows):
    units = {"bytes": 1, "kb": 1e3, "mb": 1e6, "kib": 2**10, "mib": 2**20}
    pairs = []
    for row in rows:
        accuracy = row.get("accuracy_percent", 100 - row.get("error_percent", 0))
        if "accuracy" in row:
            accuracy = 100 * row["accuracy"]
        if "params" in row:
            size = row["params"] * row["bits"] // 8 + 1
        else:
            (size,) = (f * row[f"size_{u}"] for u, f in units.items() if f"size_{u}" in row)
        pairs.append((accuracy, size))
    return pairs


# %% dominates
# expect: the decimals are cut off
def dominates(a, b, directions):
    gains = [
        int(x - y) if direction == "max" else int(y - x)
        for x, y, direction in zip(a, b, directions, strict=True)
    ]
    return min(gains) >= 0 and max(gains) > 0


# %% frontier
# expect: the decimals are cut off
def frontier(points, directions):
    costs = [
        [int(x) if direction == "min" else -int(x) for x, direction in zip(p, directions)]
        for p in points
    ]

    def beats(a, b):
        return a != b and all(x <= y for x, y in zip(a, b))

    return [i for i, b in enumerate(costs) if not any(beats(a, b) for a in costs)]
