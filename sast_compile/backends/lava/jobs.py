"""Jobs for Lava: programs with their events, which of them share a graph, and their files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from sast_compile.backends.lava.graph import Graph, lower
from sast_compile.backends.lava.registers import Population
from sast_compile.errors import CompileError, Unsupported
from sast_compile.ir.events import Events, input_batch
from sast_compile.ir.loihi import ALIGNMENT
from sast_compile.ir.program import Program
from sast_compile.ir.text import parse_program, print_program
from sast_compile.ir.types import Array
from sast_compile.trace import Layer, Trace

Record: TypeAlias = Literal["outputs", "spikes", "states"]

TIMINGS = "timings.json"
POPULATIONS = 24  # in one graph: each is two processes of the operating system, and one a path
LONGER = 2  # the longest run of a graph against its shortest, whose processes step on idly
WIDTH = 4096  # elements of all inputs in one graph: every first Dense holds zeros for the others'


@dataclass(frozen=True, eq=False)
class Job:
    """A program, its events by input as int32 (samples, steps, elements), and what to keep."""

    program: Program
    graph: Graph
    events: Mapping[str, npt.NDArray[np.int32]]
    record: Record

    @property
    def samples(self) -> int:
        return int(next(iter(self.events.values())).shape[0])

    @property
    def steps(self) -> int:
        return int(next(iter(self.events.values())).shape[1])

    @property
    def period(self) -> int:
        """The steps from one sample to the next."""
        return self.steps + self.graph.gap

    @property
    def run_length(self) -> int:
        """The steps of a run, to the last recorded one."""
        return self.samples * self.period + self.graph.latency

    @property
    def recorded(self) -> tuple[Population, ...]:
        """The populations to record, in the order of the trace."""
        by_name = {population.name: population for population in self.graph.populations}
        names = self.graph.outputs if self.record == "outputs" else self.program.neurons
        return tuple(by_name[name] for name in dict.fromkeys(names))


def job(program: Program, events: Events, record: Record = "states") -> Job:
    """The job of running ``program`` on ``events``; raises CompileError if either cannot be."""
    graph = lower(program)
    batch = input_batch(program, events)
    if 0 in next(iter(batch.values())).shape[:2]:
        raise CompileError("samples without a step do not fit into Lava", where=program.name)
    return Job(program, graph, {name: _flat(data) for name, data in batch.items()}, record)


def _flat(data: Array) -> npt.NDArray[np.int32]:
    """(samples, steps, elements), in C order."""
    return data.astype(np.int32).reshape(*data.shape[:2], math.prod(data.shape[2:]))


def grouped(jobs: Sequence[Job]) -> list[list[int]]:
    """The indices of ``jobs`` that share a graph: runs of similar length, and not too many."""
    groups: list[list[int]] = []
    for index in sorted(range(len(jobs)), key=lambda i: jobs[i].run_length):
        if groups and _fit([jobs[i] for i in (*groups[-1], index)]):
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _fit(jobs: Sequence[Job]) -> bool:
    populations = sum(len(one.graph.populations) for one in jobs)
    width = sum(events.shape[2] for one in jobs for events in one.events.values())
    lengths = [one.run_length for one in jobs]
    alike = max(lengths) <= LONGER * min(lengths)
    return alike and populations <= POPULATIONS and width <= WIDTH


def record_path(folder: Path, index: int, population: str) -> Path:
    """The file that the recorder of a population of the job ``index`` writes."""
    return folder / f"{index}.{population}.npz"


def read_trace(folder: Path, index: int, job: Job) -> Trace:
    """What the recorders of the job ``index`` wrote, cut into samples."""
    return Trace({one.name: _layer(folder, index, job, one) for one in job.recorded})


def _layer(folder: Path, index: int, job: Job, population: Population) -> Layer:
    shape = (job.samples, job.period, *population.shape)
    with np.load(record_path(folder, index, population.name), allow_pickle=False) as data:
        arrays = {key: data[key].reshape(shape)[:, : job.steps] for key in data.files}
    spikes = arrays.pop("spikes")
    if population.fires:
        return Layer(spikes, arrays)
    _check_silence(population, spikes)
    return Layer(arrays["v"], arrays if job.record == "states" else {})


def _check_silence(readout: Population, spikes: npt.NDArray[Any]) -> None:
    """Unsupported if the LIF that holds a readout was reset by a spike: then v is not the one read.

    Without a spike its v is that of a neuron that cannot fire, so the run itself is the proof.
    """
    if spikes.any():
        raise Unsupported(
            f"it does not fire, but its v passed the highest threshold of Lava's LIF,"
            f" {readout.vth} << {ALIGNMENT}, {int(spikes.sum())} times",
            where=readout.name,
            hint="scale the weights of this layer down, or run it on another back end",
        )


def write_jobs(folder: Path, jobs: Iterable[Job]) -> None:
    """Puts jobs into ``folder`` for another Python: text, arrays and one list."""
    records = []
    for index, one in enumerate(jobs):
        arrays: dict[str, Any] = {f"const/{n}": c.data for n, c in one.program.consts.items()}
        arrays |= {f"events/{name}": _packed(data) for name, data in one.events.items()}
        (folder / f"{index}.program.txt").write_text(print_program(one.program), encoding="utf-8")
        np.savez(folder / f"{index}.arrays.npz", **arrays)
        records.append(one.record)
    (folder / "jobs.json").write_bytes(msgspec.json.encode(records))


def read_jobs(folder: Path) -> list[Job]:
    """The jobs that `write_jobs` put into ``folder``."""
    records = msgspec.json.decode((folder / "jobs.json").read_bytes(), type=list[Record])
    return [_read_job(folder, index, record) for index, record in enumerate(records)]


def _read_job(folder: Path, index: int, record: Record) -> Job:
    with np.load(folder / f"{index}.arrays.npz", allow_pickle=False) as data:
        arrays = {key: data[key] for key in data.files}
    consts = {k.removeprefix("const/"): v for k, v in arrays.items() if k.startswith("const/")}
    text = (folder / f"{index}.program.txt").read_text(encoding="utf-8")
    program = parse_program(text, consts)
    graph = lower(program)
    events = {s.name: arrays[f"events/{s.name}"].astype(np.int32) for s in graph.sources}
    return Job(program, graph, events, record)


def _packed(data: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    """``data`` in a byte each where that holds it."""
    small = data.astype(np.uint8)
    return small if (small == data).all() else data
