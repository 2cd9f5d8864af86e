"""The gain of a neuron's input, folded into the weights that drive it."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from sast_compile.errors import Unsupported
from sast_compile.ir.neuron import Ref
from sast_compile.ir.ops import Conv2d, Op, Projection
from sast_compile.ir.program import Program, used_consts
from sast_compile.ir.types import Const
from sast_compile.passes.feeders import feeders
from sast_compile.passes.lowered import Lowered, Note, Options
from sast_compile.target import Target


def fold_scales(program: Program, target: Target, options: Options) -> Lowered:
    """Every float neuron has gain 1: ``alpha v + g (W s)`` is ``alpha v + (g W) s``."""
    ops: dict[str, Op] = {}
    consts: dict[str, Const] = {}
    notes: list[Note] = []
    for name, neuron in program.neurons.items():
        gain = neuron.voltage.gain
        if not neuron.is_float or neuron.synapses or gain == 1:
            continue
        factor = program.consts[gain.name].data if isinstance(gain, Ref) else np.asarray(gain)
        for feeder in feeders(program, name):
            dense = program.by_name[feeder].op
            assert isinstance(dense, Projection)
            weight = program.consts[dense.weight.name]
            if factor.size > 1 and isinstance(dense, Conv2d):
                raise Unsupported(
                    "one gain per neuron behind a convolution is not supported yet", where=name
                )
            rows = factor.reshape(-1, *(1,) * (weight.data.ndim - 1))
            consts[dense.weight.name] = Const(weight.type, weight.data * rows)
        ops[name] = replace(neuron, voltage=replace(neuron.voltage, gain=1.0))
        notes.append(Note(name, f"gain {factor.min():.6g}..{factor.max():.6g} into the weights"))
    return Lowered(used_consts(program.with_ops(ops, consts)), tuple(notes))
