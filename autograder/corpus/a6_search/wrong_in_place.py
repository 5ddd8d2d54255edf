"""Right values, taken from the caller: the arguments are used up or written over."""


# %% grid
# expect: was changed
def grid(values):
    rows = [{}]
    while values:
        name, options = values.popitem()
        rows = [{name: option, **row} for option in options for row in rows]
    return rows


# %% halving
# expect: a rung of 1 that none could reach
def halving(count, start=1, eta=3):
    rungs = [(count, start)]
    while count > 1:
        count, start = max(1, count // eta), start * eta
        rungs.append((count, start))
    return rungs


# %% median_stop
# expect: were changed
def median_stop(scores, completed):
    if not completed:
        return False
    completed.sort(key=lambda curve: sum(curve[: len(scores)]))
    means = [sum(curve[: len(scores)]) / len(scores) for curve in completed]
    middle = len(means) // 2
    scores.sort()
    return scores[-1] < (means[middle] + means[~middle]) / 2


# %% best_so_far
# expect: were changed
def best_so_far(scores):
    for i in range(1, len(scores)):
        scores[i] = max(scores[i], scores[i - 1])
    return scores


# %% neighbours
# expect: was changed
def neighbours(architecture, space):
    children = []
    for name in space:
        space[name].remove(architecture[name])
        children += [{**architecture, name: option} for option in space[name]]
    return children


# %% evolve
# expect: was changed
def evolve(population, drawn, make_child):
    winner = max((population[i] for i in drawn), key=lambda member: member[1])
    population.append(make_child(winner[0]))
    population.pop(0)
    return population


# %% controller_gradient
# expect: were changed
def controller_gradient(logits, drawn, advantage):
    top = max(logits)
    for j in range(len(logits)):
        logits[j] = math.exp(logits[j] - top)
    total = sum(logits)
    return [advantage * ((j == drawn) - weight / total) for j, weight in enumerate(logits)]


# %% within_budget
# expect: the last, not the first
def within_budget(networks, limit):
    allowed = [(a, -t, i) for i, (a, t) in enumerate(networks) if t <= limit]
    return max(allowed)[2] if allowed else None
