"""What a program does on a set of samples, summed up as they go by: decisions, spikes, operations.

A chunk's record is let go once its sums are taken, so the set may be larger than memory. All sums
are of whole numbers: of a program of integers they are the same for every size of chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sast_compile.chunks import Told, chunk_size, chunks, sample_bytes
from sast_compile.compare import decisions
from sast_compile.execute import Runner, runner
from sast_compile.ir.events import Events
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array
from sast_compile.report.synops import Activity, Operations, activity, operations
from sast_compile.samples import Samples
from sast_compile.trace import Trace

ENOUGH = 2**25  # bytes of a chunk: larger ones leave the cache, and wait for fresh pages


@dataclass(frozen=True)
class Totals:
    """A program on ``samples`` samples of ``steps`` steps.

    ``decisions`` (samples,) is by output. ``right`` of them are the label's, None without labels;
    ``active`` counts the spikes of every element of every input and population.
    """

    samples: int
    steps: int
    decisions: Mapping[str, Array]
    right: int | None
    active: Activity
    operations: tuple[Operations, ...]

    def spikes(self, name: str) -> int:
        """All spikes of a population."""
        return int(self.active[name].sum())

    def rate(self, name: str) -> float:
        """Its spikes a neuron and step."""
        return self.spikes(name) / (self.samples * self.steps * self.active[name].size)

    @property
    def accuracy(self) -> float:
        """The share of right decisions, of samples that have labels."""
        assert self.right is not None
        return self.right / self.samples

    @property
    def input_operations(self) -> float:
        """Synaptic operations that input events make, a sample."""
        return sum(one.input for one in self.operations) / self.samples

    @property
    def hidden_operations(self) -> float:
        """Synaptic operations that hidden spikes make, a sample."""
        return sum(one.hidden for one in self.operations) / self.samples


def totals(
    program: Program,
    samples: Samples,
    most: int | None = None,
    threads: int | None = None,
    device: str = "cpu",
    checked: bool = False,
    told: Told = lambda done: None,
) -> Totals:
    """``program`` on all of ``samples``, in chunks of at most ``most`` bytes (`chunk_size`).

    Raises CompileError if that is too little for one sample, or the events do not fit.
    """
    each = sample_bytes(program, samples, "spikes")
    size = min(chunk_size(samples, each, most), max(1, ENOUGH // each))
    run, sums = runner(program, "spikes", threads, device, checked), _Sums(program)
    for begin, end in chunks(samples, size):
        sums.add_run(run, samples.cut(begin, end))
        told(end - begin)
    return sums.totals(samples)


def totals_of(program: Program, samples: Samples, trace: Trace) -> Totals:
    """The same of a run of all samples that has been made, with the spikes of every layer."""
    sums = _Sums(program)
    sums.add(samples.cut(0, samples.count), trace)
    return sums.totals(samples)


class _Sums:
    """What is kept of the chunks so far."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.decided: dict[str, list[Array]] = {name: [] for name in program.outputs}
        names = (*program.inputs, *program.neurons)
        self.active = {name: np.zeros(program.types[name].shape, np.int64) for name in names}

    def add_run(self, run: Runner, events: Events) -> None:
        """A chunk's sums; its trace is gone when this returns."""
        self.add(events, run(events))

    def add(self, events: Events, trace: Trace) -> None:
        for name, chosen in self.decided.items():
            chosen.append(decisions(trace[name].spikes))
        for name, counts in activity(self.program, events, trace).items():
            self.active[name] += counts

    def totals(self, samples: Samples) -> Totals:
        decided = {name: np.concatenate(chosen) for name, chosen in self.decided.items()}
        right = None
        if samples.labels is not None:
            (which,) = decided.values()  # a data set with labels has one output
            right = int((which == samples.labels).sum())
        found = operations(self.program, self.active)
        return Totals(samples.count, samples.steps, decided, right, self.active, found)
