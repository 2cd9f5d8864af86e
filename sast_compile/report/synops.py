"""Synaptic operations: how many synapses the spikes of a run reached.

Every spike counts its exact fan-out: the synapses that leave its neuron and whose weight is not 0,
so a convolution's borders count for what they have. A graded event of the input is one message and
counts once; a population that fires n times in a step counts n times. The operations that the input
makes are kept apart from those of hidden spikes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sast_compile.ir.conv import geometry, synapses
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
from sast_compile.ir.types import Array
from sast_compile.trace import Trace

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Operations:
    """Synaptic operations of one projection over a whole run, by where the spikes came from."""

    projection: str
    input: int
    hidden: int


def synops(program: Program, events: Array, trace: Trace) -> tuple[Operations, ...]:
    """The operations of every projection of ``program``, in execution order.

    ``events`` (samples, steps, *input shape) is the run's input, ``trace`` the spikes of every
    layer. A spike of the last step counts like any other.
    """
    found = []
    for node in program.nodes:
        if isinstance(node.op, (Dense, Conv2d, Terms)):
            reach = fan_out(program, node)
            source = node.inputs[0].node
            by_input, by_hidden = (
                int(reach @ _counts(program, source, kind).ravel())
                for kind in (_events(events), _spikes(trace))
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
    links = synapses(op, geometry(op, shape, weight.type.shape))
    there = links.source[stands.ravel()[links.kernel]]
    return np.bincount(there, minlength=int(np.prod(shape))).astype(np.int64)


Read = Callable[[Node], Counts | None]


def _events(events: Array) -> Read:
    def read(node: Node) -> Counts | None:
        if not isinstance(node.op, Input):
            return None
        return _summed((events[node.name] if events.dtype.names else events) != 0)

    return read


def _spikes(trace: Trace) -> Read:
    def read(node: Node) -> Counts | None:
        if not isinstance(node.op, Neuron):
            return None
        spikes = trace[node.name].spikes
        return _summed(spikes if node.op.fire is not None else spikes != 0)

    return read


def _summed(spikes: Array) -> Counts:
    return np.asarray(spikes.sum(axis=(0, 1), dtype=np.int64))


def _counts(program: Program, name: str, read: Read) -> Counts:
    """How often each element of ``name`` carried a spike that ``read`` counts, 0 for the others."""
    node = program.by_name[name]
    counted = read(node)
    if counted is not None:
        return counted
    match node.op:
        case Flatten():
            return _counts(program, node.inputs[0].node, read).ravel()
        case SumPool2d():  # a spike reaches each window that it lies in
            below = _counts(program, node.inputs[0].node, read)
            return np.asarray(sum_pool(node.op, below[None])[0], dtype=np.int64)
        case Join():
            return np.concatenate([_counts(program, e.node, read) for e in node.inputs])
        case _:  # what else carries no spikes of this kind; a loop ends here
            return np.zeros(program.types[name].shape, np.int64)
