"""The mistakes that everyone makes."""


# %% soften
# expect: the temperature ignored
def soften(logits, temperature):
    return logits.softmax(-1)


# %% entropy
# expect: in bits
def entropy(probabilities):
    p = probabilities
    return -torch.xlogy(p, p).sum(-1) / 0.6931472


# %% log_soften
# expect: whose softmax rounds to 0
def log_soften(logits, temperature):
    z = logits / temperature
    return z.softmax(-1).log()


# %% distillation_loss
# expect: no T^2
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha, beta):
    target = (teacher_logits.detach() / temperature).log_softmax(1)
    guess = (student_logits / temperature).log_softmax(1)
    soft = (target.exp() * (target - guess)).sum(1).mean()
    hard = F.cross_entropy(student_logits, labels)
    return alpha * hard + beta * soft


# %% soft_gradient
# expect: no T^2
def soft_gradient(student_logits, teacher_logits, temperature):
    guess = (student_logits / temperature).softmax(1)
    target = (teacher_logits / temperature).softmax(1)
    return (guess - target) / temperature / len(guess)


# %% ensemble_targets
# expect: the mean of the logits
def ensemble_targets(logits, temperature):
    z = torch.stack(logits)
    return (z.mean(0) / temperature).softmax(-1)


# %% token_loss
# expect: the tokens are exchanged
def token_loss(class_logits, token_logits, teacher_logits, labels):
    best = teacher_logits.argmax(1)
    return (F.cross_entropy(token_logits, labels) + F.cross_entropy(class_logits, best)) / 2


# %% attention
# expect: not scaled to length 1
def attention_map(features):
    energy = features.square().sum(1).flatten(1)
    return energy


def attention_loss(student_map, teacher_map):
    return (student_map - teacher_map).square().mean()


# %% frozen
# expect: evaluation mode
import copy


def frozen(teacher):
    return copy.deepcopy(teacher).requires_grad_(False)


# %% train_step
# expect: the gradients left in .grad counted
def train_step(student, teacher, images, labels, temperature, alpha, beta, rate):
    beliefs = teacher(images).detach()
    loss = distill.distillation_loss(student(images), beliefs, labels, temperature, alpha, beta)
    optimizer = torch.optim.SGD(student.parameters(), lr=rate)

    (loss).backward()
    optimizer.step()


# %% train_student
# expect: no better than a student without a teacher
def train_student(teacher, images, labels, seed):
    student = new_student(seed)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.005)
    beliefs = teacher(images).detach()
    order = torch.Generator().manual_seed(seed)
    for _ in range(200):
        for rows in torch.randperm(len(labels), generator=order).split(100):
            loss = F.cross_entropy(student(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return student.state_dict()
