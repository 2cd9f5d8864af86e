"""Leaks on the grid of the chip's decay register."""

from __future__ import annotations

import math

from msgspec.structs import replace

from sast_compile.errors import TargetLimit, Unsupported
from sast_compile.ir.neuron import Factor, Ref
from sast_compile.ir.ops import Op
from sast_compile.ir.program import Program
from sast_compile.passes.lowered import Lowered, Note, Options
from sast_compile.target import DecayRegister, Target


def snap_decays(program: Program, target: Target, options: Options) -> Lowered:
    """Every leak factor is one that the register holds, the nearest to what was wanted."""
    ops: dict[str, Op] = {}
    notes: list[Note] = []
    for name, neuron in program.neurons.items():
        decay = neuron.voltage.decay
        if not isinstance(decay, Factor):
            continue
        if isinstance(decay.alpha, Ref):
            raise Unsupported(
                f"one leak per neuron is not supported yet; {target.name} shares it per "
                f"{target.neurons.scope}",
                where=name,
            )
        wanted = float(decay.alpha)
        register = register_for(wanted, target.neurons.voltage.decay)
        got = factor_of(register, target.neurons.voltage.decay)
        ops[name] = replace(neuron, voltage=replace(neuron.voltage, decay=Factor(alpha=got)))
        notes.append(_note(name, wanted, got, register))
    return Lowered(program.with_ops(ops), tuple(notes))


def register_for(alpha: float, decay: DecayRegister) -> int:
    """The register whose factor is nearest to ``alpha``, within the register's range."""
    exact = (1 - alpha) * 2**decay.bits - decay.offset
    return int(min(max(round(exact), decay.low), decay.high))


def factor_of(register: int, decay: DecayRegister) -> float:
    """What one step keeps: ``1 - (register + offset) / 2^bits``; exact in float64."""
    return float(1 - (register + decay.offset) / 2**decay.bits)


def exact_register(alpha: float, decay: DecayRegister, where: str) -> int:
    """The register that holds ``alpha`` exactly; TargetLimit if there is none."""
    register = register_for(alpha, decay)
    if factor_of(register, decay) != alpha:
        raise TargetLimit(
            f"the decay register holds no factor {alpha}: the nearest is "
            f"{factor_of(register, decay)} ({register}, allowed {decay.low}..{decay.high})",
            where=where,
        )
    return register


def tau(alpha: float) -> float:
    """The time constant of ``x <- alpha x`` in steps: ``-1 / ln(alpha)``."""
    if alpha >= 1:
        return math.inf
    return -1 / math.log(alpha) if alpha > 0 else 0.0


def _note(name: str, wanted: float, got: float, register: int) -> Note:
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
        f"alpha wanted {wanted:.6g}, got {got:.6g} (register {register}); "
        f"time constant {before:.4g} -> {after:.4g} steps ({error})",
        numbers,
    )
