"""Less common, but seen."""


# %% grid
# expect: grid
def grid(values):
    import itertools

    rows = itertools.combinations([o for v in values.values() for o in v], len(values))
    return [dict(zip(values, row)) for row in rows]


# %% halving
# expect: of all configurations together
def halving(count, start=1, eta=3):
    rungs, scale = [], 1
    while count // scale:
        rungs.append((count // scale, start * scale * (count // scale)))
        scale *= eta
    return rungs


# %% hyperband
# expect: rounded to whole epochs
def hyperband(largest, eta=3):
    s_max = 0
    while eta ** (s_max + 1) <= largest:
        s_max += 1

    brackets = []
    for s in range(s_max, -1, -1):
        n = -(-(s_max + 1) * eta**s // (s + 1))
        brackets.append([(n // eta**i, largest // eta ** (s - i)) for i in range(s + 1)])
    return brackets


# %% median_stop
# expect: the score at epoch t
def median_stop(scores, completed):
    if not completed:
        return False
    means = sorted(c[len(scores) - 1] for c in completed)
    middle = len(means) // 2
    median = (means[middle] + means[~middle]) / 2
    return max(scores) < median


# %% best_so_far
# expect: only the last two
def best_so_far(scores):
    return [max(scores[max(i - 1, 0) : i + 1]) for i in range(len(scores))]


# %% reward
# expect: nothing at all above
def reward(accuracy, latency, target, hard=False):
    w = (0 if latency <= target else -1) if hard else -0.07
    return accuracy * (latency / target) ** w if not hard or latency <= target else 0.0


# %% neighbours
# expect: neighbours
def neighbours(architecture, space):
    children = []
    for name, options in list(space.items())[::-1]:
        for option in options:
            if option != architecture[name]:
                children.append({**architecture, name: option})
    return children


# %% evolve
# expect: the winner itself joins
def evolve(population, drawn, make_child):
    winner = max((population[i] for i in drawn), key=lambda member: member[1])
    return [*population[1:], winner]


# %% controller_gradient
# expect: the probabilities not subtracted
def controller_gradient(logits, drawn, advantage):
    top = max(logits)
    weights = [math.exp(z - top) for z in logits]
    p = [weight / sum(weights) for weight in weights]
    return [advantage * (j == drawn) for j in range(len(p))]


# %% pareto_front
# expect: pareto_front
def pareto_front(networks):
    def dominates(a, b):
        return a[0] >= b[0] and a[1] <= b[1] and a != b

    return [
        i
        for i, b in enumerate(networks)
        if not any(dominates(a, b) or a == b for a in networks[:i] + networks[i + 1 :])
    ]


# %% within_budget
# expect: is None
def within_budget(networks, limit):
    allowed = [i for i, (_, latency) in enumerate(networks) if latency <= limit]
    if not allowed:
        return -1
    return max(allowed, key=lambda i: (networks[i][0], -networks[i][1]))
