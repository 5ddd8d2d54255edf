"""With loops, image by image."""

# %% soften
import math


def soften(logits, temperature):
    rows = logits.reshape(-1, logits.shape[-1])
    result = torch.empty_like(rows)
    for n, row in enumerate(rows.tolist()):
        largest = max(row)
        powers = [math.exp((z - largest) / temperature) for z in row]
        result[n] = torch.tensor([p / sum(powers) for p in powers])
    return result.reshape(logits.shape)


# %% entropy
import math


def entropy(probabilities):
    rows = probabilities.reshape(-1, probabilities.shape[-1]).tolist()
    sums = [-sum(p * math.log(p) for p in row if p > 0) for row in rows]
    return torch.tensor(sums).reshape(probabilities.shape[:-1])


# %% log_soften
import math


def log_soften(logits, temperature):
    rows = logits.reshape(-1, logits.shape[-1]).tolist()
    result = []
    for row in rows:
        row = [z / temperature for z in row]
        total = sum(math.exp(z - max(row)) for z in row)
        result.append([z - max(row) - math.log(total) for z in row])
    return torch.tensor(result).reshape(logits.shape)


# %% distillation_loss
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha, beta):
    total = 0.0
    for z, v, y in zip(student_logits, teacher_logits, labels, strict=True):
        hard = torch.logsumexp(z, 0) - z[y]
        guess = z / temperature - torch.logsumexp(z / temperature, 0)
        with torch.no_grad():
            target = v / temperature - torch.logsumexp(v / temperature, 0)
        soft = sum(t.exp() * (t - g) for t, g in zip(target, guess, strict=True))
        total = total + alpha * hard + beta * temperature**2 * soft
    return total / len(labels)


# %% soft_gradient
def soft_gradient(student_logits, teacher_logits, temperature):
    rows = []
    for z, v in zip(student_logits, teacher_logits, strict=True):
        p, t = torch.softmax(z / temperature, 0), torch.softmax(v / temperature, 0)
        rows.append(temperature * (p - t) / len(student_logits))
    return torch.stack(rows)


# %% ensemble_targets
def ensemble_targets(logits, temperature):
    total = torch.zeros_like(logits[0])
    for member in logits:
        total += torch.softmax(member / temperature, dim=1)
    return total / len(logits)


# %% token_loss
def token_loss(class_logits, token_logits, teacher_logits, labels):
    total = 0.0
    for n in range(len(labels)):
        best = int(teacher_logits[n].argmax())
        total -= class_logits[n].log_softmax(0)[labels[n]]
        total -= token_logits[n].log_softmax(0)[best]
    return total / (2 * len(labels))


# %% attention
def attention_map(features):
    maps = []
    for image in features:
        energy = sum(channel**2 for channel in image).reshape(-1)
        maps.append(energy / (energy**2).sum() ** 0.5)
    return torch.stack(maps)


def attention_loss(student_map, teacher_map):
    pairs = zip(student_map.flatten().tolist(), teacher_map.flatten().tolist(), strict=True)
    return sum((a - b) ** 2 for a, b in pairs) / student_map.numel()


# %% frozen
from copy import deepcopy


def frozen(teacher):
    twin = deepcopy(teacher)
    for module in twin.modules():
        module.training = False
    for parameter in twin.parameters():
        parameter.requires_grad = False
    return twin


# %% train_step
def train_step(student, teacher, images, labels, temperature, alpha, beta, rate):
    for parameter in student.parameters():
        parameter.grad = None
    with torch.no_grad():
        beliefs = teacher(images)
    distill.distillation_loss(
        student(images), beliefs, labels, temperature, alpha, beta
    ).backward()
    with torch.no_grad():
        for parameter in student.parameters():
            parameter -= rate * parameter.grad


# %% train_student
def train_student(teacher, images, labels, seed):
    student = new_student(seed)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.02, momentum=0.9)
    with torch.no_grad():
        decisions = teacher(images).argmax(1)
    for _ in range(400):
        rows = torch.randint(len(images), (100,), generator=generator)
        loss = F.cross_entropy(student(images[rows]), decisions[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: value.numpy() for name, value in student.state_dict().items()}
