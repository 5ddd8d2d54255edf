"""A factor or a step is left out."""


# %% soften
# expect: multiplied by the temperature
def soften(logits, temperature):
    return (logits * temperature).softmax(-1)


# %% entropy
# expect: the sign
def entropy(probabilities):
    p = probabilities
    return torch.xlogy(p, p).sum(-1)


# %% log_soften
# expect: whose softmax rounds to 0
def log_soften(logits, temperature):
    z = logits / temperature
    return z - z.exp().sum(-1, keepdim=True).log()


# %% distillation_loss
# expect: reversed KL
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha, beta):
    target = (teacher_logits.detach() / temperature).log_softmax(1)
    guess = (student_logits / temperature).log_softmax(1)
    soft = (guess.exp() * (guess - target)).sum(1).mean()
    hard = F.cross_entropy(student_logits, labels)
    return alpha * hard + beta * temperature**2 * soft


# %% soft_gradient
# expect: no factor of T
def soft_gradient(student_logits, teacher_logits, temperature):
    guess = (student_logits / temperature).softmax(1)
    target = (teacher_logits / temperature).softmax(1)
    return (guess - target) / len(guess)


# %% ensemble_targets
# expect: the temperature ignored
def ensemble_targets(logits, temperature):
    z = torch.stack(logits)
    return z.softmax(-1).mean(0)


# %% token_loss
# expect: the halves are missing
def token_loss(class_logits, token_logits, teacher_logits, labels):
    best = teacher_logits.argmax(1)
    return F.cross_entropy(class_logits, labels) + F.cross_entropy(token_logits, best)


# %% attention
# expect: scaled to sum 1
def attention_map(features):
    energy = features.square().sum(1).flatten(1)
    return energy / energy.sum(1, keepdim=True)


def attention_loss(student_map, teacher_map):
    return (student_map - teacher_map).square().mean()


# %% frozen
# expect: all parameters still ask for gradients
import copy


def frozen(teacher):
    return copy.deepcopy(teacher).eval()


# %% train_step
# expect: it must not learn
def train_step(student, teacher, images, labels, temperature, alpha, beta, rate):
    beliefs = teacher.train()(images).detach()
    loss = distill.distillation_loss(student(images), beliefs, labels, temperature, alpha, beta)
    optimizer = torch.optim.SGD(student.parameters(), lr=rate)
    optimizer.zero_grad()
    (loss).backward()
    optimizer.step()


# %% train_student
# expect: all images used
def train_student(teacher, images, labels, seed):
    student = new_student(seed)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.005)
    beliefs = teacher(images).detach()
    order = torch.Generator().manual_seed(seed)
    for _ in range(200):
        for rows in torch.randperm(len(labels), generator=order).split(100):
            loss = distill.distillation_loss(student(images[rows]), beliefs[rows], None, 4.0, 0, 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return student.state_dict()
