"""Our side of the comparison: the emulator, its code for AVX2 only, and the interpreter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.emulator.handover import emulate, ready, warmed
from benchmarks.emulator.rounds import Contestant, Rates, Setting, rate
from benchmarks.emulator.workloads import Workload
from sast_compile.backends import reference
from sast_compile.backends.emulator import Emulator
from sast_compile.backends.emulator.machine.processor import Processor
from sast_compile.ir.program import Program
from sast_compile.report.synops import Operations, synops
from sast_compile.trace import Record, Trace

OURS, NARROW, DEFINITION = "emulator", "emulator, AVX2 only", "interpreter"
BYTES = "emulator, events as bytes"
AVX2 = Processor("haswell", vector=256)  # LLVM's name of one with AVX2 and nothing beyond


def emulator(
    program: Program, record: Record = "outputs", threads: int = 1, avx2_only: bool = False
) -> Emulator:
    """``program`` for this machine, or for what every x86-64 machine of the last decade has."""
    return Emulator(program, record, threads, AVX2 if avx2_only else None)


@dataclass(frozen=True, eq=False)
class Run:
    """A workload as it ran once: spikes of every layer, operations."""

    trace: Trace
    operations: tuple[Operations, ...]
    per_sample: float  # operations of one sample


def checked(work: Workload) -> Run:
    """Raises AssertionError unless every spike of the compared samples is the interpreter's.

    And unless the emulators that are timed return that run's outputs, for all samples.
    """
    trace = emulate(emulator(work.program, "spikes"), work.events)
    definition = reference.run(work.program, work.events[: work.compared])
    for name in work.program.neurons:
        same = np.array_equal(trace[name].spikes[: work.compared], definition[name].spikes)
        assert same, f"({work.letter}) {name}: the emulator's spikes are not the interpreter's"
    for avx2_only in (False, True):
        outputs = emulate(emulator(work.program, avx2_only=avx2_only), ready(work.events))
        for name in work.program.outputs:
            assert np.array_equal(outputs[name].spikes, trace[name].spikes), name
    operations = synops(work.program, work.events, trace)
    total = sum(o.input + o.hidden for o in operations)
    return Run(trace, operations, total / len(work.events))


def contestants(work: Workload, seconds: float) -> list[Contestant]:
    """With one thread and with two, for AVX2 only, and the interpreter, sample by sample."""
    n = len(work.events)
    made = {
        Setting(OURS, n): emulator(work.program),
        Setting(OURS, n, 2): emulator(work.program, threads=2),
        Setting(OURS, 1): emulator(work.program),
        Setting(NARROW, n): emulator(work.program, avx2_only=True),
        Setting(BYTES, n): emulator(work.program),
    }

    def contestant(setting: Setting, one: Emulator) -> Contestant:
        some = work.events[: setting.batch]
        events = some if setting.who == BYTES else ready(some)
        warmed(one, events)
        return lambda: {setting: rate(lambda: emulate(one, events), setting.batch, seconds)}

    def interpreted() -> Rates:
        events = work.events[: work.compared]
        found = rate(lambda: reference.run(work.program, events, "outputs"), len(events), seconds)
        return {Setting(DEFINITION, len(events)): found}

    return [*(contestant(setting, one) for setting, one in made.items()), interpreted]
