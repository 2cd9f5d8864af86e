"""A program as one function of LLVM's, for the samples ``first`` to ``last`` of a batch.

``run(table, first, last, steps, memory, words, block)``: ``table`` holds where the events of each
input lie, each record, the tallies and the constants; ``memory`` is that of one thread: an arena
of so many 64-bit ``words`` for each of ``block`` samples, and the scratch behind them.

``block`` samples begin with arenas of zeros, which is rest. Turn by turn of some steps, every stage
goes through its tiles, each for all of these samples and steps. The function returns 0; checked
code returns the number of the first access that would have left its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from llvmlite import ir
from typing_extensions import assert_never

from sast_compile.backends.emulator.frame import Array, Frame
from sast_compile.backends.emulator.inputs import emit_input
from sast_compile.backends.emulator.machine.code import I8, I64, POINTER, Code, Place, Value
from sast_compile.backends.emulator.machine.processor import Processor
from sast_compile.backends.emulator.memory.given import ENTRIES, Form, given
from sast_compile.backends.emulator.memory.layout import Arena, Buffer, lay_out
from sast_compile.backends.emulator.memory.records import Record, copy_column, records_of
from sast_compile.backends.emulator.memory.values import Values
from sast_compile.backends.emulator.populations.neurons import (
    COUNTS,
    Places,
    Population,
    state_bytes,
)
from sast_compile.backends.emulator.populations.widths import width_of
from sast_compile.backends.emulator.projections.currents import add, join, terms
from sast_compile.backends.emulator.projections.kernels import kernel_of
from sast_compile.backends.emulator.projections.tiles import Kernel, Tiles
from sast_compile.backends.emulator.projections.windows import pool
from sast_compile.backends.emulator.stages import planned, tiled
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

Span = tuple[Value, int]  # the first element, and how many


@dataclass(frozen=True)
class Wanted:
    """What is kept of a run, and in which form each input comes."""

    recorded: tuple[str, ...]
    states: bool  # of the recorded populations, with tallies
    forms: Mapping[str, Form]
    checked: bool = False


@dataclass(frozen=True, eq=False)
class Emitted:
    """The code, and what its table must hold: events, records, tallies, then the constants."""

    text: str
    constants: list[Array]
    inputs: list[Buffer]
    records: list[Record]
    tallies: dict[str, list[str]]  # the names of each one's counts
    forbidden: dict[str, list[str]]  # of these, what must be 0
    words: int  # of the arena of a sample
    scratch: int  # bytes
    checks: list[str]


def emit(program: Program, wanted: Wanted, processor: Processor) -> Emitted:
    """The function of ``program``."""
    return _Function(program, wanted, processor).emitted()


class _Function:
    def __init__(self, program: Program, wanted: Wanted, processor: Processor) -> None:
        self.program = program
        plan = planned(program, wanted.recorded)
        arena = lay_out(program, plan.slots)
        self.places = _places(program, plan.reads, arena)
        bits = {name: places.bits for name, places in self.places.items()}
        self.records = [
            record
            for name in wanted.recorded
            for record in records_of(program, name, arena, bits, wanted.states)
        ]
        self.tallied = [
            name for name, op in program.neurons.items()
            if wanted.states or self.places[name].forbidden(op)
        ]  # fmt: skip
        inputs = given(program, wanted.forms, {record.edge.node for record in self.records})
        self.first_record = sum(ENTRIES[its.form] for its in inputs.values())
        module = ir.Module("program")
        kind = ir.FunctionType(I64, [POINTER, I64, I64, I64, POINTER, I64, I64])
        function = ir.Function(module, kind, "run")
        table, self.first, self.last, steps, self.memory, self.words, self.block = function.args
        self.code = Code(module, function, wanted.checked)
        self.frame = Frame(self.code, program, plan, processor, arena, Arena(), table, steps)
        self.frame.given = inputs
        self.late = max((program.start_of(name) for name in wanted.recorded), default=0)

    def emitted(self) -> Emitted:
        code, builder, frame = self.code, self.code.builder, self.frame
        front = self.first_record + len(self.records) + len(self.tallied)
        frame.arrays = [None] * front  # constants join the table behind what varies
        arenas = builder.mul(self.block, self._bytes(self.words))
        frame.shared = builder.gep(self.memory, [arenas], source_etype=I8)
        self.total = builder.add(frame.steps, code.i64(self.late))
        code.loop(self.last, self._samples, start=self.first, step=self.block)
        builder.ret(code.i64(0))
        return Emitted(
            str(code.module),
            [array for array in frame.arrays if array is not None],
            [frame.buffer(name) for name in self.program.inputs],
            self.records,
            {name: self._counted(name) for name in self.tallied},
            {name: self.places[name].forbidden(op) for name, op in self.program.neurons.items()},
            frame.arena.size // 8,
            frame.scratch.size,
            code.checks,
        )

    def _bytes(self, words: Value) -> Value:
        return self.code.builder.mul(words, self.code.i64(8))

    # ---- samples, turns, stages, tiles

    def _samples(self, first: Value) -> None:
        """A block of samples, from ``first`` on."""
        code, builder = self.code, self.code.builder
        end = code.minimum(builder.add(first, self.block), self.last)
        used = builder.mul(self.words, builder.sub(end, first))
        code.zero(self.memory, self._bytes(used))

        def turn(begin: Value) -> None:
            until = code.minimum(builder.add(begin, code.i64(self.frame.plan.turn)), self.total)
            for stage in self.frame.plan.stages:
                self._stage(stage, (first, end), (begin, until))

        code.loop(self.total, turn, step=self.frame.plan.turn)

    def _stage(
        self, stage: tuple[Node, ...], samples: tuple[Value, Value], steps: tuple[Value, Value]
    ) -> None:
        code, builder, frame = self.code, self.code.builder, self.frame
        kernels = {
            node.name: kernel_of(frame, node)
            for node in stage
            if isinstance(node.op, Dense | Conv2d)
        }

        def over_time(body: Callable[[], None]) -> None:
            def sample(number: Value) -> None:
                own = builder.mul(builder.sub(number, samples[0]), self._bytes(self.words))
                frame.sample = number
                frame.memory = builder.gep(self.memory, [own], source_etype=I8)
                code.loop(steps[1], step, start=steps[0])

            def step(time: Value) -> None:
                frame.time = time
                body()

            code.loop(samples[1], sample, start=samples[0])

        if not tiled(stage, frame.plan.reads):
            over_time(lambda: self._nodes(stage, kernels))
            return
        projection, population = stage
        kernel = kernels[projection.name]
        for tiles in kernel.tiles:

            def tile(number: Value, tiles: Tiles = tiles) -> None:
                begin = _begin(code, tiles, number)

                def both() -> None:
                    kernel.add_up(begin, tiles.size)
                    self._record(projection.name, (begin, tiles.size))
                    self._population(population, (begin, tiles.size))

                over_time(both)

            code.loop(tiles.count, tile)

    def _nodes(self, stage: tuple[Node, ...], kernels: Mapping[str, Kernel]) -> None:
        for node in stage:
            self._node(node, kernels.get(node.name))
            if not isinstance(node.op, Neuron):
                self._record(node.name, self._whole(node.name))

    def _whole(self, name: str) -> Span:
        return self.code.i64(0), self.frame.buffer(name).size

    def _node(self, node: Node, kernel: Kernel | None) -> None:
        frame, code = self.frame, self.code
        match node.op:
            case Input():
                emit_input(frame, node, frame.given[node.name])
            case Dense() | Conv2d():
                assert kernel is not None
                for tiles in kernel.tiles:
                    code.loop(
                        tiles.count,
                        lambda number, tiles=tiles: kernel.add_up(  # type: ignore[misc]
                            _begin(code, tiles, number), tiles.size
                        ),
                    )
            case SumPool2d():
                pool(frame, node)
            case Terms():
                terms(frame, node)
            case Add():
                add(frame, node)
            case Join():
                join(frame, node)
            case Neuron():
                self._population(node, self._whole(node.name))
            case Flatten() | Scale():
                raise AssertionError("a flatten has no buffer, and floats are not emulated")
            case _:
                assert_never(node.op)

    def _population(self, node: Node, span: Span) -> None:
        """One step of the neurons of ``span``, from the step on in which they begin."""
        code, builder, frame, op = self.code, self.code.builder, self.frame, node.op
        assert isinstance(op, Neuron)
        start = code.i64(op.start)

        def step() -> None:
            column = builder.sub(frame.time, start)
            inside = builder.icmp_unsigned("<", column, frame.steps)
            places = replace(self.places[node.name], counts=self._counts(node.name), inside=inside)
            Population(frame, node, frame.plan.reads[node.name], places).step(*span)
            self._record(node.name, span)

        code.when(builder.icmp_signed(">=", frame.time, start), step)

    # ---- records

    def _record(self, node: str, span: Span) -> None:
        """Copies what is kept of ``node`` in this step, if it is one of its columns."""
        for number, record in enumerate(self.records):
            if record.edge.node == node:
                self._copied(number, record, span)

    def _copied(self, number: int, record: Record, span: Span) -> None:
        code, builder, frame = self.code, self.code.builder, self.frame
        column = builder.sub(frame.time, code.i64(self.program.start_of(record.node)))
        inside = builder.icmp_unsigned("<", column, frame.steps)

        def copy() -> None:
            source = frame.slot(record.edge) if record.state is None else self._state(record)
            row = builder.add(builder.mul(frame.sample, frame.steps), column)
            target = frame.entry(f"record of {record.node}", self.first_record + number)
            copy_column(code, source, target, row, record, span)

        code.when(inside, copy)

    def _state(self, record: Record) -> Values:
        places, size = self.places[record.node], record.buffer.size
        assert record.state is not None
        place = self.frame.kept(
            f"{record.state} of {record.node}",
            places.states[record.state],
            state_bytes(size, places.bits),
        )
        return Values(self.code, place, places.bits, size)

    def _counted(self, name: str) -> list[str]:
        return [*COUNTS, *(s for s, _ in self.program.neurons[name].named_states())]

    def _counts(self, name: str) -> Place | None:
        if name not in self.tallied:
            return None
        entry = self.first_record + len(self.records) + self.tallied.index(name)
        row = self.code.i64(len(self._counted(name)))
        offset = self.code.builder.mul(self.frame.sample, row)
        return self.code.at(self.frame.entry(f"tally of {name}", entry), offset, I64)


def _begin(code: Code, tiles: Tiles, number: Value) -> Value:
    """The first sum of tile ``number``."""
    ahead = code.builder.mul(number, code.i64(tiles.size))
    return code.builder.add(ahead, code.i64(tiles.begin))


def _places(
    program: Program, reads: Mapping[str, tuple[Edge, ...]], arena: Arena
) -> dict[str, Places]:
    """Room for the states of every population."""
    reached = reaches(program)
    places = {}
    for name, op in program.neurons.items():
        names = [state for state, _ in op.named_states()]
        bits = width_of(program, name)
        size = state_bytes(arena.values[name].size, bits)
        idle = frozenset(names) - frozenset(reached[name].may_clamp(op))
        states = {state: arena.take(size) for state in names}
        places[name] = Places(states, arena.take(size), bits, idle)
    return places
