"""Sums of rows of a matrix: one for each spike, several columns at a time, in registers.

Two weights share a lane of twice their width: ``x = 2^b odd + even + 2^(b-1)``, whose last term
makes the lower half a natural number. With ``s`` the sum of n such x and ``o`` that of ``x >> b``,
the odd, the sum of the even is ``s - 2^b o - 2^(b-1) n``, all modulo 2^2b: two additions and a
shift for two vectors of weights. A sum of b-bit weights is exact in 2b bits for `most_rows` rows;
after so many it is added to what is in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from sast_compile.backends.emulator.frame import Frame
from sast_compile.backends.emulator.machine.code import I64, INTEGERS, Place, Value
from sast_compile.backends.emulator.memory.values import Values
from sast_compile.backends.emulator.projections.active import Active
from sast_compile.ir.types import Array

NARROWEST = 128  # bits of the narrowest vector that is used
AHEAD = 4  # rows that are asked for before they are needed


@dataclass(frozen=True)
class Piece:
    """Columns ``begin`` to ``begin + 2 lanes`` of a tile, in vectors of ``lanes`` pairs."""

    begin: int
    lanes: int


def most_rows(bits: int) -> int:
    """How many rows of ``bits``-bit weights cannot leave twice the bits: 255 times -128 do not."""
    return (1 << bits) - 1


def pieces(columns: int, bits: int, vector: int) -> list[Piece]:
    """Vectors of pairs that cover ``columns`` in order, none wider than ``vector`` bits."""
    found, begin, width = [], 0, vector
    while begin < columns:
        while width > NARROWEST and width // bits > columns - begin:
            width //= 2
        found.append(Piece(begin, width // (2 * bits)))
        begin += width // bits
    return found


def packed(weight: Array, bits: int, parts: list[Piece]) -> Array:
    """Rows (inputs, columns) with the two halves of every piece side by side, pair by pair."""
    last = parts[-1]
    rows = np.zeros((len(weight), last.begin + 2 * last.lanes), f"int{bits}")
    rows[:, : weight.shape[1]] = weight
    for piece in parts:
        rows[:, piece.begin : piece.begin + piece.lanes] ^= -(1 << (bits - 1))  # plus 2^(b-1)
    order = [
        piece.begin + half * piece.lanes + i
        for piece in parts
        for i in range(piece.lanes)
        for half in (0, 1)
    ]
    return np.ascontiguousarray(rows[:, order])


class RowSums:
    """Emits ``y[begin + j] = sum of row[j]`` over the active rows, for the columns of a tile."""

    def __init__(self, frame: Frame, bits: int, parts: list[Piece], y: Values) -> None:
        self.frame, self.code, self.builder = frame, frame.code, frame.code.builder
        self.bits, self.parts, self.y = bits, parts, y
        self.width = parts[-1].begin + 2 * parts[-1].lanes
        group = frame.processor.accumulators // 2  # a piece needs two
        self.groups = [parts[i : i + group] for i in range(0, len(parts), group)]

    def add_up(self, rows: Place, found: Active, begin: Value, row_of: Place | None) -> None:
        """``rows`` are `packed`; ``row_of`` says which row an active element has, else its own."""
        for group in self.groups:
            self._group(group, rows, found, begin, row_of)

    def _group(
        self, group: list[Piece], rows: Place, found: Active, begin: Value, row_of: Place | None
    ) -> None:
        code, most, count = self.code, most_rows(self.bits), found.count
        bounded = self.y.bits <= 2 * self.bits  # by its type: no sum leaves the lanes
        end = count if bounded else code.minimum(code.i64(most), count)
        sums = self._block(group, rows, found, row_of, code.i64(0), end)
        self._keep(group, begin, sums, end, None)
        if bounded:
            return

        def more(first: Value) -> None:
            last = code.minimum(self.builder.add(first, code.i64(most)), count)
            sums = self._block(group, rows, found, row_of, first, last)
            self._keep(group, begin, sums, self.builder.sub(last, first), self.y)

        code.loop(count, more, start=code.i64(most), step=most)

    def _block(
        self,
        group: list[Piece],
        rows: Place,
        found: Active,
        row_of: Place | None,
        first: Value,
        end: Value,
    ) -> list[Value]:
        code, builder = self.code, self.builder
        kinds = [ir.VectorType(INTEGERS[2 * self.bits], piece.lanes) for piece in group]

        def row(i: Value, sums: list[Value]) -> list[Value]:
            last = builder.sub(end, code.i64(1))
            ahead = code.minimum(builder.add(i, code.i64(AHEAD)), last)
            self._ask_for(group, rows, self._start(found, row_of, ahead))
            start = self._start(found, row_of, i)
            return [
                after
                for piece, kind, both, odd in zip(group, kinds, sums[::2], sums[1::2], strict=True)
                for after in self._added(rows, start, piece, kind, both, odd)
            ]

        zeros = [code.of(kind, 0) for kind in kinds for _ in (0, 1)]
        return code.fold(end, zeros, row, start=first)

    def _start(self, found: Active, row_of: Place | None, i: Value) -> Value:
        """Where the row of the i-th active element begins."""
        code, number = self.code, found.number(self.frame, i)
        if row_of is not None:
            number = code.cast(code.load(row_of, number, INTEGERS[32]), I64)
        return self.builder.mul(number, code.i64(self.width))

    def _ask_for(self, group: list[Piece], rows: Place, start: Value) -> None:
        """Has the group's part of a row brought into the nearest cache."""
        code, kind = self.code, INTEGERS[32]
        bits = [code.of(kind, value) for value in (0, 3, 1)]  # to be read, kept near, data
        for piece in group:
            at = self.builder.add(start, code.i64(piece.begin))
            place = code.at(rows, at, INTEGERS[self.bits])
            code.call("llvm.prefetch.p0", ir.VoidType(), place.address, *bits)

    def _added(
        self, rows: Place, start: Value, piece: Piece, kind: object, both: Value, odd: Value
    ) -> tuple[Value, Value]:
        code, builder = self.code, self.builder
        at = builder.add(start, code.i64(piece.begin))
        pairs = code.load(code.at(rows, at, INTEGERS[self.bits]), code.i64(0), kind)
        upper = builder.ashr(pairs, code.of(kind, self.bits))
        return builder.add(both, pairs), builder.add(odd, upper)

    def _keep(
        self,
        group: list[Piece],
        begin: Value,
        sums: list[Value],
        rows: Value,
        before: Values | None,
    ) -> None:
        """The sums of ``rows`` rows in y, added to what was there ``before``."""
        code, builder, kind = self.code, self.builder, INTEGERS[self.y.bits]
        wide = INTEGERS[2 * self.bits]
        excess = code.cast(builder.mul(rows, code.i64(1 << (self.bits - 1))), wide)
        for piece, both, odd in zip(group, sums[::2], sums[1::2], strict=True):
            even = builder.sub(both, builder.shl(odd, code.of(odd.type, self.bits)))
            even = builder.sub(even, code.splat(excess, piece.lanes))
            for half, total in enumerate((even, odd)):
                at = builder.add(begin, code.i64(piece.begin + half * piece.lanes))
                value = code.cast(total, ir.VectorType(kind, piece.lanes))
                if before is not None:
                    value = builder.add(before.lanes(at, kind, piece.lanes), value)
                self.y.put_lanes(value, at)
