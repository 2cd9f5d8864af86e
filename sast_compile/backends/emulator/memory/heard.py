"""What a projection hears: the spikes behind the pools that it reads.

A sum pool whose windows do not overlap is a part of the projection behind it: a spike counts in its
one window, and so reaches what the window reaches. Spikes stay spikes then, a bit each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sast_compile.backends.emulator.memory.layout import bits_of, source_of
from sast_compile.ir.ops import Flatten, SumPool2d
from sast_compile.ir.program import Edge, Node, Program

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Heard:
    """The edge from what is heard, and how many of its rows and columns make one of the input's.

    ``shape`` is the input's, before it is flattened.
    """

    edge: Edge
    shape: tuple[int, ...]
    pool: tuple[int, int] = (1, 1)


def heard(program: Program, node: Node) -> Heard:
    """What ``node``, a projection, hears."""
    edge = source_of(program, node.inputs[0])
    whole = sound = Heard(edge, program.types[edge.node].shape)
    while isinstance(pool := program.by_name[sound.edge.node].op, SumPool2d):
        inner = program.by_name[sound.edge.node].inputs[0]
        before = program.by_name[inner.node]
        plain = pool.kernel == pool.stride and not any(map(any, pool.padding))
        if not plain or isinstance(before.op, Flatten):
            return whole
        rows, columns = sound.pool
        sound = Heard(
            Edge(inner.node, inner.delay + sound.edge.delay),
            whole.shape,
            (rows * pool.kernel[0], columns * pool.kernel[1]),
        )
    return sound if bits_of(program, program.by_name[sound.edge.node]) == 1 else whole


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
