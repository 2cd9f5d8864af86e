"""In how many bits weights are kept and populations computed. Nothing here imports llvmlite."""

from __future__ import annotations

import math

from sast_compile.ir.neuron import BitShift, MulShift, State
from sast_compile.ir.population import ends, most_of
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array, Int


def width_of(program: Program, name: str) -> int:
    """32 or 64: the bits in which nothing of a step of the population overflows."""
    op, consts = program.neurons[name], program.consts
    most = 0
    for what, state in op.named_states():
        register = largest(program, name, what)
        assert register is not None
        assert state.clamp is not None
        first = program.by_name[name].inputs[0]
        rows = program.types[first.node].size if state.adds == "each" else 1
        span = state.clamp.high - state.clamp.low + 1
        most = max(most, 2 * register + _driven(program, name, state, rows) + span)
    if op.fire is not None and op.reset is not None:
        most += most_of(op.fire.threshold, consts) * op.fire.unit
        most += most_of(op.reset.amount, consts) * op.fire.limit
    return 32 if most < 2**31 else 64


def largest(program: Program, name: str, what: str) -> int | None:
    """The most that ``|what|`` of the population can be between two steps; None for no bound.

    That is the end of its clamp, unless one wrap may not be enough: a drive d beyond the span s of
    the clamp leaves up to ``r x + d - s`` of x, which settles at ``(d - s) / (1 - r)`` where a leak
    keeps r < 1 of it, and else has no bound.
    """
    op = program.neurons[name]
    state = dict(op.named_states())[what]
    assert state.clamp is not None
    register, span = max(-state.clamp.low, state.clamp.high), state.clamp.high - state.clamp.low + 1
    beyond = _driven(program, name, state) - span
    if state.clamp.rule != "wrap_once" or beyond <= 0:
        return register
    lost = _lost(program, state)
    if not lost or state.adds != "sum":
        return None
    return max(register, math.ceil((beyond + 1) / lost))  # 1 for a rounding away from 0


def _lost(program: Program, state: State) -> float:
    """The least share of the state that a step takes away."""
    match state.decay:
        case MulShift() as decay:
            return (min(ends(decay.decay, program.consts)) + decay.offset) / 2.0**decay.bits
        case BitShift() as decay:
            return 2.0 ** -max(ends(decay.dash, program.consts))
        case _:
            return 0.0


def _driven(program: Program, name: str, state: State, rows: int = 1) -> int:
    """The most that one step, or each of ``rows`` terms and a bias, can add to ``state``."""
    op, consts = program.neurons[name], program.consts
    drive = sum(_most_of_wire(program, edge.node) for edge in program.by_name[name].inputs)
    if state is op.voltage:
        drive += sum(largest(program, name, s) or 0 for s, _ in op.named_states()[:-1])
    bias = most_of(state.bias, consts) << max(state.bias_exponent, 0)
    return most_of(state.gain, consts) * drive * rows + bias


def _most_of_wire(program: Program, node: str) -> int:
    element = program.types[node].element
    assert isinstance(element, Int)
    return max(-element.low, element.high)


def weight_bits(weight: Array) -> int | None:
    """The bits of the narrowest weights that pairs are made of; None if none hold them."""
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    return next(
        (b for b in (8, 16) if -(1 << b - 1) <= low and high < 1 << b - 1),
        None,
    )
