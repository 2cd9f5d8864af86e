"""Convolutions of spikes, some rows of the output at a time.

The spikes of every row that the tile hears are listed, and each adds its blocks of weights to the
sums: one for each of the tile's rows that it reaches.
"""

from __future__ import annotations

import math
from typing import TypeAlias

from sast_compile.backends.emulator.frame import Frame
from sast_compile.backends.emulator.machine.code import I32, I64, INTEGERS, Place, Value
from sast_compile.backends.emulator.memory.layout import channels_last
from sast_compile.backends.emulator.projections.active import WORD, Active, room, spikes_between
from sast_compile.backends.emulator.projections.shifts import shift_sums
from sast_compile.backends.emulator.projections.taps import taps_of
from sast_compile.backends.emulator.projections.tiles import VECTOR, cut
from sast_compile.ir.conv import Conv2d, geometry
from sast_compile.ir.ops import lookup
from sast_compile.ir.program import Edge, Node

WIDEST = 32  # sums that are added at a time
APART = 4  # spikes of a row that are added in turn,
MOST_CODE = 400  # as long as there are no more additions in the code than about these
Reached: TypeAlias = tuple[tuple[int, int], ...]
NEURONS = 16384  # of a tile: their states stay in the first cache


class Picture:
    """Emits the sums of some rows of one convolution's output."""

    def __init__(self, frame: Frame, node: Node) -> None:
        op, program, name = node.op, frame.program, node.name
        assert isinstance(op, Conv2d)
        self.frame, self.code, self.builder = frame, frame.code, frame.code.builder
        self.name, self.op, self.sound = name, op, frame.plan.heard[name]
        weight = lookup(op.weight, program.consts).data
        self.shape = geometry(op, self.sound.shape, weight.shape)
        source, bits = program.types[self.sound.edge.node].shape, frame.buffer(name).bits
        self.row = source[0] * source[2]  # elements of a row of what is heard
        self.width = self.shape.output[2] * self.shape.output[0]  # sums of a row
        taps = taps_of(op, self.shape, weight, source[2], self.sound.pool[1])
        self.kind, self.block = INTEGERS[bits], taps.block
        self.weights = frame.array(f"kernel of {name}", taps.weights.astype(f"int{bits}"))
        self.sum_at = frame.array(f"sums of {name}", taps.sum_at)
        self.block_at = frame.array(f"blocks of {name}", taps.block_at)
        self.list, self.order = room(frame, self.row), channels_last(source)
        additions = -(-self.block // WIDEST) * self.shape.kernel[2] ** 2  # of one copy, about
        self.apart = 1 if frame.code.checked else max(1, min(APART, MOST_CODE // additions))
        self.tiles = cut(self.shape.output[1] * self.width, self._rows() * self.width)

    def _rows(self) -> int:
        """The rows of a tile: its neurons are whole vectors, and `NEURONS` or a little more."""
        least = VECTOR // math.gcd(VECTOR, self.width)
        return min(self.shape.output[1], -(-NEURONS // (least * self.width)) * least)

    def add_up(self, begin: Value, size: int) -> None:
        """The sums of the rows that begin at sum ``begin`` and hold ``size``."""
        code, builder, rows = self.code, self.builder, size // self.width
        self.y = self.frame.slot(Edge(self.name))
        self.heard = self.frame.in_order(self.sound.edge, self.order)
        self.y.clear(begin, builder.add(begin, code.i64(size)))
        first = builder.udiv(begin, code.i64(self.width))
        top = builder.sub(
            builder.mul(first, code.i64(self.op.stride[0])), code.i64(self.op.padding[0][0])
        )
        for reached, its in self._patterns(rows).items():

            def input_row(k: Value, ahead: int = its[0], reached: Reached = reached) -> None:
                row = builder.add(top, builder.mul(k, code.i64(self.op.stride[0])))
                below = builder.add(k, code.i64(ahead // self.op.stride[0]))
                sums = builder.add(begin, builder.mul(below, code.i64(self.width)))
                self._input_row(builder.add(row, code.i64(ahead)), sums, reached)

            code.loop(len(its), input_row)
        shift_sums(code, self.y, self.op.exponent, begin, size)

    def _patterns(self, rows: int) -> dict[Reached, list[int]]:
        """What the input's rows reach, and which reach alike, counted from the first heard.

        Row ``ahead`` reaches output rows through rows of the kernel: pairs of an output row,
        relative to ``ahead // stride``, and a tap. All rows amid the tile reach alike.
        """
        stride, height = self.op.stride[0], self.shape.kernel[2]
        found: dict[Reached, list[int]] = {}
        for ahead in range((rows - 1) * stride + height):
            pairs = ((row, ahead - row * stride) for row in range(rows))
            reached = tuple((row - ahead // stride, tap) for row, tap in pairs if 0 <= tap < height)
            if reached:
                found.setdefault(reached, []).append(ahead)
        return found

    def _input_row(self, row: Value, begin: Value, reached: Reached) -> None:
        """Adds what row ``row`` of the input, or the rows of its pool, hold, if it exists."""
        code, builder, pool = self.code, self.builder, self.sound.pool[0]

        def heard_row(part: Value) -> None:
            number = builder.add(builder.mul(row, code.i64(pool)), part)
            start = builder.mul(number, code.i64(self.row))
            found = spikes_between(
                self.frame, self.heard, self.list, start, self.row, aligned=self.row % WORD == 0
            )
            self._spikes(found, begin, reached)

        inside = builder.icmp_unsigned("<", row, code.i64(self.shape.input[1]))
        code.when(inside, lambda: code.loop(pool, heard_row))

    def _spikes(self, found: Active, begin: Value, reached: Reached) -> None:
        """All of a row, ``apart`` places at a time: neighbours would wait for each other's sums."""
        code, builder, apart = self.code, self.builder, self.apart
        part = builder.udiv(found.count, code.i64(apart))

        def some(i: Value) -> None:
            for which in range(apart):
                ahead = builder.mul(part, code.i64(which))
                self._spike(found, builder.add(i, ahead), begin, reached)

        code.loop(part, some)
        if apart > 1:
            left = builder.mul(part, code.i64(apart))
            code.loop(found.count, lambda i: self._spike(found, i, begin, reached), start=left)

    def _spike(self, found: Active, i: Value, begin: Value, reached: Reached) -> None:
        code, builder = self.code, self.builder
        number = found.number(self.frame, i)
        sums = builder.add(begin, code.cast(code.load(self.sum_at, number, I32), I64))
        weights = code.cast(code.load(self.block_at, number, I32), I64)
        sums_at = code.at(self.y.place, sums, self.kind)
        weights_at = code.at(self.weights, weights, self.kind)
        for row, tap in reached:
            self._add(sums_at, row * self.width, weights_at, tap * self.block)

    def _add(self, sums: Place, row: int, weights: Place, tap: int) -> None:
        code, at = self.code, 0
        while at < self.block:
            count = WIDEST
            while count > self.block - at:
                count //= 2
            there = code.lanes(sums, code.i64(row + at), self.kind, count)
            more = code.lanes(weights, code.i64(tap + at), self.kind, count)
            code.put_lanes(self.builder.add(there, more), sums, code.i64(row + at))
            at += count
