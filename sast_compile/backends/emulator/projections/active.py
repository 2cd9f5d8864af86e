"""Which elements are other than 0: a list of their numbers, so that a layer's cost follows spikes.

Bits are brought together by an instruction where the processor has one, else byte by byte from a
table; neither branches on what is set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir

from sast_compile.backends.emulator.frame import Frame
from sast_compile.backends.emulator.machine.code import (
    BIT,
    I8,
    I16,
    I32,
    I64,
    INTEGERS,
    Place,
    Value,
)
from sast_compile.backends.emulator.memory.layout import LANES
from sast_compile.backends.emulator.memory.values import Values

Integer: TypeAlias = Any  # an integer type of llvmlite's
WORD, BYTE = 32, 8  # bits that are looked at together


@dataclass(frozen=True)
class Active:
    """``count`` numbers of ``kind`` (unsigned) at ``place``, ascending."""

    place: Place
    kind: Integer
    count: Value

    def number(self, frame: Frame, i: Value) -> Value:
        """The i-th of them."""
        code = frame.code
        return code.cast(code.load(self.place, i, self.kind), I64, signed=False)


def room(frame: Frame, elements: int) -> Place:
    """Scratch memory for a list of up to ``elements`` numbers."""
    size = 4 * (elements + LANES)  # whole vectors are written
    return frame.passing("list of active elements", frame.scratch.take(size), size)


def active(frame: Frame, values: Values, into: Place) -> Active:
    """All elements of ``values`` that are not 0, listed ``into`` a `room`."""
    if values.spikes:
        return spikes_between(frame, values, into, frame.code.i64(0), values.size)
    code, builder, kind = frame.code, frame.code.builder, INTEGERS[values.bits]

    def each(i: Value, carried: list[Value]) -> list[Value]:
        code.store(code.cast(i, I32), into, carried[0])
        there = builder.icmp_signed("!=", values.load(i, kind), code.of(kind, 0))
        return [builder.add(carried[0], builder.zext(there, I64))]

    count = code.fold(values.size, [code.i64(0)], each)[0]
    return Active(into, I32, count)


def spikes_between(
    frame: Frame, values: Values, into: Place, begin: Value, size: int, aligned: bool = True
) -> Active:
    """The spikes of ``size`` elements from ``begin`` on, numbered from there.

    ``aligned``: ``begin`` is a multiple of `WORD`, and the bits behind the last are 0.
    """
    code, builder = frame.code, frame.code.builder
    lanes = frame.processor.compresses
    kind = I16 if size <= 1 << 16 and lanes != 32 else I32
    first = builder.lshr(begin, code.i64(5))
    shift = builder.and_(begin, code.i64(WORD - 1))
    words = -(-size // WORD) if aligned else -(-(size + WORD - 1) // WORD)
    last = code.i64(words) if aligned else _words(frame, shift, size)

    def word(i: Value) -> Value:
        found = code.load(values.place, builder.add(first, i), I32)
        return found if aligned else _inside(frame, found, i, shift, size)

    take = _compressed if lanes else _looked_up

    def block(i: Value, carried: list[Value]) -> list[Value]:
        base = builder.sub(builder.mul(i, code.i64(WORD)), shift)
        return [take(frame, word(i), base, into, carried[0], kind)]

    return Active(into, kind, code.fold(last, [code.i64(0)], block)[0])


def _words(frame: Frame, shift: Value, size: int) -> Value:
    """How many words hold ``size`` bits that begin ``shift`` bits behind a word's first."""
    code, builder = frame.code, frame.code.builder
    return builder.lshr(builder.add(shift, code.i64(size + WORD - 1)), code.i64(5))


def _inside(frame: Frame, bits: Value, i: Value, shift: Value, size: int) -> Value:
    """Of word ``i`` those bits that belong to the ``size`` after ``shift``."""
    code, builder = frame.code, frame.code.builder
    ones = code.of(I32, -1)
    low = builder.shl(ones, builder.trunc(shift, I32))
    first = builder.select(builder.icmp_unsigned("==", i, code.i64(0)), low, ones)
    end = builder.sub(builder.add(shift, code.i64(size)), builder.mul(i, code.i64(WORD)))
    whole = builder.icmp_signed(">=", end, code.i64(WORD))
    kept = builder.trunc(builder.select(whole, code.i64(0), end), I32)
    high = builder.select(whole, ones, builder.not_(builder.shl(ones, kept)))
    return builder.and_(bits, builder.and_(first, high))


def _compressed(
    frame: Frame, bits: Value, base: Value, into: Place, at: Value, kind: Integer
) -> Value:
    """The numbers of the set ``bits`` from place ``at`` of the list on, and the place behind them.

    As many lanes of the kind as a vector has are brought together by one instruction.
    """
    code, builder = frame.code, frame.code.builder
    count = 512 // kind.width
    wide = ir.VectorType(kind, count)
    for part in range(0, WORD, count):
        some = code.cast(builder.lshr(bits, code.of(I32, part)), INTEGERS[count])
        mask = builder.bitcast(some, ir.VectorType(BIT, count))
        begin = code.cast(builder.add(base, code.i64(part)), kind)
        numbers = builder.add(code.splat(begin, count), ir.Constant(wide, list(range(count))))
        name = f"llvm.experimental.vector.compress.v{count}i{kind.width}"
        together = code.call(name, wide, numbers, mask, ir.Constant(wide, ir.Undefined))
        code.put_lanes(together, into, at)
        more = code.call(f"llvm.ctpop.i{count}", INTEGERS[count], some)
        at = builder.add(at, code.cast(more, I64, signed=False))
    return at


def _looked_up(
    frame: Frame, bits: Value, base: Value, into: Place, at: Value, kind: Integer
) -> Value:
    """The same, byte by byte from a table of what its bits are."""
    code, builder = frame.code, frame.code.builder
    patterns = np.arange(1 << BYTE)[:, None] >> np.arange(BYTE) & 1
    order = np.argsort(1 - patterns, axis=1, kind="stable")  # the set bits first
    numbers = frame.array(f"bits of a byte, {kind.width}", order.astype(f"int{kind.width}"))
    counts = frame.array("how many bits", patterns.sum(axis=1).astype(np.int8))
    for part in range(0, WORD, BYTE):
        byte = builder.and_(builder.lshr(bits, code.of(I32, part)), code.of(I32, 255))
        byte = code.cast(byte, I64, signed=False)
        some = code.lanes(numbers, builder.mul(byte, code.i64(BYTE)), kind, BYTE)
        begin = code.cast(builder.add(base, code.i64(part)), kind)
        code.put_lanes(builder.add(some, code.splat(begin, BYTE)), into, at)
        at = builder.add(at, code.cast(code.load(counts, byte, I8), I64))
    return at
