"""What an emitter is given: the code, the arena, and a table of arrays of numpy.

Constants, events and records are not part of the code: it reads their addresses and sizes from the
table. So the same code serves every network of the same shape, and may be cached.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sast_compile.backends.emulator.machine.code import (
    I8,
    I64,
    POINTER,
    Code,
    Place,
    Value,
)
from sast_compile.backends.emulator.machine.processor import Processor
from sast_compile.backends.emulator.memory.given import Given
from sast_compile.backends.emulator.memory.layout import LINE, Arena, Buffer
from sast_compile.backends.emulator.memory.values import Values
from sast_compile.backends.emulator.stages import Plan
from sast_compile.ir.program import Edge, Program

Array = npt.NDArray[np.generic]
ENTRY = 2  # 64-bit words of the table for each array: where it lies, how many bytes it has


@dataclass
class Frame:
    """The function being emitted; ``time`` and ``sample`` are those it computes just now."""

    code: Code
    program: Program
    plan: Plan
    processor: Processor
    arena: Arena  # of each sample
    scratch: Arena  # of the thread
    table: Value
    steps: Value
    arrays: list[Array | None] = field(default_factory=list)  # in the table's order
    given: dict[str, Given] = field(default_factory=dict)  # the inputs
    known: dict[str, int] = field(default_factory=dict)  # where the constants are in it
    memory: Value = None  # the address of this sample's arena
    shared: Value = None  # that of the scratch
    time: Value = None
    sample: Value = None

    # ---- the table

    def array(self, name: str, data: Array) -> Place:
        """The constant ``data``, which joins the table, unless one of that name is there."""
        if name not in self.known:
            self.known[name] = len(self.arrays)
            self.arrays.append(_aligned(data))
        return self.entry(name, self.known[name])

    def entry(self, name: str, index: int) -> Place:
        """The array number ``index`` of the table."""
        code = self.code
        last = code.i64((index + 1) * ENTRY * 8)  # so many bytes of the table are looked at
        table = code.region("the table", self.table, last)
        address = code.load(table, code.i64(index * ENTRY), POINTER)
        return code.region(name, address, code.load(table, code.i64(index * ENTRY + 1), I64))

    # ---- the arena

    def buffer(self, name: str) -> Buffer:
        return self.arena.values[name]

    def kept(self, name: str, offset: int, size: int) -> Place:
        """``size`` bytes of this sample's arena."""
        return self._bytes(name, self.memory, offset, size)

    def passing(self, name: str, offset: int, size: int) -> Place:
        """``size`` bytes of the scratch."""
        return self._bytes(name, self.shared, offset, size)

    def slot(self, edge: Edge) -> Values:
        """The value of ``edge.node``, ``edge.delay`` steps ago."""
        buffer = self.buffer(edge.node)
        place = self.kept(edge.node, buffer.offset, buffer.bytes)
        if buffer.slots > 1:
            code = self.code
            ahead = code.builder.add(self.time, code.i64(buffer.slots - edge.delay))
            which = code.builder.urem(ahead, code.i64(buffer.slots))
            start = code.builder.mul(which, code.i64(buffer.slot_bytes))
            place = code.at(place, start, I8)
        return Values(self.code, place, buffer.bits, buffer.size)

    def in_order(self, edge: Edge, order: npt.NDArray[np.int64]) -> Values:
        """The same, its elements in ``order``: where they lie, if they lie so, else a copy."""
        values, mine = self.slot(edge), self.buffer(edge.node).order
        if np.array_equal(mine, order):
            return values
        place = np.empty(len(mine), np.int32)
        place[mine] = np.arange(len(mine), dtype=np.int32)
        digest = hashlib.sha256(order.tobytes()).hexdigest()[:8]  # one value, several orders
        places = self.array(f"order {digest} of {edge.node}", place[order])
        like = Buffer(edge.node, 0, values.bits, 1, order)
        copy = Values(
            self.code,
            self.passing(f"copy of {edge.node}", self.scratch.take(like.bytes), like.bytes),
            values.bits,
            len(order),
        )
        copy.gather(values, places)
        return copy

    def _bytes(self, name: str, base: Value, offset: int, size: int) -> Place:
        code = self.code
        address = code.builder.gep(base, [code.i64(offset)], source_etype=I8)
        return code.region(name, address, code.i64(size))


def _aligned(data: Array) -> Array:
    """A copy that begins a cache line, as whole vectors of weights then do."""
    memory = np.empty(data.nbytes + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    copy = memory[start : start + data.nbytes].view(data.dtype).reshape(data.shape)
    copy[...] = data
    return copy
