"""Pruning: which weights a network can do without, and how to train it while they go.

Four separate things, one file each: a `score` says how much a weight matters, a `mask` keeps the
best of them, a `schedule` says how many may go by when, and the mechanism applies masks to a
model and holds the zeros while it trains. What uses the zeros afterwards is elsewhere:
course_lib.surgery removes whole channels, course_lib.sparse stores the rest.
Papers: LeCun et al. 1990 (Optimal Brain Damage); Han et al. 2015; Zhu and Gupta 2017;
Frankle and Carbin 2019 (lottery tickets); Molchanov et al. 2017, 2019 (Taylor).
"""

from course_lib.prune.apply import (
    GradualPruner,
    KeepZeros,
    Pruned,
    apply_masks,
    prune_model,
    rewind,
)
from course_lib.prune.curvature import fisher_diagonal, hessian_diagonal
from course_lib.prune.masks import make_mask, make_masks, mask_sparsity, n_of_m_mask, pool_scores
from course_lib.prune.schedules import cubic, iterative, one_shot
from course_lib.prune.scores import (
    activation_zeros,
    apoz,
    magnitude,
    obd,
    random,
    score_model,
    taylor,
)
from course_lib.prune.studies import (
    SensitivityPoint,
    Ticket,
    lottery_tickets,
    sensitivity,
)
from course_lib.prune.weights import prunable_weights, weight_sparsity

__all__ = [
    "GradualPruner",
    "KeepZeros",
    "Pruned",
    "SensitivityPoint",
    "Ticket",
    "activation_zeros",
    "apoz",
    "apply_masks",
    "cubic",
    "fisher_diagonal",
    "hessian_diagonal",
    "iterative",
    "lottery_tickets",
    "magnitude",
    "make_mask",
    "make_masks",
    "mask_sparsity",
    "n_of_m_mask",
    "obd",
    "one_shot",
    "pool_scores",
    "prunable_weights",
    "prune_model",
    "random",
    "rewind",
    "score_model",
    "sensitivity",
    "taylor",
    "weight_sparsity",
]
