"""Two things are confused."""


# %% soften
# expect: the softmax goes over the images
def soften(logits, temperature):
    return (logits / temperature).softmax(0)


# %% entropy
# expect: expected a list of values
def entropy(probabilities):
    p = probabilities
    return torch.special.entr(p).sum(-1).mean()


# %% log_soften
# expect: the temperature ignored
def log_soften(logits, temperature):
    z = logits / temperature
    return logits.log_softmax(-1)


# %% distillation_loss
# expect: hard labels softened too
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha, beta):
    target = (teacher_logits.detach() / temperature).log_softmax(1)
    guess = (student_logits / temperature).log_softmax(1)
    soft = (target.exp() * (target - guess)).sum(1).mean()
    hard = F.cross_entropy(student_logits / temperature, labels)
    return alpha * hard + beta * temperature**2 * soft


# %% soft_gradient
# expect: the batch mean forgotten
def soft_gradient(student_logits, teacher_logits, temperature):
    guess = (student_logits / temperature).softmax(1)
    target = (teacher_logits / temperature).softmax(1)
    return temperature * (guess - target)


# %% ensemble_targets
# expect: the sum, not the mean
def ensemble_targets(logits, temperature):
    z = torch.stack(logits)
    return (z / temperature).softmax(-1).sum(0)


# %% token_loss
# expect: the class token learns both
def token_loss(class_logits, token_logits, teacher_logits, labels):
    best = teacher_logits.argmax(1)
    return (F.cross_entropy(class_logits, labels) + F.cross_entropy(class_logits, best)) / 2


# %% attention
# expect: not squared
def attention_map(features):
    energy = features.sum(1).flatten(1)
    return energy / energy.norm(dim=1, keepdim=True)


def attention_loss(student_map, teacher_map):
    return (student_map - teacher_map).square().mean()


# %% frozen
# expect: every layer in evaluation mode
import copy


def frozen(teacher):
    twin = copy.deepcopy(teacher).train().requires_grad_(False)
    twin.training = False
    return twin


# %% train_step
# expect: the labels alone
def train_step(student, teacher, images, labels, temperature, alpha, beta, rate):
    beliefs = teacher(images).detach()
    loss = alpha * F.cross_entropy(student(images), labels)
    optimizer = torch.optim.SGD(student.parameters(), lr=rate)
    optimizer.zero_grad()
    (loss).backward()
    optimizer.step()


# %% train_student
# expect: it must not learn
def train_student(teacher, images, labels, seed):
    student = new_student(seed)
    optimizer = torch.optim.Adam([*student.parameters(), *teacher.parameters()], lr=0.005)
    beliefs = teacher(images)
    order = torch.Generator().manual_seed(seed)
    for _ in range(10):
        for rows in torch.randperm(len(images), generator=order).split(100):
            loss = F.mse_loss(student(images[rows]), teacher(images[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return student.state_dict()
