"""Lava's fixed-point models beside the emulator, through the back end that `verify` uses.

One run of some samples in one graph gives both figures: a graph for each sample, with its building
and stopping, and only its steps, as if the graph had been there before and were never stopped. The
start of Lava's Python is in neither. Lava works in processes of the operating system, one for each
layer, connection and recorder, so it may use more than one core at a time.
"""

from __future__ import annotations

import numpy as np

from benchmarks.emulator.rounds import Contestant, Rates, Setting
from benchmarks.emulator.workloads import Workload
from sast_compile.backends.lava import run
from sast_compile.trace import Trace

NEW_GRAPH = Setting("Lava, a new graph for each sample", 1)
ONLY_STEPS = Setting("Lava, only the steps of a graph", 1)


def contestant(work: Workload, trace: Trace) -> Contestant:
    """One round; AssertionError if an output spike is not that of ``trace``."""
    events = work.events[: work.in_lava]
    n = len(events)

    def measure() -> Rates:
        found = run(work.program, events, "outputs")
        for name in work.program.outputs:
            assert np.array_equal(found.trace[name].spikes, trace[name].spikes[:n]), name
        took = found.timings
        steps = took.step / n
        return {NEW_GRAPH: 1 / (took.build + steps + took.stop), ONLY_STEPS: 1 / steps}

    return measure
