"""Knowledge distillation: a small student learns from what a large teacher believes.

The student imitates the teacher's softened outputs (Hinton, Vinyals and Dean 2015), its features
or its attention. `train.fit(student, data, loss=Distillation(teacher))` trains one.
"""

from course_lib.distill.features import (
    attention_map,
    attention_transfer_loss,
    capture,
    hint_loss,
    hint_regressor,
)
from course_lib.distill.outputs import (
    distillation_loss,
    ensemble_logits,
    ensemble_probabilities,
    tempered_softmax,
    token_distillation_loss,
)
from course_lib.distill.training import Distillation, TemperatureResult, frozen, temperature_sweep

__all__ = [
    "Distillation",
    "TemperatureResult",
    "attention_map",
    "attention_transfer_loss",
    "capture",
    "distillation_loss",
    "ensemble_logits",
    "ensemble_probabilities",
    "frozen",
    "hint_loss",
    "hint_regressor",
    "temperature_sweep",
    "tempered_softmax",
    "token_distillation_loss",
]
