"""Thresholds, biases, leaks and exponents as registers: float neurons become the chip's neurons.

The current of a projection is ``a = W s 2^E`` with integers W of b bits and ``E = top_bits - b +
exponent``; v counts ``gain`` steps per step of a. One step of v is worth ``scale(W) / (2^E gain)``
model units, and a larger exponent makes threshold and leak finer. The pass takes the largest one
that keeps every register in range and that provably, for every input, lets no state be clamped. If
no exponent is proven, it takes the smallest whose u cannot wrap, and says that v may saturate.

A comparison ``v >= theta`` becomes ``v > register unit`` exactly where v can only be a multiple of
the unit (no leak, such biases): ``register = ceil(theta / unit) - 1``. Elsewhere ``register =
round(theta / unit)`` and a v that equals it (a tie) does not fire; ties are counted in every run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from sast_compile.errors import CompileError, TargetLimit, Unsupported
from sast_compile.ir.neuron import Factor, Fire, MulShift, Param, Ref, Reset, State
from sast_compile.ir.ops import Neuron, Op, Projection
from sast_compile.ir.program import Program, used_consts
from sast_compile.ir.ranges import reaches
from sast_compile.ir.types import Const, Int, TensorType
from sast_compile.passes.feeders import feeders
from sast_compile.passes.lowered import Lowered, Note, Options
from sast_compile.passes.quantize_weights import grid_of
from sast_compile.passes.snap_decays import exact_register
from sast_compile.target import Register, Target


def fold_thresholds(program: Program, target: Target, options: Options) -> Lowered:
    """Every population is composed as the target's, with integer registers."""
    notes: list[Note] = []
    for name, neuron in program.neurons.items():
        if neuron.is_float:
            choice = _choose(program, name, target, options)
            program = choice.program
            notes.append(choice.note)
    return Lowered(used_consts(program), tuple(notes))


@dataclass(frozen=True)
class _Choice:
    """The program with one population folded under one exponent, and how safe that is."""

    program: Program
    exponent: int
    may_clamp: tuple[str, ...]
    note: Note


def _choose(program: Program, name: str, target: Target, options: Options) -> _Choice:
    """The largest proven exponent, else the smallest whose current cannot wrap.

    Where none can be taken it goes below the chip's own, as far as the weights' grid leaves low
    bits at 0: shifting them out loses nothing.
    """
    weights = target.weights
    usual = range(weights.exponent_high, weights.exponent_low - 1, -1)
    spare = min(_spare(program, feeder, target) for feeder in feeders(program, name))
    below = range(weights.exponent_low - 1, -spare - 1, -1)
    wraps, refusals = False, list[CompileError]()
    for exponents, preferred in (usual, -1), (below, 0):
        choices: list[_Choice] = []
        for exponent in exponents:
            try:
                choice = _folded(program, name, exponent, target, options)
            except TargetLimit as error:
                refusals.append(error)
                continue
            if not choice.may_clamp:
                return choice
            choices.append(choice)
        if safe := [c for c in choices if c.may_clamp == ("v",)]:
            return safe[preferred]
        wraps = wraps or bool(choices)
    if not wraps:
        raise refusals[-1]
    raise TargetLimit(
        f"the summed current can leave the {target.neurons.current_limit} that u holds "
        "without wrapping, at every weight exponent",
        where=name,
        hint="fewer inputs, fewer bits, or weights with a smaller sum beside the largest",
    )


def _spare(program: Program, feeder: str, target: Target) -> int:
    """How many low bits the chip's grid leaves at 0 under the weights of ``feeder``."""
    element = _weight(program, feeder).element
    assert isinstance(element, Int)
    return grid_of(target, element).top_bits - element.bits


def _weight(program: Program, feeder: str) -> TensorType:
    """The type of a projection's weight; Unsupported unless it is integers of one scale."""
    op = program.by_name[feeder].op
    assert isinstance(op, Projection)
    weight = program.consts[op.weight.name].type
    if not isinstance(weight.element, Int) or isinstance(weight.scale, tuple):
        raise Unsupported("weights are not integers of one scale yet", where=feeder)
    return weight


def _folded(
    program: Program, name: str, exponent: int, target: Target, options: Options
) -> _Choice:
    ops: dict[str, Op] = {}
    unit_of_a = 0.0
    for feeder in feeders(program, name):
        dense = program.by_name[feeder].op
        assert isinstance(dense, Projection)
        shift = _spare(program, feeder, target) + exponent
        ops[feeder] = replace(dense, exponent=shift)
        unit_of_a = float(_weight(program, feeder).scale) * 2.0**-shift  # type: ignore[arg-type]
    neuron, consts, tie_free = _registers(program, name, unit_of_a, target)
    ops[name] = neuron
    folded = program.with_ops(ops, consts)
    reach = reaches(folded, options.steps)[name]
    clamped = set(reach.may_clamp(neuron))
    if any(max(-a.least, a.most) > target.neurons.current_limit for a in reach.currents):
        clamped.add("u")
    note = _note(name, program.neurons[name], neuron, exponent, tie_free, sorted(clamped))
    return _Choice(folded, exponent, tuple(sorted(clamped)), note)


def _registers(
    program: Program, name: str, unit_of_a: float, target: Target
) -> tuple[Neuron, dict[str, Const], bool]:
    """The population in the chip's registers, its constants, and whether `>=` folded exactly."""
    neuron = program.neurons[name]
    if neuron.synapses or neuron.fire is None or not isinstance(neuron.voltage.decay, Factor):
        raise Unsupported(
            "only a leaky voltage that fires and has no synaptic state is supported yet", where=name
        )
    if isinstance(neuron.fire.threshold, Ref):
        raise Unsupported("one threshold per neuron is not supported yet", where=name)
    gains = (target.neurons.synapse.gain if target.neurons.synapse else 1) * (
        target.neurons.voltage.gain
    )
    unit_of_v = unit_of_a / gains
    bias, exponent, consts = _bias(program, name, unit_of_v, target)
    alpha = neuron.voltage.decay.alpha
    voltage = _state(target.neurons.voltage, float(alpha), name)  # type: ignore[arg-type]
    voltage = replace(voltage, bias=bias, bias_exponent=exponent)
    reset, on_grid = _reset(neuron.reset, unit_of_v, target.threshold.unit, name)
    multiples = on_grid and _multiples(bias, exponent, consts, target.threshold.unit, gains)
    whole = alpha == 1 and multiples
    wanted = neuron.fire.threshold / (unit_of_v * target.threshold.unit)
    register, exact = _threshold(wanted, neuron.fire, whole, target)
    _check_threshold(name, register, target)
    folded = Neuron(
        shape=neuron.shape,
        synapses=_synapses(target, name),
        voltage=voltage,
        fire=Fire(compare=target.threshold.compare, threshold=register, unit=target.threshold.unit),
        reset=reset,
    )
    return folded, consts, exact


def _threshold(wanted: float, fire: Fire, whole: bool, target: Target) -> tuple[int, bool]:
    """The register for a threshold of ``wanted`` units, and whether no comparison changes.

    ``whole``: v is always a multiple of the unit, so a threshold between two multiples can be moved
    to either without changing a comparison.
    """
    if not whole:
        return round(wanted), fire.compare == target.threshold.compare
    least_firing = math.ceil(wanted) if fire.compare == ">=" else math.floor(wanted) + 1
    return (least_firing - 1 if target.threshold.compare == ">" else least_firing), True


def _check_threshold(name: str, register: int, target: Target) -> None:
    low, strict = target.threshold.low, target.threshold.compare == ">"
    most = target.neurons.voltage.clamp.high  # a threshold that v cannot pass is none
    high = min(target.threshold.high, (most - strict) // target.threshold.unit)
    if not low <= register <= high:
        way, bits = ("larger", "") if register < low else ("smaller", ", or fewer bits")
        raise TargetLimit(
            f"threshold {register} lies outside {target.name}'s {low}..{high}",
            where=name,
            hint=f"a threshold that is {way} beside the layer's largest weight{bits}",
        )


def _reset(reset: Reset | None, unit_of_v: float, unit: int, name: str) -> tuple[Reset, bool]:
    """The reset with its amount in steps of v, and whether it keeps v on multiples of ``unit``."""
    assert reset is not None  # a neuron that fires has one
    if isinstance(reset.amount, Ref) or reset.floor is not None:
        raise Unsupported("one reset amount per neuron, and a floor, are not supported", where=name)
    if reset.kind == "zero":
        return Reset(kind="zero"), True
    wanted = reset.amount / unit_of_v
    amount = max(round(wanted), 1)
    return Reset(kind="subtract", when=reset.when, amount=amount), (
        amount == wanted and amount % unit == 0
    )


def _synapses(target: Target, name: str) -> tuple[State, ...]:
    """The chip's synaptic state, made to forget at once: the float neuron has none."""
    synapse = target.neurons.synapse
    return () if synapse is None else (_state(synapse, 0.0, name),)


def _state(register: Register, alpha: float, where: str) -> State:
    decay = register.decay
    return State(
        decay=MulShift(
            decay=exact_register(alpha, decay, where),
            offset=decay.offset,
            bits=decay.bits,
            rounding=decay.rounding,
        ),
        gain=register.gain,
        clamp=register.clamp,
    )


def _bias(
    program: Program, name: str, unit_of_v: float, target: Target
) -> tuple[Param, int, dict[str, Const]]:
    """Mantissa and exponent of the bias: the finest exponent under which all mantissas fit."""
    bias = program.neurons[name].voltage.bias
    wanted = (
        np.asarray(program.consts[bias.name].data if isinstance(bias, Ref) else bias) / unit_of_v
    )
    largest = (1 << (target.bias.mantissa_bits - 1)) - 1
    for exponent in range(target.bias.exponent_low, target.bias.exponent_high + 1):
        mantissa = np.rint(wanted / 2.0**exponent)
        if np.abs(mantissa).max() <= largest:
            break
    else:
        raise TargetLimit(
            f"bias {np.abs(wanted).max():.0f} exceeds {target.name}'s "
            f"{largest << target.bias.exponent_high}",
            where=name,
            hint="a smaller bias, or larger weights: they are worth more per step of v",
        )
    if not isinstance(bias, Ref):
        return int(mantissa), exponent, {}
    element = Int(target.bias.mantissa_bits)
    type_ = TensorType(mantissa.shape, element, unit_of_v * 2.0**exponent)
    return bias, exponent, {bias.name: Const(type_, mantissa)}


def _multiples(bias: Param, exponent: int, consts: dict[str, Const], unit: int, gain: int) -> bool:
    """Whether every step adds a multiple of ``unit`` to v."""
    mantissa = (
        consts[bias.name].data.astype(np.int64) if isinstance(bias, Ref) else np.asarray(bias)
    )
    return gain % unit == 0 and not ((mantissa << exponent) % unit).any()


def _note(
    name: str, before: Neuron, after: Neuron, exponent: int, exact: bool, clamped: list[str]
) -> Note:
    assert before.fire is not None
    assert after.fire is not None
    compare = f"{before.fire.compare} -> {after.fire.compare}"
    if before.fire.compare == after.fire.compare:
        fold = f"compares {after.fire.compare}"
    elif exact:  # a v that saturated is no multiple of the unit any more
        fold = f"{compare} exactly" + (" while nothing saturates" if clamped else "")
    else:
        fold = f"{compare}, ties do not fire (counted)"
    proof = "no overflow for any input" if not clamped else f"{', '.join(clamped)} may saturate"
    return Note(
        name,
        f"threshold {before.fire.threshold:.6g} -> {after.fire.threshold} x {after.fire.unit}, "
        f"weight exponent {exponent}; {fold}; {proof}",
        {
            "threshold": float(after.fire.threshold),  # type: ignore[arg-type]
            "exponent": exponent,
            "exact": float(exact and not clamped),
        },
    )
