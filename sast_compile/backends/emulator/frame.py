"""What an emitter is given: the code, the arena, and a table of pointers to arrays of numpy.

Constants, events and records are not part of the code: it reads their addresses from the table. So
the same code serves every network of the same shape, and may be cached.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sast_compile.backends.emulator.code import INTEGERS, POINTER, Code, Type, Value
from sast_compile.backends.emulator.layout import Arena, Buffer
from sast_compile.ir.program import Edge, Program

Array = npt.NDArray[np.generic]


@dataclass
class Frame:
    """The function being emitted, for one sample and one step at a time."""

    code: Code
    program: Program
    arena: Arena
    memory: Value  # the arena of this thread
    table: Value  # addresses
    arrays: list[Array] = field(default_factory=list)  # constants, in the table's order
    scratch: int = 0  # offset of a list of indices
    time: Value = None
    sample: Value = None
    steps: Value = None

    def array(self, data: Array) -> Value:
        """The address of the constant ``data``, which joins the table."""
        self.arrays.append(np.ascontiguousarray(data))
        return self.entry(len(self.arrays) - 1)

    def entry(self, index: int) -> Value:
        return self.code.load(self.table, self.code.i64(index), POINTER)

    def buffer(self, name: str) -> Buffer:
        return self.arena.values[name]

    def type_of(self, name: str) -> Type:
        return INTEGERS[self.buffer(name).bits]

    def place(self, offset: int) -> Value:
        """The address of an offset in the arena."""
        return self.code.at(self.memory, self.code.i64(offset), INTEGERS[8])

    def slot(self, edge: Edge) -> Value:
        """The address of the value of ``edge.node``, ``edge.delay`` steps ago."""
        code, buffer = self.code, self.buffer(edge.node)
        base = self.place(buffer.offset)
        if buffer.slots == 1:
            return base
        ahead = code.builder.add(self.time, code.i64(buffer.slots - edge.delay))
        which = code.builder.srem(ahead, code.i64(buffer.slots))
        start = code.builder.mul(which, code.i64(buffer.stride))
        return code.at(base, start, self.type_of(edge.node))

    def gathered(self, edge: Edge, order: npt.NDArray[np.int64]) -> tuple[Value, Value | None]:
        """The address of a value, and of the indices that bring it into ``order`` (or None)."""
        mine = self.buffer(edge.node).order
        if np.array_equal(mine, order):
            return self.slot(edge), None
        place = np.empty(len(mine), np.int32)
        place[mine] = np.arange(len(mine), dtype=np.int32)
        return self.slot(edge), self.array(place[order])
