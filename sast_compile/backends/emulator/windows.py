"""Convolutions and pools, event by event: an active pixel reaches what its windows make."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sast_compile.backends.emulator.code import I32, I64, INTEGERS, Value
from sast_compile.backends.emulator.frame import Frame
from sast_compile.backends.emulator.layout import channels_last, padded
from sast_compile.backends.emulator.projections import (
    Values,
    active,
    add_row,
    rows_of,
    shift_sums,
    values_of,
)
from sast_compile.ir.conv import Conv2d, geometry, synapses
from sast_compile.ir.ops import lookup
from sast_compile.ir.pool import SumPool2d, pool_synapses
from sast_compile.ir.program import Edge, Node
from sast_compile.ir.types import Array


def convolution(frame: Frame, node: Node, edge: Edge) -> None:
    """``y = (W * x) << exponent``: an active pixel adds one row of the kernel to each output."""
    op = node.op
    assert isinstance(op, Conv2d)
    weight = lookup(op.weight, frame.program.consts).data
    shape = geometry(op, frame.program.types[node.inputs[0].node].shape, weight.shape)
    target, source, kernel = synapses(op, shape)
    outputs, per_group, *_size = shape.kernel
    pixels, places = int(np.prod(shape.input[1:])), int(np.prod(shape.output[1:]))
    # one synapse for each channel pair stands for all: channel 0 of group 0 to output 0
    one = (target < places) & (source < pixels)
    taps = _by_source(source[one], target[one], kernel[one], pixels)
    group, per = shape.input[0] // op.groups, outputs // op.groups
    # rows of the kernel by tap, input channel: what the outputs of its group add
    by_tap = weight.reshape(op.groups, per, per_group, -1).transpose(3, 0, 2, 1)
    rows = rows_of(by_tap.reshape(-1, per))
    last = channels_last(shape.input)
    values = _in_order(frame, edge, last)
    count = active(frame, values)
    _scatter(frame, node, values, count, rows, taps, shape.input[0], group, outputs)
    shift_sums(frame, node, op.exponent)


def pool(frame: Frame, node: Node, edge: Edge) -> None:
    """The sum of every window: an active element adds itself to each that it lies in."""
    op, shape = node.op, frame.program.types[node.inputs[0].node].shape
    assert isinstance(op, SumPool2d)
    target, source, _ = pool_synapses(op, shape)
    out = frame.program.types[node.name].shape
    pixels, places = int(np.prod(shape[1:])), int(np.prod(out[1:]))
    one = (target < places) & (source < pixels)
    taps = _by_source(source[one], target[one], np.zeros(int(one.sum()), np.int64), pixels)
    values = _in_order(frame, edge, channels_last(shape))
    count = active(frame, values)
    rows = np.ones((1, padded(1)), np.int8)
    _scatter(frame, node, values, count, rows, taps, shape[0], 1, shape[0])


class Taps:
    """For each pixel: which output pixels it reaches, and through which tap of the kernel."""

    def __init__(self, first: Array, target: Array, tap: Array) -> None:
        self.first, self.target, self.tap = first, target, tap


def _by_source(source: Array, target: Array, kernel: Array, pixels: int) -> Taps:
    order = np.argsort(source, kind="stable")
    counts = np.bincount(source, minlength=pixels)
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Taps(first, target[order].astype(np.int64), kernel[order].astype(np.int64))


def _scatter(
    frame: Frame,
    node: Node,
    values: Values,
    count: Value,
    rows: Array,
    taps: Taps,
    channels: int,
    group: int,
    outputs: int,
) -> None:
    """Every active element adds its rows: ``channels`` a pixel, ``group`` of them a group."""
    code, builder, sums = frame.code, frame.code.builder, frame.type_of(node.name)
    y, found = frame.slot(Edge(node.name)), frame.place(frame.scratch)
    table, first, target, tap = map(frame.array, (rows, taps.first, taps.target, taps.tap))
    kind, width = INTEGERS[rows.dtype.itemsize * 8], rows.shape[1]
    pool_ = len(rows) == 1  # of ones, by each channel itself
    per = 1 if pool_ else outputs // (channels // group)
    code.loop(frame.buffer(node.name).stride, lambda j: code.store(code.of(sums, 0), y, j))

    def element(i: Value) -> None:
        index = code.cast(code.load(found, i, I32), I64)
        pixel = builder.sdiv(index, code.i64(channels))
        channel = builder.srem(index, code.i64(channels))
        x = code.cast(code.load(values.address, index, values.kind), sums, signed=not values.spikes)
        into = (
            channel if pool_ else builder.mul(builder.sdiv(channel, code.i64(group)), code.i64(per))
        )

        def reach(k: Value) -> None:
            place = builder.mul(code.load(target, k, I64), code.i64(outputs))
            begin = builder.add(place, into)
            which = builder.add(builder.mul(code.load(tap, k, I64), code.i64(channels)), channel)
            start = builder.mul(code.i64(0) if pool_ else which, code.i64(width))

            add_row(frame, table, kind, start, y, begin, sums, per, None if values.spikes else x)

        end = code.load(first, builder.add(pixel, code.i64(1)), I64)
        code.loop(end, reach, start=code.load(first, pixel, I64))

    code.loop(count, element)


def _in_order(frame: Frame, edge: Edge, order: npt.NDArray[np.int64]) -> Values:
    """The values in ``order``: where they lie, if they lie so, else a copy."""
    address, places = frame.gathered(edge, order)
    found = values_of(frame, edge)
    if places is None:
        return found
    code = frame.code
    copy = frame.place(frame.arena.take(padded(len(order)) * frame.buffer(edge.node).bits // 8))
    code.loop(
        len(order),
        lambda i: code.store(
            code.load(address, code.cast(code.load(places, i, I32), I64), found.kind), copy, i
        ),
    )
    return Values(copy, found.kind, found.size, found.spikes)
