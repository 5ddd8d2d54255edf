"""A softmax too many, too few or over the wrong axis."""


# %% soften
# expect: axis 1, not the last
def soften(logits, temperature):
    return (logits / temperature).softmax(1 if logits.ndim > 1 else 0)


# %% entropy
# expect: axis 1, not the last
def entropy(probabilities):
    return torch.special.entr(probabilities).sum(1 if probabilities.ndim > 1 else 0)


# %% distillation_loss
# expect: a softmax before F.cross_entropy
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha, beta):
    guess = (student_logits / temperature).log_softmax(1)
    target = (teacher_logits.detach() / temperature).softmax(1)
    soft = F.kl_div(guess, target, reduction="batchmean")
    hard = F.cross_entropy(student_logits.softmax(1), labels)
    return alpha * hard + beta * temperature**2 * soft


# %% ensemble_targets
# expect: the softmax goes over the images
def ensemble_targets(logits, temperature):
    return (torch.stack(logits) / temperature).softmax(1).mean(0)


# %% train_step
# expect: the biases left out
def train_step(student, teacher, images, labels, temperature, alpha, beta, rate):
    with torch.no_grad():
        beliefs = teacher(images)
    weights = [p for name, p in student.named_parameters() if name.endswith("weight")]
    optimizer = torch.optim.SGD(weights, lr=rate)
    optimizer.zero_grad()
    distill.distillation_loss(
        student(images), beliefs, labels, temperature, alpha, beta
    ).backward()
    optimizer.step()
