"""Ties, ends and empty lists."""


# %% grid
# expect: grid
def grid(values):
    import itertools

    rows = itertools.product(*values.values())
    return [dict(zip(values, row)) for row in set(rows)][::-1]


# %% halving
# expect: `start` ignored
def halving(count, start=1, eta=3):
    rungs, scale = [], 1
    while count // scale:
        rungs.append((count // scale, scale))
        scale *= eta
    return rungs


# %% hyperband
# expect: the wrong order
def hyperband(largest, eta=3):
    s_max = 0
    while eta ** (s_max + 1) <= largest:
        s_max += 1

    brackets = []
    for s in range(s_max + 1):
        n = -(-(s_max + 1) * eta**s // (s + 1))
        brackets.append([(n // eta**i, largest / eta ** (s - i)) for i in range(s + 1)])
    return brackets


# %% median_stop
# expect: the lower of the two
def median_stop(scores, completed):
    if not completed:
        return False
    means = sorted(sum(c[: len(scores)]) / len(scores) for c in completed)
    middle = len(means) // 2
    median = means[(len(means) - 1) // 2]
    return max(scores) < median


# %% best_so_far
# expect: starts at 0
def best_so_far(scores):
    return [max([0, *scores[: i + 1]]) for i in range(len(scores))]


# %% reward
# expect: the target forgotten
def reward(accuracy, latency, target, hard=False):
    w = (0 if latency <= target else -1) if hard else -0.07
    return accuracy * latency**w


# %% neighbours
# expect: the parent
def neighbours(architecture, space):
    children = []
    for name, options in space.items():
        for option in options:
            if option != architecture[name]:
                children.append({**architecture, name: option})
    architecture.clear()
    return children


# %% evolve
# expect: joins as the oldest
def evolve(population, drawn, make_child):
    winner = max((population[i] for i in drawn), key=lambda member: member[1])
    return [make_child(winner[0]), *population[1:]]


# %% controller_gradient
# expect: the probabilities instead
def controller_gradient(logits, drawn, advantage):
    top = max(logits)
    weights = [math.exp(z - top) for z in logits]
    p = [weight / sum(weights) for weight in weights]
    return p


# %% pareto_front
# expect: only the most accurate
def pareto_front(networks):
    def dominates(a, b):
        return a[0] >= b[0] and a[1] <= b[1] and a != b

    return [max(range(len(networks)), key=lambda i: networks[i][0])]


# %% within_budget
# expect: counted among those allowed
def within_budget(networks, limit):
    allowed = [i for i, (_, latency) in enumerate(networks) if latency <= limit]
    if not allowed:
        return None
    return max(
        range(len(allowed)), key=lambda i: (networks[allowed[i]][0], -networks[allowed[i]][1])
    )
