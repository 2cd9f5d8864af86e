"""Which elements are other than 0: a list of their numbers, so that a layer's cost follows spikes.

Bits are brought together by an instruction where the processor has one, else the lowest is taken
until none is left; neither branches on whether a single bit is set.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from sast_compile.backends.emulator.code import BIT, I16, I32, I64, INTEGERS, Place, Value
from sast_compile.backends.emulator.frame import Frame
from sast_compile.backends.emulator.layout import LANES
from sast_compile.backends.emulator.values import Values

WORD = 32  # bits that are looked at together


@dataclass(frozen=True)
class Active:
    """``count`` numbers of ``kind`` (unsigned) at ``place``, ascending."""

    place: Place
    kind: object
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

    take = _compressed if lanes else _lowest_first

    def block(i: Value, carried: list[Value]) -> list[Value]:
        base = builder.sub(builder.mul(i, code.i64(WORD)), shift)
        bits = word(i)
        take(frame, bits, base, into, carried[0], kind)
        count = code.cast(code.call("llvm.ctpop.i32", I32, bits), I64, signed=False)
        return [builder.add(carried[0], count)]

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
    frame: Frame, bits: Value, base: Value, into: Place, at: Value, kind: object
) -> None:
    """The numbers of the set ``bits``, side by side, as many lanes at a time as the kind allows."""
    code, builder = frame.code, frame.code.builder
    count = 512 // kind.width  # type: ignore[attr-defined]
    wide = ir.VectorType(kind, count)
    name = f"llvm.experimental.vector.compress.v{count}i{kind.width}"  # type: ignore[attr-defined]
    for part in range(0, WORD, count):
        some = code.cast(builder.lshr(bits, code.of(I32, part)), INTEGERS[count])
        mask = builder.bitcast(some, ir.VectorType(BIT, count))
        begin = code.cast(builder.add(base, code.i64(part)), kind)
        numbers = builder.add(code.splat(begin, count), ir.Constant(wide, list(range(count))))
        code.put_lanes(code.call(name, wide, numbers, mask, ir.Constant(wide, ir.Undefined)),
                       into, at)  # fmt: skip
        if part + count < WORD:
            more = code.call(f"llvm.ctpop.i{count}", INTEGERS[count], some)
            at = builder.add(at, code.cast(more, I64, signed=False))


def _lowest_first(
    frame: Frame, bits: Value, base: Value, into: Place, at: Value, kind: object
) -> None:
    code, builder = frame.code, frame.code.builder
    total = code.cast(code.call("llvm.ctpop.i32", I32, bits), I64, signed=False)

    def lowest(i: Value, carried: list[Value]) -> list[Value]:
        (left,) = carried
        bit = code.call("llvm.cttz.i32", I32, left, ir.Constant(BIT, 1))
        number = builder.add(base, code.cast(bit, I64, signed=False))
        code.store(code.cast(number, kind), into, builder.add(at, i))
        return [builder.and_(left, builder.sub(left, code.of(I32, 1)))]

    code.fold(total, [bits], lowest)
