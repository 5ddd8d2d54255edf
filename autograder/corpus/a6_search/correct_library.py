"""NumPy, torch and the course's own library."""

# %% grid
from course_lib import hpo


def grid(values):
    return list(hpo.grid_configs(values))


# %% halving
from course_lib import hpo


def halving(count, start=1, eta=3):
    return [
        (rung.count, rung.budget) for rung in hpo.halving_rungs(count, min_budget=start, eta=eta)
    ]


# %% hyperband
from course_lib import hpo


def hyperband(largest, eta=3):
    return [[(r.count, r.budget) for r in b.rungs] for b in hpo.hyperband_brackets(largest, eta)]


# %% median_stop
import numpy as np


def median_stop(scores, completed):
    if not completed:
        return np.bool_(False).item()
    means = [np.mean(curve[: len(scores)]) for curve in completed]
    return bool(np.max(scores) < np.median(means))


# %% best_so_far
import numpy as np


def best_so_far(scores):
    return np.maximum.accumulate(np.array(scores)) if len(scores) else []


# %% reward
from course_lib import nas


def reward(accuracy, latency, target, hard=False):
    return nas.mnasnet_reward(accuracy, latency, target, "hard" if hard else "soft")


# %% neighbours
def neighbours(architecture, space):
    changes = ((name, option) for name, options in space.items() for option in options)
    return [
        {**architecture, name: option} for name, option in changes if architecture[name] != option
    ]


# %% evolve
import numpy as np


def evolve(population, drawn, make_child):
    scores = np.array([population[i][1] for i in drawn])
    parent = population[drawn[int(np.argmax(scores))]][0]
    return population[1:] + [make_child(parent)]


# %% controller_gradient
import torch


def controller_gradient(logits, drawn, advantage):
    z = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    (advantage * torch.log_softmax(z, 0)[drawn]).backward()
    return z.grad


# %% pareto_front
from course_lib import pareto


def pareto_front(networks):
    return pareto.frontier([list(pair) for pair in networks], ("max", "min"))


# %% within_budget
import numpy as np


def within_budget(networks, limit):
    table = np.array(networks, dtype=float)
    allowed = np.flatnonzero(table[:, 1] <= limit)
    if allowed.size == 0:
        return None
    order = np.lexsort((allowed, table[allowed, 1], -table[allowed, 0]))
    return allowed[order[0]]
