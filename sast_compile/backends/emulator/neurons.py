"""One step of a population: the equations of `ir/neuron.py`, neuron by neuron.

All integers of a population are computed in 32 bits where nothing can need more, else in 64. A
decay's product is exact in float64 where it stays below 2^53, and that is how it is computed: the
product with ``2^-bits`` is then exact too, and rounding it is the decay's own rounding. A clamp is
left out where the ranges of the program show that it never acts.

The same equations are emitted twice: for `WIDE` neurons at a time, as vectors, and for those that
are left one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from sast_compile.backends.emulator.code import F64, I8, I32, I64, INTEGERS, Type, Value
from sast_compile.backends.emulator.frame import Frame
from sast_compile.backends.emulator.widths import width_of
from sast_compile.ir.neuron import BitShift, Clamp, Decay, Factor, MulShift, Param, Ref, State
from sast_compile.ir.ops import Neuron, lookup
from sast_compile.ir.program import Edge, Node

EXACT_BITS = 52  # of a product in float64
COUNTS = ("spikes", "ties", "negatives")
WIDE = {32: 16, 64: 8}  # neurons in a vector of 512 bits, by the bits of their numbers


@dataclass(frozen=True)
class Places:
    """Where a population keeps its states (offsets in the arena), and what of it is recorded."""

    states: dict[str, int]
    fired: int
    idle: frozenset[str]  # the states whose clamp never acts
    counts: Value | None = None  # the address of this sample's tally, if one is kept
    inside: Value | None = None  # whether this step is a column of the sample


def neuron(frame: Frame, node: Node, edges: tuple[Edge, ...], places: Places) -> None:
    """Every neuron of the population, one step on; what it sends lies in its buffer."""
    op = node.op
    assert isinstance(op, Neuron)
    _Population(frame, node, op, edges, places).step()


class _Population:
    def __init__(
        self, frame: Frame, node: Node, op: Neuron, edges: tuple[Edge, ...], places: Places
    ) -> None:
        self.frame, self.code, self.op, self.places = frame, frame.code, op, places
        self.builder = frame.code.builder
        self.bits = width_of(op, frame, edges)
        self.element = self.kind = INTEGERS[self.bits]
        self.lanes, self.scattered = 1, False
        buffer = frame.buffer(node.name)
        self.out, self.sent, self.order = frame.slot(Edge(node.name)), buffer.bits, buffer.order
        self.edges, self.drives = edges, [self._drive(edge) for edge in edges]
        self.tables: dict[str, Value] = {}
        self.now: list[Value] = []  # what this neuron has added to the counts
        self.index: Value = None
        self._tables()

    def step(self) -> None:
        """All neurons: whole vectors first, unless what drives them lies scattered."""
        whole = 0 if self.scattered else len(self.order) // WIDE[self.bits] * WIDE[self.bits]
        if whole:
            self._pass(0, whole, WIDE[self.bits])
        if whole < len(self.order):
            self._pass(whole, len(self.order), 1)

    def _pass(self, begin: int, end: int, lanes: int) -> None:
        """The neurons from ``begin`` to ``end``, ``lanes`` at a time."""
        code, counts = self.code, self.places.counts
        self.lanes, self.kind = lanes, self._of(self.element, lanes)
        names = [*COUNTS, *(name for name, _ in self.op.named_states())]

        def each(i: Value, totals: list[Value]) -> list[Value]:
            self.now = [code.of(self.kind, 0)] * len(names)
            self.index = i
            self._one(i)
            if counts is None:
                return []
            more = (code.cast(self._sum(n), I64) for n in self.now)
            return [self.builder.add(t, n) for t, n in zip(totals, more, strict=True)]

        first = [] if counts is None else [code.i64(0)] * len(names)
        totals = code.fold(end, first, each, start=begin, step=lanes)
        if counts is not None:
            code.when(self.places.inside, lambda: self._tally(counts, totals))

    def _of(self, type_: Type, lanes: int | None = None) -> Type:
        """``type_``, or a vector of it while several neurons are computed at a time."""
        lanes = lanes or self.lanes
        return type_ if lanes == 1 else ir.VectorType(type_, lanes)

    def _sum(self, value: Value) -> Value:
        if self.lanes == 1:
            return value
        name = f"llvm.vector.reduce.add.v{self.lanes}i{self.bits}"
        return self.code.call(name, self.element, value)

    def _load(self, pointer: Value, i: Value, element: Type) -> Value:
        if self.lanes == 1:
            return self.code.load(pointer, i, element)
        return self.code.lanes(pointer, i, element, self.lanes)

    def _store(self, value: Value, pointer: Value, i: Value) -> None:
        (self.code.store if self.lanes == 1 else self.code.put_lanes)(value, pointer, i)

    def _tally(self, counts: Value, totals: list[Value]) -> None:
        code = self.code
        for number, total in enumerate(totals):
            at = code.i64(number)
            code.store(self.builder.add(code.load(counts, at, I64), total), counts, at)

    # ---- one neuron

    def _one(self, i: Value) -> None:
        op = self.op
        current: Value = None
        for number, (name, state) in enumerate(op.named_states()[:-1]):
            x = self._state(name, state, self._kept(name, i), self._driven(number, i), number, None)
            self._keep(name, i, x)
            current = x if current is None else self.builder.add(current, x)
        if not op.synapses:
            current = self._driven(0, i)
        v, late = self._kept("v", i), self.code.of(self.kind, 0)
        if op.reset is not None and op.reset.when != "after_fire":
            v, late = self._late(v, i)
        v = self._state("v", op.voltage, v, current, 0, late)
        self._count(2, self.builder.icmp_signed("<", v, self.code.of(self.kind, 0)))
        if op.fire is None or op.reset is None:
            self._keep("v", i, v)
            self._send(i, v)
            return
        fired = self._fires(v)
        self.now[0] = fired
        if op.reset.when == "after_fire":
            v = self._reset(v, fired)
        else:
            self._store(fired, self.frame.place(self.places.fired), i)
        self._keep("v", i, v)
        self._send(i, fired)

    def _state(
        self,
        name: str,
        state: State,
        x: Value,
        drive: Value,
        number: int,
        late: Value,
    ) -> Value:
        """The state ``x`` after one step; ``number`` is that of its terms, if it adds each."""
        builder, gain = self.builder, self._param(f"{name} gain", state.gain)
        bias = self._param(f"{name} bias", state.bias)
        by = self.code.of(self.kind, abs(state.bias_exponent))
        bias = builder.shl(bias, by) if state.bias_exponent >= 0 else builder.ashr(bias, by)

        def limited(value: Value) -> Value:
            return self._clamped(name, state.clamp, value)

        if state.adds == "increment":
            assert state.clamp is not None
            leak = builder.sub(self._decayed(name, state.decay, x), x)
            leak = self._wrapped(state.clamp, leak)
            step = limited(builder.add(leak, builder.mul(gain, drive)))
            step = limited(builder.add(step, bias))
            return limited(builder.add(x, step))
        if state.decays == "first":
            x = self._decayed(name, state.decay, x)
        if state.adds == "each":
            x = self._term_by_term(x, gain, number, limited)
            x = limited(builder.add(x, bias))
        else:
            x = builder.add(builder.add(x, builder.mul(gain, drive)), bias)
            x = limited(x if late is None else builder.add(x, late))
        return self._decayed(name, state.decay, x) if state.decays == "last" else x

    def _decayed(self, name: str, decay: Decay | None, x: Value) -> Value:
        builder, code = self.builder, self.code
        match decay:
            case None:
                return x
            case MulShift():
                return self._multiplied(name, decay, x)
            case BitShift():
                step = builder.ashr(x, self._param(f"{name} decay", decay.dash))
                zero = code.of(self.kind, 0)
                sign = builder.sub(
                    builder.zext(builder.icmp_signed(">", x, zero), self.kind),
                    builder.zext(builder.icmp_signed("<", x, zero), self.kind),
                )
                least = builder.mul(sign, code.of(self.kind, decay.min_step))
                none = builder.icmp_signed("==", step, zero)
                return builder.sub(x, builder.select(none, least, step))
            case Factor():
                raise AssertionError("floats are not emulated")

    def _multiplied(self, name: str, decay: MulShift, x: Value) -> Value:
        """``round(x kept / 2^bits)``."""
        code, builder, whole = self.code, self.builder, 1 << decay.bits
        if isinstance(decay.decay, int):
            kept = whole - decay.decay - decay.offset
            if kept in (0, whole):
                return x if kept else code.of(self.kind, 0)
        register = self._param(f"{name} decay", decay.decay)
        kept = builder.sub(code.of(self.kind, whole - decay.offset), register)
        clamp = dict(self.op.named_states())[name].clamp
        assert clamp is not None
        wide = max(-clamp.low, clamp.high).bit_length() + 1 + decay.bits
        if wide > EXACT_BITS:
            return self._shifted(decay, x, kept)
        real = self._of(F64)
        product = builder.fmul(builder.sitofp(x, real), builder.sitofp(kept, real))
        scaled = builder.fmul(product, code.of(real, 2.0**-decay.bits))
        rounding = {"floor": "floor", "half_even": "roundeven"}
        if decay.rounding in rounding:
            kind = "f64" if self.lanes == 1 else f"v{self.lanes}f64"
            scaled = code.call(f"llvm.{rounding[decay.rounding]}.{kind}", real, scaled)
        return builder.fptosi(scaled, self.kind)

    def _shifted(self, decay: MulShift, x: Value, kept: Value) -> Value:
        """The same in 64 bits, which `Neuron` has been checked not to leave."""
        code, builder = self.code, self.builder
        long = self._of(I64)
        product = builder.mul(code.cast(x, long), code.cast(kept, long))
        bits = code.of(long, decay.bits)
        low = builder.ashr(product, bits)
        match decay.rounding:
            case "floor":
                found = low
            case "toward_zero":
                minus = builder.icmp_signed("<", product, code.of(long, 0))
                upper = builder.neg(builder.ashr(builder.neg(product), bits))
                found = builder.select(minus, upper, low)
            case "half_even":
                half = code.of(long, (1 << decay.bits >> 1) - 1)
                odd = builder.and_(low, code.of(long, 1))
                found = builder.ashr(builder.add(builder.add(product, half), odd), bits)
        return code.cast(found, self.kind)

    def _term_by_term(
        self, x: Value, gain: Value, number: int, limited: Callable[[Value], Value]
    ) -> Value:
        code, builder = self.code, self.builder
        rows = self.frame.buffer(self.edges[number].node).size // len(self.order)
        counted = self.now

        def term(row: Value, carried: list[Value]) -> list[Value]:
            self.now = carried[1:]
            at = builder.add(builder.mul(row, code.i64(len(self.order))), self.index)
            value = builder.mul(gain, self.drives[number](at))
            after = limited(builder.add(carried[0], value))
            return [after, *self.now]

        x, *self.now = code.fold(rows, [x, *counted], term)
        return x

    # ---- clamps

    def _clamped(self, name: str, clamp: Clamp | None, x: Value) -> Value:
        assert clamp is not None
        if name in self.places.idle:
            return x
        code, builder = self.code, self.builder
        low, high = code.of(self.kind, clamp.low), code.of(self.kind, clamp.high)
        below, above = builder.icmp_signed("<", x, low), builder.icmp_signed(">", x, high)
        number = len(COUNTS) + [n for n, _ in self.op.named_states()].index(name)
        self._count(number, builder.or_(below, above))
        span = code.of(self.kind, clamp.high - clamp.low + 1)
        match clamp.rule:
            case "saturate" | "forbid":
                return code.minimum(code.maximum(x, low), high)
            case "wrap":
                return self._wrapped(clamp, x)
            case "wrap_once":
                x = builder.select(above, builder.sub(x, span), x)
                return builder.select(below, builder.add(x, span), x)

    def _wrapped(self, clamp: Clamp, x: Value) -> Value:
        code, builder = self.code, self.builder
        low, span = code.of(self.kind, clamp.low), code.of(self.kind, clamp.high - clamp.low + 1)
        from_low = builder.sub(x, low)
        turns = code.floor_division(from_low, span)
        return builder.sub(x, builder.mul(turns, span))

    # ---- spikes

    def _fires(self, v: Value) -> Value:
        fire, reset = self.op.fire, self.op.reset
        assert fire is not None
        assert reset is not None
        builder, code = self.builder, self.code
        unit = code.of(self.kind, fire.unit)
        threshold = builder.mul(self._param("threshold", fire.threshold), unit)
        self._count(1, builder.icmp_signed("==", v, threshold))
        passes = builder.icmp_signed(fire.compare, v, threshold)
        if fire.limit == 1:
            return builder.zext(passes, self.kind)
        amount = (
            self._param("reset amount", reset.amount) if reset.kind == "subtract" else threshold
        )
        above = builder.sub(v, threshold)
        if fire.compare == ">":  # ceil(above / amount) - 1
            above = builder.sub(above, code.of(self.kind, 1))
        more = builder.add(code.floor_division(above, amount), code.of(self.kind, 1))
        most = code.minimum(more, code.of(self.kind, fire.limit))
        return builder.select(passes, most, code.of(self.kind, 0))

    def _reset(self, v: Value, fired: Value) -> Value:
        reset = self.op.reset
        assert reset is not None
        builder, code = self.builder, self.code
        zero = code.of(self.kind, 0)
        if reset.kind == "zero":
            v = builder.select(builder.icmp_signed(">", fired, zero), zero, v)
        else:
            v = builder.sub(v, builder.mul(fired, self._param("reset amount", reset.amount)))
        if reset.floor is None:
            return v
        return code.maximum(v, self._param("reset floor", reset.floor))

    def _late(self, v: Value, i: Value) -> tuple[Value, Value]:
        """v before the decay, and what is added after it, for resets of the last step's spikes."""
        reset = self.op.reset
        assert reset is not None
        builder, zero = self.builder, self.code.of(self.kind, 0)
        fired = self._load(self.frame.place(self.places.fired), i, self.element)
        if reset.kind == "zero":
            return builder.select(builder.icmp_signed(">", fired, zero), zero, v), zero
        amount = builder.mul(fired, self._param("reset amount", reset.amount))
        if reset.when == "before_decay":
            return builder.sub(v, amount), zero
        return v, builder.neg(amount)

    # ---- memory

    def _kept(self, name: str, i: Value) -> Value:
        return self._load(self.frame.place(self.places.states[name]), i, self.element)

    def _keep(self, name: str, i: Value, x: Value) -> None:
        self._store(x, self.frame.place(self.places.states[name]), i)

    def _send(self, i: Value, x: Value) -> None:
        self._store(self.code.cast(x, self._of(INTEGERS[self.sent])), self.out, i)

    def _count(self, number: int, condition: Value) -> None:
        more = self.builder.zext(condition, self.kind)
        self.now[number] = self.builder.add(self.now[number], more)

    def _driven(self, number: int, i: Value) -> Value:
        """The current of neuron ``i``; None where its terms are added one by one."""
        drivers = self.op.synapses or (self.op.voltage,)
        return None if drivers[number].adds == "each" else self.drives[number](i)

    def _drive(self, edge: Edge) -> Callable[[Value], Value]:
        """What loads the current of a neuron from ``edge``, wherever it lies."""
        kind, buffer = self.frame.type_of(edge.node), self.frame.buffer(edge.node)
        if buffer.size != len(self.order):  # terms, which lie in C order
            assert np.array_equal(self.order, np.arange(len(self.order)))
            address, places = self.frame.slot(edge), None
        else:
            address, places = self.frame.gathered(edge, self.order)
            self.scattered = self.scattered or places is not None

        def load(i: Value) -> Value:
            at = i if places is None else self.code.cast(self.code.load(places, i, I32), I64)
            return self.code.cast(self._load(address, at, kind), self.kind, signed=kind != I8)

        return load

    def _tables(self) -> None:
        """The address of every parameter that each neuron has of its own."""
        for name, param in self.op.params().items():
            if isinstance(param, Ref):
                data = lookup(param, self.frame.program.consts).data.ravel()[self.order]
                wide = np.int32 if self.bits == 32 else np.int64
                self.tables[name] = self.frame.array(data.astype(wide))

    def _param(self, name: str, param: Param) -> Value:
        if not isinstance(param, Ref):
            return self.code.of(self.kind, int(param))
        return self._load(self.tables[name], self.index, self.element)
