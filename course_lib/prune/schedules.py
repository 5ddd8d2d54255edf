"""When to prune: the sparsity that a network should have after a given step.

Each schedule is a pure function of the step; `functools.partial` turns one into the
`schedule(step) -> sparsity` that GradualPruner follows. A step is an optimizer step, or whatever
the caller counts. Sources: Han et al. 2015 (one-shot and iterative); Zhu and Gupta 2017 (cubic).
"""

from __future__ import annotations

from course_lib._validate import check_fraction, check_int


def one_shot(step: int, final: float, *, at: int = 0) -> float:
    """Return 0 before step `at` and the fraction `final` from then on.

    >>> [one_shot(step, 0.9, at=2) for step in range(4)]
    [0.0, 0.0, 0.9, 0.9]
    """
    final = check_fraction("final", final)
    return final if check_int("step", step, 0) >= check_int("at", at, 0) else 0.0


def iterative(step: int, final: float, *, rounds: int, steps_per_round: int) -> float:
    """Return the sparsity of `rounds` rounds of pruning, each followed by retraining.

    Every round removes the same fraction of the weights that are left, so that round r of R
    leaves (1 - final)^(r / R) of them (Han et al. 2015; Frankle and Carbin 2019, section 2).
    Round 1 starts at step 0, and after the last round the sparsity is `final`.

    >>> [round(iterative(s, 0.75, rounds=2, steps_per_round=3), 3) for s in (0, 2, 3, 99)]
    [0.5, 0.5, 0.75, 0.75]
    """
    final = check_fraction("final", final)
    check_int("rounds", rounds)
    started = check_int("step", step, 0) // check_int("steps_per_round", steps_per_round) + 1
    if started >= rounds:
        return final
    return 1 - (1 - final) ** (started / rounds)


def cubic(
    step: int,
    final: float,
    *,
    end: int,
    begin: int = 0,
    initial: float = 0.0,
    every: int = 1,
) -> float:
    """Return the gradual schedule: fast at first, ever slower towards `final` (AGP).

    s_t = final + (initial - final) (1 - (t - begin) / (end - begin))^3 (Zhu and Gupta 2017,
    equation 1). It is 0 before step `begin`, held between updates `every` steps apart, and
    `final` from step `end` on. ValueError if end <= begin or final < initial.

    >>> [round(cubic(step, 0.8, end=10), 3) for step in (0, 5, 10, 11)]
    [0.0, 0.7, 0.8, 0.8]
    """
    initial, final = check_fraction("initial", initial), check_fraction("final", final)
    if final < initial:
        raise ValueError(f"final must be at least initial = {initial:g}, got {final:g}.")
    begin = check_int("begin", begin, 0)
    if check_int("end", end) <= begin:
        raise ValueError(f"end must be after begin = {begin}, got {end}.")
    if check_int("step", step, 0) < begin:
        return 0.0
    if step >= end:
        return final
    elapsed = (step - begin) // check_int("every", every) * every
    return final + (initial - final) * (1 - elapsed / (end - begin)) ** 3
