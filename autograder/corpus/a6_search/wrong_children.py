"""One child too many; and right values from arguments that are sorted where they lie."""


# %% grid
# expect: the same dict each time
def grid(values):
    rows, row = [], {}

    def fill(names):
        if not names:
            rows.append(row)
            return
        for option in values[names[0]]:
            row[names[0]] = option
            fill(names[1:])

    fill(list(values))
    return rows


# %% median_stop
# expect: the upper of the two
def median_stop(scores, completed):
    if not completed:
        return False
    means = sorted(sum(curve[: len(scores)]) / len(scores) for curve in completed)
    return max(scores) < means[len(means) // 2]


# %% evolve
# expect: called twice
def evolve(population, drawn, make_child):
    winner = max((population[i] for i in drawn), key=lambda member: member[1])
    architecture, _ = make_child(winner[0])
    _, score = make_child(winner[0])
    return [*population[1:], (architecture, score)]


# %% controller_gradient
# expect: divided by the number of options
def controller_gradient(logits, drawn, advantage):
    top = max(logits)
    weights = [math.exp(z - top) for z in logits]
    p = [weight / sum(weights) for weight in weights]
    return [advantage * ((j == drawn) - p[j]) / len(p) for j in range(len(p))]


# %% pareto_front
# expect: were changed
def pareto_front(networks):
    kept = list(networks)
    networks.sort(key=lambda pair: (pair[1], -pair[0]))
    front, best = set(), None
    for pair in networks:
        if best is None or pair[0] > best:
            front.add(pair)
            best = pair[0]
    return [i for i, pair in enumerate(kept) if pair in front]


# %% within_budget
# expect: were changed
def within_budget(networks, limit):
    kept = list(networks)
    networks.sort(key=lambda pair: (-pair[0], pair[1]))
    allowed = [pair for pair in networks if pair[1] <= limit]
    return kept.index(allowed[0]) if allowed else None
