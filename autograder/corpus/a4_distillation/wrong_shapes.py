"""The wrong axis, number or place."""


# %% soften
# expect: logits cut off at a bound
def soften(logits, temperature):
    return (logits / temperature).clamp(-50, 50).softmax(-1)


# %% entropy
# expect: over the images
def entropy(probabilities):
    p = probabilities
    return torch.special.entr(p).sum(0)


# %% log_soften
# expect: the sign
def log_soften(logits, temperature):
    z = logits / temperature
    return -z.log_softmax(-1)


# %% distillation_loss
# expect: none may flow
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha, beta):
    target = (teacher_logits / temperature).log_softmax(1)
    guess = (student_logits / temperature).log_softmax(1)
    soft = (target.exp() * (target - guess)).sum(1).mean()
    hard = F.cross_entropy(student_logits, labels)
    return alpha * hard + beta * temperature**2 * soft


# %% soft_gradient
# expect: averaged over the classes too
def soft_gradient(student_logits, teacher_logits, temperature):
    guess = (student_logits / temperature).softmax(1)
    target = (teacher_logits / temperature).softmax(1)
    return temperature * (guess - target) / guess.numel()


# %% ensemble_targets
# expect: one member alone
def ensemble_targets(logits, temperature):
    z = torch.stack(logits)
    return (z[0] / temperature).softmax(-1)


# %% attention
# expect: the sum, not the mean
def attention_map(features):
    energy = features.square().sum(1).flatten(1)
    return energy / energy.norm(dim=1, keepdim=True)


def attention_loss(student_map, teacher_map):
    return (student_map - teacher_map).square().sum()


# %% frozen
# expect: modes and flags
import copy


def frozen(teacher):
    teacher.requires_grad_(False)
    return copy.deepcopy(teacher).eval()


# %% train_step
# expect: up, not down
def train_step(student, teacher, images, labels, temperature, alpha, beta, rate):
    beliefs = teacher(images).detach()
    loss = distill.distillation_loss(student(images), beliefs, labels, temperature, alpha, beta)
    optimizer = torch.optim.SGD(student.parameters(), lr=rate)
    optimizer.zero_grad()
    (-loss).backward()
    optimizer.step()


# %% train_student
# expect: does the loss go down
def train_student(teacher, images, labels, seed):
    student = new_student(seed)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.005)
    beliefs = teacher(images).detach()
    order = torch.Generator().manual_seed(seed)
    for _ in range(10):
        for rows in torch.randperm(len(images), generator=order).split(100):
            loss = distill.distillation_loss(student(images[rows]), beliefs[rows], None, 4.0, 0, 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.zero_grad()
            optimizer.step()
    return student.state_dict()
