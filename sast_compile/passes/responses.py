"""What a spike does to v in the steps after it: the impulse response of a neuron without threshold.

A neuron's states are linear between two resets, so v is the sum of its inputs' traces,

    v_t = sum_j w_j x_j(t),    x_j(t) = sum_k h_k s_j(t - k),

with one impulse response h for the population. Whatever changes w or h changes v by what this sum
says, and no simulation is needed to know it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sast_compile.ir.neuron import Factor, Param, State
from sast_compile.ir.ops import Neuron
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array
from sast_compile.passes.feeders import Floats, numbers_of

HORIZON = 100  # steps of a run where nobody says how long one is


def leaks(program: Program, neuron: Neuron) -> list[float]:
    """What a step keeps of each float state, synapse first; the mean where neurons differ."""
    return [float(numbers_of(program, _alpha(state)).mean()) for state in neuron.states]


def _alpha(state: State) -> Param:
    return state.decay.alpha if isinstance(state.decay, Factor) else 1.0


def impulse_response(kept: Sequence[float], steps: int | None) -> Floats:
    """h_0 .. h_(steps-1) of states in a row, each of which keeps so much of itself in a step."""
    start = np.zeros((1, steps or HORIZON, 1))
    start[0, 0] = 1
    return traces(start, kept)[0, :, 0]


def traces(events: Array, kept: Sequence[float]) -> Floats:
    """x of every element of ``events`` (samples, steps, ...): through one state after the other."""
    x = np.array(events, dtype=np.float64)
    for alpha in kept:
        for step in range(1, x.shape[1]):
            x[:, step] += alpha * x[:, step - 1]
    return x
