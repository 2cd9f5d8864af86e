"""The decays of `ir/neuron.py`, for vectors of states."""

from __future__ import annotations

from llvmlite import ir

from sast_compile.backends.emulator.machine.code import F32, I32, I64, Code, Value
from sast_compile.backends.emulator.machine.processor import Processor
from sast_compile.ir.neuron import BitShift, MulShift

EXACT = 1 << 24  # integers up to here are exact in a float of 32 bits
TO_ZERO, DOWN = 11, 9  # of the rounding operand of a product, exceptions suppressed


def shifted_away(code: Code, decay: BitShift, x: Value, dash: Value) -> Value:
    """``x - d`` with ``d = x >> dash``, but at least ``min_step``."""
    builder, kind = code.builder, x.type
    step, zero = builder.ashr(x, dash), code.of(kind, 0)
    sign = builder.sub(
        builder.zext(builder.icmp_signed(">", x, zero), kind),
        builder.zext(builder.icmp_signed("<", x, zero), kind),
    )
    least = builder.mul(sign, code.of(kind, decay.min_step))
    none = builder.icmp_signed("==", step, zero)
    return builder.sub(x, builder.select(none, least, step))


def multiplied(
    code: Code, processor: Processor, decay: MulShift, x: Value, kept: Value, most: int
) -> Value:
    """``round(x kept / 2^bits)`` for ``0 <= kept <= 2^bits`` and ``|x| <= most``."""
    rounded = {"toward_zero": TO_ZERO, "floor": DOWN}.get(decay.rounding)
    whole = 1 << decay.bits
    single = x.type.element == I32 and x.type.count == 16
    if processor.rounds and rounded and single and max(most, whole) <= EXACT:
        return _in_floats(code, decay, x, kept, rounded)
    if 2 * decay.bits < x.type.element.width - 1:
        return _in_halves(code, decay, x, kept)
    return _in_64_bits(code, decay, x, kept)


def _in_floats(code: Code, decay: MulShift, x: Value, kept: Value, rounded: int) -> Value:
    """One product, rounded as the decay is, whose integer part then is the result.

    An integer of up to 24 bits is a float, so rounding toward zero cannot pass one.
    """
    builder, real = code.builder, ir.VectorType(F32, x.type.count)
    share = builder.fmul(builder.sitofp(kept, real), code.of(real, 2.0**-decay.bits))
    product = code.call(
        "llvm.x86.avx512.mul.ps.512", real, builder.sitofp(x, real), share, code.of(I32, rounded)
    )
    if rounded == DOWN:
        product = code.call("llvm.floor.v16f32", real, product)
    return builder.fptosi(product, x.type)


def _in_halves(code: Code, decay: MulShift, x: Value, kept: Value) -> Value:
    """``x = 2^bits high + low``, and only the product of ``low`` has a fraction to be rounded."""
    builder, kind = code.builder, x.type
    bits, mask = code.of(kind, decay.bits), code.of(kind, (1 << decay.bits) - 1)
    whole = builder.mul(builder.ashr(x, bits), kept)
    part = builder.mul(builder.and_(x, mask), kept)
    part = builder.add(part, _carry(code, decay, x, builder.add(whole, builder.lshr(part, bits))))
    return builder.add(whole, builder.lshr(part, bits))


def _in_64_bits(code: Code, decay: MulShift, x: Value, kept: Value) -> Value:
    """The product as it is, which `Neuron` has been checked not to leave 64 bits."""
    builder, long = code.builder, ir.VectorType(I64, x.type.count)
    product = builder.mul(code.cast(x, long), code.cast(kept, long))
    bits = code.of(long, decay.bits)
    carry = _carry(code, decay, product, builder.ashr(product, bits))
    return code.cast(builder.ashr(builder.add(product, carry), bits), x.type)


def _carry(code: Code, decay: MulShift, sign: Value, floor: Value) -> Value:
    """What is added before the shift, so that its rounding down is the decay's rounding."""
    builder, kind = code.builder, floor.type
    mask = code.of(kind, (1 << decay.bits) - 1)
    match decay.rounding:
        case "floor":
            return code.of(kind, 0)
        case "toward_zero":
            below = builder.ashr(sign, code.of(kind, kind.element.width - 1))
            return builder.and_(below, mask)
        case "half_even":
            half = code.of(kind, (1 << decay.bits >> 1) - 1)
            return builder.add(half, builder.and_(floor, code.of(kind, 1)))


def constant_share(decay: MulShift) -> float | None:
    """0 or 1 where nothing or all is kept, and nothing need be computed; else None."""
    if not isinstance(decay.decay, int):
        return None
    kept = (1 << decay.bits) - decay.decay - decay.offset
    return float(kept > 0) if kept in (0, 1 << decay.bits) else None
