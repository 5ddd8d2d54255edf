"""A cell: the small graph that a search designs once and a network repeats.

Searching for a cell and not for a whole network shrinks the space; a normal cell keeps the
resolution, a reduction cell halves it. Sources: Zoph et al. 2018 (NASNet), section 3; operations
as in Liu, Simonyan and Yang 2019 (DARTS), section 3.1.1, without the dilated convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from course_lib._validate import check_int
from course_lib.blocks import separable_conv
from course_lib.nas.mixed_operation import MixedOperation, Operations, Zero


class Cell(nn.Module):
    """A directed graph of feature maps: `inputs` times [N, C, H, W] -> [N, nodes * C, H', W'].

    A node is the sum of the edges that lead to it; the nodes that are not inputs are concatenated.
    `edges` maps (source, target) to a module; inputs are numbered first, from 0.
    Raises ValueError for an edge that does not lead on, or a node without any.
    """

    def __init__(self, edges: Mapping[tuple[int, int], nn.Module], inputs: int = 2):
        super().__init__()
        self.inputs = check_int("inputs", inputs)
        targets = sorted({target for _, target in edges})
        if not targets or targets != list(range(inputs, inputs + len(targets))):
            raise ValueError(
                f"edges must lead to nodes {inputs}, {inputs + 1}, ...; got {targets}."
            )
        for source, target in edges:
            if not 0 <= source < target:
                raise ValueError(f"edges must lead on to later nodes, got {source} -> {target}.")
        self.targets = targets
        self.edges = nn.ModuleDict({f"{s}-{t}": edges[s, t] for s, t in sorted(edges)})

    def forward(self, *states: Tensor) -> Tensor:
        if len(states) != self.inputs:
            raise ValueError(f"The cell must get {self.inputs} inputs, got {len(states)}.")
        nodes = list(states)
        for target in self.targets:
            incoming = [
                self.edges[f"{source}-{target}"](nodes[source])
                for source in range(target)
                if f"{source}-{target}" in self.edges
            ]
            nodes.append(torch.stack(incoming).sum(dim=0))
        return torch.cat(nodes[self.inputs :], dim=1)  # [N, nodes * C, H', W']


def cell_operations(channels: int, stride: int = 1) -> dict[str, nn.Module]:
    """The candidates of one edge, [N, C, H, W] -> [N, C, H/s, W/s]: none, skip, pools, separable.

    A skip with stride 2 is a 1 x 1 convolution. Convolutions and pools end in batch norm without
    scale, or they could undo what alpha weighs (Liu et al. 2019, appendix A.1.1).
    """

    def norm() -> nn.Module:
        return nn.BatchNorm2d(channels, affine=False)

    def separable(kernel_size: int) -> nn.Module:
        return nn.Sequential(
            nn.ReLU(), separable_conv(channels, channels, kernel_size, stride), norm()
        )

    strided_conv = nn.Conv2d(channels, channels, 1, stride, bias=False)
    return {
        "none": Zero(stride),
        "skip": nn.Identity() if stride == 1 else nn.Sequential(strided_conv, norm()),
        "avg_pool_3": nn.Sequential(nn.AvgPool2d(3, stride, 1, count_include_pad=False), norm()),
        "max_pool_3": nn.Sequential(nn.MaxPool2d(3, stride, 1), norm()),
        "separable_3": separable(3),
        "separable_5": separable(5),
    }


def mixed_cell(
    channels: int,
    nodes: int = 2,
    *,
    inputs: int = 2,
    reduction: bool = False,
    operations: Callable[[int, int], Operations] = cell_operations,
) -> Cell:
    """A cell whose every edge is still open: [N, C, H, W] each -> [N, nodes * C, H, W].

    Every node has an edge from each input and each node before it, inputs * nodes +
    nodes (nodes - 1) / 2 in all. A `reduction` cell halves H and W, rounded up: its edges from
    the inputs have stride 2. `operations(channels, stride)` makes an edge's candidates.

    >>> cell = mixed_cell(4, nodes=2, reduction=True)
    >>> x = torch.zeros(2, 4, 7, 7)
    >>> len(cell.edges), cell(x, x).shape
    (5, torch.Size([2, 8, 4, 4]))
    """
    check_int("channels", channels)
    last = check_int("inputs", inputs) + check_int("nodes", nodes)
    return Cell(
        {
            (source, target): MixedOperation(
                operations(channels, 2 if reduction and source < inputs else 1)
            )
            for source, target in combinations(range(last), 2)
            if target >= inputs
        },
        inputs,
    )
