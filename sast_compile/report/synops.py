"""Synaptic operations: how many synapses the spikes of a run reached.

Every spike counts its exact fan-out: the synapses that leave its neuron and whose weight is not 0,
so a convolution's borders count for what they have. A graded event of the input is one message and
counts once; a population that fires n times in a step counts n times. The operations that the input
makes are kept apart from those of hidden spikes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from sast_compile.ir.conv import Geometry, geometry
from sast_compile.ir.events import Events, OfInput, by_input
from sast_compile.ir.ops import (
    Conv2d,
    Dense,
    Flatten,
    Input,
    Join,
    Neuron,
    SumPool2d,
    Terms,
    lookup,
)
from sast_compile.ir.pool import sum_pool
from sast_compile.ir.program import Node, Program
from sast_compile.ir.sparse import SparseEvents
from sast_compile.ir.types import Array
from sast_compile.trace import Trace

Counts: TypeAlias = npt.NDArray[np.int64]
Activity: TypeAlias = Mapping[str, Counts]


@dataclass(frozen=True)
class Operations:
    """Synaptic operations of one projection over a whole run, by where the spikes came from."""

    projection: str
    input: int
    hidden: int


def synops(program: Program, events: Events, trace: Trace) -> tuple[Operations, ...]:
    """The operations of every projection of ``program``, in execution order.

    ``events`` (samples, steps, *input shape) is the run's input, ``trace`` the spikes of every
    layer. A spike of the last step counts like any other.
    """
    return operations(program, activity(program, events, trace))


def activity(program: Program, events: Events, trace: Trace) -> Activity:
    """How often each element of every input and population sent a spike in a run.

    Each is (*shape,); those of several runs add up.
    """
    found = {name: _active(data) for name, data in by_input(program, events).items()}
    for name, op in program.neurons.items():
        spikes = trace[name].spikes
        found[name] = _summed(spikes if op.fire is not None else spikes != 0)
    return found


def operations(program: Program, active: Activity) -> tuple[Operations, ...]:
    """The operations of every projection of ``program`` in a run of this activity."""
    found = []
    for node in program.nodes:
        if isinstance(node.op, (Dense, Conv2d, Terms)):
            reach, source = fan_out(program, node), node.inputs[0].node
            by_input, by_hidden = (
                int(reach @ _counts(program, source, active, kind).ravel())
                for kind in (Input, Neuron)
            )
            found.append(Operations(node.name, by_input, by_hidden))
    return tuple(found)


def fan_out(program: Program, node: Node) -> Counts:
    """The synapses with a weight that leave each element of the projection's input, in C order."""
    op, shape = node.op, program.types[node.inputs[0].node].shape
    assert isinstance(op, (Dense, Conv2d, Terms))
    weight = lookup(op.weight, program.consts)
    stands = weight.data != 0
    if not isinstance(op, Conv2d):
        return np.asarray(stands.sum(axis=0), dtype=np.int64)
    return _reach(op, geometry(op, shape, weight.type.shape), stands).ravel()


def _reach(op: Conv2d, shape: Geometry, stands: Array) -> Counts:
    """The synapses that leave each element (C, Y, X) of a convolution's input.

    An element has one for each output that sees it through a place (j, k) of the kernel where a
    weight stands: all outputs place by place, a slice of the padded input each.
    """
    channels, height, width = shape.input
    _, per_group, *kernel = shape.kernel
    by_group = stands.reshape(op.groups, -1, per_group, *kernel)
    many = by_group.sum(axis=1, dtype=np.int64).reshape(channels, *kernel)
    (top, bottom), (left, right) = op.padding
    padded = np.zeros((channels, top + height + bottom, left + width + right), np.int64)
    for j, k in np.ndindex(kernel[0], kernel[1]):
        rows, columns = (
            slice(dilation * at, dilation * at + stride * (size - 1) + 1, stride)
            for at, dilation, stride, size in zip(
                (j, k), op.dilation, op.stride, shape.output[1:], strict=True
            )
        )
        padded[:, rows, columns] += many[:, j, k, None, None]
    return padded[:, top : top + height, left : left + width]


def _active(data: OfInput) -> Counts:
    if isinstance(data, SparseEvents):
        return data.counts()
    array = np.asarray(data)
    return _summed(array if array.dtype == np.uint8 and array.max(initial=0) <= 1 else array != 0)


def _summed(spikes: Array) -> Counts:
    """The sum over samples and steps. Bytes are added as bytes, as many as cannot overflow."""
    rows = spikes.reshape(-1, *spikes.shape[2:])
    if rows.dtype not in (np.uint8, np.bool_):
        return np.asarray(rows.sum(axis=0, dtype=np.int64))
    small = rows.view(np.uint8)
    many = 255 // max(1, int(small.max(initial=0)))
    total = np.zeros(rows.shape[1:], np.int64)
    for at in range(0, len(small), many):
        total += small[at : at + many].sum(axis=0, dtype=np.uint8)
    return total


def _counts(
    program: Program, name: str, active: Activity, kind: type[Input] | type[Neuron]
) -> Counts:
    """How often each element of ``name`` carried a spike that a ``kind`` sent."""
    node = program.by_name[name]
    if isinstance(node.op, kind):
        return active[name]
    match node.op:
        case Flatten():
            return _counts(program, node.inputs[0].node, active, kind).ravel()
        case SumPool2d():  # a spike reaches each window that it lies in
            below = _counts(program, node.inputs[0].node, active, kind)
            return np.asarray(sum_pool(node.op, below[None])[0], dtype=np.int64)
        case Join():
            return np.concatenate([_counts(program, e.node, active, kind) for e in node.inputs])
        case _:  # what else carries no spikes of this kind; a loop ends here
            return np.zeros(program.types[name].shape, np.int64)
