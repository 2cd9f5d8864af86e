"""The ops without a state, over a batch: (batch, *shape) of every input to (batch, *shape).

The batch is steps times samples. Results are whole numbers, in floats where a product made them;
the wire that takes them is of the integers that hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from typing_extensions import assert_never

from sast_compile.backends.torch_program.exact import Matrix, exact_matrix
from sast_compile.backends.torch_program.kinds import holding, kind_of, magnitude
from sast_compile.ir.consts import lookup, row_bounds
from sast_compile.ir.conv import Conv2d
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Add, Dense, Flatten, Input, Join, Neuron, Scale, Terms
from sast_compile.ir.pool import SumPool2d
from sast_compile.ir.program import Node, Program
from sast_compile.ir.types import Int

Map: TypeAlias = Callable[[Sequence[Tensor]], Tensor]
Padding: TypeAlias = tuple[tuple[int, int], tuple[int, int]]


class Maps:
    """The maps of one program, their weights on the device; ``words``: bytes of what they make."""

    def __init__(
        self, program: Program, kinds: dict[torch.dtype, int], device: torch.device
    ) -> None:
        self.program, self.kinds, self.device = program, kinds, device
        self.words = {n: kind_of(type_.element).itemsize for n, type_ in program.types.items()}
        self.by_name = {
            node.name: self._map(node)
            for node in program.nodes
            if not isinstance(node.op, (Input, Neuron))
        }

    def _map(self, node: Node) -> Map:
        op, type_ = node.op, self.program.types[node.name]
        kind = kind_of(type_.element)
        match op:
            case Flatten():
                return lambda xs: xs[0].reshape(-1, *type_.shape)
            case SumPool2d():
                return lambda xs: pooled(op, xs[0], kind)
            case Dense():
                (matrix,), bound = self._matrices(node, op.weight, 1)
                shift = self._shift(node, op.exponent, bound)
                return lambda xs: shift(matrix.rows(xs[0]))
            case Conv2d():
                return self._convolution(node, op)
            case Terms():
                return self._terms(node, op)
            case Add():
                return lambda xs: reduce(torch.add, [x.to(kind) for x in xs])
            case Join():
                return lambda xs: torch.cat([x.to(kind) for x in xs], dim=1)
            case Input() | Neuron() | Scale():
                raise AssertionError(f"{type(op).__name__} is no map of integers")
        assert_never(op)

    def _weight(self, ref: Ref) -> Tensor:
        return torch.from_numpy(lookup(ref, self.program.consts).data.astype(np.int64))

    def _source(self, node: Node) -> Int:
        element = self.program.types[node.inputs[0].node].element
        assert isinstance(element, Int)
        return element

    def _matrices(self, node: Node, ref: Ref, groups: int) -> tuple[list[Matrix], int]:
        """The weight as a matrix for each group, and what no part of their sums exceeds."""
        weight, bound = self._weight(ref), self._bound(node, ref)
        rows = weight.reshape(groups, weight.shape[0] // groups, -1)
        matrices = [exact_matrix(group, bound, self.kinds, self.device) for group in rows]
        self.words[node.name] = matrices[0].kind.itemsize
        return matrices, bound

    def _bound(self, node: Node, weight: Ref) -> int:
        """The greatest magnitude of any part of any sum: a term may be 0, so parts are no more."""
        low, high = row_bounds(lookup(weight, self.program.consts), self._source(node))
        return max(-int(low.min()), int(high.max()))

    def _shift(self, node: Node, exponent: int, bound: int) -> Callable[[Tensor], Tensor]:
        """Whole numbers up to ``bound`` times ``2^exponent``; a negative one rounds down."""
        if exponent == 0:
            return lambda y: y
        wide = holding(max(bound, magnitude(self.program.types[node.name].element)))
        self.words[node.name] = max(self.words[node.name], wide.itemsize)
        if exponent > 0:
            return lambda y: y.to(wide) << exponent
        return lambda y: y.to(wide) >> min(-exponent, 8 * wide.itemsize - 1)

    def _terms(self, node: Node, op: Terms) -> Map:
        weight = self._weight(op.weight).T
        bound = int(weight.abs().max()) * magnitude(self._source(node))
        wide, shift = holding(bound), self._shift(node, op.exponent, bound)
        self.words[node.name] = max(self.words[node.name], wide.itemsize)
        on_device = weight.to(self.device, wide)
        return lambda xs: shift(xs[0].to(wide)[:, :, None] * on_device)

    def _convolution(self, node: Node, op: Conv2d) -> Map:
        matrices, bound = self._matrices(node, op.weight, op.groups)
        rows, columns = lookup(op.weight, self.program.consts).type.shape[2:]
        shift = self._shift(node, op.exponent, bound)

        def convolved(xs: Sequence[Tensor]) -> Tensor:
            planes = xs[0] if xs[0].ndim == 4 else xs[0][:, :, None]
            y = shift(_products(op, planes.to(matrices[0].kind), (rows, columns), matrices))
            return y if xs[0].ndim == 4 else y[:, :, 0]

        return convolved


def _products(op: Conv2d, x: Tensor, size: tuple[int, int], kernels: Sequence[Matrix]) -> Tensor:
    """(batch, C, Y, X) to (batch, O, R, Q): each group's kernel times what its outputs see."""
    seen = windows(x, size, op.padding, op.stride, op.dilation)
    batch, channels, rows, columns, *_ = seen.shape
    per_group = channels // len(kernels)
    gathered = seen.permute(0, 1, 4, 5, 2, 3)  # places last: rows are copied whole
    shape = (batch, len(kernels), per_group * size[0] * size[1], rows * columns)
    fields = gathered.reshape(shape).unbind(1)
    maps = [kernel.columns(field) for kernel, field in zip(kernels, fields, strict=True)]
    return torch.cat(maps, dim=1).reshape(batch, -1, rows, columns)


def windows(
    x: Tensor,
    size: tuple[int, int],
    padding: Padding,
    stride: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> Tensor:
    """The windows (batch, C, R, Q, *size) of ``x`` (batch, C, Y, X): a view of its padded copy."""
    x = pad(x, (*padding[1], *padding[0]))
    for axis in (0, 1):
        x = x.unfold(2 + axis, dilation[axis] * (size[axis] - 1) + 1, stride[axis])
    return x[..., :: dilation[0], :: dilation[1]]


def pooled(op: SumPool2d, x: Tensor, kind: torch.dtype) -> Tensor:
    """The sum of each window, tap by tap: far faster than a reduction of two short axes."""
    seen = windows(x.to(kind), op.kernel, op.padding, op.stride)
    return reduce(torch.add, (tap for row in seen.unbind(-2) for tap in row.unbind(-1)))
