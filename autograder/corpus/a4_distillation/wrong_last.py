"""Rarer mistakes in the loss."""


# %% distillation_loss
# expect: 1 - alpha taken for beta
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha, beta):
    target = (teacher_logits.detach() / temperature).log_softmax(1)
    guess = (student_logits / temperature).log_softmax(1)
    soft = (target.exp() * (target - guess)).sum(1).mean()
    hard = F.cross_entropy(student_logits, labels)
    return alpha * hard + (1 - alpha) * temperature**2 * soft
