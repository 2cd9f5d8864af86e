"""The kernel of every projection: a fast one for spikes and narrow weights, else the plain one."""

from __future__ import annotations

from sast_compile.backends.emulator.frame import Frame
from sast_compile.backends.emulator.projections.matrix import Matrix
from sast_compile.backends.emulator.projections.pictures import Picture
from sast_compile.backends.emulator.projections.plain import PlainDense
from sast_compile.backends.emulator.projections.tiles import Kernel
from sast_compile.backends.emulator.projections.windows import PlainConvolution
from sast_compile.ir.ops import Dense
from sast_compile.ir.program import Node


def kernel_of(frame: Frame, node: Node) -> Kernel:
    """The fastest kernel that covers ``node``, a projection."""
    fast = frame.plan.heard[node.name].fast
    if isinstance(node.op, Dense):
        return Matrix(frame, node) if fast else PlainDense(frame, node)
    return Picture(frame, node) if fast else PlainConvolution(frame, node)
