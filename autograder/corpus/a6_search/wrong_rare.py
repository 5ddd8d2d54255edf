"""Right on most inputs: powers, options that are 0, twins, and one logit far above the others."""


# %% halving
# expect: the last rung is missing
def halving(count, start=1, eta=3):
    last = int(math.log(count) / math.log(eta))
    return [(count // eta**i, start * eta**i) for i in range(last + 1)]


# %% neighbours
# expect: an option that is falsy
def neighbours(architecture, space):
    children = []
    for name, options in space.items():
        for option in options:
            if option and option != architecture[name]:
                children.append({**architecture, name: option})
    return children


# %% evolve
# expect: all equals of the oldest removed
def evolve(population, drawn, make_child):
    winner = max((population[i] for i in drawn), key=lambda member: member[1])
    younger = [member for member in population if member != population[0]]
    return [*younger, make_child(winner[0])]


# %% controller_gradient
# expect: OverflowError
def controller_gradient(logits, drawn, advantage):
    middle = sum(logits) / len(logits)
    weights = [math.exp(z - middle) for z in logits]
    return [advantage * ((j == drawn) - w / sum(weights)) for j, w in enumerate(weights)]
