"""Where everything lies: one arena of bytes for each thread, and the order of elements in it.

A tensor (C, Y, X) lies as (Y, X, C), for then the channels of one pixel, which share a kernel, are
neighbours; all others lie in C order. `Buffer.order` says which element of the C order stands
where. A value that is read later has a slot for each step until then; slots that are not written
yet hold zeros, which is what a wire carries before the first step. A flatten has no buffer: who
reads it reads its source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sast_compile.ir.ops import Add, Conv2d, Flatten, Input, Neuron, SumPool2d, Terms
from sast_compile.ir.program import Edge, Node, Program
from sast_compile.ir.types import Int

Order = npt.NDArray[np.int64]
LINE = 64  # bytes: a cache line, and the widest vector
LANES = 32  # elements that a row of weights is padded to: so no vector reads past a buffer


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
        """Elements from slot to slot, a multiple of `LANES`."""
        return padded(self.size) + LANES  # the last vector may reach that far


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


def storage_bits(element: Int) -> int:
    """The bits that a value is kept in: spikes in a byte, everything else in 32 or 64."""
    if not element.signed and element.bits == 1:
        return 8
    return 32 if element.bits <= 31 + element.signed else 64


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


def lay_out(program: Program) -> Arena:
    """The buffers of every node but the flattens."""
    arena, reads = Arena(), wires(program)
    delays = dict.fromkeys(reads, 0)
    for edges in reads.values():
        for edge in edges:
            delays[edge.node] = max(delays[edge.node], edge.delay)
    for output in program.outputs:
        late = source_of(program, Edge(output))
        delays[late.node] = max(delays[late.node], late.delay)
    for name in reads:
        node = program.by_name[name]
        order = _order(program, node, reads[name], arena)
        bits, slots = storage_bits(_widest(program, node)), delays[name] + 1
        offset = arena.take((padded(len(order)) + LANES) * bits // 8 * slots)
        arena.values[name] = Buffer(name, offset, bits, slots, order)
    return arena


def element_of(program: Program, node: Node) -> Int:
    """The integers that ``node`` sends."""
    op = node.op
    fires = isinstance(op, Neuron) and op.fire is not None
    element = op.spikes().element if fires else program.types[node.name].element  # type: ignore[union-attr]
    assert isinstance(element, Int)
    return element


def _widest(program: Program, node: Node) -> Int:
    """The same before a shift to the right, which leaves fewer bits than the sum had."""
    element, exponent = element_of(program, node), getattr(node.op, "exponent", 0)
    return Int(min(element.bits + max(-exponent, 0), 63), element.signed)


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
