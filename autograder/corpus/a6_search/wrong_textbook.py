"""The mistake that each question invites most."""


# %% grid
# expect: expected a list of values
def grid(values):
    import itertools

    rows = list(itertools.product(*values.values()))
    return len(rows)


# %% halving
# expect: `eta` ignored
def halving(count, start=1, eta=3):
    rungs, scale = [], 1
    while count // scale:
        rungs.append((count // scale, start * scale))
        scale *= 2
    return rungs


# %% hyperband
# expect: floating-point logarithm
def hyperband(largest, eta=3):
    s_max = 0
    while eta ** (s_max + 1) <= largest:
        s_max += 1
    s_max = int(math.log(largest) / math.log(eta))
    brackets = []
    for s in range(s_max, -1, -1):
        n = -(-(s_max + 1) * eta**s // (s + 1))
        brackets.append([(n // eta**i, largest / eta ** (s - i)) for i in range(s + 1)])
    return brackets


# %% median_stop
# expect: the median stopped
def median_stop(scores, completed):
    if not completed:
        return False
    means = sorted(sum(c[: len(scores)]) / len(scores) for c in completed)
    middle = len(means) // 2
    median = (means[middle] + means[~middle]) / 2
    return max(scores) <= median


# %% best_so_far
# expect: the scores themselves
def best_so_far(scores):
    return list(scores)


# %% reward
# expect: upside down
def reward(accuracy, latency, target, hard=False):
    w = (0 if latency <= target else -1) if hard else -0.07
    return accuracy * (target / latency) ** w


# %% neighbours
# expect: the parent itself
def neighbours(architecture, space):
    children = []
    for name, options in space.items():
        for option in options:
            children.append({**architecture, name: option})
    return children


# %% evolve
# expect: the best of all
def evolve(population, drawn, make_child):
    winner = max(population, key=lambda member: member[1])
    return [*population[1:], make_child(winner[0])]


# %% controller_gradient
# expect: the sign
def controller_gradient(logits, drawn, advantage):
    top = max(logits)
    weights = [math.exp(z - top) for z in logits]
    p = [weight / sum(weights) for weight in weights]
    return [advantage * (p[j] - (j == drawn)) for j in range(len(p))]


# %% pareto_front
# expect: worse in both
def pareto_front(networks):
    def dominates(a, b):
        return a[0] > b[0] and a[1] < b[1]

    return [i for i, b in enumerate(networks) if not any(dominates(a, b) for a in networks)]


# %% within_budget
# expect: the limit is ignored
def within_budget(networks, limit):
    allowed = range(len(networks))
    if not allowed:
        return None
    return max(allowed, key=lambda i: (networks[i][0], -networks[i][1]))
