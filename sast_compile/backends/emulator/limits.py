"""What the emulator does not do; the interpreter does."""

from __future__ import annotations

from importlib.util import find_spec

from sast_compile.ir.neuron import State
from sast_compile.ir.ops import Neuron, Scale
from sast_compile.ir.population import ends
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
        for what, state in op.named_states():
            clamp = state.clamp
            assert clamp is not None
            if clamp.rule == "wrap_once" and _driven(program, name, op, state) > _span(state):
                return f"{what} of {name} may need more than one wrap, which has no bound"
    return None


def _span(state: State) -> int:
    assert state.clamp is not None
    return state.clamp.high - state.clamp.low + 1


def _driven(program: Program, name: str, op: Neuron, state: State) -> int:
    """The most that one step adds to ``state``."""
    edges = program.by_name[name].inputs
    elements = [program.types[edge.node].element for edge in edges]
    drive = sum(max(-e.low, e.high) for e in elements if not isinstance(e, Float))
    drive += sum(max(-s.clamp.low, s.clamp.high) for s in op.synapses if s.clamp and s is not state)
    gain = max(map(abs, ends(state.gain, program.consts)))
    bias = max(map(abs, ends(state.bias, program.consts)))
    return int(gain * drive + bias * 2 ** max(state.bias_exponent, 0))
