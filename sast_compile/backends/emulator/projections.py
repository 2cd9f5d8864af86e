"""Projections, event by event: every active element adds its row of weights to the sums.

A layer's cost follows its spikes: the active elements are listed first (64 bytes at a time, the
lowest set bit of a mask at a turn), then each adds one row. Rows of 8-bit weights are added in 16
bits, up to `FLUSH` of them, before the sums are widened: 255 times -128 is -32,640.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from sast_compile.backends.emulator.code import BIT, I8, I16, I32, I64, INTEGERS, Value
from sast_compile.backends.emulator.frame import Frame
from sast_compile.backends.emulator.layout import LANES, padded
from sast_compile.ir.ops import Add, Dense, Join, Terms, lookup
from sast_compile.ir.program import Edge, Node
from sast_compile.ir.types import Array

FLUSH = 255
TILE = 8  # vectors of 32 sums that stay in registers
VECTOR = 16  # sums of a convolution that are added at a time
NARROW = 5  # fewer outputs than this are added one by one


def dense(frame: Frame, node: Node, edge: Edge) -> None:
    """``y = (W x) << exponent``."""
    op, order = node.op, frame.buffer(edge.node).order
    assert isinstance(op, Dense)
    weight = lookup(op.weight, frame.program.consts).data
    rows = rows_of(weight.T[order])
    count = active(frame, edge)
    if (
        frame.buffer(edge.node).bits == 8
        and rows.dtype == np.int8
        and frame.type_of(node.name) == I32
    ):
        _packed_rows(frame, node, rows, count)
    else:
        _plain_rows(frame, node, edge, rows, count)
    shift_sums(frame, node, op.exponent)


def terms(frame: Frame, node: Node, edge: Edge) -> None:
    """``y[j] = W[:, j] x[j] << exponent``: products that a neuron adds one by one."""
    op, code = node.op, frame.code
    assert isinstance(op, Terms)
    order = frame.buffer(edge.node).order
    weight = lookup(op.weight, frame.program.consts).data
    back = np.argsort(order)
    table = frame.array(np.ascontiguousarray(weight.T, dtype=np.int64))
    places = frame.array(back.astype(np.int64))
    inputs, outputs = weight.shape[1], weight.shape[0]
    x, y = frame.slot(edge), frame.slot(Edge(node.name))
    kind, sums = frame.type_of(edge.node), frame.type_of(node.name)

    def row(j: Value) -> None:
        value = code.load(x, code.load(places, j, I64), kind)
        wide = code.cast(value, I64, signed=kind != I8)
        start = code.builder.mul(j, code.i64(outputs))

        def product(i: Value) -> None:
            at = code.builder.add(start, i)
            found = code.builder.mul(code.load(table, at, I64), wide)
            code.store(code.cast(_moved(frame, found, op.exponent), sums), y, at)

        code.loop(outputs, product)

    code.loop(inputs, row)


def add(frame: Frame, node: Node, edges: tuple[Edge, ...]) -> None:
    """The sum of currents."""
    assert isinstance(node.op, Add)
    code, kind = frame.code, frame.type_of(node.name)
    order, y = frame.buffer(node.name).order, frame.slot(Edge(node.name))
    xs = [(frame.type_of(e.node), *frame.gathered(e, order)) for e in edges]

    def element(i: Value) -> None:
        total = code.of(kind, 0)
        for type_, x, places in xs:
            at = i if places is None else code.cast(code.load(places, i, I32), I64)
            value = code.cast(code.load(x, at, type_), kind, signed=type_ != I8)
            total = code.builder.add(total, value)
        code.store(total, y, i)

    code.loop(len(order), element)


def join(frame: Frame, node: Node, edges: tuple[Edge, ...]) -> None:
    """Terms one behind the other."""
    assert isinstance(node.op, Join)
    code, kind, y = frame.code, frame.type_of(node.name), frame.slot(Edge(node.name))
    before = 0
    for edge in edges:
        size, type_ = frame.buffer(edge.node).size, frame.type_of(edge.node)
        x, places = frame.gathered(edge, np.arange(size))

        def element(i: Value, x: Value = x, places: Value = places, type_: object = type_,
                    before: int = before) -> None:  # fmt: skip
            at = i if places is None else code.cast(code.load(places, i, I32), I64)
            value = code.cast(code.load(x, at, type_), kind, signed=type_ != I8)
            code.store(value, y, code.builder.add(i, code.i64(before)))

        code.loop(size, element)
        before += size


# ---- active elements


class Values:
    """Where the elements of a projection's input lie, and of what type they are."""

    def __init__(self, address: Value, kind: object, size: int, spikes: bool) -> None:
        self.address, self.kind, self.size, self.spikes = address, kind, size, spikes


def values_of(frame: Frame, edge: Edge) -> Values:
    buffer = frame.buffer(edge.node)
    return Values(frame.slot(edge), frame.type_of(edge.node), buffer.size, buffer.bits == 8)


def active(frame: Frame, source: Edge | Values) -> Value:
    """How many elements are not 0; their indices (32 bits) lie in the scratch list."""
    values = values_of(frame, source) if isinstance(source, Edge) else source
    code, found = frame.code, frame.place(frame.scratch)
    builder = code.builder
    if not values.spikes:

        def each(i: Value, carried: list[Value]) -> list[Value]:
            code.store(code.cast(i, I32), found, carried[0])
            x = code.load(values.address, i, values.kind)
            there = builder.icmp_signed("!=", x, code.of(values.kind, 0))
            return [builder.add(carried[0], builder.zext(there, I64))]

        return code.fold(values.size, [code.i64(0)], each)[0]

    def block(i: Value, carried: list[Value]) -> list[Value]:
        bytes_ = code.lanes(values.address, i, I8, LANES)
        there = builder.icmp_unsigned("!=", bytes_, code.of(bytes_.type, 0))
        mask = builder.bitcast(there, I32)
        total = code.call("llvm.ctpop.i32", I32, mask)

        def lowest(_: Value, inner: list[Value]) -> list[Value]:
            left, at = inner
            first = code.call("llvm.cttz.i32", I32, left, ir.Constant(BIT, 1))
            code.store(builder.add(code.cast(i, I32), first), found, at)
            below = builder.and_(left, builder.sub(left, code.of(I32, 1)))
            return [below, builder.add(at, code.i64(1))]

        count = code.cast(total, I64, signed=False)
        return [code.fold(count, [mask, carried[0]], lowest)[1]]

    return code.fold(values.size, [code.i64(0)], block, step=LANES)[0]


# ---- rows of weights


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


def _packed_rows(frame: Frame, node: Node, rows: Array, count: Value) -> None:
    """Sums of 8-bit rows, a tile of columns at a time, in vectors of 16-bit lanes."""
    table = frame.array(rows)
    y, found, width = frame.slot(Edge(node.name)), frame.place(frame.scratch), rows.shape[1]
    vectors = width // LANES
    for begin in range(0, vectors, TILE):
        tile = min(TILE, vectors - begin)
        _tile(frame, table, y, found, count, width, begin * LANES, tile)


def _tile(
    frame: Frame, table: Value, y: Value, found: Value, count: Value, width: int, begin: int, n: int
) -> None:
    code, builder = frame.code, frame.code.builder
    narrow, wide = ir.VectorType(I16, LANES), ir.VectorType(I32, LANES)
    zeros = [code.of(wide, 0)] * n

    def block(first: Value, sums: list[Value]) -> list[Value]:
        end = code.minimum(builder.add(first, code.i64(FLUSH)), count)

        def row(i: Value, partial: list[Value]) -> list[Value]:
            index = code.cast(code.load(found, i, I32), I64)
            start = builder.add(builder.mul(index, code.i64(width)), code.i64(begin))
            loaded = (
                code.lanes(table, builder.add(start, code.i64(k * LANES)), I8, LANES)
                for k in range(n)
            )
            return [
                builder.add(p, code.cast(w, narrow)) for p, w in zip(partial, loaded, strict=True)
            ]

        partial = code.fold(end, [code.of(narrow, 0)] * n, row, start=first)
        return [builder.add(s, code.cast(p, wide)) for s, p in zip(sums, partial, strict=True)]

    for k, total in enumerate(code.fold(count, zeros, block, step=FLUSH)):
        code.put_lanes(total, y, code.i64(begin + k * LANES))


def _plain_rows(frame: Frame, node: Node, edge: Edge, rows: Array, count: Value) -> None:
    """Any weights times any values: one row after the other, in the width of the sums."""
    code, builder, sums = frame.code, frame.code.builder, frame.type_of(node.name)
    table, y, found = frame.array(rows), frame.slot(Edge(node.name)), frame.place(frame.scratch)
    width, kind = rows.shape[1], INTEGERS[rows.dtype.itemsize * 8]
    values = values_of(frame, edge)
    code.loop(width, lambda j: code.store(code.of(sums, 0), y, j))

    def row(i: Value) -> None:
        index = code.cast(code.load(found, i, I32), I64)
        start = builder.mul(index, code.i64(width))
        x = code.cast(code.load(values.address, index, values.kind), sums, signed=not values.spikes)

        factor = None if values.spikes else code.splat(x, VECTOR)

        def columns(j: Value) -> None:
            weight = code.lanes(table, builder.add(start, j), kind, VECTOR)
            term = code.cast(weight, ir.VectorType(sums, VECTOR))
            term = term if factor is None else builder.mul(term, factor)
            code.put_lanes(builder.add(code.lanes(y, j, sums, VECTOR), term), y, j)

        code.loop(width, columns, step=VECTOR)

    code.loop(count, row)


def add_row(
    frame: Frame,
    table: Value,
    kind: object,
    start: Value,
    y: Value,
    begin: Value,
    sums: object,
    size: int,
    x: Value | None,
) -> None:
    """``y[begin + o] += x row[o]`` for ``size`` outputs; rows end in zeros, which add nothing."""
    code, builder = frame.code, frame.code.builder
    if size < NARROW:

        def one(o: Value) -> None:
            weight = code.cast(code.load(table, builder.add(start, o), kind), sums)
            term = weight if x is None else builder.mul(weight, x)
            at = builder.add(begin, o)
            code.store(builder.add(code.load(y, at, sums), term), y, at)

        code.loop(size, one)
        return
    wide = ir.VectorType(sums, VECTOR)
    factor = None if x is None else code.splat(x, VECTOR)
    for first in range(0, size, VECTOR):
        offset = code.i64(first)
        weight = code.cast(code.lanes(table, builder.add(start, offset), kind, VECTOR), wide)
        term = weight if factor is None else builder.mul(weight, factor)
        at = builder.add(begin, offset)
        code.put_lanes(builder.add(code.lanes(y, at, sums, VECTOR), term), y, at)


def shift_sums(frame: Frame, node: Node, exponent: int) -> None:
    if not exponent:
        return
    code, sums, y = frame.code, frame.type_of(node.name), frame.slot(Edge(node.name))

    def element(j: Value) -> None:
        code.store(_moved(frame, code.load(y, j, sums), exponent), y, j)

    code.loop(frame.buffer(node.name).size, element)


def _moved(frame: Frame, value: Value, exponent: int) -> Value:
    """``value << exponent``; below 0 to the right, rounded down."""
    builder = frame.code.builder
    by = frame.code.of(value.type, abs(exponent))
    return builder.shl(value, by) if exponent >= 0 else builder.ashr(value, by)
