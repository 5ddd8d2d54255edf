"""A term of the formula is misread."""


# %% soften
# expect: overflow
def soften(logits, temperature):
    powers = (logits / temperature).exp()
    return powers / powers.sum(-1, keepdim=True)


# %% entropy
# expect: the mean over the classes
def entropy(probabilities):
    p = probabilities
    return torch.special.entr(p).mean(-1)


# %% log_soften
# expect: whose softmax rounds to 0
def log_soften(logits, temperature):
    z = logits / temperature
    return (z.softmax(-1) + 1e-12).log()


# %% distillation_loss
# expect: sum for mean
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha, beta):
    target = (teacher_logits.detach() / temperature).log_softmax(1)
    guess = (student_logits / temperature).log_softmax(1)
    soft = (target.exp() * (target - guess)).sum()
    hard = F.cross_entropy(student_logits, labels, reduction="sum")
    return alpha * hard + beta * temperature**2 * soft


# %% soft_gradient
# expect: the sign
def soft_gradient(student_logits, teacher_logits, temperature):
    guess = (student_logits / temperature).softmax(1)
    target = (teacher_logits / temperature).softmax(1)
    return temperature / len(guess) * (target - guess)


# %% ensemble_targets
# expect: softened after averaging
def ensemble_targets(logits, temperature):
    z = torch.stack(logits)
    return (z.softmax(-1).mean(0).log() / temperature).softmax(-1)


# %% token_loss
# expect: the teacher's soft targets
def token_loss(class_logits, token_logits, teacher_logits, labels):
    best = teacher_logits.argmax(1)
    return (
        F.cross_entropy(class_logits, labels)
        + F.cross_entropy(token_logits, teacher_logits.softmax(1))
    ) / 2


# %% attention
# expect: magnitudes, not squares
def attention_map(features):
    energy = features.abs().sum(1).flatten(1)
    return energy / energy.norm(dim=1, keepdim=True)


def attention_loss(student_map, teacher_map):
    return (student_map - teacher_map).square().mean()


# %% frozen
# expect: the original
import copy


def frozen(teacher):
    return teacher.eval().requires_grad_(False)


# %% train_step
# expect: the teacher alone
def train_step(student, teacher, images, labels, temperature, alpha, beta, rate):
    beliefs = teacher(images).detach()
    loss = distill.distillation_loss(student(images), beliefs, labels, temperature, 0.0, beta)
    optimizer = torch.optim.SGD(student.parameters(), lr=rate)
    optimizer.zero_grad()
    (loss).backward()
    optimizer.step()


# %% train_student
# expect: the seed is ignored
def train_student(teacher, images, labels, seed):
    student = new_student(0)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.005)
    beliefs = teacher(images).detach()
    order = torch.Generator().manual_seed(0)
    for _ in range(10):
        for rows in torch.randperm(len(images), generator=order).split(100):
            loss = distill.distillation_loss(student(images[rows]), beliefs[rows], None, 4.0, 0, 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return student.state_dict()
