"""Leaks on the grid of the chip's decay registers.

With the factor a' in place of a, v is another filter of its inputs: h'_k = a'^k in place of h_k =
a^k (behind a synaptic current both run through its leak). Up to a gain the two are alike, and where
v passes theta, v' passes ``theta / gain``. The gain is that of
least error on spikes that come at random,

    min over gain   sum_k (h_k - gain h'_k)^2,      gain = sum h h' / sum h' h',

over the steps in which v forgets half: where it passes the threshold, it was driven there lately.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from msgspec.structs import replace

from sast_compile.errors import TargetLimit, Unsupported
from sast_compile.ir.neuron import Factor, Param, Ref, State
from sast_compile.ir.ops import Neuron, Op
from sast_compile.ir.program import Program
from sast_compile.ir.types import Const, Float, TensorType
from sast_compile.passes.feeders import Floats, numbers_of
from sast_compile.passes.lowered import Lowered, Note, Options
from sast_compile.passes.responses import HORIZON, impulse_response
from sast_compile.target import DecayRegister, Register, Target


def snap_decays(program: Program, target: Target, options: Options) -> Lowered:
    """Every leak factor is one that the register holds, and thresholds make good what v loses.

    The factors of synaptic currents are the nearest; so are all, and no threshold moves, with
    ``rounding="nearest"``. Neurons may have one each.
    """
    ops: dict[str, Op] = {}
    consts: dict[str, Const] = {}
    notes: list[Note] = []
    for name, neuron in program.neurons.items():
        if not neuron.is_float:
            continue
        states = []
        for key, state in neuron.named_states():
            register = target.neurons.voltage if key == "v" else _synapse(target, name)
            state, note = _snapped(program, name, key, state, register.decay, consts)
            states.append(state)
            notes += note
        *synapses, voltage = states
        snapped = replace(neuron, synapses=tuple(synapses), voltage=voltage)
        ops[name] = snapped
        if options.rounding == "membrane" and neuron.fire is not None:
            ops[name], note = _compensated(program, name, snapped, options.steps, consts)
            notes += note
    return Lowered(program.with_ops(ops, consts), tuple(notes))


def _synapse(target: Target, name: str) -> Register:
    if target.neurons.synapse is None:
        raise Unsupported(
            f"has a synaptic current that lasts, and {target.name} has no state for one",
            where=name,
            hint="a neuron without one (LIF, IF), or another target",
        )
    return target.neurons.synapse


def _snapped(
    program: Program,
    name: str,
    key: str,
    state: State,
    decay: DecayRegister,
    consts: dict[str, Const],
) -> tuple[State, list[Note]]:
    """The state with a factor that ``decay`` holds, and what that changed."""
    if not isinstance(state.decay, Factor):
        return state, []
    alpha = state.decay.alpha
    if not isinstance(alpha, Ref):
        register = register_for(float(alpha), decay)
        got = factor_of(register, decay)
        note = _note(name, key, float(alpha), got, register)
        return replace(state, decay=Factor(alpha=got)), [note]
    const = program.consts[alpha.name]
    registers = registers_for(const.data, decay)
    factors = 1 - (registers + decay.offset) / 2**decay.bits
    consts[alpha.name] = Const(const.type, factors)
    return state, [_note_of_many(name, key, const.data, factors, registers)]


def _compensated(
    program: Program, name: str, snapped: Neuron, steps: int | None, consts: dict[str, Const]
) -> tuple[Neuron, list[Note]]:
    """``snapped``, whose thresholds are divided by what its leak loses or gains."""
    neuron, fire = program.neurons[name], snapped.fire
    assert fire is not None
    before, after = (
        _by_neuron(program.consts, neuron),
        _by_neuron({**program.consts, **consts}, snapped),
    )
    found = {pair: gain(*pair, steps) for pair in set(zip(before, after, strict=True))}
    gains = np.array([found[pair] for pair in zip(before, after, strict=True)])
    if (gains == 1).all():
        return snapped, []
    wanted = numbers_of(program, fire.threshold)
    if not wanted.shape and (gains == gains[0]).all():
        threshold: Param = float(wanted / gains[0])
    else:
        heights = np.broadcast_to(wanted, neuron.shape) / gains.reshape(neuron.shape)
        threshold = Ref(f"{name}.height")
        consts[threshold.name] = Const(TensorType(neuron.shape, Float()), heights)
    worst = float(gains[np.abs(gains - 1).argmax()])
    note = Note(name, f"threshold divided by {worst:.6g}, the leak's gain", {"gain": worst})
    reset = snapped.reset
    if reset is not None and reset.amount == fire.threshold:  # what a spike takes is the threshold
        reset = replace(reset, amount=threshold)
    return replace(snapped, fire=replace(fire, threshold=threshold), reset=reset), [note]


def gain(before: tuple[float, ...], after: tuple[float, ...], steps: int | None) -> float:
    """By how much v is larger with the factors ``before`` than ``after``; synapse first."""
    if before == after:
        return 1.0
    lately = min(half_life(before[-1]), steps or HORIZON)
    wanted, got = impulse_response(before, lately), impulse_response(after, lately)
    return float((wanted * got).sum() / (got * got).sum())


def half_life(alpha: float) -> int:
    """The steps, at least one, in which ``x <- alpha x`` comes nearest to half."""
    return max(round(tau(alpha) * math.log(2)), 1) if alpha < 1 else HORIZON


def _by_neuron(consts: Mapping[str, Const], neuron: Neuron) -> list[tuple[float, ...]]:
    """The factors of every neuron's states, synapse first."""
    n = math.prod(neuron.shape)
    columns = []
    for state in neuron.states:
        alpha: Param = state.decay.alpha if isinstance(state.decay, Factor) else 1.0
        values = consts[alpha.name].data if isinstance(alpha, Ref) else np.asarray(alpha)
        columns.append(np.broadcast_to(values, neuron.shape).reshape(n).tolist())
    return list(zip(*columns, strict=True))


def registers_for(alpha: Floats, decay: DecayRegister) -> Floats:
    """The registers whose factors are nearest to ``alpha``, within the register's range."""
    exact = (1 - alpha) * 2**decay.bits - decay.offset
    return np.asarray(np.clip(np.rint(exact), decay.low, decay.high))


def register_for(alpha: float, decay: DecayRegister) -> int:
    """The register whose factor is nearest to ``alpha``, within the register's range."""
    return int(registers_for(np.asarray(alpha), decay))


def factor_of(register: int, decay: DecayRegister) -> float:
    """What one step keeps: ``1 - (register + offset) / 2^bits``; exact in float64."""
    return float(1 - (register + decay.offset) / 2**decay.bits)


def exact_registers(alpha: Floats, decay: DecayRegister, where: str) -> Floats:
    """The registers that hold ``alpha`` exactly; TargetLimit if there are none."""
    registers = registers_for(alpha, decay)
    factors = 1 - (registers + decay.offset) / 2**decay.bits
    wrong = np.flatnonzero(factors != alpha)
    if wrong.size:
        first, nearest = alpha.flat[wrong[0]], factors.flat[wrong[0]]
        raise TargetLimit(
            f"the decay register holds no factor {first}: the nearest is {nearest} "
            f"({int(registers.flat[wrong[0]])}, allowed {decay.low}..{decay.high})",
            where=where,
        )
    return registers


def exact_register(alpha: float, decay: DecayRegister, where: str) -> int:
    """The register that holds ``alpha`` exactly; TargetLimit if there is none."""
    return int(exact_registers(np.asarray(alpha), decay, where))


def tau(alpha: float) -> float:
    """The time constant of ``x <- alpha x`` in steps: ``-1 / ln(alpha)``."""
    if alpha >= 1:
        return math.inf
    return -1 / math.log(alpha) if alpha > 0 else 0.0


def _note(name: str, key: str, wanted: float, got: float, register: int) -> Note:
    before, after = tau(wanted), tau(got)
    numbers = {"wanted": wanted, "got": got, "register": register}
    if before == after:
        error = "exact"
    elif math.isfinite(before) and before > 0:
        numbers["tau_error"] = (after - before) / before
        error = f"{numbers['tau_error']:+.2%}"
    else:
        error = "another kind of neuron"
    return Note(
        name,
        f"{_greek(key)} wanted {wanted:.6g}, got {got:.6g} (register {register}); "
        f"time constant {before:.4g} -> {after:.4g} steps ({error})",
        numbers,
    )


def _note_of_many(name: str, key: str, wanted: Floats, got: Floats, registers: Floats) -> Note:
    worst = float(np.abs(got - wanted).max())
    n = len(np.unique(registers))
    return Note(
        name,
        f"{_greek(key)} {wanted.min():.6g}..{wanted.max():.6g} in {n} registers of "
        f"{wanted.size} neurons; farthest {worst:.2g}",
        {"registers": n, "farthest": worst},
    )


def _greek(key: str) -> str:
    return "alpha" if key == "v" else "beta"
