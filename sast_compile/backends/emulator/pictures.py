"""Convolutions of spikes, some rows of the output at a time.

The spikes of every row that the tile hears are listed, and each adds its blocks of weights to the
sums: one for each of the tile's rows that it reaches.
"""

from __future__ import annotations

import math

import numpy as np

from sast_compile.backends.emulator.active import WORD, Active, room, spikes_between
from sast_compile.backends.emulator.code import I32, I64, INTEGERS, Place, Value
from sast_compile.backends.emulator.frame import Frame
from sast_compile.backends.emulator.layout import channels_last
from sast_compile.backends.emulator.shifts import shift_sums
from sast_compile.backends.emulator.taps import taps_of
from sast_compile.backends.emulator.tiles import VECTOR, cut
from sast_compile.ir.conv import Conv2d, geometry
from sast_compile.ir.ops import lookup
from sast_compile.ir.program import Edge, Node

WIDEST = 32  # sums that are added at a time
NEURONS = 2048  # of a tile: their states stay in the first cache


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
        self.list = room(frame, self.row)
        self.tiles = cut(self.shape.output[1] * self.width, self._rows() * self.width)

    def _rows(self) -> int:
        """The rows of a tile: its neurons are whole vectors, and `NEURONS` or a little more."""
        least = VECTOR // math.gcd(VECTOR, self.width)
        return min(self.shape.output[1], -(-NEURONS // (least * self.width)) * least)

    def add_up(self, begin: Value, size: int) -> None:
        """The sums of the rows that begin at sum ``begin`` and hold ``size``."""
        code, builder, rows = self.code, self.builder, size // self.width
        self.y = self.frame.slot(Edge(self.name))
        self.y.clear(begin, builder.add(begin, code.i64(size)))
        first = builder.udiv(begin, code.i64(self.width))
        top = builder.sub(
            builder.mul(first, code.i64(self.op.stride[0])), code.i64(self.op.padding[0][0])
        )
        for ahead in range((rows - 1) * self.op.stride[0] + self.shape.kernel[2]):
            reached = self._reached(ahead, rows)
            if reached:
                self._input_row(builder.add(top, code.i64(ahead)), begin, reached)
        shift_sums(code, self.y, self.op.exponent, begin, size)

    def _reached(self, ahead: int, rows: int) -> list[tuple[int, int]]:
        """(row of the tile, row of the kernel) for the input's row ``ahead`` of the first."""
        found = ((row, ahead - row * self.op.stride[0]) for row in range(rows))
        return [(row, tap) for row, tap in found if 0 <= tap < self.shape.kernel[2]]

    def _input_row(self, row: Value, begin: Value, reached: list[tuple[int, int]]) -> None:
        """Adds what row ``row`` of the input, or the rows of its pool, hold, if it exists."""
        code, builder, pool = self.code, self.builder, self.sound.pool[0]
        values = self.frame.slot(self.sound.edge)

        def heard_row(part: Value) -> None:
            number = builder.add(builder.mul(row, code.i64(pool)), part)
            start = builder.mul(number, code.i64(self.row))
            found = spikes_between(
                self.frame, values, self.list, start, self.row, aligned=self.row % WORD == 0
            )
            code.loop(found.count, lambda i: self._spike(found, i, begin, reached))

        inside = builder.icmp_unsigned("<", row, code.i64(self.shape.input[1]))
        code.when(inside, lambda: code.loop(pool, heard_row))

    def _spike(self, found: Active, i: Value, begin: Value, reached: list[tuple[int, int]]) -> None:
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


def in_rows(frame: Frame, edge: Edge) -> bool:
    """Whether what ``edge`` hears lies row by row, channels fastest."""
    shape = frame.program.types[edge.node].shape
    return len(shape) == 3 and np.array_equal(frame.buffer(edge.node).order, channels_last(shape))
