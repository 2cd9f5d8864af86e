"""The kernel of every projection: a fast one for spikes and narrow weights, else the plain one."""

from __future__ import annotations

from sast_compile.backends.emulator.frame import Frame
from sast_compile.backends.emulator.populations.widths import weight_bits
from sast_compile.backends.emulator.projections.matrix import Matrix
from sast_compile.backends.emulator.projections.pictures import Picture, in_rows
from sast_compile.backends.emulator.projections.plain import PlainDense
from sast_compile.backends.emulator.projections.taps import fits
from sast_compile.backends.emulator.projections.tiles import Kernel
from sast_compile.backends.emulator.projections.windows import PlainConvolution
from sast_compile.ir.conv import Conv2d, geometry
from sast_compile.ir.ops import Dense, lookup
from sast_compile.ir.program import Node


def kernel_of(frame: Frame, node: Node) -> Kernel:
    """The fastest kernel that covers ``node``, a projection."""
    op, edge = node.op, frame.plan.heard[node.name].edge
    assert isinstance(op, Dense | Conv2d)
    weight = lookup(op.weight, frame.program.consts).data
    spikes = frame.buffer(edge.node).bits == 1
    if isinstance(op, Dense):
        narrow = weight_bits(weight) is not None
        return Matrix(frame, node) if spikes and narrow else PlainDense(frame, node)
    shape = geometry(op, frame.program.types[node.inputs[0].node].shape, weight.shape)
    if spikes and fits(op, shape) and in_rows(frame, edge):
        return Picture(frame, node)
    return PlainConvolution(frame, node)
