"""Plain loops and lists."""


# %% fold
def fold(weight, bias, gamma, beta, mean, var, eps=1e-5):
    rows, shifts = [], []
    for o in range(len(gamma)):
        scale = float(gamma[o]) / (float(var[o]) + eps) ** 0.5
        rows.append(weight[o] * scale)
        old = 0.0 if bias is None else float(bias[o])
        shifts.append((old - float(mean[o])) * scale + float(beta[o]))
    return torch.stack(rows), torch.tensor(shifts)


# %% dominates
def dominates(a, b, directions):
    better = False
    for x, y, direction in zip(a, b, directions):
        if direction == "min":
            x, y = -x, -y
        if x < y:
            return False
        if x > y:
            better = True
    return better


# %% frontier
def frontier(points, directions):
    def loses(mine, other):
        better = 0
        for x, y, direction in zip(mine, other, directions):
            if x == y:
                continue
            if (x > y) == (direction == "max"):
                return False
            better += 1
        return better > 0

    found = []
    for i in range(len(points)):
        beaten = False
        for j in range(len(points)):
            if loses(points[i], points[j]):
                beaten = True
        if not beaten:
            found.append(i)
    return found


# %% hypervolume
def hypervolume(points, reference, directions):
    # One strip between neighbouring x, as tall as the tallest point that reaches it.
    extents = []
    for point in points:
        width = abs(point[0] - reference[0])
        height = abs(point[1] - reference[1])
        wide = point[0] > reference[0] if directions[0] == "max" else point[0] < reference[0]
        tall = point[1] > reference[1] if directions[1] == "max" else point[1] < reference[1]
        if wide and tall:
            extents.append((width, height))
    area, left = 0, 0
    for right in sorted({width for width, _ in extents}):
        area += (right - left) * max(h for w, h in extents if w >= right)
        left = right
    return area


# %% difference
def difference(a, b, t=2.0):
    def mean_and_square(runs):
        mean = 0.0
        for run in runs:
            mean += run / len(runs)
        total = 0.0
        for run in runs:
            total += (run - mean) ** 2
        return mean, total / (len(runs) - 1) / len(runs)

    first, error_a = mean_and_square(a)
    second, error_b = mean_and_square(b)
    half = t * math.sqrt(error_a + error_b)
    return [first - second - half, first - second + half]


# %% noisy_frontier
def noisy_frontier(models, t=2.0):
    found = []
    for i, (accuracy, error, size) in enumerate(models):
        keep = True
        for other, other_error, other_size in models:
            margin = t * math.sqrt(error**2 + other_error**2)
            if other_size <= size and other - accuracy > margin:
                keep = False
            if other_size < size and not accuracy - other > margin:
                keep = False
        if keep:
            found.append(i)
    return found


# %% same_units
def same_units(rows):
    out = []
    for row in rows:
        for key, value in row.items():
            if key == "accuracy":
                percent = value * 100
            elif key == "accuracy_percent":
                percent = value
            elif key == "error_percent":
                percent = 100 - value
            elif key == "size_bytes":
                size = value
            elif key == "size_kb":
                size = value * 1000
            elif key == "size_mb":
                size = value * 1000 * 1000
            elif key == "size_kib":
                size = value * 1024
            elif key == "size_mib":
                size = value * 1024 * 1024
            elif key == "params":
                bits = value * row["bits"]
                size = bits // 8
                if bits % 8:
                    size += 1
        out.append([percent, size])
    return out


# %% equal_bytes
def equal_bytes(claims, baselines, noise):
    out = []
    for accuracy, size in claims:
        verdict = "untested"
        for other, least in baselines:
            if least > size:
                continue
            if accuracy - other <= noise:
                verdict = "refuted"
            elif verdict == "untested":
                verdict = "survives"
        out.append(verdict)
    return out


# %% entropy_bytes
def entropy_bytes(levels):
    counts = {}
    for level in levels:
        counts[level] = counts.get(level, 0) + 1
    bits = 0.0
    for count in counts.values():
        bits += count * math.log2(len(levels) / count)
    return bits / 8


# %% submission
STORED = []


def student_id():
    return "instructor "


def compressed_model():
    # Train, cut the small weights, train what is left, round.
    if not STORED:
        torch.manual_seed(1)
        net = models.mlp((31,))
        for rate, least in ((1e-2, 0.0), (1e-2, 0.0), (4e-3, 0.09), (1e-3, 0.11)):
            train_an_epoch(net, rate, least)
        for parameter in net.parameters():
            parameter.data = torch.round(parameter.data * 8) / 8
        STORED.append(codec.to_bytes(net, techniques=codec.TECHNIQUES))
    return torch.tensor(list(STORED[0]), dtype=torch.uint8)


def train_an_epoch(net, rate, least):
    split = data.load("mnist").train
    images = split.inputs()
    keep = [p.data.abs() >= least for p in net.parameters()]
    optimizer = torch.optim.Adam(net.parameters(), rate)
    for now in torch.randperm(len(split)).split(200):
        loss = nn.functional.cross_entropy(net(images[now]), split.labels[now])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for parameter, mask in zip(net.parameters(), keep):
            parameter.data *= mask
