"""A matrix of narrow weights that hears spikes: a row of the tile's columns for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sast_compile.backends.emulator.frame import Frame
from sast_compile.backends.emulator.inputs import listed
from sast_compile.backends.emulator.machine.code import INTEGERS, Place, Value
from sast_compile.backends.emulator.populations.widths import weight_bits
from sast_compile.backends.emulator.projections.active import active, room
from sast_compile.backends.emulator.projections.heard import pooled_place
from sast_compile.backends.emulator.projections.rows import Piece, RowSums, packed, pieces
from sast_compile.backends.emulator.projections.shifts import shift_sums
from sast_compile.backends.emulator.projections.tiles import cut
from sast_compile.ir.ops import Dense, lookup
from sast_compile.ir.program import Edge, Node
from sast_compile.ir.types import Array

COLUMNS = 512  # of a tile


@dataclass(frozen=True)
class _Table:
    """The weights of all tiles of one size, tile by tile, row by row."""

    place: Place
    parts: list[Piece]
    bytes: int  # of a tile


class Matrix:
    """``y = (W x) << exponent``."""

    def __init__(self, frame: Frame, node: Node) -> None:
        op, program = node.op, frame.program
        assert isinstance(op, Dense)
        self.frame, self.name, self.exponent = frame, node.name, op.exponent
        self.sound = frame.plan.heard[node.name]
        weight = lookup(op.weight, program.consts).data
        self.bits = weight_bits(weight) or 0
        heard = frame.buffer(self.sound.edge.node)
        place = pooled_place(self.sound, program.types[heard.node].shape)[heard.order]
        self.row_of = None
        if self.sound.pool == (1, 1):
            rows = weight.T[place]
        else:  # a last row that adds nothing, for spikes that the pools drop
            rows = np.vstack([weight.T, np.zeros((1, len(weight)), weight.dtype)])
            place = np.where(place < 0, len(rows) - 1, place).astype(np.int32)
            self.row_of = frame.array(f"rows of {node.name}", place)
        self.tiles = cut(len(weight), COLUMNS)
        self.tables = {
            tiles.size: self._table(rows, tiles.begin, tiles.count, tiles.size)
            for tiles in self.tiles
        }
        self.list = room(frame, heard.size)

    def _table(self, rows: Array, begin: int, count: int, size: int) -> _Table:
        parts = pieces(size, self.bits, self.frame.processor.vector)
        firsts = [begin + size * number for number in range(count)]
        data = np.stack([packed(rows[:, f : f + size], self.bits, parts) for f in firsts])
        place = self.frame.array(f"weights of {self.name} by {size}", data)
        return _Table(place, parts, data[0].nbytes)

    def add_up(self, begin: Value, size: int) -> None:
        """The sums of the tile of ``size`` columns from ``begin`` on."""
        frame, code, table = self.frame, self.frame.code, self.tables[size]
        edge = self.sound.edge
        its = frame.given.get(edge.node)
        if its is not None and its.as_list:
            found = listed(frame, edge)
        else:
            found = active(frame, frame.slot(edge), self.list)
        y = frame.slot(Edge(self.name))
        number = code.builder.udiv(begin, code.i64(size))
        if size % COLUMNS:
            number = code.i64(0)
        start = code.builder.mul(number, code.i64(table.bytes))
        rows = code.at(table.place, start, INTEGERS[8])
        RowSums(frame, self.bits, table.parts, y).add_up(rows, found, begin, self.row_of)
        shift_sums(code, y, self.exponent, begin, size)
