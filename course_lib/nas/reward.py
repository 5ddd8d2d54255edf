"""The reward of a hardware-aware search: accuracy, discounted by how slow the network is.

Among models on the Pareto frontier, doubling the latency buys about 5 % accuracy (relative), and
2^-0.07 is what makes both equally good; hence the exponent. Source: Tan et al. 2019 (MnasNet),
equations 2 and 3, figure 3.
"""

from __future__ import annotations

from course_lib._validate import check_choice, check_fraction, check_number

EXPONENTS = {"soft": (-0.07, -0.07), "hard": (0.0, -1.0)}  # (within the target, above it)


def mnasnet_reward(
    accuracy: float, latency_s: float, target_s: float, variant: str = "soft"
) -> float:
    """Return accuracy * (latency / target)^w, MnasNet's reward.

    "soft": w = -0.07 everywhere, so that being faster than the target pays a little.
    "hard": w = 0 up to the target and -1 above it. Both latencies in one unit, seconds here.
    Raises ValueError unless accuracy is a fraction, latencies are above 0 and finite.
    Source: Tan et al. 2019, equations 2 and 3.

    >>> round(mnasnet_reward(0.75, 0.160, 0.080), 4), round(mnasnet_reward(0.75, 0.04, 0.08), 4)
    (0.7145, 0.7873)
    >>> mnasnet_reward(0.75, 0.16, 0.08, "hard"), mnasnet_reward(0.75, 0.04, 0.08, "hard")
    (0.375, 0.75)
    """
    accuracy = check_fraction("accuracy", accuracy)
    latency, target = _positive("latency_s", latency_s), _positive("target_s", target_s)
    within, above = EXPONENTS[check_choice("variant", variant, EXPONENTS)]
    return accuracy * (latency / target) ** (within if latency <= target else above)


def _positive(name: str, value: float) -> float:
    number = check_number(name, value, minimum=0.0)
    if number == 0:
        raise ValueError(f"{name} must be above 0, got {value!r}.")
    return number
