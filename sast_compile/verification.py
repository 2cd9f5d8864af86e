"""Runs that must agree: every back end against the reference interpreter, value by value.

Two claims are kept apart. *Exact*: the torch integer model, Lava and every other back end give the
reference interpreter's spikes, u and v in every layer, step and sample, and every integer is the
rounding of its float. *Measured*: how many spikes of the float hard-spike model the integers keep.
Only the first decides.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Literal, TypeAlias

from sast_compile.artifact import Artifact
from sast_compile.backends import emulator, reference, torch_program
from sast_compile.backends.lava import run as run_lava
from sast_compile.catalog import suggestion
from sast_compile.chunks import chunk_size, chunks, sample_bytes
from sast_compile.compare import Agreement, Compared, agreement, compare_traces
from sast_compile.contract import Contract
from sast_compile.errors import BackendUnavailable, CompileError, TargetLimit, Unsupported
from sast_compile.files import read_whole, sha256
from sast_compile.frontend.source import Source, read_source
from sast_compile.ir.events import Events, busiest
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array
from sast_compile.levels import NO_FLOATS, hard_spikes, integer_trace
from sast_compile.rounding import Rounded, rounded
from sast_compile.samples import Samples, samples_for, samples_of
from sast_compile.target import Target
from sast_compile.trace import Layer, Tally, Trace

Role: TypeAlias = Literal["ours", "oracle"]
Seconds: TypeAlias = Mapping[str, float]


class Verdict(Enum):
    """What a verification shows; the value is the exit code."""

    PROVEN = 0  # all equal, every layer fired, and an independent oracle ran
    DIFFERENT = 1
    UNPROVEN = 3  # nothing differs, but only our own back ends ran, or a layer stayed silent


@dataclass(frozen=True)
class Checked:
    """One back end against the reference: its layers, or why it did not run.

    ``own`` names the layers of an oracle that code of ours computed all the same, and what of it:
    there it confirms nothing.
    """

    backend: str
    role: Role
    layers: tuple[Compared, ...] = ()
    absent: str | None = None
    seconds: Seconds = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)

    @property
    def identical(self) -> bool:
        return all(layer.identical for layer in self.layers)

    def __add__(self, other: Checked) -> Checked:
        """On these samples and those of ``other``; one that broke off ran only if it differed."""
        absent = self.absent or other.absent
        if absent is not None:
            differs = next((c for c in (self, other) if not c.identical), None)
            return differs or replace(self, layers=(), absent=absent)
        return Checked(
            self.backend,
            self.role,
            tuple(a + b for a, b in zip(self.layers, other.layers, strict=True)),
            seconds={what: s + other.seconds.get(what, 0) for what, s in self.seconds.items()},
            own={**self.own, **other.own},
        )

    @property
    def confirmed(self) -> set[str]:
        """The layers that an independent oracle computed, and not code of ours."""
        return {r.layer for r in self.layers} - set(self.own) if self.role == "oracle" else set()


@dataclass(frozen=True)
class Ran:
    """What a back end gave: the trace, how long it took, and `Checked.own`."""

    trace: Trace
    seconds: Seconds = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verification:
    """All back ends on the same samples.

    ``silent`` are the layers without a spike: an equality there proves nothing. ``event_rate`` is
    the largest share of an input's elements that is active in one step of one sample.
    """

    program: Program
    samples: Samples
    tallies: Mapping[str, Tally]  # the reference interpreter's
    silent: list[str]
    event_rate: float
    checked: tuple[Checked, ...]
    drift: tuple[Agreement, ...]  # L1 against the integers; empty without the float model
    drift_origin: str
    rounding: tuple[Rounded, ...] = ()  # the integers against the source's floats

    @property
    def latency(self) -> dict[str, int]:
        """In which step each output's column 0 is computed: how late the chip answers."""
        return {name: self.program.start_of(name) for name in self.program.outputs}

    @property
    def verdict(self) -> Verdict:
        if not all(c.identical for c in self.checked):
            return Verdict.DIFFERENT
        if not all(register.faithful for register in self.rounding):
            return Verdict.DIFFERENT
        populations = set(self.program.neurons)  # an oracle that left one out proves nothing
        oracle = any(checked.confirmed >= populations for checked in self.checked)
        return Verdict.PROVEN if oracle and not self.silent else Verdict.UNPROVEN


def verify(
    artifact: Artifact,
    samples: int = 100,
    backends: Sequence[str] | None = None,
    model: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
    events: Events | None = None,
    most: int | None = None,
) -> Verification:
    """Every back end on the first ``samples`` test samples of the model's data.

    ``backends`` names them; by default all but those `ON_REQUEST`. ``events`` (samples, steps,
    *input shape) takes the place of that data. ``model`` is the source model; by default the file
    that the artifact was made from, if it is still there unchanged. All runs go through the samples
    side by side, a chunk of about ``most`` bytes at a time.
    Raises CompileError for an unknown back end or a model that is another.
    """
    chosen = _chosen(backends, artifact.target)
    source, no_source = find_source(artifact, model)
    program = artifact.program
    if events is None:
        data = samples_for(program, artifact.contract, artifact.provenance.data, samples)
    else:
        data = samples_of(program, events, "given samples")
        data = replace(data, origin=f"{data.count} given samples")
    side = _SideBySide(program, source, no_source, artifact.target, progress)
    each = AT_ONCE * sample_bytes(program, data, "states", interpreted=True)
    size = chunk_size(data, each, most)
    for begin, end in chunks(data, size):
        side.add(data.array(begin, end), chosen)
    drift, origin = _drift(artifact, source, side.drift, data)
    registers = tuple(rounded(source.program, program)) if source is not None else ()
    return Verification(
        program,
        data,
        side.tallies,
        [name for name, fires in side.fires.items() if not fires],
        side.event_rate,
        (_golden(artifact), *side.checked.values()),
        drift,
        origin,
        registers,
    )


AT_ONCE = 4  # the reference's record, another's, that one as its back end keeps it, L1's spikes


class _SideBySide:
    """What the back ends gave so far, each chunk beside the reference interpreter's."""

    def __init__(
        self,
        program: Program,
        source: Source | None,
        no_source: str,
        target: Target,
        progress: Callable[[str], None],
    ) -> None:
        self.program, self.source, self.no_source = program, source, no_source
        self.target, self.progress, self.done = target, progress, 0
        self.tallies: dict[str, Tally] = {}
        self.fires: dict[str, bool] = {}
        self.event_rate = 0.0
        self.checked: dict[str, Checked] = {}
        self.drift: dict[str, Agreement] = {}

    def add(self, events: Array, chosen: Sequence[str]) -> None:
        """The next samples; a back end that could not run is not asked again."""
        self.progress("reference interpreter")
        trace = reference.run(self.program, events, record="states")
        for name, layer in trace.layers.items():
            self.fires[name] = self.fires.get(name, False) or bool(layer.spikes.any())
            if layer.tally:
                self.tallies[name] = self.tallies.get(name, Tally()) + layer.tally
        self.event_rate = max(self.event_rate, busiest(self.program, events))
        for name in chosen:
            if name not in self.checked or self.checked[name].absent is None:
                self._check(name, events, trace)
        for one in self._drifted(events, trace):
            known = self.drift.get(one.layer)
            self.drift[one.layer] = one if known is None else known + one
        self.done += len(events)

    def _check(self, name: str, events: Array, trace: Trace) -> None:
        self.progress(name)
        found = _check(name, _role(name, self.target), lambda: self._ran(name, events), trace)
        layers = tuple(layer.moved(self.done) for layer in found.layers)
        found = replace(found, layers=layers)
        known = self.checked.get(name)
        self.checked[name] = found if known is None else known + found

    def _ran(self, name: str, events: Array) -> Ran:
        match name:
            case "emulator":
                return Ran(emulator.run(self.program, events, "states"))
            case "torch-program":
                return Ran(torch_program.run(self.program, events, "states"))
            case "cuda":
                return Ran(torch_program.run(self.program, events, "states", "cuda"))
            case "torch":
                return Ran(_torch(self.source, self.no_source, self.program, events))
            case _:
                return _lava(self.program, events)

    def _drifted(self, events: Array, trace: Trace) -> list[Agreement]:
        """L1 against the integers; nothing without the source model."""
        floats = None if self.source is None else hard_spikes(self.source, events)
        neurons = self.program.neurons.items()
        integers = {name: trace[name].spikes for name, op in neurons if op.fire is not None}
        return [] if floats is None else agreement(floats, integers)


ROLES: dict[str, Role] = {
    "emulator": "ours",
    "torch-program": "ours",
    "cuda": "ours",
    "torch": "ours",
    "lava": "oracle",
}
ON_REQUEST = {"torch-program", "cuda"}  # what the emulator computes too: slower here, on a GPU


def _role(name: str, target: Target) -> Role:
    """What the back end proves; torch's integers are independent where nobody else simulates.

    They share neither topology nor equations with the interpreter, only the compiled numbers.
    """
    return "oracle" if not target.oracles and name == "torch" else ROLES[name]


def _chosen(backends: Iterable[str] | None, target: Target) -> list[str]:
    if backends is None:
        default = [name for name in ROLES if name not in ON_REQUEST]
        return [n for n in default if ROLES[n] == "ours" or n in target.oracles]
    chosen = list(backends)
    for name in chosen:
        if name not in ROLES:
            raise CompileError(f"unknown back end {name!r}", hint=suggestion(name, ROLES))
    return chosen


def find_source(artifact: Artifact, model: str | None) -> tuple[Source | None, str]:
    """The model that ``artifact`` was compiled from, or None and the reason."""
    wanted = artifact.provenance
    path = model or wanted.source
    if model is None and not os.path.isfile(path):  # pathlib's raises for some names
        return None, f"the source model {path} is not here (name it with --model)"
    if sha256(read_whole(path)) != wanted.source_sha256:
        if model is not None:
            raise CompileError("is not the file that this artifact was compiled from", where=path)
        return None, f"the source model {path} has changed since it was compiled"
    try:
        return _source(path, artifact.contract), ""
    except BackendUnavailable as error:
        return None, str(error)


def _source(path: str, contract: Contract) -> Source:
    """The model at ``path`` as it was compiled: a bare graph under ``contract``."""
    if not path.lower().endswith(".nir"):
        return read_source(path)
    if isinstance(contract.feedback, int):  # named beside what the graph itself may state
        return read_source(path, contract, contract.feedback)
    return read_source(path, contract)


def _check(name: str, role: Role, run: Callable[[], Ran], trace: Trace) -> Checked:
    began = time.perf_counter()
    try:
        ran = run()
    except (BackendUnavailable, TargetLimit, Unsupported) as error:
        return Checked(name, role, absent=str(error))
    layers = tuple(compare_traces(trace, ran.trace))
    seconds = {**ran.seconds, "total": time.perf_counter() - began}
    return Checked(name, role, layers, seconds=seconds, own=ran.own)


def _golden(artifact: Artifact) -> Checked:
    """Today's interpreter against the spikes stored when the artifact was made."""
    golden = artifact.golden
    today = reference.run(artifact.program, golden.events)
    stored = Trace({name: Layer(spikes) for name, spikes in golden.spikes.items()})
    return Checked("golden", "ours", tuple(compare_traces(stored, today)))


def _torch(source: Source | None, reason: str, program: Program, events: Array) -> Trace:
    if source is None:
        raise BackendUnavailable(reason)
    return integer_trace(source, program, events)


def _lava(program: Program, events: Array) -> Ran:
    result = run_lava(program, events, record="states")
    timings = result.timings
    seconds = {"build": timings.build, "step": timings.step, "fetch": timings.fetch}
    return Ran(result.trace, seconds, result.own)


def _drift(
    artifact: Artifact, source: Source | None, found: Mapping[str, Agreement], data: Samples
) -> tuple[tuple[Agreement, ...], str]:
    """L1 against the integers: on all samples with the source model, else on the golden ones."""
    if source is not None:
        return (tuple(found.values()), data.origin) if found else ((), NO_FLOATS)
    golden = artifact.golden
    if not golden.float_spikes:
        return (), NO_FLOATS
    origin = f"{len(golden.events)} golden samples"
    return tuple(agreement(golden.float_spikes, golden.spikes)), origin
