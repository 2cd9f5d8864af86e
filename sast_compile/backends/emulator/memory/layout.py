"""Where everything lies: one arena of bytes for each thread, and the order of elements in it.

A tensor (C, Y, X) lies as (Y, X, C), for then the channels of one pixel, which share a kernel, are
neighbours; all others lie in C order. `Buffer.order` says which element of the C order stands
where. Spikes take a bit each, all else 16, 32 or 64.

A value has a slot for each step until it is read the last time: the steps of its delay, and those
that its stage is computed ahead of the reader's. Slots that are not written yet hold zeros, which
is what a wire carries before the first step. A flatten has no buffer: who reads it reads its
source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sast_compile.ir.ops import Add, Conv2d, Flatten, Input, Neuron, SumPool2d, Terms
from sast_compile.ir.program import Edge, Node, Program
from sast_compile.ir.types import Int

Order = npt.NDArray[np.int64]
LINE = 64  # bytes: a cache line, and the widest vector
LANES = 32  # elements that a row of weights is padded to: so no vector reads past a buffer
BITS = 512  # that a slot of spikes is padded to


@dataclass(frozen=True, eq=False)
class Buffer:
    """``slots`` times the elements of a node's value, each of ``bits`` bits, at ``offset``."""

    node: str
    offset: int
    bits: int
    slots: int
    order: Order

    @property
    def size(self) -> int:
        return len(self.order)

    @property
    def stride(self) -> int:
        """Elements from slot to slot."""
        if self.bits == 1:
            return -(-self.size // BITS) * BITS
        return padded(self.size) + LANES  # the last vector may reach that far

    @property
    def slot_bytes(self) -> int:
        return self.stride * self.bits // 8

    @property
    def bytes(self) -> int:
        return self.slot_bytes * self.slots


@dataclass
class Arena:
    """Buffers one behind the other; ``size`` bytes in all."""

    size: int = 0
    values: dict[str, Buffer] = field(default_factory=dict)

    def take(self, size: int) -> int:
        """The offset of ``size`` fresh bytes, which begin a cache line."""
        offset = self.size
        self.size += -(-size // LINE) * LINE
        return offset


def padded(size: int) -> int:
    """The next multiple of `LANES`."""
    return -(-size // LANES) * LANES


def bits_of(program: Program, node: Node) -> int:
    """The bits that an element of the node's value is kept in: one for a spike."""
    element = element_of(program, node)
    if isinstance(node.op, Input | Neuron) and element.bits == 1 and not element.signed:
        return 1
    # before a shift to the right, which leaves fewer bits than the sum had
    more = max(-getattr(node.op, "exponent", 0), 0)
    return next((b for b in (16, 32) if element.bits + more < b + element.signed), 64)


def source_of(program: Program, edge: Edge) -> Edge:
    """The edge, past every flatten, to the node that has the value."""
    node = program.by_name[edge.node]
    if not isinstance(node.op, Flatten):
        return edge
    inner = source_of(program, node.inputs[0])
    return Edge(inner.node, inner.delay + edge.delay)


def wires(program: Program) -> dict[str, tuple[Edge, ...]]:
    """What every node but a flatten reads."""
    return {
        node.name: tuple(source_of(program, edge) for edge in node.inputs)
        for node in program.nodes
        if not isinstance(node.op, Flatten)
    }


def lay_out(program: Program, slots: Mapping[str, int]) -> Arena:
    """The buffers of every node that ``slots`` names, with so many slots."""
    arena, reads = Arena(), wires(program)
    for name, count in slots.items():
        node = program.by_name[name]
        order = _order(program, node, reads[name], arena)
        buffer = Buffer(name, arena.size, bits_of(program, node), count, order)
        arena.take(buffer.bytes)
        arena.values[name] = buffer
    return arena


def element_of(program: Program, node: Node) -> Int:
    """The integers that ``node`` sends."""
    op = node.op
    fires = isinstance(op, Neuron) and op.fire is not None
    element = op.spikes().element if fires else program.types[node.name].element  # type: ignore[union-attr]
    assert isinstance(element, Int)
    return element


def channels_last(shape: tuple[int, ...]) -> Order:
    """The C order's elements of (C, ..), channels fastest."""
    whole = np.arange(math.prod(shape)).reshape(shape)
    return np.ascontiguousarray(np.moveaxis(whole, 0, -1)).ravel()


def _order(program: Program, node: Node, reads: tuple[Edge, ...], arena: Arena) -> Order:
    shape = program.types[node.name].shape
    match node.op:
        case Conv2d() | SumPool2d():
            return channels_last(shape)
        case Neuron() | Add():  # as the first of those it reads, where that is known and fits
            known = [arena.values[e.node].order for e in reads if e.node in arena.values]
            fitting = [order for order in known if len(order) == math.prod(shape)]
            return fitting[0] if fitting else _plain(shape)
        case Terms():
            return np.arange(math.prod(shape))
        case Input() if not any(
            isinstance(n.op, Conv2d | SumPool2d) for n in program.consumers(node.name)
        ):
            return np.arange(math.prod(shape))
        case _:
            return _plain(shape)


def _plain(shape: tuple[int, ...]) -> Order:
    return channels_last(shape) if len(shape) == 3 else np.arange(math.prod(shape))
