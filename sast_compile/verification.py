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
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, TypeAlias

from sast_compile.artifact import Artifact
from sast_compile.backends import emulator, reference, torch_program
from sast_compile.backends.lava import run as run_lava
from sast_compile.catalog import suggestion
from sast_compile.compare import Agreement, Compared, agreement, compare_traces
from sast_compile.contract import Contract
from sast_compile.errors import BackendUnavailable, CompileError, TargetLimit, Unsupported
from sast_compile.files import read_whole, sha256
from sast_compile.frontend.source import Source, read_source
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array
from sast_compile.levels import NO_FLOATS, hard_spikes, integer_trace
from sast_compile.rounding import Rounded, rounded
from sast_compile.samples import Samples, samples_for
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
    """All back ends on the same samples."""

    program: Program
    samples: Samples
    trace: Trace  # the reference interpreter's, with states
    checked: tuple[Checked, ...]
    drift: tuple[Agreement, ...]  # L1 against the integers; empty without the float model
    drift_origin: str
    rounding: tuple[Rounded, ...] = ()  # the integers against the source's floats

    @property
    def tallies(self) -> dict[str, Tally]:
        return {n: layer.tally for n, layer in self.trace.layers.items() if layer.tally}

    @property
    def latency(self) -> dict[str, int]:
        """In which step each output's column 0 is computed: how late the chip answers."""
        return {name: self.program.start_of(name) for name in self.program.outputs}

    @property
    def silent(self) -> list[str]:
        """The layers without a spike: an equality there proves nothing."""
        return [n for n, layer in self.trace.layers.items() if not layer.spikes.any()]

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
    events: Array | None = None,
) -> Verification:
    """Every back end on the first ``samples`` test samples of the model's data.

    ``backends`` names them; by default all but those `ON_REQUEST`. ``events`` (samples, steps,
    *input shape) takes the place of that data. ``model`` is the source model; by default the file
    that the artifact was made from, if it is still there unchanged.
    Raises CompileError for an unknown back end or a model that is another.
    """
    target = artifact.target
    chosen = _chosen(backends, target)
    source, no_source = find_source(artifact, model)
    program = artifact.program
    if events is None:
        data = samples_for(program, artifact.contract, artifact.provenance.data, samples)
    else:
        data = Samples(events, None, f"{len(events)} given samples")
    progress("reference interpreter")
    trace = reference.run(program, data.events, record="states")
    checked = [_golden(artifact)]
    runners: dict[str, Callable[[], Ran]] = {
        "emulator": lambda: Ran(emulator.run(program, data.events, "states")),
        "torch-program": lambda: Ran(torch_program.run(program, data.events, "states")),
        "cuda": lambda: Ran(torch_program.run(program, data.events, "states", "cuda")),
        "torch": lambda: Ran(_torch(source, no_source, program, data.events)),
        "lava": lambda: _lava(program, data.events),
    }
    for name in chosen:
        progress(name)
        checked.append(_check(name, _role(name, target), runners[name], trace))
    drift, origin = _drift(artifact, source, trace, data)
    registers = tuple(rounded(source.program, program)) if source is not None else ()
    return Verification(program, data, trace, tuple(checked), drift, origin, registers)


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
    artifact: Artifact, source: Source | None, trace: Trace, data: Samples
) -> tuple[tuple[Agreement, ...], str]:
    """L1 against the integers: on all samples with the source model, else on the golden ones."""
    if source is not None:
        integers = {name: trace[name].spikes for name in artifact.program.neurons}
        floats = hard_spikes(source, data.events)
        if floats is None:
            return (), NO_FLOATS
        return tuple(agreement(floats, integers)), data.origin
    golden = artifact.golden
    if not golden.float_spikes:
        return (), NO_FLOATS
    origin = f"{len(golden.events)} golden samples"
    return tuple(agreement(golden.float_spikes, golden.spikes)), origin
