"""Runs jobs on Lava's fixed-point models, in this Python; imports Lava.

One graph holds many programs, which share one RingBuffer (Lava runs what is connected: each Dense
reads its own columns, the others have weight 0), and many samples one behind the other: LIFReset
clears a population in the step of its column 0, which is later in deeper layers, and connections
are silent where a column of the sample before would arrive (`processes.connections`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import Dense
from lava.proc.io.source import RingBuffer

from sast_compile.backends.lava.graph import Projection
from sast_compile.backends.lava.jobs import Job, record_path
from sast_compile.backends.lava.processes.recorder import SpikeRecorder, StateRecorder
from sast_compile.backends.lava.registers import Population
from sast_compile.backends.lava.stock import connection_process, lif_process
from sast_compile.backends.lava.timings import Timings
from sast_compile.backends.lava.unrolled import Matrix
from sast_compile.errors import BackendUnavailable

POLL = 0.002  # seconds between two looks at whether the run is over


def run_graph(jobs: Mapping[int, Job], folder: Path, deadline: float = float("inf")) -> Timings:
    """Runs ``jobs`` side by side in one graph; the records of job i are ``folder``/i.*.npz.

    ``deadline`` is in seconds of time.monotonic.
    Raises BackendUnavailable if a Lava process dies or the deadline passes; stops Lava always.
    """
    began = time.perf_counter()
    source = _build(jobs, folder)
    steps = max(one.run_length for one in jobs.values())
    try:
        source.create_runtime(run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        built = time.perf_counter()
        processes = len(source.runtime._messaging_infrastructure.actors)
        source.run(condition=RunSteps(num_steps=steps, blocking=False))
        _wait(source.runtime, deadline)
        stepped = time.perf_counter()
    finally:
        _end(source.runtime)
    stop = time.perf_counter() - stepped
    return Timings(1, processes, steps, built - began, stepped - built, stop)


def _build(jobs: Mapping[int, Job], folder: Path) -> Any:
    """The source that is connected to every process of every job."""
    source = RingBuffer(data=_columns(list(jobs.values())))
    first = 0
    for index, one in jobs.items():
        slices = {}
        for name, events in one.events.items():
            slices[name] = slice(first, first + events.shape[2])
            first += events.shape[2]
        _place(source, index, one, slices, folder)
    return source


def _columns(jobs: Sequence[Job]) -> npt.NDArray[np.int32]:
    """Every input of every job, (elements, steps): column k is sent in step k + 1."""
    length = max(one.run_length for one in jobs)
    rows = []
    for one in jobs:
        for events in one.events.values():
            spaced = np.pad(events, ((0, 0), (0, one.graph.gap), (0, 0)))
            flat = spaced.reshape(-1, events.shape[2])
            rows.append(np.pad(flat, ((0, length - len(flat)), (0, 0))).T)
    return np.concatenate(rows)


def _place(source: Any, index: int, one: Job, slices: Mapping[str, slice], folder: Path) -> None:
    """Makes and connects the processes of one job."""
    lifs = {p.name: lif_process(p, one.period) for p in one.graph.populations}
    starts = {p.name: p.start for p in one.graph.populations}
    width = source.s_out.shape[0]
    for projection in one.graph.projections:
        piece = slices.get(projection.source)
        start = starts[projection.target]
        connection = connection_process(_widened(projection, width, piece), one.period, start + 1)
        (source if piece else lifs[projection.source]).s_out.flatten().connect(connection.s_in)
        _drive(connection, lifs[projection.target])
    for name in one.graph.adrift:  # Lava runs what is connected to the source, and so it is
        nothing = np.zeros((math.prod(lifs[name].a_in.shape), width), np.int32)
        connection = Dense(weights=nothing)
        source.s_out.connect(connection.s_in)
        _drive(connection, lifs[name])
    for population in one.recorded:
        path = record_path(folder, index, population.name)
        _record(lifs[population.name], one, population, path)


def _drive(connection: Any, lif: Any) -> None:
    connection.a_out.reshape(lif.a_in.shape).connect(lif.a_in)


def _widened(projection: Projection, width: int, piece: slice | None) -> Projection:
    """The same projection from the shared source, where its own input is the columns ``piece``."""
    if piece is None:
        return projection
    weights = projection.weights
    if isinstance(weights, Matrix):
        shape = (weights.shape[0], width)
        return replace(
            projection,
            weights=replace(weights, shape=shape, columns=weights.columns + piece.start),
        )
    padded = np.zeros((weights.shape[0], width), np.int32)
    padded[:, piece] = weights
    return replace(projection, weights=padded)


def _record(lif: Any, one: Job, population: Population, path: Path) -> None:
    states = one.record == "states" or not population.fires
    kind = StateRecorder if states else SpikeRecorder
    count, first = one.samples * one.period, population.start + 1
    recorder = kind(shape=lif.s_out.shape, first=first, count=count, path=str(path))
    lif.s_out.connect(recorder.s_in)
    if states:
        recorder.u.connect_var(lif.u)
        recorder.v.connect_var(lif.v)


def _wait(runtime: Any, deadline: float) -> None:
    """Returns when the steps are over.

    Runtime.wait alone would wait for ever when a process dies: the others sit in semaphores.
    """
    actors = runtime._messaging_infrastructure.actors
    while not any(port.probe() for port in runtime.service_to_runtime):
        if any(actor.exitcode is not None for actor in actors):
            raise BackendUnavailable(f"a Lava process died\n{_last_words(actors)}", where="lava")
        if time.monotonic() > deadline:
            raise BackendUnavailable(
                "Lava was not done in time and was stopped",
                where="lava",
                hint="fewer samples, or a longer time limit",
            )
        time.sleep(POLL)
    runtime.wait()


def _last_words(actors: Sequence[Any]) -> str:
    """The traceback of the first process that raised, or how one ended."""
    for actor in actors:
        if actor.exitcode is not None:
            raised = actor.exception
            return str(raised[1]) if raised else f"{actor.name}: exit code {actor.exitcode}"
    return ""


def _end(runtime: Any) -> None:
    """Ends every process of ``runtime`` by force and frees its shared memory.

    Not Runtime.stop in good order: it waits for dead processes, and now and then it hangs. The
    command to stop may follow the one before so closely that CspRecvPort._req_callback finds its
    queue not empty just before it is emptied, and CspSelector.select is never woken. When the
    steps are over, the records are on disk and nothing of worth is left in the processes.
    """
    if runtime is None:
        return
    runtime._is_started = False  # so that neither stop nor Runtime.__del__ sends commands
    for actor in runtime._messaging_infrastructure.actors:
        actor.kill()
    runtime.join()
    runtime.stop()
