"""What the emulator does not do; the interpreter does."""

from __future__ import annotations

from importlib.util import find_spec

from sast_compile.backends.emulator.populations.widths import largest
from sast_compile.ir.ops import Scale
from sast_compile.ir.program import Program
from sast_compile.ir.types import Float


def missing(program: Program) -> str | None:
    """Why there is no emulator for ``program`` here; None if there is one."""
    if find_spec("llvmlite") is None:
        return "llvmlite is not installed (pip install sast-compile[fast])"
    for node in program.nodes:
        if isinstance(node.op, Scale) or isinstance(program.types[node.name].element, Float):
            return f"{node.name} computes in floats"
    for name, op in program.neurons.items():
        if op.is_float:
            return f"{name} computes in floats"
    for name, op in program.neurons.items():
        for what, _ in op.named_states():
            if largest(program, name, what) is None:
                return f"{what} of {name} may need more than one wrap and does not leak: no bound"
    return None
