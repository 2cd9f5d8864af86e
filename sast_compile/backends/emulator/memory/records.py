"""What is kept of a run: values and states, column by column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sast_compile.backends.emulator.machine.code import INTEGERS, Code, Place, Value
from sast_compile.backends.emulator.memory.layout import Arena, Buffer, source_of
from sast_compile.backends.emulator.memory.values import Values
from sast_compile.ir.program import Edge, Program

LANES = 16  # elements that are copied at a time


@dataclass(frozen=True)
class Record:
    """What is kept of ``node``: its value (``state`` None) or a state, in ``bits`` an element.

    ``edge``: where the value comes from, past every flatten. A row is ``width`` elements, those of
    the ``buffer`` and what fills the last vector.
    """

    node: str
    state: str | None
    edge: Edge
    bits: int
    buffer: Buffer

    @property
    def width(self) -> int:
        return -(-self.buffer.size // LANES) * LANES


def records_of(
    program: Program, name: str, arena: Arena, widths: Mapping[str, int], states: bool
) -> list[Record]:
    """The records of the node ``name``; ``widths``: the bits of each population's states."""
    edge = source_of(program, Edge(name))
    buffer = arena.values[edge.node]
    found = [Record(name, None, edge, max(buffer.bits, 8), buffer)]
    if states and name in program.neurons:
        names = [state for state, _ in program.neurons[name].named_states()]
        found += [Record(name, state, edge, widths[name], buffer) for state in names]
    return found


def copy_column(
    code: Code, source: Values, target: Place, row: Value, record: Record, span: tuple[Value, int]
) -> None:
    """The elements of ``span`` (first, how many) of ``source`` into row ``row`` of a record."""
    begin, size = span
    kind, builder = INTEGERS[record.bits], code.builder
    start = builder.mul(row, code.i64(record.width))

    def some(i: Value) -> None:
        code.put_lanes(source.lanes(i, kind, LANES), target, builder.add(start, i))

    code.loop(builder.add(begin, code.i64(size)), some, start=begin, step=LANES)
