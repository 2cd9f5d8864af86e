"""The two programs that are held against each other, in forms whose v can be compared.

L1 and L3 have the same populations. `float_form` is L1 as the passes leave it before the first of
them rounds: gains folded, resets as the chip makes them, thresholds shared. So its spikes are L1's,
and its v is in the units that a step of the chip's v is worth.
"""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from sast_compile.compile import lower
from sast_compile.ir.neuron import Reset
from sast_compile.ir.ops import Op
from sast_compile.ir.program import Program
from sast_compile.ir.types import Float, TensorType, scale_column
from sast_compile.passes import PASSES, Options
from sast_compile.passes.feeders import Floats, numbers_of
from sast_compile.target import Target

ROUNDING = ("quantize_weights", "snap_decays", "fold_thresholds")  # passes, in any order


def float_form(program: Program, target: Target) -> Program:
    """The float program ``program`` after those of the target's passes that round nothing."""
    passes = target.passes
    at = min((passes.index(name) for name in ROUNDING if name in passes), default=0)
    return lower(program, target, Options(), passes[at - 1])[-1].program if at else program


def with_leaks(floats: Program, target: Target, options: Options) -> Program:
    """``floats`` with leaks that the chip's registers hold, and what the pass does to match them.

    It may move thresholds to make good what a leak loses.
    """
    return PASSES["snap_decays"](floats, target, options).program


def as_compared(program: Program) -> Program:
    """``program`` with the same spikes, whose recorded v is what was held against the threshold.

    A reset in the step of a spike is made at the start of the next step instead: nothing reads v in
    between. One with a floor stays, and its v is recorded behind it.
    """
    ops: dict[str, Op] = {}
    for name, neuron in program.neurons.items():
        reset = neuron.reset
        if reset is not None and reset.when == "after_fire" and reset.floor is None:
            late = Reset(kind=reset.kind, when="before_decay", amount=reset.amount)
            ops[name] = replace(neuron, reset=late)
    return program.with_ops(ops)


def step_of_v(program: Program, name: str) -> Floats:
    """What a step of the integer v of ``name`` is worth, to broadcast against the population."""
    neuron = program.neurons[name]
    scale = neuron.voltage_scale(*(program.types[e.node] for e in program.by_name[name].inputs))
    return np.asarray(scale_column(TensorType(neuron.shape, Float(), scale)))


def height(program: Program, name: str) -> Floats | None:
    """The threshold of the float population ``name``; None for one that does not fire."""
    fire = program.neurons[name].fire
    return None if fire is None else numbers_of(program, fire.threshold) * fire.unit
