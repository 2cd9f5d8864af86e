"""Resets as the chip makes them, where that changes no spike."""

from __future__ import annotations

from msgspec.structs import replace

from sast_compile.errors import Unsupported
from sast_compile.ir.neuron import Factor, Ref, Reset
from sast_compile.ir.ops import Neuron, Op
from sast_compile.ir.program import Program
from sast_compile.passes.lowered import Lowered, Note, Options
from sast_compile.target import Target


def lower_resets(program: Program, target: Target, options: Options) -> Lowered:
    """Every reset is one that the chip has; most act in the step of the spike.

    None of these changes a spike, only what v reads in the step of one:

    - zero at the start of the next step is zero now: the decay of 0 is 0
    - ``alpha (v - A)`` in the next step is a subtraction of A now
    - ``alpha v - A`` in the next step is a subtraction of ``A / alpha`` now
    """
    ops: dict[str, Op] = {}
    notes: list[Note] = []
    for name, neuron in program.neurons.items():
        reset = neuron.reset
        if reset is None or f"{reset.kind}_{reset.when}" in target.reset.native:
            continue
        early = _early(neuron, reset) if reset.kind in target.reset.native else None
        if early is None:
            raise Unsupported(
                f"reset {reset.kind!r} ({reset.when}) does not exist on {target.name}",
                where=name,
                hint=f"its resets are {', '.join(target.reset.native)} (after_fire); "
                "retrain with one of them",
            )
        if early != reset:
            ops[name] = replace(neuron, reset=early)
            notes.append(_note(name, reset, early))
    return Lowered(program.with_ops(ops), tuple(notes))


def _early(neuron: Neuron, reset: Reset) -> Reset | None:
    """The reset in the step of the spike that gives the same spikes; None if there is none."""
    decay, amount = neuron.voltage.decay, reset.amount
    if reset.when == "after_fire":
        return reset
    if reset.kind == "subtract" and reset.when == "after_decay":
        alpha = decay.alpha if isinstance(decay, Factor) else 1.0
        if isinstance(alpha, Ref) or isinstance(amount, Ref) or not alpha:
            return None
        amount = amount / alpha
    return Reset(kind=reset.kind, amount=amount)


def _note(name: str, late: Reset, early: Reset) -> Note:
    amount = ""
    if early.amount != late.amount:
        amount = f", amount {late.amount:.6g} -> {early.amount:.6g}"
    text = f"reset {late.kind}: {late.when} -> after_fire{amount}, same spikes"
    return Note(name, text)
