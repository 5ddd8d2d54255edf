"""One thing is taken for another."""


# %% grid
# expect: the last combination is missing
def grid(values):
    import itertools

    rows = list(itertools.product(*values.values()))[:-1]
    return [dict(zip(values, row)) for row in rows]


# %% halving
# expect: the epochs stay the same
def halving(count, start=1, eta=3):
    rungs, scale = [], 1
    while count // scale:
        rungs.append((count // scale, start))
        scale *= eta
    return rungs


# %% hyperband
# expect: eta^s configurations in every bracket
def hyperband(largest, eta=3):
    s_max = 0
    while eta ** (s_max + 1) <= largest:
        s_max += 1

    brackets = []
    for s in range(s_max, -1, -1):
        n = eta**s
        brackets.append([(n // eta**i, largest / eta ** (s - i)) for i in range(s + 1)])
    return brackets


# %% median_stop
# expect: the mean instead of the median
def median_stop(scores, completed):
    if not completed:
        return False
    means = sorted(sum(c[: len(scores)]) / len(scores) for c in completed)
    middle = len(means) // 2
    median = sum(means) / len(means)
    return max(scores) < median


# %% best_so_far
# expect: sorted
def best_so_far(scores):
    return sorted(scores)


# %% reward
# expect: nothing paid for being faster
def reward(accuracy, latency, target, hard=False):
    w = 0 if latency <= target else (-1 if hard else -0.07)
    return accuracy * (latency / target) ** w


# %% neighbours
# expect: only the next option
def neighbours(architecture, space):
    children = []
    for name, options in space.items():
        for option in options[options.index(architecture[name]) + 1 :][:1]:
            if option != architecture[name]:
                children.append({**architecture, name: option})
    return children


# %% evolve
# expect: the worst of those drawn
def evolve(population, drawn, make_child):
    winner = min((population[i] for i in drawn), key=lambda member: member[1])
    return [*population[1:], make_child(winner[0])]


# %% controller_gradient
# expect: only the drawn option
def controller_gradient(logits, drawn, advantage):
    top = max(logits)
    weights = [math.exp(z - top) for z in logits]
    p = [weight / sum(weights) for weight in weights]
    return [advantage * (1 - p[j]) * (j == drawn) for j in range(len(p))]


# %% pareto_front
# expect: expected a number, got a list
def pareto_front(networks):
    def dominates(a, b):
        return a[0] >= b[0] and a[1] <= b[1] and a != b

    return [b for b in networks if not any(dominates(a, b) for a in networks)]


# %% within_budget
# expect: nearest to the limit
def within_budget(networks, limit):
    allowed = [i for i, (_, latency) in enumerate(networks) if latency <= limit]
    if not allowed:
        return None
    return max(allowed, key=lambda i: networks[i][1])
