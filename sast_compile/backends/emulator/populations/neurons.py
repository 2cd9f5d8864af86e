"""One step of a population: the equations of `ir/neuron.py`, a vector of neurons at a time.

All integers of a population are computed in 32 bits where nothing can need more, else in 64. A
clamp is left out where the ranges of the program show that it never acts. The last vector may have
lanes without a neuron: they are computed as well, but neither spike nor count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from sast_compile.backends.emulator.frame import Frame
from sast_compile.backends.emulator.machine.code import BIT, I64, INTEGERS, Place, Value
from sast_compile.backends.emulator.memory.values import Values
from sast_compile.backends.emulator.populations.decays import (
    constant_share,
    multiplied,
    shifted_away,
)
from sast_compile.backends.emulator.populations.widths import largest
from sast_compile.ir.neuron import BitShift, Clamp, Decay, Factor, MulShift, Param, Ref, State
from sast_compile.ir.ops import Neuron, lookup
from sast_compile.ir.program import Edge, Node

COUNTS = ("spikes", "ties", "negatives")
WIDE = {32: 16, 64: 8}  # neurons in a vector of 512 bits, by the bits of their numbers


def vectors(size: int, bits: int) -> int:
    """The neurons that ``size`` are computed as, whole vectors of them."""
    return -(-size // WIDE[bits]) * WIDE[bits]


def state_bytes(size: int, bits: int) -> int:
    """What the states of ``size`` neurons take, for readers of as many lanes as any has."""
    return vectors(size, 32) * bits // 8


@dataclass(frozen=True)
class Places:
    """Where a population keeps its states (offsets in the arena), and what of it is recorded."""

    states: dict[str, int]
    fired: int
    bits: int  # of a state
    idle: frozenset[str]  # the states whose clamp never acts
    counts: Place | None = None  # this sample's tally, if one is kept
    inside: Value | None = None  # whether this step is a column of the sample

    def forbidden(self, op: Neuron) -> list[str]:
        """The states that must not leave their range, where nothing shows that they do not."""
        return [
            name
            for name, state in op.named_states()
            if state.clamp and state.clamp.rule == "forbid" and name not in self.idle
        ]


class Population:
    """Emits one step of the neurons of ``node``; what they send lies in its buffer."""

    def __init__(self, frame: Frame, node: Node, edges: tuple[Edge, ...], places: Places) -> None:
        op = node.op
        assert isinstance(op, Neuron)
        self.frame, self.code, self.builder = frame, frame.code, frame.code.builder
        self.name, self.op, self.places, self.bits = node.name, op, places, places.bits
        self.lanes = WIDE[self.bits]
        self.kind = ir.VectorType(INTEGERS[self.bits], self.lanes)
        self.order = frame.buffer(node.name).order
        self.out = frame.slot(Edge(node.name))
        self.drives = [self._drive(edge) for edge in edges]
        self.tables = self._tables()
        self.now: list[Value] = []  # what this vector has added to the counts
        self.index: Value = None
        self.mask: Value = None  # the lanes that have a neuron; None for all

    def step(self, begin: Value, size: int) -> None:
        """The ``size`` neurons from ``begin`` on, which is the first of a vector."""
        code, counts = self.code, self.places.counts
        names = [*COUNTS, *(name for name, _ in self.op.named_states())]
        whole, left = divmod(size, self.lanes)

        def each(i: Value, totals: list[Value]) -> list[Value]:
            self.now = [code.of(self.kind, 0)] * len(names)
            self.index = i
            self._one(i)
            if counts is None:
                return []
            more = (code.cast(self._sum(n), I64) for n in self.now)
            return [self.builder.add(t, n) for t, n in zip(totals, more, strict=True)]

        totals = [] if counts is None else [code.i64(0)] * len(names)
        last = self.builder.add(begin, code.i64(whole * self.lanes))
        self.mask = None
        if whole:
            totals = code.fold(last, totals, each, start=begin, step=self.lanes)
        if left:
            lanes = ir.VectorType(BIT, self.lanes)
            self.mask = ir.Constant(lanes, [int(lane < left) for lane in range(self.lanes)])
            totals = each(last, totals)
        if counts is not None:
            code.when(self.places.inside, lambda: self._tally(counts, totals))

    def _sum(self, value: Value) -> Value:
        name = f"llvm.vector.reduce.add.v{self.lanes}i{self.bits}"
        return self.code.call(name, INTEGERS[self.bits], value)

    def _tally(self, counts: Place, totals: list[Value]) -> None:
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
        self.now[0] = self._masked(fired)
        if op.reset.when == "after_fire":
            v = self._reset(v, fired)
        else:
            self.code.put_lanes(fired, self._state_place("fired", self.places.fired), i)
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
        match decay:
            case None:
                return x
            case MulShift():
                share = constant_share(decay)
                if share is not None:
                    return x if share else self.code.of(self.kind, 0)
                whole = self.code.of(self.kind, (1 << decay.bits) - decay.offset)
                kept = self.builder.sub(whole, self._param(f"{name} decay", decay.decay))
                most = largest(self.frame.program, self.name, name)
                assert most is not None  # `missing` has seen to that
                return multiplied(self.code, self.frame.processor, decay, x, kept, most)
            case BitShift():
                return shifted_away(self.code, decay, x, self._param(f"{name} decay", decay.dash))
            case Factor():
                raise AssertionError("floats are not emulated")

    def _term_by_term(
        self, x: Value, gain: Value, number: int, limited: Callable[[Value], Value]
    ) -> Value:
        code, builder = self.code, self.builder
        rows = self.drives[number].size // len(self.order)
        counted = self.now

        def term(row: Value, carried: list[Value]) -> list[Value]:
            self.now = carried[1:]
            at = builder.add(builder.mul(row, code.i64(len(self.order))), self.index)
            value = builder.mul(gain, self._lanes(self.drives[number], at))
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
        place = self._state_place("fired", self.places.fired)
        fired = self.code.lanes(place, i, INTEGERS[self.bits], self.lanes)
        if reset.kind == "zero":
            return builder.select(builder.icmp_signed(">", fired, zero), zero, v), zero
        amount = builder.mul(fired, self._param("reset amount", reset.amount))
        if reset.when == "before_decay":
            return builder.sub(v, amount), zero
        return v, builder.neg(amount)

    # ---- memory

    def _state_place(self, name: str, offset: int) -> Place:
        size = state_bytes(len(self.order), self.bits)
        return self.frame.kept(f"{name} of {self.name}", offset, size)

    def _kept(self, name: str, i: Value) -> Value:
        place = self._state_place(name, self.places.states[name])
        return self.code.lanes(place, i, INTEGERS[self.bits], self.lanes)

    def _keep(self, name: str, i: Value, x: Value) -> None:
        self.code.put_lanes(x, self._state_place(name, self.places.states[name]), i)

    def _send(self, i: Value, x: Value) -> None:
        if self.out.spikes:
            x = self.builder.icmp_signed("!=", x, self.code.of(self.kind, 0))
            x = x if self.mask is None else self.builder.and_(x, self.mask)
        self.out.put_lanes(x, i)

    def _masked(self, counts: Value) -> Value:
        if self.mask is None:
            return counts
        return self.builder.select(self.mask, counts, self.code.of(self.kind, 0))

    def _count(self, number: int, condition: Value) -> None:
        more = self._masked(self.builder.zext(condition, self.kind))
        self.now[number] = self.builder.add(self.now[number], more)

    def _driven(self, number: int, i: Value) -> Value:
        """The currents of the neurons from ``i`` on; None where terms are added one by one."""
        drivers = self.op.synapses or (self.op.voltage,)
        each = drivers[number].adds == "each"
        return None if each else self._lanes(self.drives[number], i)

    def _lanes(self, values: Values, i: Value) -> Value:
        return values.lanes(i, self.kind.element, self.lanes)

    def _drive(self, edge: Edge) -> Values:
        """The currents of ``edge`` in the neurons' order."""
        if self.frame.buffer(edge.node).size == len(self.order):
            return self.frame.in_order(edge, self.order)
        assert np.array_equal(self.order, np.arange(len(self.order)))  # as terms, in C order
        return self.frame.slot(edge)

    def _tables(self) -> dict[str, Place]:
        """Every parameter that each neuron has of its own; lanes without one repeat the last."""
        tables = {}
        for name, param in self.op.params().items():
            if isinstance(param, Ref):
                data = lookup(param, self.frame.program.consts).data.ravel()[self.order]
                more = vectors(len(data), self.bits) - len(data)
                wide = np.pad(data, (0, more), mode="edge").astype(f"int{self.bits}")
                tables[name] = self.frame.array(f"{name} of {self.name}", wide)
        return tables

    def _param(self, name: str, param: Param) -> Value:
        if not isinstance(param, Ref):
            return self.code.of(self.kind, int(param))
        return self.code.lanes(self.tables[name], self.index, INTEGERS[self.bits], self.lanes)
