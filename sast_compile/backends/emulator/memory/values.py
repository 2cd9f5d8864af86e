"""The elements of one value in memory: spikes a bit each, all else integers.

Spikes lie in bytes, the first in the lowest bit, and the bits behind the last are 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from sast_compile.backends.emulator.machine.code import (
    BIT,
    I8,
    I32,
    I64,
    INTEGERS,
    Code,
    Place,
    Type,
    Value,
)
from sast_compile.backends.emulator.memory.layout import BITS


@dataclass(frozen=True)
class Values:
    """``size`` elements of ``bits`` bits from ``place`` on."""

    code: Code
    place: Place
    bits: int
    size: int

    @property
    def spikes(self) -> bool:
        return self.bits == 1

    def load(self, i: Value, kind: Type) -> Value:
        """Element ``i`` as a number of ``kind``."""
        code = self.code
        if not self.spikes:
            return code.cast(code.load(self.place, i, INTEGERS[self.bits]), kind)
        byte, bit = self._bit(i)
        shifted = code.builder.lshr(code.load(self.place, byte, I8), bit)
        return code.cast(code.builder.trunc(shifted, BIT), kind, signed=False)

    def lanes(self, i: Value, kind: Type, count: int) -> Value:
        """``count`` elements from ``i`` on; of spikes, ``i`` is a multiple of ``count``."""
        code, wide = self.code, ir.VectorType(kind, count)
        if not self.spikes:
            return code.cast(code.lanes(self.place, i, INTEGERS[self.bits], count), wide)
        word = code.load(self.place, code.builder.udiv(i, code.i64(count)), INTEGERS[count])
        lanes = code.builder.bitcast(word, ir.VectorType(BIT, count))
        return code.cast(lanes, wide, signed=False)

    def put_lanes(self, value: Value, i: Value) -> None:
        """``value``, a vector, from element ``i`` on, a multiple of its length; spikes: bits."""
        code, count = self.code, value.type.count
        if not self.spikes:
            narrow = ir.VectorType(INTEGERS[self.bits], count)
            code.put_lanes(code.cast(value, narrow), self.place, i)
            return
        word = code.builder.bitcast(value, INTEGERS[count])
        code.store(word, self.place, code.builder.udiv(i, code.i64(count)))

    def store(self, value: Value, i: Value) -> None:
        """Element ``i``; a spike is set or cleared beside those that are there."""
        code, builder = self.code, self.code.builder
        if not self.spikes:
            code.store(code.cast(value, INTEGERS[self.bits]), self.place, i)
            return
        byte, bit = self._bit(i)
        cleared = builder.and_(
            code.load(self.place, byte, I8), builder.not_(builder.shl(code.of(I8, 1), bit))
        )
        code.store(builder.or_(cleared, builder.shl(code.cast(value, I8), bit)), self.place, byte)

    def clear(self, begin: Value, end: Value) -> None:
        """Zeros from element ``begin`` to ``end``, of spikes whole bytes."""
        code = self.code
        if not self.spikes:
            kind = INTEGERS[self.bits]
            code.loop(end, lambda i: code.store(code.of(kind, 0), self.place, i), start=begin)
            return
        low = code.builder.lshr(begin, code.i64(3))
        high = code.builder.lshr(code.builder.add(end, code.i64(7)), code.i64(3))
        code.loop(high, lambda i: code.store(code.of(I8, 0), self.place, i), start=low)

    def gather(self, source: Values, places: Place) -> None:
        """Element i is element ``places[i]`` of ``source``; spikes' last word ends in zeros."""
        if self.spikes:
            self.clear(self.code.i64(0), self.code.i64(-(-self.size // BITS) * BITS))
        code, kind = self.code, I32 if self.spikes else INTEGERS[self.bits]

        def element(i: Value) -> None:
            at = code.cast(code.load(places, i, I32), I64)
            self.store(source.load(at, kind), i)

        code.loop(self.size, element)

    def _bit(self, i: Value) -> tuple[Value, Value]:
        """The byte of element ``i``, and the number of its bit there."""
        code, builder = self.code, self.code.builder
        return (
            builder.lshr(i, code.i64(3)),
            builder.trunc(builder.and_(i, code.i64(7)), I8),
        )
