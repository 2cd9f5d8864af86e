"""Sums times a power of two."""

from __future__ import annotations

from llvmlite import ir

from sast_compile.backends.emulator.machine.code import INTEGERS, Code, Value
from sast_compile.backends.emulator.memory.values import Values

LANES = 16  # sums at a time


def moved(code: Code, value: Value, exponent: int) -> Value:
    """``value << exponent``; below 0 to the right, rounded down."""
    by = code.of(value.type, abs(exponent))
    return code.builder.shl(value, by) if exponent >= 0 else code.builder.ashr(value, by)


def shift_sums(code: Code, y: Values, exponent: int, begin: Value, size: int) -> None:
    """``y <<= exponent`` for ``size`` elements from ``begin`` on, and for what fills a vector."""
    if not exponent:
        return
    kind = INTEGERS[y.bits]
    assert isinstance(kind, ir.IntType)

    def some(i: Value) -> None:
        y.put_lanes(moved(code, y.lanes(i, kind, LANES), exponent), i)

    code.loop(code.builder.add(begin, code.i64(size)), some, start=begin, step=LANES)
