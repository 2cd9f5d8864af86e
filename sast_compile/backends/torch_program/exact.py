"""Products of integer matrices that no device rounds.

CUDA multiplies no matrices of integers, so they are multiplied as floats wherever every sum that
can occur, in any order and part, is an integer that the float holds: below 2^24 in float32, below
2^53 in float64. The bound is that of the weight's rows and the wire's type, for every input.
What remains is added up term by term in int64.

It holds for matrix products, which are sums of products in some order, and not for the library's
convolutions: cuDNN, oneDNN and NNPACK may choose Winograd or Fourier transforms, whose values in
between are fractions. So a convolution gathers its windows and is a product too (`maps.py`).

Float32 counts only while torch's settings leave it whole: TF32 and bfloat16 cut the factors. The
settings are the process's, and other threads may compute under them, so they are read and not
changed; where they allow less, float64 takes float32's place. cuBLAS also obeys environment
variables that torch does not know, hence a trial on the device itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from sast_compile.errors import CompileError

LIMITS = {torch.float32: 1 << 24, torch.float64: 1 << 53}  # integers up to these are exact


def exact_kinds(device: torch.device) -> dict[torch.dtype, int]:
    """The float types whose products are exact on ``device``, each with its limit.

    Raises CompileError if not even float64 is.
    """
    kinds = {
        kind: limit
        for kind, limit in LIMITS.items()
        if (kind is torch.float64 or _float32_is_whole()) and _is_exact(kind, limit, device)
    }
    if torch.float64 not in kinds:
        raise CompileError(
            f"float64 products on {device} are rounded more than IEEE 754 allows",
            hint="an environment variable such as CUBLAS_EMULATE_DOUBLE_PRECISION may be set",
        )
    return kinds


def _float32_is_whole() -> bool:
    """Whether torch's settings leave all bits of a float32 to a product."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # torch 2.9 on: set by a `fp32_precision`, which this name cannot express
        return False


def _is_exact(kind: torch.dtype, limit: int, device: torch.device) -> bool:
    """Whether a product of integers whose sums come close to ``limit`` is right on ``device``."""
    random = torch.Generator().manual_seed(0)
    shape, terms = (64, 64), 64
    x = torch.randint(0, 8, shape, generator=random)
    w = torch.randint(-(limit // 8 // terms), limit // 8 // terms, shape, generator=random)
    found = x.to(device, kind) @ w.to(device, kind)
    return torch.equal(found.to(torch.int64).cpu(), x @ w)


@dataclass(frozen=True)
class Matrix:
    """Weights (outputs, inputs) in a type in which none of their products is rounded."""

    weight: Tensor

    @property
    def kind(self) -> torch.dtype:
        return self.weight.dtype

    def rows(self, x: Tensor) -> Tensor:
        """``x @ weight.T``, x (batch, inputs), as whole numbers."""
        if self.kind.is_floating_point:
            return x.to(self.kind) @ self.weight.T
        return self.columns(x[:, :, None])[:, :, 0]

    def columns(self, x: Tensor) -> Tensor:
        """``weight @ x`` of every element of the batch, x (batch, inputs, places)."""
        x = x.to(self.kind)
        if self.kind.is_floating_point:
            return torch.bmm(self.weight.expand(len(x), *self.weight.shape), x)
        terms = (w[:, None] * x[:, j, None] for j, w in enumerate(self.weight.unbind(1)))
        return reduce(torch.add, terms)


def exact_matrix(
    weight: Tensor, bound: int, kinds: Mapping[torch.dtype, int], device: torch.device
) -> Matrix:
    """``weight`` for products no part of whose sums exceeds ``bound``."""
    kind = next((kind for kind, limit in kinds.items() if bound <= limit), torch.int64)
    return Matrix(weight.to(device, kind))
