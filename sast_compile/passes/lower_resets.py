"""Resets as the chip makes them, where that changes no spike."""

from __future__ import annotations

from msgspec.structs import replace

from sast_compile.errors import Unsupported
from sast_compile.ir.neuron import Reset
from sast_compile.ir.ops import Op
from sast_compile.ir.program import Program
from sast_compile.passes.lowered import Lowered, Note, Options
from sast_compile.target import Target


def lower_resets(program: Program, target: Target, options: Options) -> Lowered:
    """Every reset acts in the step of the spike, and is one that the chip has.

    Zero at the start of the next step and zero in the step of the spike give the same spikes: the
    decay of 0 is 0. Only what v reads in that step differs.
    """
    ops: dict[str, Op] = {}
    notes: list[Note] = []
    for name, neuron in program.neurons.items():
        reset = neuron.reset
        if reset is None:
            continue
        if reset.kind not in target.reset.native or (
            reset.kind == "subtract" and reset.when != "after_fire"
        ):
            raise Unsupported(
                f"reset {reset.kind!r} ({reset.when}) does not exist on {target.name}",
                where=name,
                hint=f"its resets are {', '.join(target.reset.native)} (after_fire); "
                "retrain with one of them",
            )
        if reset.when != "after_fire":
            ops[name] = replace(neuron, reset=Reset(kind=reset.kind, amount=reset.amount))
            notes.append(Note(name, f"reset {reset.kind}: {reset.when} -> after_fire, same spikes"))
    return Lowered(program.with_ops(ops), tuple(notes))
