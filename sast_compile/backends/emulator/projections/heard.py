"""What a projection hears, and whether a fast kernel computes it: one for spikes.

To those a sum pool whose windows do not overlap is a part of the projection behind it: a spike
counts in its one window, and so reaches what the window reaches. Spikes stay spikes, a bit each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sast_compile.backends.emulator.memory.layout import bits_of, source_of
from sast_compile.backends.emulator.populations.widths import weight_bits
from sast_compile.backends.emulator.projections.taps import fits
from sast_compile.ir.conv import geometry
from sast_compile.ir.ops import Dense, Flatten, Projection, SumPool2d, lookup
from sast_compile.ir.program import Edge, Node, Program

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Heard:
    """The edge from what is heard, and how many of its rows and columns make one of the input's.

    ``shape`` is the input's, before it is flattened; ``fast``: these are spikes for a fast kernel.
    """

    edge: Edge
    shape: tuple[int, ...]
    pool: tuple[int, int] = (1, 1)
    fast: bool = False


def heard(program: Program, node: Node) -> Heard:
    """What ``node``, a projection, hears."""
    edge = source_of(program, node.inputs[0])
    shape = program.types[edge.node].shape
    last, pool = _through_pools(program, edge)
    if _has_fast_kernel(program, node) and _spikes(program, last):
        return Heard(last, shape, pool, fast=True)
    return Heard(edge, shape)


def _through_pools(program: Program, edge: Edge) -> tuple[Edge, tuple[int, int]]:
    """The edge in front of all pools that divide what they read, and the window of them all."""
    rows, columns = 1, 1
    while isinstance(op := program.by_name[edge.node].op, SumPool2d):
        inner = program.by_name[edge.node].inputs[0]
        apart = op.kernel == op.stride and not any(map(any, op.padding))
        if not apart or isinstance(program.by_name[inner.node].op, Flatten):
            break
        rows, columns = rows * op.kernel[0], columns * op.kernel[1]
        edge = Edge(inner.node, inner.delay + edge.delay)
    return edge, (rows, columns)


def _has_fast_kernel(program: Program, node: Node) -> bool:
    op, source = node.op, program.by_name[node.inputs[0].node]
    assert isinstance(op, Projection)
    weight = lookup(op.weight, program.consts).data
    if isinstance(op, Dense):
        return weight_bits(weight) is not None
    shape = program.types[source.name].shape
    flat = isinstance(source.op, Flatten) or len(shape) != 3
    return not flat and fits(op, geometry(op, shape, weight.shape))


def _spikes(program: Program, edge: Edge) -> bool:
    return bits_of(program, program.by_name[edge.node]) == 1


def pooled_place(sound: Heard, shape: tuple[int, ...]) -> Places:
    """For each element of what is heard, of ``shape``, the place of its window; -1 for none."""
    if sound.pool == (1, 1):
        return np.arange(int(np.prod(shape)))
    channels, rows, columns = np.indices(shape)
    pooled = sound.shape
    row, column = rows // sound.pool[0], columns // sound.pool[1]
    place = (channels * pooled[1] + row) * pooled[2] + column
    inside = (row < pooled[1]) & (column < pooled[2])
    found: Places = np.where(inside, place, -1).ravel()
    return found
