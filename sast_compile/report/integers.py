"""A program on labelled events, in portions: right decisions and synaptic operations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sast_compile.compare import decisions
from sast_compile.execute import execute
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array
from sast_compile.report.synops import synops

PORTION = 500  # samples at a time


@dataclass(frozen=True)
class Integers:
    """A program on ``n`` samples: right decisions, synaptic operations a sample."""

    right: int
    n: int
    input_operations: float
    hidden_operations: float


def measured(program: Program, events: Array, labels: Array) -> Integers:
    """``program``, whose output counts spikes, on all of ``events``."""
    parts = list(_parts(program, events, labels))
    right, by_input, by_hidden = (sum(part[i] for part in parts) for i in range(3))
    return Integers(right, len(labels), by_input / len(labels), by_hidden / len(labels))


def _parts(program: Program, events: Array, labels: Array) -> Iterator[tuple[int, int, int]]:
    (output,) = program.outputs
    for at in range(0, len(labels), PORTION):
        some = events[at : at + PORTION]
        trace = execute(program, some)
        operations = synops(program, some, trace)
        right = int(np.sum(decisions(trace[output].spikes) == labels[at : at + PORTION]))
        yield right, sum(o.input for o in operations), sum(o.hidden for o in operations)
