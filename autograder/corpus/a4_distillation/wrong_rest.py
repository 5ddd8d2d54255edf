"""Rarer mistakes in the loss and the training."""


# %% distillation_loss
# expect: the slope of the loss
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha, beta):
    target = (teacher_logits.detach() / temperature).log_softmax(1)
    guess = (student_logits.detach() / temperature).log_softmax(1)
    soft = (target.exp() * (target - guess)).sum(1).mean()
    hard = F.cross_entropy(student_logits, labels)
    return alpha * hard + beta * temperature**2 * soft
