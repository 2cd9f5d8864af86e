"""The gains of a neuron's input, folded into the weights that drive it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace

from sast_compile.ir.ops import Neuron, Op, Projection
from sast_compile.ir.program import Program, used_consts
from sast_compile.ir.types import Const
from sast_compile.passes.feeders import Floats, by_row, feeders, numbers_of
from sast_compile.passes.lowered import Lowered, Note, Options
from sast_compile.target import Target


def fold_scales(program: Program, target: Target, options: Options) -> Lowered:
    """Every float neuron has gain 1: ``alpha v + g (W s)`` is ``alpha v + (g W) s``.

    The gain of a synaptic current goes the same way: u and v are linear in the weights. A bias
    counts in v already and stays.
    """
    ops: dict[str, Op] = {}
    consts: dict[str, Const] = {}
    notes: list[Note] = []
    for name, neuron in program.neurons.items():
        factor = gain_of(program, neuron)
        if not neuron.is_float or (factor == 1).all():
            continue
        consts |= dict(scaled(program, name, factor, "gain"))
        synapses = tuple(replace(s, gain=1.0) for s in neuron.synapses)
        voltage = replace(neuron.voltage, gain=1.0)
        ops[name] = replace(neuron, synapses=synapses, voltage=voltage)
        notes.append(Note(name, f"gain {factor.min():.6g}..{factor.max():.6g} into the weights"))
    return Lowered(used_consts(program.with_ops(ops, consts)), tuple(notes))


def gain_of(program: Program, neuron: Neuron) -> Floats:
    """What a current is multiplied with on its way to v: one number, or one per neuron."""
    product = np.ones(())
    for state in (*neuron.synapses, neuron.voltage):
        product = product * numbers_of(program, state.gain)
    return product


def scaled(program: Program, neuron: str, factor: Floats, what: str) -> Iterator[tuple[str, Const]]:
    """The weights that drive ``neuron`` times its ``factor``, by the constant's name."""
    for feeder in feeders(program, neuron):
        op = program.by_name[feeder].op
        assert isinstance(op, Projection)
        weight = program.consts[op.weight.name]
        rows = by_row(program, feeder, factor, what)
        yield op.weight.name, Const(weight.type, weight.data * rows)
