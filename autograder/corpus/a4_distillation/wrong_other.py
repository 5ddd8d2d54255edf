"""More of what is seen now and then."""


# %% distillation_loss
# expect: averaged over the classes too
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha, beta):
    target = (teacher_logits.detach() / temperature).log_softmax(1)
    guess = (student_logits / temperature).log_softmax(1)
    soft = F.kl_div(guess, target.exp(), reduction="mean")
    hard = F.cross_entropy(student_logits, labels)
    return alpha * hard + beta * temperature**2 * soft


# %% train_step
# expect: the rate ignored
def train_step(student, teacher, images, labels, temperature, alpha, beta, rate):
    beliefs = teacher(images).detach()
    loss = distill.distillation_loss(student(images), beliefs, labels, temperature, alpha, beta)
    optimizer = torch.optim.SGD(student.parameters(), lr=1.0)
    optimizer.zero_grad()
    (loss).backward()
    optimizer.step()


# %% train_student
# expect: the same seed gave two different students
def train_student(teacher, images, labels, seed):
    student = new_student(seed)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.005)
    beliefs = teacher(images).detach()
    order = torch.Generator().manual_seed(seed)
    for _ in range(10):
        for rows in torch.randperm(len(images), generator=None).split(100):
            loss = distill.distillation_loss(student(images[rows]), beliefs[rows], None, 4.0, 0, 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return student.state_dict()
