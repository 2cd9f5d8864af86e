"""In how many bits a population is computed."""

from __future__ import annotations

from sast_compile.backends.emulator.frame import Frame
from sast_compile.ir.ops import Neuron
from sast_compile.ir.population import most_of
from sast_compile.ir.program import Edge
from sast_compile.ir.types import Int


def width_of(op: Neuron, frame: Frame, edges: tuple[Edge, ...]) -> int:
    """32 or 64: the bits in which nothing of a step overflows."""
    consts = frame.program.consts
    most = 0
    for _, state in op.named_states():
        assert state.clamp is not None
        register = max(-state.clamp.low, state.clamp.high)
        bias = most_of(state.bias, consts) << max(state.bias_exponent, 0)
        drives = sum(_most_of_wire(frame, edge) for edge in edges)
        drives += sum(max(-s.clamp.low, s.clamp.high) for s in op.synapses if s.clamp)
        rows = frame.buffer(edges[0].node).size if state.adds == "each" else 1
        span = state.clamp.high - state.clamp.low + 1
        most = max(most, 2 * register + most_of(state.gain, consts) * drives * rows + bias + span)
    if op.fire is not None and op.reset is not None:
        most += most_of(op.fire.threshold, consts) * op.fire.unit
        most += most_of(op.reset.amount, consts) * op.fire.limit
    return 32 if most < 2**31 else 64


def _most_of_wire(frame: Frame, edge: Edge) -> int:
    element = frame.program.types[edge.node].element
    assert isinstance(element, Int)
    return max(-element.low, element.high)
