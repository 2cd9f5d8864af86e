"""Resets as the chip makes them, where that changes no spike."""

from __future__ import annotations

from msgspec.structs import replace

from sast_compile.errors import Unsupported
from sast_compile.ir.neuron import Factor, Ref, Reset
from sast_compile.ir.ops import Neuron, Op
from sast_compile.ir.program import Program, used_consts
from sast_compile.ir.types import Const, Float, TensorType
from sast_compile.passes.feeders import numbers_of
from sast_compile.passes.lowered import Lowered, Note, Options
from sast_compile.target import Target


def lower_resets(program: Program, target: Target, options: Options) -> Lowered:
    """Every reset is one that the chip has; most act in the step of the spike.

    None of these changes a spike, only what v reads in the step of one:

    - zero at the start of the next step is zero now: the decay of 0 is 0
    - ``alpha (v - A)`` in the next step is a subtraction of A now
    - ``alpha v - A`` in the next step is a subtraction of ``A / alpha`` now

    Where the chip's own neuron makes none of these but microcode can, the reset is kept, and said.
    """
    ops: dict[str, Op] = {}
    consts: dict[str, Const] = {}
    notes: list[Note] = []
    for name, neuron in program.neurons.items():
        reset = neuron.reset
        if reset is None:
            continue
        early = _early(program, name, neuron, reset, consts)
        found = _chosen(reset, early, target)
        if found is None:
            raise Unsupported(
                f"reset {reset.kind!r} ({reset.when}) does not exist on {target.name}",
                where=name,
                hint=f"its resets are {', '.join(target.reset.native)} (after_fire); "
                "retrain with one of them",
            )
        if found != reset:
            ops[name] = replace(neuron, reset=found)
            notes.append(_note(name, reset, found))
        if _name(found) not in target.reset.native:
            text = f"reset {_name(found)}: not {target.name}'s own neuron, needs microcode"
            notes.append(Note(name, text, {"microcode": 1.0}))
    return Lowered(used_consts(program.with_ops(ops, consts)), tuple(notes))


def _chosen(reset: Reset, early: Reset | None, target: Target) -> Reset | None:
    """The first of ``reset`` and ``early`` that the chip makes by itself, else by microcode."""
    for allowed in (target.reset.native, target.reset.microcode):
        for candidate in (reset, early):
            if candidate is not None and _name(candidate) in allowed:
                return candidate
    return None


def _name(reset: Reset) -> str:
    """The reset as targets call it."""
    return reset.kind if reset.when == "after_fire" else f"{reset.kind}_{reset.when}"


def _early(
    program: Program, name: str, neuron: Neuron, reset: Reset, consts: dict[str, Const]
) -> Reset | None:
    """The reset in the step of the spike that gives the same spikes; None if there is none."""
    decay, amount = neuron.voltage.decay, reset.amount
    if reset.when == "after_fire":
        return reset
    if (reset.kind, reset.when) == ("zero", "after_input"):  # it takes the next step's drive
        return None
    if reset.kind == "zero" or reset.when == "before_decay":
        return Reset(kind=reset.kind, amount=amount)
    alpha = numbers_of(program, decay.alpha if isinstance(decay, Factor) else 1.0)
    if not alpha.all():
        return None
    early = numbers_of(program, amount) / alpha
    if not early.shape:
        return Reset(kind=reset.kind, amount=float(early))
    key = f"{name}.amount"
    consts[key] = Const(TensorType(early.shape, Float()), early)
    return Reset(kind=reset.kind, amount=Ref(key))


def _note(name: str, late: Reset, early: Reset) -> Note:
    amount = ""
    if early.amount != late.amount:
        amounts = (late.amount, early.amount)
        before, after = ("its own" if isinstance(a, Ref) else f"{a:.6g}" for a in amounts)
        amount = f", amount {before} -> {after}"
    text = f"reset {late.kind}: {late.when} -> after_fire{amount}, same spikes"
    return Note(name, text)
