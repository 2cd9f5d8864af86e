"""A thin layer over llvmlite's builder: integers, loops and memory, so that emitters read like
equations.

A loop may carry values from turn to turn (``fold``); its body is a Python function that emits the
instructions of one turn. Checked code asks before every access whether it lies inside the memory
that its place names, and returns the number of the first that does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from llvmlite import ir

Value: TypeAlias = Any  # llvmlite has no types
Type: TypeAlias = Any

BIT, I8, I16, I32, I64 = (ir.IntType(n) for n in (1, 8, 16, 32, 64))
F32 = ir.FloatType()
POINTER = ir.PointerType()
INTEGERS = {8: I8, 16: I16, 32: I32, 64: I64}


@dataclass(frozen=True)
class Place:
    """An address, and the ends of what may be touched through it (integers, in checked code)."""

    name: str
    address: Value
    begin: Value = None
    end: Value = None


class Code:
    """Instructions at the end of one function; every value is llvmlite's.

    ``checks``: of checked code, the names of the places whose accesses are checked, in order.
    """

    def __init__(self, module: ir.Module, function: ir.Function, checked: bool = False) -> None:
        self.module, self.function, self.checked = module, function, checked
        self.checks: list[str] = []
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))

    # ---- numbers

    def i64(self, value: int) -> Value:
        return ir.Constant(I64, value)

    def of(self, type_: Type, value: float) -> Value:
        """The constant ``value``; of a vector type in every lane."""
        if isinstance(type_, ir.VectorType):
            return ir.Constant(type_, [value] * type_.count)
        return ir.Constant(type_, value)

    def cast(self, value: Value, type_: Type, signed: bool = True) -> Value:
        """An integer (or vector of integers) as one of another width."""
        have, want = _width(value.type), _width(type_)
        if have == want:
            return value
        if have > want:
            return self.builder.trunc(value, type_)
        return self.builder.sext(value, type_) if signed else self.builder.zext(value, type_)

    def splat(self, value: Value, count: int) -> Value:
        """``value`` in every lane."""
        type_ = ir.VectorType(value.type, count)
        one = self.builder.insert_element(ir.Constant(type_, ir.Undefined), value, self.of(I32, 0))
        lanes = ir.Constant(ir.VectorType(I32, count), [0] * count)
        return self.builder.shuffle_vector(one, ir.Constant(type_, ir.Undefined), lanes)

    def minimum(self, a: Value, b: Value) -> Value:
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def maximum(self, a: Value, b: Value) -> Value:
        return self.builder.select(self.builder.icmp_signed(">", a, b), a, b)

    def floor_division(self, a: Value, b: Value) -> Value:
        """``a // b`` for b > 0, rounded down."""
        builder = self.builder
        quotient = builder.sdiv(a, b)
        below = builder.icmp_signed("<", builder.srem(a, b), self.of(a.type, 0))
        return builder.sub(quotient, builder.zext(below, a.type))

    def call(self, name: str, result: Type, *arguments: Value) -> Value:
        """The intrinsic ``name``, declared on its first use."""
        found = self.module.globals.get(name)
        if found is None:
            type_ = ir.FunctionType(result, [a.type for a in arguments])
            found = ir.Function(self.module, type_, name)
        return self.builder.call(found, arguments)

    # ---- memory

    def zero(self, address: Value, size: Value) -> None:
        """``size`` bytes of zeros."""
        zero, plain = self.of(I8, 0), self.of(BIT, 0)
        self.call("llvm.memset.p0.i64", ir.VoidType(), address, zero, size, plain)

    def region(self, name: str, address: Value, size: Value) -> Place:
        """The place of ``size`` bytes from ``address`` on."""
        if not self.checked:
            return Place(name, address)
        begin = self.builder.ptrtoint(address, I64)
        return Place(name, address, begin, self.builder.add(begin, size))

    def at(self, place: Place, index: Value, type_: Type) -> Place:
        """Element ``index`` of an array of ``type_``."""
        address = self.builder.gep(place.address, [index], source_etype=type_)
        return replace(place, address=address)

    def load(self, place: Place, index: Value, type_: Type) -> Value:
        """Element ``index`` of an array of ``type_``, a number, an address or a vector."""
        return self._loaded(self.at(place, index, type_), type_)

    def store(self, value: Value, place: Place, index: Value) -> None:
        self._stored(value, self.at(place, index, value.type))

    def lanes(self, place: Place, index: Value, element: Type, count: int) -> Value:
        """``count`` elements from ``index`` on, as a vector."""
        return self._loaded(self.at(place, index, element), ir.VectorType(element, count))

    def put_lanes(self, value: Value, place: Place, index: Value) -> None:
        self._stored(value, self.at(place, index, value.type.element))

    def _loaded(self, place: Place, type_: Type) -> Value:
        self._inside(place, type_)
        loaded = self.builder.load(place.address, typ=type_)
        loaded.align = _alignment(type_)
        return loaded

    def _stored(self, value: Value, place: Place) -> None:
        self._inside(place, value.type)
        self.builder.store(value, place.address).align = _alignment(value.type)

    def _inside(self, place: Place, type_: Type) -> None:
        """Checked code returns here if an access of ``type_`` leaves its place."""
        if not self.checked:
            return
        builder = self.builder
        self.checks.append(place.name)
        address = builder.ptrtoint(place.address, I64)
        after = builder.add(address, self.i64(bytes_of(type_)))
        outside = builder.or_(
            builder.icmp_unsigned("<", address, place.begin),
            builder.icmp_unsigned(">", after, place.end),
        )
        with builder.if_then(outside, likely=False):
            builder.ret(self.i64(len(self.checks)))

    # ---- control

    def loop(
        self,
        count: Value | int,
        body: Callable[[Value], None],
        start: Value | int = 0,
        step: Value | int = 1,
    ) -> None:
        """``body(i)`` for i = start, start + step .. below ``count``."""

        def turn(index: Value, _: list[Value]) -> list[Value]:
            body(index)
            return []

        self.fold(count, [], turn, start, step)

    def fold(
        self,
        count: Value | int,
        first: Sequence[Value],
        body: Callable[[Value, list[Value]], Sequence[Value]],
        start: Value | int = 0,
        step: Value | int = 1,
    ) -> list[Value]:
        """The values that ``body(i, values)`` hands from turn to turn, after the last one."""
        builder = self.builder
        end = self.i64(count) if isinstance(count, int) else count
        begin = self.i64(start) if isinstance(start, int) else start
        more = self.i64(step) if isinstance(step, int) else step
        before = builder.block
        head, turn, after = (self.function.append_basic_block(n) for n in ("head", "turn", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(I64)
        carried = [builder.phi(value.type) for value in first]
        builder.cbranch(builder.icmp_signed("<", index, end), turn, after)
        builder.position_at_end(turn)
        values = body(index, list(carried))
        following = builder.add(index, more)
        latch = builder.block
        builder.branch(head)
        for phi, initial, value in zip([index, *carried], [begin, *first], [following, *values],
                                       strict=True):  # fmt: skip
            phi.add_incoming(initial, before)
            phi.add_incoming(value, latch)
        builder.position_at_end(after)
        return carried

    def when(self, condition: Value, body: Callable[[], None]) -> None:
        """``body()`` where the condition holds."""
        with self.builder.if_then(condition):
            body()


def bytes_of(type_: Type) -> int:
    """The bytes that a number, an address or a vector takes in memory."""
    count = type_.count if isinstance(type_, ir.VectorType) else 1
    return count * _alignment(type_)


def _width(type_: Type) -> int:
    element = type_.element if isinstance(type_, ir.VectorType) else type_
    return int(element.width)


def _alignment(type_: Type) -> int:
    element = type_.element if isinstance(type_, ir.VectorType) else type_
    return 8 if element == POINTER else max(_width(element) // 8, 1)
