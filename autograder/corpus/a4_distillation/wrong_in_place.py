"""The right values, but an argument is changed on the way."""


# %% soften
# expect: must not change logits
def soften(logits, temperature):
    logits /= temperature
    return logits.softmax(-1)


# %% attention
# expect: must not change features
def attention_map(features):
    return F.normalize(features.square_().sum(1).flatten(1), dim=1)


def attention_loss(student_map, teacher_map):
    return F.mse_loss(student_map, teacher_map)


# %% train_step
# expect: requires_grad of the teacher's parameters
def train_step(student, teacher, images, labels, temperature, alpha, beta, rate):
    teacher.requires_grad_(False)
    opt = torch.optim.SGD(student.parameters(), lr=rate)
    opt.zero_grad()
    distill.distillation_loss(
        student(images), teacher(images), labels, temperature, alpha, beta
    ).backward()
    opt.step()


# %% frozen
# expect: modes and flags
import copy


def frozen(teacher):
    teacher.eval()
    return copy.deepcopy(teacher).requires_grad_(False)
