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


# %% ensemble_targets
# expect: the smaller, or the lower median
def ensemble_targets(logits, temperature):
    return (torch.stack(logits) / temperature).softmax(-1).median(0).values


# %% token_loss
# expect: both tokens learn the teacher's class
def token_loss(class_logits, token_logits, teacher_logits, labels):
    best = teacher_logits.argmax(1)
    return (F.cross_entropy(class_logits, best) + F.cross_entropy(token_logits, best)) / 2


# %% attention
# expect: divided by the maximum
def attention_map(features):
    energy = features.square().sum(1).flatten(1)
    return energy / energy.amax(1, keepdim=True)


def attention_loss(student_map, teacher_map):
    return F.mse_loss(student_map, teacher_map)


# %% entropy
# expect: divided by ln K
import math


def entropy(probabilities):
    return torch.special.entr(probabilities).sum(-1) / math.log(probabilities.shape[-1])


# %% log_soften
# expect: without the temperature
def log_soften(logits, temperature):
    return logits / temperature - logits.logsumexp(-1, keepdim=True)
