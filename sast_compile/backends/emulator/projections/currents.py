"""Currents that meet: terms one by one, their order, and sums of them."""

from __future__ import annotations

import numpy as np

from sast_compile.backends.emulator.frame import Frame
from sast_compile.backends.emulator.machine.code import I64, INTEGERS, Value
from sast_compile.backends.emulator.projections.shifts import moved
from sast_compile.ir.ops import Terms, lookup
from sast_compile.ir.program import Edge, Node


def terms(frame: Frame, node: Node) -> None:
    """``y[j] = W[:, j] x[j] << exponent``: products that a neuron adds one by one."""
    op, code = node.op, frame.code
    assert isinstance(op, Terms)
    (edge,), y = frame.plan.reads[node.name], frame.slot(Edge(node.name))
    weight = lookup(op.weight, frame.program.consts).data
    outputs, inputs = weight.shape
    x = frame.in_order(edge, np.arange(inputs))
    table = frame.array(f"weights of {node.name}", weight.T.astype(np.int64))

    def row(j: Value) -> None:
        value, start = x.load(j, I64), code.builder.mul(j, code.i64(outputs))

        def product(i: Value) -> None:
            at = code.builder.add(start, i)
            found = code.builder.mul(code.load(table, at, I64), value)
            y.store(moved(code, found, op.exponent), at)

        code.loop(outputs, product)

    code.loop(inputs, row)


def add(frame: Frame, node: Node) -> None:
    """The sum of currents."""
    code, y = frame.code, frame.slot(Edge(node.name))
    kind, order = INTEGERS[y.bits], frame.buffer(node.name).order
    xs = [frame.in_order(edge, order) for edge in frame.plan.reads[node.name]]

    def element(i: Value) -> None:
        total = code.of(kind, 0)
        for x in xs:
            total = code.builder.add(total, x.load(i, kind))
        y.store(total, i)

    code.loop(len(order), element)


def join(frame: Frame, node: Node) -> None:
    """Terms one behind the other."""
    code, y, before = frame.code, frame.slot(Edge(node.name)), 0
    for edge in frame.plan.reads[node.name]:
        x = frame.in_order(edge, np.arange(frame.buffer(edge.node).size))
        offset = code.i64(before)
        code.loop(
            x.size,
            lambda i, x=x, offset=offset: y.store(  # type: ignore[misc]
                x.load(i, INTEGERS[y.bits]), code.builder.add(i, offset)
            ),
        )
        before += x.size
