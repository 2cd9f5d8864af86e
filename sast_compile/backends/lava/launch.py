"""Runs programs on Lava: here where Lava is at home (Python 3.10), else in its own Python."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from sast_compile.backends.lava.environment import lava_is_here, lava_python
from sast_compile.backends.lava.jobs import (
    TIMINGS,
    Job,
    Record,
    grouped,
    job,
    read_trace,
    write_jobs,
)
from sast_compile.backends.lava.private_process import run_worker
from sast_compile.backends.lava.timings import Timings
from sast_compile.ir.events import Events
from sast_compile.ir.program import Program
from sast_compile.trace import Trace

TIME_LIMIT = 600.0  # seconds


@dataclass(frozen=True)
class LavaRun:
    """What one program did, and how long Lava took.

    ``own`` names the populations that a Process of ours computed, and what of them Intel's lacks:
    for these Lava is no independent oracle.
    """

    trace: Trace
    timings: Timings
    own: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LavaRuns:
    """What several programs did, in the order of the jobs, and how long Lava took in all.

    ``own`` is `LavaRun.own` of each.
    """

    traces: tuple[Trace, ...]
    timings: Timings
    own: tuple[Mapping[str, str], ...]


def run(
    program: Program,
    events: Events,
    record: Record = "states",
    *,
    time_limit: float = TIME_LIMIT,
) -> LavaRun:
    """The trace of an integer ``program`` on ``events``, computed by Lava's processes.

    ``events`` are (samples, steps, *input shape), by input if there are several; ``record`` and the
    trace are those of the reference interpreter. ``time_limit`` is in seconds. Raises Unsupported
    or TargetLimit (naming the node) for what Lava cannot compute bit for bit, CompileError for
    events that do not fit, BackendUnavailable if there is no Lava, or it fails or takes too long.
    """
    runs = run_many([(program, events)], record, time_limit=time_limit)
    return LavaRun(runs.traces[0], runs.timings, runs.own[0])


def run_many(
    jobs: Sequence[tuple[Program, Events]],
    record: Record = "states",
    *,
    time_limit: float = TIME_LIMIT,
) -> LavaRuns:
    """The traces of several programs, side by side in as few graphs as is wise; see `run`."""
    began = time.perf_counter()
    prepared = [job(program, events, record) for program, events in jobs]
    with _folder() as folder:
        run_all = _run_here if lava_is_here() else _run_there
        timings = run_all(prepared, folder, time_limit)
        written = time.perf_counter()
        traces = tuple(read_trace(folder, index, one) for index, one in enumerate(prepared))
    ended = time.perf_counter()
    took = replace(timings, fetch=ended - written, total=ended - began)
    return LavaRuns(traces, took, tuple(one.graph.own for one in prepared))


def _run_here(jobs: Sequence[Job], folder: Path, time_limit: float) -> Timings:
    from sast_compile.backends.lava.runner import run_graph

    deadline, timings = time.monotonic() + time_limit, Timings()
    for group in grouped(jobs):
        timings += run_graph({index: jobs[index] for index in group}, folder, deadline)
    return timings


def _run_there(jobs: Sequence[Job], folder: Path, time_limit: float) -> Timings:
    python = lava_python()
    write_jobs(folder, jobs)
    run_worker(python, folder, time_limit)
    return msgspec.json.decode((folder / TIMINGS).read_bytes(), type=Timings)


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder; a process that was just killed may still write into it."""
    with tempfile.TemporaryDirectory(prefix="sast-lava-", ignore_cleanup_errors=True) as name:
        yield Path(name)
