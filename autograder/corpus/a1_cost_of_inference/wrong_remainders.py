"""Right where nothing is left over, and where the layers with parameters have no sub-layers."""


# %% conv_output_size
# expect: + 1 before the division
def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - dilation * (kernel - 1)) // stride


# %% count_params
# expect: a layer with sub-layers missed
def count_params(model):
    leaves = {n: m for n, m in model.named_modules() if not list(m.children())}
    uncounted = [
        n
        for n, m in leaves.items()
        if list(m.parameters()) and not isinstance(m, nn.Linear | nn.Conv2d)
    ]
    return {"params": sum(p.numel() for p in model.parameters()), "uncounted": uncounted}
