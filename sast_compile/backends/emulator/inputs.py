"""Events on their way in: arrays of every element, or lists of those that are not 0.

A list is heard as it is by projections that only ask which elements are active; all others read
the bits that are set from it.
"""

from __future__ import annotations

import numpy as np

from sast_compile.backends.emulator.frame import Frame
from sast_compile.backends.emulator.machine.code import I8, I32, I64, INTEGERS, Value
from sast_compile.backends.emulator.memory.given import Given
from sast_compile.backends.emulator.projections.active import Active
from sast_compile.ir.program import Edge, Node

LANES = 64  # elements that are read at a time


def emit_input(frame: Frame, node: Node, its: Given) -> None:
    """The events of this step in the input's buffer, and nothing behind the last."""
    if its.as_list:
        return
    code, builder = frame.code, frame.code.builder
    slot = frame.slot(Edge(node.name))
    there = builder.icmp_signed("<", frame.time, frame.steps)
    if its.form == "sparse":
        slot.clear(code.i64(0), code.i64(slot.size))
        code.when(there, lambda: _set_bits(frame, node, its))
        return
    code.when(there, lambda: _copied(frame, node, its))
    code.when(builder.not_(there), lambda: slot.clear(code.i64(0), code.i64(slot.size)))


def _copied(frame: Frame, node: Node, its: Given) -> None:
    code, builder, slot = frame.code, frame.code.builder, frame.slot(Edge(node.name))
    kind = I8 if slot.spikes else INTEGERS[slot.bits]
    events = frame.entry(f"events of {node.name}", its.entry)
    start = builder.mul(_row(frame, frame.time), code.i64(slot.size))
    whole = slot.size // LANES * LANES

    def some(i: Value) -> None:
        values = code.lanes(events, builder.add(start, i), kind, LANES)
        if slot.spikes:
            values = builder.icmp_unsigned("!=", values, code.of(values.type, 0))
        slot.put_lanes(values, i)

    def one(i: Value) -> None:
        slot.store(code.load(events, builder.add(start, i), kind), i)

    code.loop(whole, some, step=LANES)
    code.loop(slot.size, one, start=whole)


def _set_bits(frame: Frame, node: Node, its: Given) -> None:
    code, slot, order = frame.code, frame.slot(Edge(node.name)), frame.buffer(node.name).order
    found = _list(frame, node.name, its, frame.time)
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    places = frame.array(f"places of {node.name}", place)

    def one(i: Value) -> None:
        at = code.cast(code.load(places, found.number(frame, i), I32), I64)
        slot.store(code.of(I8, 1), at)

    code.loop(found.count, one)


def listed(frame: Frame, edge: Edge) -> Active:
    """The active elements of an input given as a list, ``edge.delay`` steps ago."""
    code, builder = frame.code, frame.code.builder
    its = frame.given[edge.node]
    time = builder.sub(frame.time, code.i64(edge.delay))
    inside = builder.icmp_unsigned("<", time, frame.steps)
    found = _list(frame, edge.node, its, builder.select(inside, time, code.i64(0)))
    count = builder.select(inside, found.count, code.i64(0))
    return Active(found.place, found.kind, count)


def _list(frame: Frame, name: str, its: Given, time: Value) -> Active:
    code, builder, row = frame.code, frame.code.builder, _row(frame, time)
    firsts = frame.entry(f"rows of the events of {name}", its.entry)
    index = frame.entry(f"events of {name}", its.entry + 1)
    first = code.load(firsts, row, I64)
    end = code.load(firsts, builder.add(row, code.i64(1)), I64)
    return Active(code.at(index, first, I32), I32, builder.sub(end, first))


def _row(frame: Frame, time: Value) -> Value:
    builder = frame.code.builder
    return builder.add(builder.mul(frame.sample, frame.steps), time)
