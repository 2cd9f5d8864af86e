"""Projections of any integers: every active element adds its row of weights to sums in memory."""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from sast_compile.backends.emulator.frame import Frame
from sast_compile.backends.emulator.machine.code import INTEGERS, Type, Value
from sast_compile.backends.emulator.memory.layout import padded
from sast_compile.backends.emulator.memory.values import Values
from sast_compile.backends.emulator.projections.active import active, room
from sast_compile.backends.emulator.projections.shifts import shift_sums
from sast_compile.backends.emulator.projections.tiles import Tiles
from sast_compile.ir.ops import Dense, lookup
from sast_compile.ir.program import Edge, Node
from sast_compile.ir.types import Array

VECTOR = 16  # sums that are added at a time
NARROW = 5  # fewer outputs than this are added one by one


def rows_of(weight: Array) -> Array:
    """Rows (inputs, outputs) in the narrowest integers, padded with zeros to whole vectors."""
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    kind = next(
        k for k in (np.int8, np.int16, np.int32, np.int64)
        if np.iinfo(k).min <= low and high <= np.iinfo(k).max
    )  # fmt: skip
    rows = np.zeros((len(weight), padded(weight.shape[1])), kind)
    rows[:, : weight.shape[1]] = weight
    return rows


class Adder:
    """Emits ``y[begin + o] += x row[o]`` for rows of one table."""

    def __init__(self, frame: Frame, name: str, rows: Array, y: Values, outputs: int) -> None:
        self.code, self.builder, self.y, self.outputs = (
            frame.code, frame.code.builder, y, outputs,
        )  # fmt: skip
        self.table, self.width = frame.array(name, rows), rows.shape[1]
        self.kind, self.sums = INTEGERS[rows.dtype.itemsize * 8], INTEGERS[y.bits]

    def add(self, row: Value, begin: Value, x: Value | None) -> None:
        """Row ``row``, times x (None: once); rows end in zeros, which add nothing."""
        start = self.builder.mul(row, self.code.i64(self.width))
        if self.outputs < NARROW:
            self.code.loop(self.outputs, lambda o: self._one(start, begin, o, x))
            return
        factor = None if x is None else self.code.splat(x, VECTOR)
        self.code.loop(self.outputs, lambda o: self._some(start, begin, o, factor), step=VECTOR)

    def _one(self, start: Value, begin: Value, o: Value, x: Value | None) -> None:
        code, builder, at = self.code, self.builder, self.builder.add(begin, o)
        weight = code.cast(code.load(self.table, builder.add(start, o), self.kind), self.sums)
        term = weight if x is None else builder.mul(weight, x)
        self.y.store(builder.add(self.y.load(at, self.sums), term), at)

    def _some(self, start: Value, begin: Value, o: Value, factor: Value | None) -> None:
        code, builder, at = self.code, self.builder, self.builder.add(begin, o)
        weight = code.lanes(self.table, builder.add(start, o), self.kind, VECTOR)
        wide = code.cast(weight, ir.VectorType(self.sums, VECTOR))
        term = wide if factor is None else builder.mul(wide, factor)
        self.y.put_lanes(builder.add(self.y.lanes(at, self.sums, VECTOR), term), at)


def factor_of(values: Values, i: Value, kind: Type) -> Value | None:
    """What an active element multiplies its weights by; None where it is a spike."""
    return None if values.spikes else values.load(i, kind)


class PlainDense:
    """``y = (W x) << exponent``."""

    def __init__(self, frame: Frame, node: Node) -> None:
        assert isinstance(node.op, Dense)
        self.frame, self.name, self.exponent = frame, node.name, node.op.exponent
        self.edge = frame.plan.heard[node.name].edge
        weight = lookup(node.op.weight, frame.program.consts).data
        buffer = frame.buffer(self.edge.node)
        self.rows = rows_of(weight.T[buffer.order])
        self.tiles: tuple[Tiles, ...] = (Tiles(0, 1, len(weight)),)
        self.list = room(frame, buffer.size)

    def add_up(self, begin: Value, size: int) -> None:
        """All sums."""
        frame, code = self.frame, self.frame.code
        x, y = frame.slot(self.edge), frame.slot(Edge(self.name))
        found = active(frame, x, self.list)
        y.clear(begin, code.i64(padded(size)))
        adder = Adder(frame, f"weights of {self.name}", self.rows, y, size)

        def row(i: Value) -> None:
            number = found.number(frame, i)
            adder.add(number, begin, factor_of(x, number, INTEGERS[y.bits]))

        code.loop(found.count, row)
        shift_sums(code, y, self.exponent, begin, size)
