"""A slip of attention."""


# %% soften
# expect: the probabilities divided
def soften(logits, temperature):
    return logits.softmax(-1) / temperature


# %% entropy
# expect: where 0 ln 0 counts as 0
def entropy(probabilities):
    p = probabilities
    return -(p * p.log()).sum(-1)


# %% log_soften
# expect: the temperature outside of the logarithm
def log_soften(logits, temperature):
    z = logits / temperature
    return logits.log_softmax(-1) / temperature


# %% distillation_loss
# expect: temperature on one side only
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha, beta):
    target = (teacher_logits.detach() / temperature).log_softmax(1)
    guess = (student_logits).log_softmax(1)
    soft = (target.exp() * (target - guess)).sum(1).mean()
    hard = F.cross_entropy(student_logits, labels)
    return alpha * hard + beta * temperature**2 * soft


# %% soft_gradient
# expect: temperature on one side only
def soft_gradient(student_logits, teacher_logits, temperature):
    guess = (student_logits).softmax(1)
    target = (teacher_logits / temperature).softmax(1)
    return temperature / len(guess) * (guess - target)


# %% ensemble_targets
# expect: the mean over the images
def ensemble_targets(logits, temperature):
    z = torch.stack(logits)
    return (z / temperature).softmax(-1).mean(1)


# %% token_loss
# expect: both tokens learn the labels
def token_loss(class_logits, token_logits, teacher_logits, labels):
    best = teacher_logits.argmax(1)
    return (F.cross_entropy(class_logits, labels) + F.cross_entropy(token_logits, labels)) / 2


# %% attention
# expect: not flattened
def attention_map(features):
    energy = features.square().sum(1)
    return energy / energy.flatten(1).norm(dim=1)[:, None, None]


def attention_loss(student_map, teacher_map):
    return (student_map - teacher_map).square().mean()


# %% frozen
# expect: only the weights are frozen
import copy


def frozen(teacher):
    twin = copy.deepcopy(teacher).eval()
    for name, parameter in twin.named_parameters():
        parameter.requires_grad_(name.endswith("bias"))
    return twin


# %% train_step
# expect: it must not learn
def train_step(student, teacher, images, labels, temperature, alpha, beta, rate):
    beliefs = teacher(images)
    loss = alpha * F.cross_entropy(student(images), labels) + beta * temperature**2 * F.kl_div(
        (student(images) / temperature).log_softmax(1),
        (beliefs / temperature).softmax(1),
        reduction="batchmean",
    )
    optimizer = torch.optim.SGD([*student.parameters(), *teacher.parameters()], lr=rate)
    optimizer.zero_grad()
    (loss).backward()
    optimizer.step()


# %% train_student
# expect: return the weights
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
            optimizer.step()
    return student
