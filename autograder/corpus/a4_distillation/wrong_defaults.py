"""The defaults of PyTorch, taken as they come."""


# %% distillation_loss
# expect: averaged over the classes too
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha, beta):
    guess = (student_logits / temperature).log_softmax(1)
    soft = F.kl_div(guess, (teacher_logits.detach() / temperature).softmax(1))
    return alpha * F.cross_entropy(student_logits, labels) + beta * temperature**2 * soft


# %% train_step
# expect: as in a first step of Adam
def train_step(student, teacher, images, labels, temperature, alpha, beta, rate):
    with torch.no_grad():
        beliefs = teacher(images)
    optimizer = torch.optim.Adam(student.parameters(), lr=rate)
    optimizer.zero_grad()
    distill.distillation_loss(
        student(images), beliefs, labels, temperature, alpha, beta
    ).backward()
    optimizer.step()
