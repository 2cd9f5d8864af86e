"""Convolutions and pools of any geometry: an active element reaches what its windows make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sast_compile.backends.emulator.frame import Frame
from sast_compile.backends.emulator.machine.code import I64, INTEGERS, Value
from sast_compile.backends.emulator.memory.layout import channels_last, padded
from sast_compile.backends.emulator.projections.active import active, room
from sast_compile.backends.emulator.projections.plain import Adder, factor_of, rows_of
from sast_compile.backends.emulator.projections.shifts import shift_sums
from sast_compile.backends.emulator.projections.tiles import Tiles
from sast_compile.ir.conv import Conv2d, geometry, synapses
from sast_compile.ir.ops import lookup
from sast_compile.ir.pool import SumPool2d, pool_synapses
from sast_compile.ir.program import Edge, Node
from sast_compile.ir.types import Array


@dataclass(frozen=True, eq=False)
class Windows:
    """Pixel p reaches the output pixels ``target[first[p] : first[p + 1]]``, each through its tap.

    A channel of ``inputs`` belongs to a group of ``group`` inputs and ``each`` outputs; row
    ``tap inputs + channel`` of ``rows`` is what it adds to them. The rows of a pool are all one.
    """

    first: Array
    target: Array
    tap: Array
    rows: Array
    inputs: int
    group: int
    each: int

    @property
    def outputs(self) -> int:
        return self.inputs // self.group * self.each


class PlainConvolution:
    """``y = (W * x) << exponent``."""

    def __init__(self, frame: Frame, node: Node) -> None:
        op = node.op
        assert isinstance(op, Conv2d)
        self.frame, self.node, self.exponent = frame, node, op.exponent
        weight = lookup(op.weight, frame.program.consts).data
        shape = geometry(op, frame.program.types[node.inputs[0].node].shape, weight.shape)
        outputs, group, *_ = shape.kernel
        each = outputs // op.groups
        # rows of the kernel by tap, input channel: what the outputs of its group add
        by_tap = weight.reshape(op.groups, each, group, -1).transpose(3, 0, 2, 1)
        pixels, places = int(np.prod(shape.input[1:])), int(np.prod(shape.output[1:]))
        reached = _by_pixel(*synapses(op, shape), pixels, places)
        rows = rows_of(by_tap.reshape(-1, each))
        self.windows = Windows(*reached, rows, shape.input[0], group, each)
        self.order = channels_last(shape.input)
        self.tiles: tuple[Tiles, ...] = (Tiles(0, 1, outputs * places),)

    def add_up(self, begin: Value, size: int) -> None:
        """All sums."""
        _scatter(self.frame, self.node, self.windows, self.order)
        y = self.frame.slot(Edge(self.node.name))
        shift_sums(self.frame.code, y, self.exponent, begin, size)


def pool(frame: Frame, node: Node) -> None:
    """The sum of every window: an active element adds itself to each that it lies in."""
    op, shape = node.op, frame.program.types[node.inputs[0].node].shape
    assert isinstance(op, SumPool2d)
    out = frame.program.types[node.name].shape
    pixels, places = int(np.prod(shape[1:])), int(np.prod(out[1:]))
    first, target, _ = _by_pixel(*pool_synapses(op, shape), pixels, places)
    ones = np.ones((1, padded(1)), np.int8)
    windows = Windows(first, target, np.zeros_like(target), ones, shape[0], 1, 1)
    _scatter(frame, node, windows, channels_last(shape))


def _by_pixel(
    target: Array, source: Array, kernel: Array, pixels: int, places: int
) -> tuple[Array, Array, Array]:
    """First, target and tap of the synapses from channel 0 to output 0, which stand for all."""
    one = (target < places) & (source < pixels)
    order = np.argsort(source[one], kind="stable")
    first = np.concatenate([[0], np.cumsum(np.bincount(source[one], minlength=pixels))])
    return first.astype(np.int64), target[one][order], kernel[one][order]


def _scatter(frame: Frame, node: Node, windows: Windows, order: Array) -> None:
    """Every active element adds its rows to the sums of ``node``."""
    code, builder = frame.code, frame.code.builder
    (edge,), y = frame.plan.reads[node.name], frame.slot(Edge(node.name))
    x, sums = frame.in_order(edge, order), INTEGERS[y.bits]
    found = active(frame, x, room(frame, x.size))
    first, target, tap = (
        frame.array(f"{what} of {node.name}", getattr(windows, what))
        for what in ("first", "target", "tap")
    )
    adder = Adder(frame, f"rows of {node.name}", windows.rows, y, windows.each)
    alike = len(windows.rows) == 1
    y.clear(code.i64(0), code.i64(frame.buffer(node.name).stride))

    def element(i: Value) -> None:
        number = found.number(frame, i)
        pixel = builder.udiv(number, code.i64(windows.inputs))
        channel = builder.urem(number, code.i64(windows.inputs))
        factor = factor_of(x, number, sums)
        group = builder.udiv(channel, code.i64(windows.group))
        into = builder.mul(group, code.i64(windows.each))

        def reach(k: Value) -> None:
            place = builder.mul(code.load(target, k, I64), code.i64(windows.outputs))
            of_tap = builder.mul(code.load(tap, k, I64), code.i64(windows.inputs))
            row = code.i64(0) if alike else builder.add(of_tap, channel)
            adder.add(row, builder.add(place, into), factor)

        end = code.load(first, builder.add(pixel, code.i64(1)), I64)
        code.loop(end, reach, start=code.load(first, pixel, I64))

    code.loop(found.count, element)
