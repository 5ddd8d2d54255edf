"""A detail of the definition is missed."""


# %% soften
# expect: exp of the sum for the sum of exp
def soften(logits, temperature):
    z = logits / temperature
    return z.exp() / z.sum(-1, keepdim=True).exp()


# %% entropy
# expect: got a number
def entropy(probabilities):
    p = probabilities
    return torch.special.entr(p).sum()


# %% log_soften
# expect: the probabilities, not their logarithm
def log_soften(logits, temperature):
    z = logits / temperature
    return z.softmax(-1)


# %% distillation_loss
# expect: temperature on one side only: the student's
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha, beta):
    target = (teacher_logits.detach()).log_softmax(1)
    guess = (student_logits / temperature).log_softmax(1)
    soft = (target.exp() * (target - guess)).sum(1).mean()
    hard = F.cross_entropy(student_logits, labels)
    return alpha * hard + beta * temperature**2 * soft


# %% soft_gradient
# expect: the inner derivative 1 / T forgotten
def soft_gradient(student_logits, teacher_logits, temperature):
    guess = (student_logits / temperature).softmax(1)
    target = (teacher_logits / temperature).softmax(1)
    return temperature**2 / len(guess) * (guess - target)


# %% ensemble_targets
# expect: a vote
def ensemble_targets(logits, temperature):
    z = torch.stack(logits)
    return F.one_hot(z.argmax(-1), z.shape[-1]).float().mean(0)


# %% token_loss
# expect: sum for mean
def token_loss(class_logits, token_logits, teacher_logits, labels):
    best = teacher_logits.argmax(1)
    return (
        F.cross_entropy(class_logits, labels, reduction="sum")
        + F.cross_entropy(token_logits, best, reduction="sum")
    ) / 2


# %% attention
# expect: scaled over the batch
def attention_map(features):
    energy = features.square().sum(1).flatten(1)
    return energy / energy.norm(dim=0, keepdim=True)


def attention_loss(student_map, teacher_map):
    return (student_map - teacher_map).square().mean()


# %% frozen
# expect: the last layer still asks
import copy


def frozen(teacher):
    twin = copy.deepcopy(teacher).eval().requires_grad_(False)
    list(twin.children())[-1].requires_grad_(True)
    return twin


# %% train_step
# expect: nothing changed
def train_step(student, teacher, images, labels, temperature, alpha, beta, rate):
    import copy

    student = copy.deepcopy(student)
    beliefs = teacher(images).detach()
    loss = distill.distillation_loss(student(images), beliefs, labels, temperature, alpha, beta)
    optimizer = torch.optim.SGD(student.parameters(), lr=rate)
    optimizer.zero_grad()
    (loss).backward()
    optimizer.step()


# %% train_student
# expect: not as good as a well-taught student
def train_student(teacher, images, labels, seed):
    student = new_student(seed)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.005)
    beliefs = teacher(images).detach()
    order = torch.Generator().manual_seed(seed)
    for _ in range(10):
        for rows in torch.randperm(len(images), generator=order).split(100):
            loss = -F.cross_entropy(student(images[rows]), beliefs[rows].softmax(1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return student.state_dict()
