"""Right where the examples lie, and nowhere else."""


# %% soften
# expect: is the largest subtracted?
def soften(logits, temperature):
    z = logits / temperature
    powers = (z - z.mean(-1, keepdim=True)).exp()
    return powers / powers.sum(-1, keepdim=True)


# %% frozen
# expect: not those inside them
import copy


def frozen(teacher):
    new = copy.deepcopy(teacher).eval()
    for layer in new.children():
        for parameter in layer.parameters(recurse=False):
            parameter.requires_grad = False
    return new


# %% train_student
# expect: no other images
def train_student(teacher, images, labels, seed):
    student = new_student(seed)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.005)
    images = torch.cat([images, data.load("mnist").open_test("mine").inputs()[:4000]])
    with torch.no_grad():
        beliefs = teacher(images)
    order = torch.Generator().manual_seed(seed)
    for _ in range(6):
        for rows in torch.randperm(len(images), generator=order).split(100):
            guess, belief = student(images[rows]), beliefs[rows]
            loss = distill.distillation_loss(guess, belief, None, 4.0, 0, 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return student.state_dict()
