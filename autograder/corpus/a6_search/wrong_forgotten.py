"""A step is left out."""


# %% grid
# expect: values paired
def grid(values):
    import itertools

    rows = zip(*values.values())
    return [dict(zip(values, row)) for row in rows]


# %% halving
# expect: the last rung is missing
def halving(count, start=1, eta=3):
    rungs, scale = [], 1
    while count // scale:
        rungs.append((count // scale, start * scale))
        scale *= eta
    return rungs[:-1]


# %% hyperband
# expect: s = 0 is missing
def hyperband(largest, eta=3):
    s_max = 0
    while eta ** (s_max + 1) <= largest:
        s_max += 1

    brackets = []
    for s in range(s_max, 0, -1):
        n = -(-(s_max + 1) * eta**s // (s + 1))
        brackets.append([(n // eta**i, largest / eta ** (s - i)) for i in range(s + 1)])
    return brackets


# %% median_stop
# expect: the last score instead
def median_stop(scores, completed):
    if not completed:
        return False
    means = sorted(sum(c[: len(scores)]) / len(scores) for c in completed)
    middle = len(means) // 2
    median = (means[middle] + means[~middle]) / 2
    return scores[-1] < median


# %% best_so_far
# expect: the best of all
def best_so_far(scores):
    return [max(scores)] * len(scores)


# %% reward
# expect: pays in the hard variant
def reward(accuracy, latency, target, hard=False):
    w = -1 if hard else -0.07
    return accuracy * (latency / target) ** w


# %% neighbours
# expect: only the first name
def neighbours(architecture, space):
    children = []
    for name, options in list(space.items())[:1]:
        for option in options:
            if option != architecture[name]:
                children.append({**architecture, name: option})
    return children


# %% evolve
# expect: the worst removed
def evolve(population, drawn, make_child):
    winner = max((population[i] for i in drawn), key=lambda member: member[1])
    return [m for m in population if m is not min(population, key=lambda m: m[1])] + [
        make_child(winner[0])
    ]


# %% controller_gradient
# expect: the gradient of p
def controller_gradient(logits, drawn, advantage):
    top = max(logits)
    weights = [math.exp(z - top) for z in logits]
    p = [weight / sum(weights) for weight in weights]
    return [advantage * p[drawn] * ((j == drawn) - p[j]) for j in range(len(p))]


# %% pareto_front
# expect: mixed up
def pareto_front(networks):
    def dominates(a, b):
        return a[0] >= b[0] and a[1] >= b[1] and a != b

    return [i for i, b in enumerate(networks) if not any(dominates(a, b) for a in networks)]


# %% within_budget
# expect: returned nothing
def within_budget(networks, limit):
    allowed = [i for i, (_, latency) in enumerate(networks) if latency < limit]
    if not allowed:
        return None
    return max(allowed, key=lambda i: (networks[i][0], -networks[i][1]))
