"""Right values, but the positions drawn are used up; and a median of the wrong numbers."""


# %% median_stop
# expect: the best score up to epoch t
def median_stop(scores, completed):
    if not completed:
        return False
    tops = sorted(max(curve[: len(scores)]) for curve in completed)
    middle = len(tops) // 2
    return max(scores) < (tops[middle] + tops[~middle]) / 2


# %% evolve
# expect: was changed
def evolve(population, drawn, make_child):
    winner = drawn.pop(0)
    while drawn:
        place = drawn.pop(0)
        if population[place][1] > population[winner][1]:
            winner = place
    return [*population[1:], make_child(population[winner][0])]
