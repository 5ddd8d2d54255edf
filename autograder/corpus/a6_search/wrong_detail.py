"""A detail is wrong."""


# %% grid
# expect: the first name changes fastest
def grid(values):
    import itertools

    rows = itertools.product(*list(values.values())[::-1])
    return [dict(zip(values, row[::-1])) for row in rows]


# %% halving
# expect: rounded up
def halving(count, start=1, eta=3):
    rungs, scale = [], 1
    while scale < count * eta and (not rungs or rungs[-1][0] > 1):
        rungs.append((-(-count // scale), start * scale))
        scale *= eta
    return rungs


# %% hyperband
# expect: rounded down
def hyperband(largest, eta=3):
    s_max = 0
    while eta ** (s_max + 1) <= largest:
        s_max += 1

    brackets = []
    for s in range(s_max, -1, -1):
        n = (s_max + 1) * eta**s // (s + 1)
        brackets.append([(n // eta**i, largest / eta ** (s - i)) for i in range(s + 1)])
    return brackets


# %% median_stop
# expect: last epochs included
def median_stop(scores, completed):
    if not completed:
        return False
    means = sorted(sum(c) / len(c) for c in completed)
    middle = len(means) // 2
    median = (means[middle] + means[~middle]) / 2
    return max(scores) < median


# %% best_so_far
# expect: the trial itself is left out
def best_so_far(scores):
    return [max(scores[: max(i, 1)]) for i in range(len(scores))]


# %% reward
# expect: added, not multiplied
def reward(accuracy, latency, target, hard=False):
    w = (0 if latency <= target else -1) if hard else -0.07
    return accuracy + (latency / target) ** w


# %% neighbours
# expect: the parent was changed
def neighbours(architecture, space):
    children = []
    for name, options in space.items():
        for option in options:
            architecture[name] = option
            children.append(architecture)
    return children


# %% evolve
# expect: of equals, the one drawn last
def evolve(population, drawn, make_child):
    winner = max((population[i] for i in reversed(drawn)), key=lambda member: member[1])
    return [*population[1:], make_child(winner[0])]


# %% controller_gradient
# expect: overflow
def controller_gradient(logits, drawn, advantage):
    top = 0
    weights = [math.exp(z - top) for z in logits]
    p = [weight / sum(weights) for weight in weights]
    return [advantage * ((j == drawn) - p[j]) for j in range(len(p))]


# %% pareto_front
# expect: the dominated ones
def pareto_front(networks):
    def dominates(a, b):
        return a[0] >= b[0] and a[1] <= b[1] and a != b

    return [i for i, b in enumerate(networks) if any(dominates(a, b) for a in networks)]


# %% within_budget
# expect: the fastest instead
def within_budget(networks, limit):
    allowed = [i for i, (_, latency) in enumerate(networks) if latency <= limit]
    if not allowed:
        return None
    return min(allowed, key=lambda i: networks[i][1])
