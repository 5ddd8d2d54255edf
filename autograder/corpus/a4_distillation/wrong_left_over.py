"""The right values, but an argument is another one afterwards."""


# %% entropy
# expect: probabilities was changed
def entropy(probabilities):
    return -probabilities.mul_(probabilities.clamp(min=1e-30).log()).sum(-1)


# %% log_soften
# expect: logits was changed
def log_soften(logits, temperature):
    logits -= logits.amax(-1, keepdim=True)
    logits /= temperature
    return logits - logits.exp().sum(-1, keepdim=True).log()


# %% soft_gradient
# expect: an argument was changed
def soft_gradient(student_logits, teacher_logits, temperature):
    student_logits /= temperature
    teacher_logits /= temperature
    difference = student_logits.softmax(1) - teacher_logits.softmax(1)
    return temperature / len(difference) * difference


# %% ensemble_targets
# expect: logits was changed
def ensemble_targets(logits, temperature):
    total = logits[0].div_(temperature).softmax(-1)
    for z in logits[1:]:
        total += z.div_(temperature).softmax(-1)
    return total / len(logits)


# %% attention
# expect: a map was changed
def attention_map(features):
    return F.normalize(features.square().sum(1).flatten(1), dim=1)


def attention_loss(student_map, teacher_map):
    student_map -= teacher_map
    return student_map.square().mean()


# %% train_step
# expect: the teacher's mode
def train_step(student, teacher, images, labels, temperature, alpha, beta, rate):
    with torch.no_grad():
        beliefs = teacher(images)
    student.train()
    teacher.train()
    optimizer = torch.optim.SGD(student.parameters(), lr=rate)
    optimizer.zero_grad()
    distill.distillation_loss(
        student(images), beliefs, labels, temperature, alpha, beta
    ).backward()
    optimizer.step()
