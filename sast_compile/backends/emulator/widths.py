"""In how many bits weights are kept and populations computed."""

from __future__ import annotations

from sast_compile.ir.ops import Neuron
from sast_compile.ir.population import most_of
from sast_compile.ir.program import Edge, Program
from sast_compile.ir.types import Array, Int


def width_of(op: Neuron, program: Program, edges: tuple[Edge, ...]) -> int:
    """32 or 64: the bits in which nothing of a step overflows."""
    consts = program.consts
    most = 0
    for _, state in op.named_states():
        assert state.clamp is not None
        register = max(-state.clamp.low, state.clamp.high)
        bias = most_of(state.bias, consts) << max(state.bias_exponent, 0)
        drives = sum(_most_of_wire(program, edge) for edge in edges)
        drives += sum(max(-s.clamp.low, s.clamp.high) for s in op.synapses if s.clamp)
        rows = program.types[edges[0].node].size if state.adds == "each" else 1
        span = state.clamp.high - state.clamp.low + 1
        most = max(most, 2 * register + most_of(state.gain, consts) * drives * rows + bias + span)
    if op.fire is not None and op.reset is not None:
        most += most_of(op.fire.threshold, consts) * op.fire.unit
        most += most_of(op.reset.amount, consts) * op.fire.limit
    return 32 if most < 2**31 else 64


def _most_of_wire(program: Program, edge: Edge) -> int:
    element = program.types[edge.node].element
    assert isinstance(element, Int)
    return max(-element.low, element.high)


def weight_bits(weight: Array) -> int | None:
    """The bits of the narrowest weights that pairs are made of; None if none hold them."""
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    return next(
        (b for b in (8, 16) if -(1 << b - 1) <= low and high < 1 << b - 1),
        None,
    )
