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

from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from sast_compile.errors import CompileError, TargetLimit, Unsupported
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Neuron, Op, Projection
from sast_compile.ir.program import Program, used_consts
from sast_compile.ir.ranges import reaches
from sast_compile.ir.types import Int, Scale, TensorType
from sast_compile.passes.compose import Composed, composed
from sast_compile.passes.feeders import Floats, feeders
from sast_compile.passes.lowered import Lowered, Note, Options
from sast_compile.passes.quantize_weights import grid_of
from sast_compile.target import Target


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
    way = "" if options.event_rate else ", or --event-rate if never so many fire at once"
    raise TargetLimit(
        f"the summed current can leave the {target.neurons.current_limit} that u holds "
        "without wrapping, at every weight exponent",
        where=name,
        hint=f"fewer inputs, fewer bits, or weights with a smaller sum beside the largest{way}",
    )


def _spare(program: Program, feeder: str, target: Target) -> int:
    """How many low bits the chip's grid leaves at 0 under the weights of ``feeder``."""
    element = _weight(program, feeder).element
    assert isinstance(element, Int)
    return grid_of(target, element).top_bits - element.bits


def _weight(program: Program, feeder: str) -> TensorType:
    """The type of a projection's weight; Unsupported unless it is integers."""
    op = program.by_name[feeder].op
    assert isinstance(op, Projection)
    weight = program.consts[op.weight.name].type
    if not isinstance(weight.element, Int):
        raise Unsupported("weights are not integers yet", where=feeder)
    return weight


def _folded(
    program: Program, name: str, exponent: int, target: Target, options: Options
) -> _Choice:
    ops: dict[str, Op] = {}
    unit_of_a = np.zeros(())
    for feeder in feeders(program, name):
        dense = program.by_name[feeder].op
        assert isinstance(dense, Projection)
        shift = _spare(program, feeder, target) + exponent
        ops[feeder] = replace(dense, exponent=shift)
        unit_of_a = _by_neuron(program, name, _weight(program, feeder).scale) * 2.0**-shift
    found = composed(program, name, unit_of_a, target)
    neuron, ops[name] = found.neuron, found.neuron
    folded = program.with_ops(ops, found.consts)
    reach = reaches(folded, options.steps, options.event_rate)[name]
    clamped = set(reach.may_clamp(neuron))
    if any(max(-a.least, a.most) > target.neurons.current_limit for a in reach.currents):
        clamped.add("u")
    note = _note(name, program.neurons[name], neuron, exponent, found, sorted(clamped), options)
    return _Choice(folded, exponent, tuple(sorted(clamped)), note)


def _by_neuron(program: Program, name: str, scale: Scale) -> Floats:
    """The scale of weights as the neurons see it: one number, or one for each row."""
    if not isinstance(scale, tuple):
        return np.asarray(scale)
    axes = len(program.neurons[name].shape) - 1
    return np.asarray(scale).reshape(-1, *(1,) * axes)


def _note(
    name: str,
    before: Neuron,
    after: Neuron,
    exponent: int,
    found: Composed,
    clamped: list[str],
    options: Options,
) -> Note:
    proof = (
        f"no overflow for {options.inputs}" if not clamped else f"{', '.join(clamped)} may saturate"
    )
    numbers = {"exponent": exponent, "exact": float(found.exact and not clamped)}
    if before.fire is None or after.fire is None:
        return Note(name, f"never fires, weight exponent {exponent}; {proof}", numbers)
    compare = f"{before.fire.compare} -> {after.fire.compare}"
    if before.fire.compare == after.fire.compare:
        fold = f"compares {after.fire.compare}"
    elif found.exact:  # a v that saturated is no multiple of the unit any more
        fold = f"{compare} exactly" + (" while nothing saturates" if clamped else "")
    else:
        fold = f"{compare}, ties do not fire (counted)"
    wanted, got = before.fire.threshold, after.fire.threshold
    if isinstance(wanted, Ref) or isinstance(got, Ref):
        heights = "one threshold per neuron"
    else:
        heights = f"threshold {wanted:.6g} -> {got} x {after.fire.unit}"
        numbers["threshold"] = float(got)
    return Note(name, f"{heights}, weight exponent {exponent}; {fold}; {proof}", numbers)
