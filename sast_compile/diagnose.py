"""What a neuron saw in the step of a difference: its active inputs and their weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sast_compile.compare import Difference
from sast_compile.ir.conv import geometry, synapses
from sast_compile.ir.ops import Add, Conv2d, Flatten, Input, Projection
from sast_compile.ir.program import Edge, Program
from sast_compile.ir.types import Array
from sast_compile.trace import Trace


@dataclass(frozen=True)
class Seen:
    """One active input of a neuron: ``value`` (spikes) on ``index`` of ``source``, its weight."""

    projection: str
    source: str
    index: tuple[int, ...]  # (p, y, x) where the source has these axes
    value: int
    weight: int


def inputs_seen(
    program: Program, trace: Trace, events: Array, difference: Difference
) -> list[Seen]:
    """The inputs of the differing neuron that were not 0 in the column of the difference."""
    node = program.by_name[difference.layer]
    neuron = int(np.ravel_multi_index(difference.neuron, program.types[difference.layer].shape))
    seen: list[Seen] = []
    for projection, edge in _projections(program, node.inputs):
        op = program.by_name[projection].op
        assert isinstance(op, Projection)
        lag = program.start_of(difference.layer) - program.start_of(edge.node)  # the chip's own
        column = difference.step - (edge.delay - lag)
        if column < 0:
            continue
        source, values = _values(program, trace, events, edge.node)
        shape = values.shape[2:]
        row = _weights(program, projection, op, neuron)
        flat = values[difference.sample, column].ravel()
        for index in np.flatnonzero(flat):
            at = tuple(int(i) for i in np.unravel_index(index, shape))
            seen.append(Seen(projection, source, at, int(flat[index]), int(row[index])))
    return seen


def _weights(program: Program, name: str, op: Projection, neuron: int) -> Array:
    """The weight of ``neuron`` for every element of the projection's input; 0 outside a kernel."""
    weight = program.consts[op.weight.name].data
    if not isinstance(op, Conv2d):
        row: Array = weight[neuron]
        return row
    shape = program.types[program.by_name[name].inputs[0].node].shape
    target, source, kernel = synapses(op, geometry(op, shape, weight.shape))
    row = np.zeros(math.prod(shape), weight.dtype)
    mine = target == neuron
    row[source[mine]] = weight.ravel()[kernel[mine]]
    return row


def _projections(program: Program, edges: tuple[Edge, ...]) -> list[tuple[str, Edge]]:
    """The projections behind ``edges``, and what each reads, with all the delays on the way."""
    found: list[tuple[str, Edge]] = []
    for edge in edges:
        source = program.by_name[edge.node]
        inputs = tuple(Edge(e.node, e.delay + edge.delay) for e in source.inputs)
        if isinstance(source.op, Projection):
            found.append((source.name, inputs[0]))
        elif isinstance(source.op, Add):
            found += _projections(program, inputs)
    return found


def _values(program: Program, trace: Trace, events: Array, name: str) -> tuple[str, Array]:
    """The record that ``name`` carries on: a population's spikes, or the events."""
    op = program.by_name[name].op
    if isinstance(op, Flatten):
        return _values(program, trace, events, program.by_name[name].inputs[0].node)
    if not isinstance(op, Input):
        return name, trace[name].spikes
    return name, events[name] if events.dtype.names else events
