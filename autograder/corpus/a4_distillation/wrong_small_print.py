"""What the text says in passing is overlooked."""


# %% soften
# expect: overflow
def soften(logits, temperature):
    z = logits / temperature
    powers = (z - z.max()).exp()
    return powers / powers.sum(-1, keepdim=True)


# %% entropy
# expect: not weighted by the probabilities
def entropy(probabilities):
    p = probabilities
    return -p.log().sum(-1)


# %% log_soften
# expect: the softmax goes over the images
def log_soften(logits, temperature):
    z = logits / temperature
    return z.log_softmax(0)


# %% distillation_loss
# expect: cross-entropy in place of KL
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha, beta):
    target = (teacher_logits.detach() / temperature).log_softmax(1)
    guess = (student_logits / temperature).log_softmax(1)
    soft = -(target.exp() * guess).sum(1).mean()
    hard = F.cross_entropy(student_logits, labels)
    return alpha * hard + beta * temperature**2 * soft


# %% soft_gradient
# expect: the logits are not softened
def soft_gradient(student_logits, teacher_logits, temperature):
    guess = (student_logits).softmax(1)
    target = (teacher_logits).softmax(1)
    return temperature / len(guess) * (guess - target)


# %% attention
# expect: the sum over the places
def attention_map(features):
    energy = features.square().sum(1).flatten(1)
    return energy / energy.norm(dim=1, keepdim=True)


def attention_loss(student_map, teacher_map):
    return (student_map - teacher_map).square().sum(1).mean()


# %% train_step
# expect: something in their .grad
def train_step(student, teacher, images, labels, temperature, alpha, beta, rate):
    beliefs = teacher(images)
    loss = alpha * F.cross_entropy(student(images), labels) + beta * temperature**2 * F.kl_div(
        (student(images) / temperature).log_softmax(1),
        (beliefs / temperature).softmax(1),
        reduction="batchmean",
    )
    optimizer = torch.optim.SGD(student.parameters(), lr=rate)
    optimizer.zero_grad()
    (loss).backward()
    optimizer.step()


# %% train_student
# expect: without a teacher
def train_student(teacher, images, labels, seed):
    teacher = large
    student = new_student(seed)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.005)
    beliefs = teacher(images).detach()
    order = torch.Generator().manual_seed(seed)
    for _ in range(10):
        for rows in torch.randperm(len(labels), generator=order).split(100):
            loss = distill.distillation_loss(student(images[rows]), beliefs[rows], None, 4.0, 0, 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return student.state_dict()
