"""With the functions of the course library and of torch."""


# %% soften
def soften(logits, temperature):
    return distill.tempered_softmax(logits, temperature)


# %% entropy
def entropy(probabilities):
    return torch.distributions.Categorical(probs=probabilities.double()).entropy()


# %% log_soften
def log_soften(logits, temperature):
    return F.log_softmax(logits.double() / temperature, dim=-1)


# %% distillation_loss
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha, beta):
    return distill.distillation_loss(
        student_logits, teacher_logits, labels, temperature, alpha, beta
    )


# %% soft_gradient
def soft_gradient(student_logits, teacher_logits, temperature):
    z = student_logits.detach().clone().requires_grad_()
    loss = distill.distillation_loss(z, teacher_logits, None, temperature, 0.0, 1.0)
    return torch.autograd.grad(loss, z)[0]


# %% ensemble_targets
def ensemble_targets(logits, temperature):
    return distill.ensemble_probabilities(logits, temperature)


# %% token_loss
def token_loss(class_logits, token_logits, teacher_logits, labels):
    return distill.token_distillation_loss(class_logits, token_logits, teacher_logits, labels)


# %% attention
def attention_map(features):
    return distill.attention_map(features)


def attention_loss(student_map, teacher_map):
    return F.mse_loss(student_map, teacher_map)


# %% frozen
def frozen(teacher):
    return distill.frozen(teacher)


# %% train_step
def train_step(student, teacher, images, labels, temperature, alpha, beta, rate):
    objective = distill.Distillation(teacher, temperature, alpha, beta)
    optimizer = torch.optim.SGD(student.parameters(), lr=rate)
    optimizer.zero_grad()
    objective(student, images, labels).backward()
    optimizer.step()


# %% train_student
def train_student(teacher, images, labels, seed):
    student = new_student(seed)
    torch.manual_seed(seed)
    objective = distill.Distillation(teacher, 2.0, 0.0, 1.0)
    optimizer = torch.optim.AdamW(student.parameters(), lr=0.01)
    rows = torch.utils.data.TensorDataset(images)
    for _ in range(8):
        for (batch,) in torch.utils.data.DataLoader(rows, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            objective(student, batch, None).backward()
            optimizer.step()
    return student.state_dict()
