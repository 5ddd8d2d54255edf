"""With the standard library's tools."""

# %% grid
import itertools


def grid(values):
    return [dict(zip(values, row)) for row in itertools.product(*values.values())]


# %% halving
def halving(count, start=1, eta=3):
    rungs = []
    i = 0
    while count // eta**i >= 1:
        rungs.append([count // eta**i, start * eta**i])
        i += 1
    return rungs


# %% hyperband
from fractions import Fraction


def hyperband(largest, eta=3):
    s_max = max(s for s in range(60) if eta**s <= largest)
    result = []
    for s in reversed(range(s_max + 1)):
        n = math.ceil(Fraction(s_max + 1, s + 1) * eta**s)
        result.append(
            [(n // eta**i, float(Fraction(largest * eta**i, eta**s))) for i in range(s + 1)]
        )
    return result


# %% median_stop
import statistics


def median_stop(scores, completed):
    t = len(scores)
    if len(completed) == 0:
        return False
    return max(scores) < statistics.median(statistics.fmean(curve[:t]) for curve in completed)


# %% best_so_far
import itertools


def best_so_far(scores):
    return list(itertools.accumulate(scores, max))


# %% reward
def reward(accuracy, latency, target, hard=False):
    ratio = latency / target
    if not hard:
        return accuracy / ratio**0.07
    return accuracy / max(1, ratio)


# %% neighbours
def neighbours(architecture, space):
    return [
        architecture | {name: option}
        for name in space
        for option in space[name]
        if option != architecture[name]
    ]


# %% evolve
from collections import deque


def evolve(population, drawn, make_child):
    queue = deque(population)
    candidates = [population[i] for i in drawn]
    best = max(score for _, score in candidates)
    parent = next(a for a, score in candidates if score == best)
    queue.append(make_child(parent))
    queue.popleft()
    return list(queue)


# %% controller_gradient
def controller_gradient(logits, drawn, advantage):
    top = max(logits)
    total = math.fsum(math.exp(z - top) for z in logits)
    gradient = [-advantage * math.exp(z - top) / total for z in logits]
    gradient[drawn] += advantage
    return tuple(gradient)


# %% pareto_front
def pareto_front(networks):
    order = sorted(range(len(networks)), key=lambda i: (networks[i][1], -networks[i][0]))
    front, best = [], None
    for i in order:
        if (
            best is None
            or networks[i][0] > networks[best][0]
            or tuple(networks[i]) == tuple(networks[best])
        ):
            front.append(i)
            best = i
    return sorted(front)


# %% within_budget
def within_budget(networks, limit):
    keys = [(-a, t, i) for i, (a, t) in enumerate(networks) if t <= limit]
    return min(keys)[2] if keys else None
