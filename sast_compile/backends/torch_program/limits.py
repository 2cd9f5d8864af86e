"""What this back end refuses before it needs torch."""

from __future__ import annotations

import re

from sast_compile.errors import CompileError, Unsupported
from sast_compile.ir.ops import Scale
from sast_compile.ir.program import Program
from sast_compile.ir.types import Float

DEVICE = re.compile(r"cpu|cuda(:\d+)?")


def check_name(device: str) -> None:
    """Raises CompileError if ``device`` is not the name of one."""
    if not DEVICE.fullmatch(device):
        raise CompileError(
            f"unknown device {device!r}", hint="cpu, cuda, or cuda:N for one of several"
        )


def check_integers(program: Program) -> None:
    """Raises Unsupported naming the first node that computes in floats."""
    for node in program.nodes:
        if isinstance(node.op, Scale) or isinstance(program.types[node.name].element, Float):
            raise _floats(node.name)
    for name, op in program.neurons.items():
        if op.is_float:
            raise _floats(name)


def _floats(node: str) -> Unsupported:
    return Unsupported(
        "computes in floats, which this back end does not",
        where=node,
        hint="compile the model to integers, or run it on the cpu, where the interpreter serves",
    )
