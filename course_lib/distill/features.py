"""Learning from a teacher's insides: hints and attention maps.

A student's layer may be asked to predict a teacher's layer (FitNets, Romero et al. 2015) or only
to look where it looks (attention transfer, Zagoruyko and Komodakis 2017). `capture` gets at both.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib._validate import check_number, check_tensor
from course_lib.distill._checks import check_pair


def capture(
    model: nn.Module, inputs: Tensor, layers: Iterable[str]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return model(inputs) and the outputs of the named layers on the way, with their gradients.

    `layers`: names as in `model.named_modules()`. Raises ValueError for a name that is not there.
    """
    modules = dict(model.named_modules())
    features: dict[str, Tensor] = {}
    handles = []
    try:
        for name in layers:
            if name not in modules:
                raise ValueError(f"layers must name layers of the model, got {name!r}.")

            def keep(_module: object, _inputs: object, output: Tensor, name: str = name) -> None:
                # A copy: an in-place activation behind the layer would overwrite it.
                features[name] = check_tensor(f"The output of {name}", output).clone()

            handles.append(modules[name].register_forward_hook(keep))
        return model(inputs), features
    finally:
        for handle in handles:
            handle.remove()


def hint_regressor(student_features: Tensor, teacher_features: Tensor) -> nn.Module:
    """Return a new layer that maps features of the student's shape to the teacher's.

    [N, D] -> [N, E]: a linear layer; [N, C, H, W] -> [N, D, H', W'] with H' <= H and W' <= W: an
    unpadded convolution of kernel (H - H' + 1, W - W' + 1). It learns with the student; inside
    `train.fit` make it a submodule of the student. Source: Romero et al. 2015, section 2.3.
    """
    student, teacher = tuple(student_features.shape[1:]), tuple(teacher_features.shape[1:])
    if len(student) == len(teacher) == 1:
        return nn.Linear(student[0], teacher[0])
    if len(student) == len(teacher) == 3 and student[1] >= teacher[1] and student[2] >= teacher[2]:
        kernel = (student[1] - teacher[1] + 1, student[2] - teacher[2] + 1)
        return nn.Conv2d(student[0], teacher[0], kernel)
    raise ValueError(
        "student_features must be [N, D] or [N, C, H, W] and no smaller than teacher_features, "
        f"got {student} and {teacher} without the batch."
    )


def hint_loss(
    student_features: Tensor, teacher_features: Tensor, regressor: nn.Module | None = None
) -> Tensor:
    """Return 1/2 ||teacher - regressor(student)||^2, summed over features, batch mean.

    Both [N, ...] of equal shape once the student's went through `regressor` (None: as they are).
    The teacher receives no gradient. Source: Romero et al. 2015, eq. 3.
    """
    guess = student_features if regressor is None else regressor(student_features)
    check_pair("student_features", guess, "teacher_features", teacher_features)
    return (guess - teacher_features.detach()).square().flatten(1).sum(dim=1).mean() / 2


def attention_map(features: Tensor, power: float = 2.0) -> Tensor:
    """Return where a layer looks: sum_c |A_c|^power at each place, scaled to length 1.

    [N, C, H, W] -> [N, H * W]; the map of an all-zero sample is zero.
    Source: Zagoruyko and Komodakis 2017, section 3.1.
    """
    check_tensor("features", features, ndim=4, floating=True, nonempty=True, finite=True)
    power = check_number("power", power, 1.0)
    # The scale cancels in the unit length; taking it out first keeps large activations finite.
    wide = features.to(torch.promote_types(features.dtype, torch.float32))
    scale = wide.detach().abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
    seen = (wide / scale).abs().pow(power).sum(dim=1).flatten(1)
    return F.normalize(seen, dim=1).to(features.dtype)


def attention_transfer_loss(
    student_features: Tensor, teacher_features: Tensor, power: float = 2.0
) -> Tensor:
    """Return the mean squared difference of two attention maps, over places and batch.

    [N, C, H, W] and [N, D, H, W]: the channels may differ, the places may not. The teacher
    receives no gradient.
    Source: Zagoruyko and Komodakis 2017, eq. 2, squared as in the authors' code.
    """
    student = attention_map(student_features, power)
    teacher = attention_map(teacher_features.detach(), power)
    if student_features.shape[2:] != teacher_features.shape[2:] or len(student) != len(teacher):
        raise ValueError(
            "student_features and teacher_features must agree in N, H and W, "
            f"got {tuple(student_features.shape)} and {tuple(teacher_features.shape)}."
        )
    return (student - teacher).square().mean()
