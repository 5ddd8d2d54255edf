"""A linear layer that really skips the zeros, by PyTorch's product with compressed sparse rows.

Each multiplication then costs an index and a jump in memory, and vector units do less for it than
for a dense product: it pays only above some sparsity, to be measured on the machine at hand.
"""

from __future__ import annotations

import warnings
from copy import deepcopy

import torch
from torch import Tensor, nn

from course_lib._validate import check_fraction, check_tensor
from course_lib.cost.stand_in import StandIn, plain_layer, stored_bytes

DTYPES = (torch.float32, torch.float64)


def to_csr(weight: Tensor) -> Tensor:
    """Return [O, I] as a torch.sparse_csr tensor with 32-bit indices, which MKL takes as it is.

    ValueError or TypeError unless `weight` is a dense matrix of float32 or float64: PyTorch has no
    sparse product for half precision on a CPU.
    """
    check_tensor("weight", weight, ndim=2, nonempty=True)
    if weight.dtype not in DTYPES:
        raise TypeError(f"weight must be float32 or float64, got {weight.dtype}.")
    with warnings.catch_warnings():  # "beta state", once per process
        warnings.simplefilter("ignore", UserWarning)
        csr = weight.detach().to_sparse_csr()
        return torch.sparse_csr_tensor(
            csr.crow_indices().int(), csr.col_indices().int(), csr.values(), csr.shape
        )


def csr_linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return inputs @ weight^T + bias, [..., I] -> [..., O], for `weight` [O, I] in CSR form.

    >>> csr_linear(torch.tensor([[1.0, 2.0]]), to_csr(torch.tensor([[0.0, 3.0]])))
    tensor([[6.]])
    """
    check_tensor("inputs", inputs)
    if check_tensor("weight", weight, ndim=2).layout != torch.sparse_csr:
        raise TypeError(f"weight must be a CSR matrix (see to_csr), got {weight.layout}.")
    if inputs.ndim == 0 or inputs.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"inputs must be [..., {weight.shape[1]}] to fit weight, got {tuple(inputs.shape)}."
        )
    rows = inputs.reshape(-1, weight.shape[1])
    # For a single row the matrix-vector product is about twice as fast as a matrix of one column.
    outputs = (weight @ rows[0])[None] if len(rows) == 1 else (weight @ rows.t()).t()
    outputs = outputs if bias is None else outputs + bias
    return outputs.reshape(*inputs.shape[:-1], weight.shape[0])


class SparseLinear(nn.Module):
    """Linear layer for inference that stores and multiplies only nonzeros: [..., I] -> [..., O].

    Its state is four dense buffers (row_starts [O + 1] and columns [nonzeros], int32; values
    [nonzeros]; bias [O] or None), so that it saves to safetensors and moves like any module.
    """

    row_starts: Tensor
    columns: Tensor
    values: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        super().__init__()
        csr = to_csr(weight)
        self.out_features, self.in_features = weight.shape
        self.register_buffer("row_starts", csr.crow_indices())
        self.register_buffer("columns", csr.col_indices())
        self.register_buffer("values", csr.values())
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    @classmethod
    def from_linear(cls, linear: nn.Linear) -> SparseLinear:
        """Return the same function as `linear`, the zeros of its weight left out."""
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"linear must be a torch.nn.Linear, got {type(linear).__name__}.")
        return cls(linear.weight, linear.bias)

    @property
    def weight(self) -> Tensor:
        """The weight as a torch.sparse_csr tensor, [O, I]."""
        shape = self.out_features, self.in_features
        return torch.sparse_csr_tensor(self.row_starts, self.columns, self.values, shape)

    @property
    def sparsity(self) -> float:
        """Fraction of the weight that is zero."""
        return 1 - self.values.numel() / (self.out_features * self.in_features)

    def forward(self, inputs: Tensor) -> Tensor:
        return csr_linear(inputs, self.weight, self.bias)

    def counts_as(self) -> StandIn:
        """For `course_lib.cost.count`: one multiply-add per nonzero, the bytes of this form."""
        bias, nonzeros = self.bias, self.values.numel()
        shape = self.out_features, self.in_features
        return StandIn(
            plain_layer(shape, bias=bias is not None, dtype=self.values.dtype),
            params=nonzeros + (0 if bias is None else bias.numel()),
            weight_bytes=stored_bytes(self),
            nonzeros=nonzeros,
        )

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, sparsity={self.sparsity:.3f}"


def sparsify(model: nn.Module, min_sparsity: float = 0.0) -> nn.Module:
    """Return a copy of `model` for inference, its Linear layers replaced by SparseLinear ones.

    Layers whose weight has a smaller fraction of zeros than `min_sparsity` stay dense.

    >>> sparsify(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), min_sparsity=0.9)
    Sequential(
      (0): Linear(in_features=2, out_features=2, bias=True)
      (1): ReLU()
    )
    """
    check_fraction("min_sparsity", min_sparsity)
    holder = nn.ModuleDict({"model": deepcopy(model)})  # so that the model itself may be a Linear
    for name, module in list(holder.named_modules()):
        if isinstance(module, nn.Linear) and module.weight.numel() > 0:
            sparsity = float((module.weight == 0).double().mean())
            if sparsity >= min_sparsity:
                parent, _, child = name.rpartition(".")
                setattr(holder.get_submodule(parent), child, SparseLinear.from_linear(module))
    return holder["model"]
