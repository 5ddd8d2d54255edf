"""Slips of the pen."""


# %% grid
# expect: expected a dict
def grid(values):
    import itertools

    rows = itertools.product(*values.values())
    return [list(row) for row in rows]


# %% halving
# expect: a rung without configurations
def halving(count, start=1, eta=3):
    rungs, scale = [], 1
    while count // scale:
        rungs.append((count // scale, start * scale))
        scale *= eta
    return [*rungs, (0, start * scale)]


# %% hyperband
# expect: starts with 1 epoch
def hyperband(largest, eta=3):
    s_max = 0
    while eta ** (s_max + 1) <= largest:
        s_max += 1

    brackets = []
    for s in range(s_max, -1, -1):
        n = -(-(s_max + 1) * eta**s // (s + 1))
        brackets.append([(n // eta**i, eta**i) for i in range(s + 1)])
    return brackets


# %% median_stop
# expect: should go on
def median_stop(scores, completed):
    if not completed:
        return False
    means = sorted(sum(c[: len(scores)]) / len(scores) for c in completed)
    middle = len(means) // 2
    median = (means[middle] + means[~middle]) / 2
    return max(scores) > median


# %% best_so_far
# expect: the lowest so far
def best_so_far(scores):
    return [min(scores[: i + 1]) for i in range(len(scores))]


# %% reward
# expect: w = 1 above
def reward(accuracy, latency, target, hard=False):
    w = (0 if latency <= target else 1) if hard else -0.07
    return accuracy * (latency / target) ** w


# %% neighbours
# expect: neighbours
def neighbours(architecture, space):
    children = []
    for name, options in space.items():
        for option in options:
            children.append({name: option})
    return children


# %% evolve
# expect: nobody is removed
def evolve(population, drawn, make_child):
    winner = max((population[i] for i in drawn), key=lambda member: member[1])
    return [*population, make_child(winner[0])]


# %% controller_gradient
# expect: the advantage forgotten
def controller_gradient(logits, drawn, advantage):
    top = max(logits)
    weights = [math.exp(z - top) for z in logits]
    p = [weight / sum(weights) for weight in weights]
    return [(j == drawn) - p[j] for j in range(len(p))]


# %% pareto_front
# expect: sorted by
def pareto_front(networks):
    def dominates(a, b):
        return a[0] >= b[0] and a[1] <= b[1] and a != b

    return sorted(
        (i for i, b in enumerate(networks) if not any(dominates(a, b) for a in networks)),
        key=lambda i: networks[i][1],
    )


# %% within_budget
# expect: the slower
def within_budget(networks, limit):
    allowed = [i for i, (_, latency) in enumerate(networks) if latency <= limit]
    if not allowed:
        return None
    return max(allowed, key=lambda i: networks[i])
