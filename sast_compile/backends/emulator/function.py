"""A program as one function of LLVM's: samples ``first`` to ``last`` of a batch, step by step.

``run(table, first, last, steps, memory, words)``: ``table`` holds the addresses of the events of
each input, of each record, of the tallies, and of the constants; ``memory`` is an arena of one
thread, of so many 64-bit ``words``. Every sample begins with an arena of zeros, which is rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from llvmlite import ir
from typing_extensions import assert_never

from sast_compile.backends.emulator.code import I64, INTEGERS, POINTER, Code, Value
from sast_compile.backends.emulator.frame import Array, Frame
from sast_compile.backends.emulator.layout import Buffer, lay_out, source_of, wires
from sast_compile.backends.emulator.neurons import COUNTS, Places, neuron
from sast_compile.backends.emulator.projections import add, dense, join, terms
from sast_compile.backends.emulator.widths import width_of
from sast_compile.backends.emulator.windows import convolution, pool
from sast_compile.ir.ops import (
    Add,
    Conv2d,
    Dense,
    Flatten,
    Input,
    Join,
    Neuron,
    Scale,
    SumPool2d,
    Terms,
)
from sast_compile.ir.program import Edge, Node, Program
from sast_compile.ir.ranges import reaches


@dataclass(frozen=True)
class Record:
    """What is kept of ``node``, column by column: its value (``state`` None) or a state."""

    node: str
    state: str | None
    bits: int
    buffer: Buffer


@dataclass
class Emitted:
    """The code, and what its table must hold."""

    text: str
    arrays: list[Array]
    inputs: list[Buffer]
    records: list[Record]
    tallies: dict[str, list[str]] = field(default_factory=dict)  # the names of each one's counts
    memory: int = 0  # bytes of an arena


def emit(program: Program, recorded: Sequence[str], states: bool) -> Emitted:
    """The function of ``program`` that records the nodes ``recorded``, with states and tallies."""
    return _Function(program, recorded, states).emitted()


class _Function:
    def __init__(self, program: Program, recorded: Sequence[str], states: bool) -> None:
        self.program, self.reads, self.arena = program, wires(program), lay_out(program)
        self.recorded, self.states = recorded, states
        module = ir.Module("program")
        kind = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64, I64, POINTER, I64])
        function = ir.Function(module, kind, "run")
        table, self.first, self.last, steps, memory, self.words = function.args
        self.code = Code(module, function)
        self.frame = Frame(self.code, program, self.arena, memory, table, steps=steps)
        self.module, self.idle = module, _idle(program)
        largest = max(b.size for b in self.arena.values.values())
        self.frame.scratch = self.arena.take(4 * (largest + 1))
        self.places = {name: self._places(name) for name in program.neurons}
        self.variable: list[Value] = []  # where the table's later entries are read
        self.inputs = [self.arena.values[name] for name in program.inputs]
        self.records = [r for name in recorded for r in self._records(name)]
        self.tallied = list(program.neurons) if states else []

    def emitted(self) -> Emitted:
        code, builder = self.code, self.code.builder
        # constants join the table as they are met: what varies is read from the table's front
        front = len(self.inputs) + len(self.records) + len(self.tallied)
        self.frame.arrays = [None] * front  # type: ignore[list-item]
        late = max((self.program.start_of(name) for name in self.recorded), default=0)
        total = builder.add(self.frame.steps, code.i64(late))

        def sample(number: Value) -> None:
            self.frame.sample = number
            self._clear()
            code.loop(total, self._step)

        code.loop(self.last, sample, start=self.first)
        builder.ret_void()
        names = {
            name: [*COUNTS, *(s for s, _ in self.program.neurons[name].named_states())]
            for name in self.tallied
        }
        return Emitted(
            str(self.module),
            self.frame.arrays[front:],
            self.inputs,
            self.records,
            names,
            self.arena.size,
        )

    def _clear(self) -> None:
        """An arena of zeros; its size is known when everything has been emitted."""
        zero, memory = self.code.of(I64, 0), self.frame.memory
        self.code.loop(self.words, lambda i: self.code.store(zero, memory, i))

    def _step(self, time: Value) -> None:
        self.frame.time = time
        for node in self.program.nodes:
            self._node(node)

    def _node(self, node: Node) -> None:
        edges = self.reads.get(node.name, ())
        match node.op:
            case Input():
                self._input(node)
            case Flatten():
                return
            case Dense():
                dense(self.frame, node, edges[0])
            case Conv2d():
                convolution(self.frame, node, edges[0])
            case SumPool2d():
                pool(self.frame, node, edges[0])
            case Terms():
                terms(self.frame, node, edges[0])
            case Add():
                add(self.frame, node, edges)
            case Join():
                join(self.frame, node, edges)
            case Neuron():
                self._neuron(node, node.op, edges)
            case Scale():
                raise AssertionError("floats are not emulated")
            case _:
                assert_never(node.op)
        if not isinstance(node.op, Neuron):
            self._record(node.name)

    def _input(self, node: Node) -> None:
        """The events of this step, and nothing behind the last."""
        code, builder, frame = self.code, self.code.builder, self.frame
        buffer, kind = frame.buffer(node.name), frame.type_of(node.name)
        events = self._entry(self.program.inputs.index(node.name))
        column = builder.add(builder.mul(frame.sample, frame.steps), frame.time)
        start = builder.mul(column, code.i64(buffer.size))
        there = builder.icmp_signed("<", frame.time, frame.steps)
        slot = frame.slot(Edge(node.name))

        def with_events() -> None:
            code.loop(
                buffer.size,
                lambda i: code.store(code.load(events, builder.add(start, i), kind), slot, i),
            )

        code.when(there, with_events)
        code.when(
            builder.not_(there),
            lambda: code.loop(buffer.size, lambda i: code.store(code.of(kind, 0), slot, i)),
        )

    def _neuron(self, node: Node, op: Neuron, edges: tuple[Edge, ...]) -> None:
        code, frame = self.code, self.frame
        begun = code.builder.icmp_signed(">=", frame.time, code.i64(op.start))

        def step() -> None:
            column = code.builder.sub(frame.time, code.i64(op.start))
            inside = code.builder.icmp_signed("<", column, frame.steps)
            places = replace(self.places[node.name], counts=self._counts(node.name), inside=inside)
            neuron(frame, node, edges, places)
            self._record(node.name)

        code.when(begun, step)

    # ---- records

    def _records(self, name: str) -> list[Record]:
        edge = source_of(self.program, Edge(name))
        buffer = self.arena.values[edge.node]
        found = [Record(name, None, buffer.bits, buffer)]
        if self.states and name in self.program.neurons:
            op = self.program.neurons[name]
            bits = width_of(op, self.frame, self.reads[name])
            found += [Record(name, state, bits, buffer) for state, _ in op.named_states()]
        return found

    def _record(self, node: str) -> None:
        """Copies what is kept of ``node`` in this step, if it is one of its columns."""
        code, builder, frame = self.code, self.code.builder, self.frame
        for number, record in enumerate(self.records):
            edge = source_of(self.program, Edge(record.node))
            if edge.node != node:
                continue
            start = self.program.start_of(record.node)
            column = builder.sub(frame.time, code.i64(start))
            inside = builder.and_(
                builder.icmp_signed(">=", column, code.i64(0)),
                builder.icmp_signed("<", column, frame.steps),
            )
            target = self._entry(len(self.inputs) + number)
            source = (
                frame.slot(edge) if record.state is None
                else frame.place(self.places[node].states[record.state])
            )  # fmt: skip
            self._copy(inside, column, source, target, record)

    def _copy(self, inside: Value, column: Value, source: Value, to: Value, record: Record) -> None:
        code, builder, frame = self.code, self.code.builder, self.frame
        kind, size = INTEGERS[record.bits], record.buffer.size

        def copy() -> None:
            row = builder.add(builder.mul(frame.sample, frame.steps), column)
            start = builder.mul(row, code.i64(size))
            code.loop(
                size,
                lambda i: code.store(code.load(source, i, kind), to, builder.add(start, i)),
            )

        code.when(inside, copy)

    def _entry(self, number: int) -> Value:
        return self.frame.entry(number)

    def _counts(self, name: str) -> Value | None:
        if name not in self.tallied:
            return None
        row = len(self.inputs) + len(self.records) + self.tallied.index(name)
        op = self.program.neurons[name]
        wide = len(COUNTS) + len(op.named_states())
        offset = self.code.builder.mul(self.frame.sample, self.code.i64(wide))
        return self.code.at(self._entry(row), offset, I64)

    def _places(self, name: str) -> Places:
        op = self.program.neurons[name]
        bytes_ = (
            width_of(op, self.frame, self.reads[name]) // 8 * len(self.arena.values[name].order)
        )
        states = {state: self.arena.take(bytes_) for state, _ in op.named_states()}
        return Places(states, self.arena.take(bytes_), self.idle[name])


def _idle(program: Program) -> dict[str, frozenset[str]]:
    """Of every population the states whose clamp never acts, whatever comes in."""
    found = reaches(program)
    return {
        name: frozenset(s for s, _ in op.named_states()) - frozenset(found[name].may_clamp(op))
        for name, op in program.neurons.items()
    }
