"""The last pass: nothing in the program exceeds a register, a grid or the adder of the chip."""

from __future__ import annotations

from sast_compile.errors import TargetLimit
from sast_compile.ir.neuron import MulShift, Param
from sast_compile.ir.ops import Neuron, Projection
from sast_compile.ir.population import ends
from sast_compile.ir.program import Program
from sast_compile.ir.ranges import Reach, reaches
from sast_compile.ir.types import Float
from sast_compile.passes.lowered import Lowered, Note, Options
from sast_compile.passes.quantize_weights import grid_of
from sast_compile.target import Target


def check_registers(program: Program, target: Target, options: Options) -> Lowered:
    """The same program; TargetLimit naming node, register, value and range if one is exceeded."""
    for node in program.nodes:
        if isinstance(node.op, Projection):
            _check_weights(program, node.name, node.op, target)
    found = reaches(program, options.steps, options.event_rate)
    for name, neuron in program.neurons.items():
        if neuron.is_float:
            raise TargetLimit("is still a float neuron", where=name)
        _check_neuron(program, name, neuron, target)
        _check_current(name, found[name], target)
    notes = (_note(n, op, found[n], options) for n, op in program.neurons.items())
    return Lowered(program, tuple(notes))


def _check_weights(program: Program, name: str, op: Projection, target: Target) -> None:
    element = program.consts[op.weight.name].type.element
    if isinstance(element, Float):
        raise TargetLimit("weights are still floats", where=name)
    _within(name, "weight bits", element.bits, min(target.weights.bits), max(target.weights.bits))
    spare = grid_of(target, element).top_bits - element.bits
    weights = target.weights
    # the grid leaves its low bits 0: shifting the sum right by as many loses nothing
    low = min(weights.exponent_low, -spare)
    _within(name, "weight exponent", op.exponent - spare, low, weights.exponent_high)


def _check_neuron(program: Program, name: str, op: Neuron, target: Target) -> None:
    def within(what: str, param: Param, low: int, high: int) -> None:
        for value in ends(param, program.consts):
            _within(name, what, value, low, high)

    if op.fire is not None:
        within("threshold", op.fire.threshold, target.threshold.low, target.threshold.high)
    registers = [*(target.neurons.synapse for _ in op.synapses), target.neurons.voltage]
    for (key, state), register in zip(op.named_states(), registers, strict=True):
        if register is not None and isinstance(state.decay, MulShift):
            low, high = register.decay.low, register.decay.high
            within(f"{key} decay", state.decay.decay, low, high)
    largest = (1 << (target.bias.mantissa_bits - 1)) - 1
    within("bias mantissa", op.voltage.bias, -largest - 1, largest)
    exponents = target.bias.exponent_low, target.bias.exponent_high
    _within(name, "bias exponent", op.voltage.bias_exponent, *exponents)


def _check_current(name: str, reach: Reach, target: Target) -> None:
    limit = target.neurons.current_limit
    for current in reach.currents:
        _within(name, "summed current", current.least, -limit, limit)
        _within(name, "summed current", current.most, -limit, limit)


def _within(name: str, what: str, value: float, low: int, high: int) -> None:
    if not low <= value <= high:
        raise TargetLimit(
            f"{what} {value:.12g} lies outside {low}..{high}",
            where=name,
            hint="run the target's other passes first: they keep every register in range",
        )


def _note(name: str, op: Neuron, reach: Reach, options: Options) -> Note:
    spans = [f"{s} in [{r.least + 0:.0f}, {r.most + 0:.0f}]" for s, r in reach.states.items()]
    clamped = reach.may_clamp(op)
    verdict = f"{', '.join(clamped)} may be clamped" if clamped else f"proven for {options.inputs}"
    return Note(name, f"{'; '.join(spans)}: {verdict}", {"proven": float(not clamped)})
