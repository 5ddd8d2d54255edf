"""Plain loops and recursion."""


# %% grid
def grid(values):
    names = list(values)
    if not names:
        return [{}]
    first, rest = names[0], {name: values[name] for name in names[1:]}
    out = []
    for option in values[first]:
        for tail in grid(rest):
            row = {first: option}
            row.update(tail)
            out.append(row)
    return out


# %% halving
def halving(count, start=1, eta=3):
    if count < 1:
        return []
    return [(count, start), *halving(count // eta, start * eta, eta)]


# %% hyperband
def hyperband(largest, eta=3):
    powers = [1]
    while powers[-1] * eta <= largest:
        powers.append(powers[-1] * eta)
    s_max = len(powers) - 1
    brackets = []
    for s in range(s_max, -1, -1):
        n = (s_max + 1) * powers[s] // (s + 1)
        if n * (s + 1) < (s_max + 1) * powers[s]:
            n += 1
        epochs = largest / powers[s]
        bracket = []
        for _ in range(s + 1):
            bracket.append([n, epochs])
            n //= eta
            epochs *= eta
        brackets.append(bracket)
    return brackets


# %% median_stop
def median_stop(scores, completed):
    averages = []
    for curve in completed:
        total = 0.0
        for epoch in range(len(scores)):
            total += curve[epoch]
        averages.append(total / len(scores))
    averages.sort()
    if averages == []:
        return False
    if len(averages) % 2 == 1:
        median = averages[len(averages) // 2]
    else:
        median = 0.5 * (averages[len(averages) // 2 - 1] + averages[len(averages) // 2])
    best = scores[0]
    for score in scores:
        if score > best:
            best = score
    return True if best < median else False


# %% best_so_far
def best_so_far(scores):
    return [max(scores[: i + 1]) for i in range(len(scores))]


# %% reward
import math


def reward(accuracy, latency, target, hard=False):
    w = -0.07
    if hard and latency > target:
        w = -1
    elif hard:
        w = 0
    return accuracy * math.exp(w * (math.log(latency) - math.log(target)))


# %% neighbours
import copy


def neighbours(architecture, space):
    found = []
    for name, options in space.items():
        for option in options:
            child = copy.deepcopy(architecture)
            child[name] = option
            if child != architecture:
                found.append(child)
    return found


# %% evolve
def evolve(population, drawn, make_child):
    winner = drawn[0]
    for i in drawn:
        if population[i][1] > population[winner][1]:
            winner = i
    child = make_child(population[winner][0])
    out = []
    for member in population[1:]:
        out.append(member)
    out.append(child)
    return out


# %% controller_gradient
def controller_gradient(logits, drawn, advantage):
    out = []
    for j, z in enumerate(logits):
        # p_j = 1 / sum_i exp(z_i - z_j): what overflows is a probability of 0
        total = 0.0
        for other in logits:
            total += math.exp(min(other - z, 700))
        p = 1 / total
        out.append(advantage * (1 - p) if j == drawn else -advantage * p)
    return out


# %% pareto_front
def pareto_front(networks):
    front = []
    for i in range(len(networks)):
        beaten = False
        for j in range(len(networks)):
            as_good = networks[j][0] >= networks[i][0] and networks[j][1] <= networks[i][1]
            better = networks[j][0] > networks[i][0] or networks[j][1] < networks[i][1]
            if as_good and better:
                beaten = True
                break
        if not beaten:
            front.append(i)
    return front


# %% within_budget
def within_budget(networks, limit):
    best = None
    for i, (accuracy, latency) in enumerate(networks):
        if latency > limit:
            continue
        if best is None or accuracy > networks[best][0]:
            best = i
        elif accuracy == networks[best][0] and latency < networks[best][1]:
            best = i
    return best
