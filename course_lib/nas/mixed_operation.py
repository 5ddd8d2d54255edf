"""The continuous relaxation at the heart of DARTS: not one operation but a weighted mix of all.

Which operation to take is a discrete question. How much of each to take is a continuous one, with
a gradient. Source: Liu, Simonyan and Yang 2019, section 2.2.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from course_lib._validate import check_int

Operations = Mapping[str, nn.Module]


class MixedOperation(nn.Module):
    """sum_o softmax(alpha)_o * o(x): all operations at once; all must give one shape.

    `alpha`, a parameter [len(operations)], starts at zero, every operation alike; pass another
    edge's to share it, as the cells of a network do. Raises ValueError for no operations or an
    alpha of another length. Source: Liu et al. 2019, equation 2.

    >>> mixed = MixedOperation({"skip": nn.Identity(), "zero": Zero()})
    >>> mixed(torch.ones(1, 1, 1, 1)).item(), mixed.chosen
    (0.5, 'skip')
    """

    def __init__(self, operations: Operations, alpha: nn.Parameter | None = None):
        super().__init__()
        if not operations:
            raise ValueError("operations must hold at least one operation, got none.")
        if alpha is not None and alpha.shape != (len(operations),):
            raise ValueError(
                f"alpha must have one value for each of {len(operations)} operations, "
                f"got shape {tuple(alpha.shape)}."
            )
        self.operations = nn.ModuleDict(operations)
        self.alpha = nn.Parameter(torch.zeros(len(operations))) if alpha is None else alpha

    @property
    def weights(self) -> Tensor:
        """softmax(alpha), [len(operations)]."""
        return self.alpha.softmax(0)

    @property
    def chosen(self) -> str:
        """The name of the operation with the largest alpha, the first of equals."""
        return list(self.operations)[int(self.alpha.argmax())]

    def forward(self, x: Tensor) -> Tensor:
        outputs = [operation(x) for operation in self.operations.values()]
        return torch.tensordot(self.weights, torch.stack(outputs), dims=1)


class Zero(nn.Module):
    """No connection: zeros in the shape of the input, or of every `stride`-th pixel of it."""

    def __init__(self, stride: int = 1):
        super().__init__()
        self.stride = check_int("stride", stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[..., :: self.stride, :: self.stride])
