"""With NumPy where no gradient must flow, and other forms of the same formulas elsewhere."""

# %% soften
import numpy as np


def soften(logits, temperature):
    z = np.asarray(logits, dtype=np.float64) / temperature
    powers = np.exp(z - z.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


# %% entropy
import numpy as np


def entropy(probabilities):
    p = np.asarray(probabilities, dtype=np.float64)
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=-1)


# %% log_soften
import numpy as np


def log_soften(logits, temperature):
    z = np.asarray(logits, dtype=np.float64) / temperature
    return z - np.logaddexp.reduce(z, axis=-1, keepdims=True)


# %% distillation_loss
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha, beta):
    hard = nn.CrossEntropyLoss()(student_logits, labels)
    soft = nn.KLDivLoss(reduction="batchmean", log_target=True)(
        torch.log_softmax(student_logits / temperature, 1),
        torch.log_softmax(teacher_logits.detach() / temperature, 1),
    )
    return alpha * hard + (beta * temperature * temperature) * soft


# %% soft_gradient
import numpy as np


def soft_gradient(student_logits, teacher_logits, temperature):
    z, v = (np.asarray(x, dtype=np.float64) for x in (student_logits, teacher_logits))
    p, t = (np.exp((x - x.max(1, keepdims=True)) / temperature) for x in (z, v))
    p, t = p / p.sum(1, keepdims=True), t / t.sum(1, keepdims=True)
    return (p - t) * temperature / z.shape[0]


# %% ensemble_targets
import numpy as np


def ensemble_targets(logits, temperature):
    z = np.stack([np.asarray(member, dtype=np.float64) for member in logits]) / temperature
    powers = np.exp(z - z.max(axis=2, keepdims=True))
    return np.mean(powers / powers.sum(axis=2, keepdims=True), axis=0)


# %% token_loss
import numpy as np


def token_loss(class_logits, token_logits, teacher_logits, labels):
    rows = np.arange(len(labels))
    total = 0.0
    for logits, wanted in ((class_logits, labels), (token_logits, teacher_logits.argmax(1))):
        z = np.asarray(logits, dtype=np.float64)
        total += np.mean(np.logaddexp.reduce(z, axis=1) - z[rows, np.asarray(wanted)])
    return total / 2


# %% attention
import numpy as np


def attention_map(features):
    x = np.asarray(features, dtype=np.float64)
    energy = np.einsum("nchw,nchw->nhw", x, x).reshape(len(x), -1)
    return energy / np.linalg.norm(energy, axis=1, keepdims=True)


def attention_loss(student_map, teacher_map):
    return np.mean((np.asarray(student_map) - np.asarray(teacher_map)) ** 2)


# %% frozen
import copy


def frozen(teacher):
    result = copy.deepcopy(teacher)
    result.train(False)
    result.requires_grad_(False)
    return result


# %% train_step
def train_step(student, teacher, images, labels, temperature, alpha, beta, rate):
    weights = list(student.parameters())
    loss = distill.distillation_loss(
        student(images), teacher(images).detach(), labels, temperature, alpha, beta
    )
    slopes = torch.autograd.grad(loss, weights)
    for weight, slope in zip(weights, slopes, strict=True):
        weight.data.sub_(rate * slope)


# %% train_student
def train_student(teacher, images, labels, seed):
    student, known = new_student(seed), len(labels)
    order = torch.Generator().manual_seed(seed + 1)
    optimizer = torch.optim.RMSprop(student.parameters(), lr=0.003)
    for _ in range(12):
        for rows in torch.randperm(len(images), generator=order).split(100):
            z, v = student(images[rows]), teacher(images[rows]).detach()
            loss = 16 * F.kl_div((z / 4).log_softmax(1), (v / 4).softmax(1), reduction="batchmean")
            marked = rows < known
            if marked.any():
                loss = loss + 0.05 * F.cross_entropy(z[marked], labels[rows[marked]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return student.state_dict()
