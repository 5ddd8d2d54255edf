"""Learning from a teacher's outputs: temperature, the loss, ensembles, the distillation token.

A trained teacher says more than the right class: how it divides the rest tells which classes are
alike. A temperature softens both networks' outputs until that shows (Hinton, Vinyals and Dean
2015). DeiT gives a transformer a token of its own for the teacher (Touvron et al. 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from course_lib._validate import check_choice, check_fraction, check_number, check_tensor
from course_lib.distill._checks import check_pair, check_temperature


def tempered_softmax(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the probabilities exp(z_i / T) / sum_j exp(z_j / T), [..., K] -> [..., K].

    T = 1 is the ordinary softmax, T -> infinity uniform, T -> 0 the argmax. Stable for any finite
    logits; float16 and bfloat16 are computed in float32 and come back as they were.
    Raises ValueError for NaN/inf logits, an empty class axis, or a temperature below 1e-6.
    Source: Hinton et al. 2015, eq. 1.

    >>> tempered_softmax(torch.tensor([0.0, 1e4]), temperature=1e4)
    tensor([0.2689, 0.7311])
    """
    return _log_softmax("logits", logits, temperature).exp().to(logits.dtype)


def distillation_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor | None,
    temperature: float = 4.0,
    alpha: float = 0.1,
    beta: float = 0.9,
    *,
    soft_loss: str = "kl",
) -> Tensor:
    """Return alpha * CE(labels, student) + beta * T^2 * KL(teacher_T || student_T), batch mean.

    `student_logits`, `teacher_logits`: [N, K]; `labels`: int64 [N] in 0..K-1, or None if alpha is
    0. The result is a scalar in nats. Only the soft term is tempered, on both sides; T^2 keeps its
    gradient of the same size when T changes. The teacher's logits receive no gradient.
    `soft_loss="cross_entropy"` puts CE(teacher_T, student_T) in place of KL: larger by the entropy
    of the teacher, with the same gradient.
    Raises TypeError / ValueError for shapes that differ, NaN/inf, labels or settings out of range.
    Source: Hinton et al. 2015, section 2.
    """
    alpha, beta = check_number("alpha", alpha, 0.0), check_number("beta", beta, 0.0)
    check_choice("soft_loss", soft_loss, ("kl", "cross_entropy"))
    check_pair("student_logits", student_logits, "teacher_logits", teacher_logits, ndim=2)
    if labels is None and alpha > 0:
        raise ValueError(f"labels must be given unless alpha is 0, but alpha is {alpha:g}.")
    log_student = _log_softmax("student_logits", student_logits, temperature)
    log_teacher = _log_softmax("teacher_logits", teacher_logits.detach(), temperature)
    target = log_teacher.exp()
    # Averaging over classes too, a frequent slip, would make the loss K times too small.
    soft = -(target * log_student).sum(dim=1).mean()
    if soft_loss == "kl":
        soft = (target * (log_teacher - log_student)).sum(dim=1).mean()
    loss = beta * temperature**2 * soft
    return loss if labels is None else loss + alpha * _hard_loss(student_logits, labels)


def ensemble_probabilities(logits: Sequence[Tensor] | Tensor, temperature: float = 1.0) -> Tensor:
    """Return the mean of the members' tempered probabilities, M x [..., K] -> [..., K].

    `logits`: one tensor per member, all of one shape, or a stack of them. Probabilities are
    averaged, not logits. Source: Hinton et al. 2015, section 3.

    >>> ensemble_probabilities([torch.tensor([0.0, 0.0]), torch.tensor([0.0, 1e4])])
    tensor([0.2500, 0.7500])
    """
    return _log_ensemble(logits, temperature).exp().to(logits[0].dtype)


def ensemble_logits(logits: Sequence[Tensor] | Tensor, temperature: float = 1.0) -> Tensor:
    """Return logits whose tempered softmax is `ensemble_probabilities` at this temperature.

    M x [..., K] -> [..., K]: the teacher logits of an ensemble, for `distillation_loss` with the
    same temperature.
    """
    return (temperature * _log_ensemble(logits, temperature)).to(logits[0].dtype)


def token_distillation_loss(
    class_logits: Tensor,
    token_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    hard: bool = True,
    temperature: float = 1.0,
    balance: float = 0.5,
) -> Tensor:
    """Return DeiT's loss: the class token learns the labels, the distillation token the teacher.

    All logits [N, K], `labels` int64 [N] -> scalar: (1 - balance) * CE(labels, class) plus balance
    times CE(argmax teacher, token) if `hard`, else T^2 * KL(teacher_T || token_T); batch means.
    `temperature` is for the soft form alone. Source: Touvron et al. 2021, eqs. 2 and 3.
    """
    balance = check_fraction("balance", balance)
    check_pair("class_logits", class_logits, "token_logits", token_logits, ndim=2)
    check_pair("token_logits", token_logits, "teacher_logits", teacher_logits, ndim=2)
    if hard:
        taught = _hard_loss(token_logits, teacher_logits.argmax(dim=1))
    else:
        taught = distillation_loss(token_logits, teacher_logits, None, temperature, 0.0, 1.0)
    return (1 - balance) * _hard_loss(class_logits, labels) + balance * taught


def _log_softmax(name: str, logits: Tensor, temperature: float) -> Tensor:
    """log softmax(z / T), in float32 or better; subtracting the maximum first cannot overflow."""
    temperature = check_temperature(temperature)
    check_tensor(name, logits, floating=True, finite=True)
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(f"{name} must be [..., K] with K >= 1, got {tuple(logits.shape)}.")
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if wide.numel() == 0:
        return wide.log_softmax(dim=-1)
    return ((wide - wide.detach().amax(dim=-1, keepdim=True)) / temperature).log_softmax(dim=-1)


def _log_ensemble(logits: Sequence[Tensor] | Tensor, temperature: float) -> Tensor:
    if len(logits) == 0 or any(member.shape != logits[0].shape for member in logits):
        raise ValueError("logits must hold one or more members of one shape.")
    members = [_log_softmax("logits", member, temperature) for member in logits]
    return torch.stack(members).logsumexp(dim=0) - math.log(len(members))


def _hard_loss(logits: Tensor, labels: Tensor) -> Tensor:
    classes = logits.shape[1]
    check_tensor("labels", labels, ndim=1)
    if labels.dtype != torch.int64:
        raise TypeError(f"labels must hold int64 class numbers, got {labels.dtype}.")
    if len(labels) != len(logits) or not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"labels must be {len(logits)} numbers in 0..{classes - 1}, got {len(labels)} "
            f"from {int(labels.min())} to {int(labels.max())}."
        )
    return -_log_softmax("logits", logits, 1.0).gather(1, labels[:, None]).mean()
