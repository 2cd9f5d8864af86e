"""The drift of a compiled network on a set of samples, a chunk at a time.

Per chunk the float network runs once with its states, the integers too, and every variant
(`variants.py`) with its spikes; only their sums outlive it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import add

import numpy as np
from msgspec import UnsetType

from sast_compile.artifact import Artifact
from sast_compile.chunks import Told, chunk_size, chunks, sample_bytes
from sast_compile.compare import Agreement, agreement, decisions
from sast_compile.errors import CompileError, Unsupported
from sast_compile.execute import Runner, runner
from sast_compile.frontend.source import Source
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array
from sast_compile.levels import NO_FLOATS, Spikes, surrogate_spikes
from sast_compile.passes import Options
from sast_compile.passes.feeders import feeders
from sast_compile.report.drift.layers import LayerDrift, layer_drift
from sast_compile.report.drift.programs import (
    as_compared,
    float_form,
    height,
    step_of_v,
    with_leaks,
)
from sast_compile.report.drift.variants import (
    fine,
    only_states,
    only_thresholds,
    only_weights,
    weights,
)
from sast_compile.report.proportions import Change, Share, change_of, share_of
from sast_compile.report.synops import Activity, activity, operations
from sast_compile.samples import Samples
from sast_compile.trace import Trace

SURROGATE, HARD, INTEGERS = "surrogate", "hard", "integers"  # L0, L1, L2 = L3
VARIANTS = ("weights", "leaks", "thresholds", "states")
ENOUGH = 2**27  # bytes of a chunk: larger ones are no faster


@dataclass(frozen=True, eq=False)
class Decided:
    """What a model decided, (samples, outputs), and which spikes of L1 it kept, by layer."""

    decisions: Array
    kept: tuple[Agreement, ...] = ()

    def __add__(self, other: Decided) -> Decided:
        kept = tuple(a + b for a, b in zip(self.kept, other.kept, strict=True))
        return Decided(np.concatenate([self.decisions, other.decisions]), kept)

    @property
    def spikes(self) -> Agreement | None:
        """Of all layers together; None for L0 and L1, and where nothing fires."""
        return reduce(add, self.kept) if self.kept else None


@dataclass(frozen=True)
class Operations:
    """Synaptic operations of all samples: those that input events make, and hidden spikes."""

    input: int
    hidden: int


@dataclass(frozen=True, eq=False)
class Drift:
    """A compiled network beside its float network.

    ``models`` are the levels, and what costs what, by name; ``fine_in`` the integers with fine
    parameters in one layer, by its name; ``unmeasured`` says what of these there is not, and why.
    ``sqnr`` is in dB by layer, infinite where no weight was rounded.
    """

    samples: Samples
    layers: tuple[LayerDrift, ...]
    sqnr: Mapping[str, float]
    models: Mapping[str, Decided]
    fine_in: Mapping[str, Decided]
    unmeasured: tuple[str, ...]
    before: Operations
    after: Operations

    def share(self, model: Decided) -> Share | None:
        """How often a model is right; None without labels."""
        labels = self.samples.labels
        if labels is None:
            return None
        return share_of(int((model.decisions[:, 0] == labels).sum()), len(labels))

    def change(self, model: Decided, base: str = HARD) -> Change | None:
        """The same beside another model; None without labels."""
        labels = self.samples.labels
        if labels is None:
            return None
        was = self.models[base].decisions[:, 0] == labels
        now = model.decisions[:, 0] == labels
        return change_of(int((was & ~now).sum()), int((now & ~was).sum()), len(labels))

    def flipped(self, model: Decided) -> int:
        """In how many samples a model decides otherwise than L1."""
        differs = model.decisions != self.models[HARD].decisions
        return int(differs.any(axis=1).sum())


def drift(
    source: Source,
    artifact: Artifact,
    samples: Samples,
    most: int | None = None,
    told: Told = lambda done: None,
) -> Drift:
    """The integers of ``artifact`` beside the float network of ``source``, on ``samples``.

    In chunks of at most ``most`` bytes (`chunk_size`). Raises CompileError where there is no float
    network, or that is too little for one sample.
    """
    if not source.has_floats:
        raise CompileError(NO_FLOATS, where=source.path, hint="the .pt or .nir it comes from")
    program, target = artifact.program, artifact.target
    floats = float_form(source.program, target)
    beside = _Beside(source, floats, program, with_leaks(floats, target, _options(artifact)))
    each = _sample_bytes(floats, program, samples)
    size = min(chunk_size(samples, each, most), max(1, ENOUGH // each))
    parts = (_told(beside, samples, span, told) for span in chunks(samples, size))
    sums = reduce(add, parts)
    return Drift(
        samples,
        sums.layers,
        {name: sqnr(floats, program, name) for name in program.neurons},
        sums.models,
        sums.fine_in,
        tuple(beside.unmeasured),
        _operations(floats, sums.before),
        _operations(program, sums.after),
    )


def _options(artifact: Artifact) -> Options:
    """What the passes were told."""
    encoding, provenance = artifact.contract.encoding, artifact.provenance
    rate, rounding, bits_of = provenance.event_rate, provenance.rounding, provenance.bits_of
    options = Options(
        provenance.bits,
        encoding.steps if encoding else None,
        None if isinstance(rate, UnsetType) else rate,
        bits_of={} if isinstance(bits_of, UnsetType) else bits_of,
    )
    return options if isinstance(rounding, UnsetType) else replace(options, rounding=rounding)


def _told(beside: _Beside, samples: Samples, span: tuple[int, int], told: Told) -> _Part:
    begin, end = span
    part = beside.part(samples.array(begin, end), begin)
    told(end - begin)
    return part


def sqnr(floats: Program, integers: Program, name: str) -> float:
    """``10 log10(sum w^2 / sum (w - integer scale)^2)`` dB, over all weights into a population."""
    power = noise = 0.0
    for feeder in feeders(integers, name):
        wanted, got = weights(floats, feeder), weights(integers, feeder)
        power += float((wanted**2).sum())
        noise += float(((wanted - got) ** 2).sum())
    return 10 * math.log10(power / noise) if noise and power else math.inf


def _sample_bytes(floats: Program, integers: Program, samples: Samples) -> int:
    """What a sample takes at most: two records with states, one of a variant, errors of v."""
    wide = sample_bytes(floats, samples, "states", interpreted=True)
    return 3 * wide + sample_bytes(integers, samples, "states")


@dataclass(frozen=True, eq=False)
class _Part:
    """What is kept of some of the samples."""

    layers: tuple[LayerDrift, ...]
    models: Mapping[str, Decided]
    fine_in: Mapping[str, Decided]
    before: Activity
    after: Activity

    def __add__(self, other: _Part) -> _Part:
        return _Part(
            tuple(a + b for a, b in zip(self.layers, other.layers, strict=True)),
            {name: d + other.models[name] for name, d in self.models.items()},
            {name: d + other.fine_in[name] for name, d in self.fine_in.items()},
            {name: n + other.before[name] for name, n in self.before.items()},
            {name: n + other.after[name] for name, n in self.after.items()},
        )


class _Beside:
    """Everything that runs on a chunk, ready to run."""

    def __init__(
        self, source: Source, floats: Program, integers: Program, leaking: Program
    ) -> None:
        self.source, self.floats, self.integers = source, floats, integers
        self.hard = runner(as_compared(floats), "states")
        self.chip = runner(as_compared(integers), "states")
        self.unmeasured: list[str] = []
        made: tuple[Callable[[], Program], ...] = (
            partial(only_weights, floats, integers),
            lambda: leaking,
            partial(only_thresholds, floats, integers, leaking),
            partial(only_states, floats, integers),
        )
        self.variants = self._runners(dict(zip(VARIANTS, made, strict=True)))
        layers = integers.neurons
        self.fine = self._runners(
            {name: partial(fine, floats, integers, [name]) for name in layers}
        )

    def _runners(self, made: Mapping[str, Callable[[], Program]]) -> dict[str, Runner]:
        """What runs each of the programs that can be made."""
        found = {}
        for name, make in made.items():
            try:
                found[name] = runner(make(), "spikes")
            except Unsupported as error:
                self.unmeasured.append(f"{name}: {error}")
        return found

    def part(self, events: Array, first: int) -> _Part:
        """All sums of a chunk whose samples are numbered from ``first`` on."""
        before, after = self.hard(events), self.chip(events)
        hard = _spikes(before)
        models = {
            **self._surrogate(events),
            HARD: Decided(self._decisions(hard)),
            **self._decided(hard, self.variants, events),
            INTEGERS: self._kept(hard, _spikes(after)),
        }
        return _Part(
            tuple(self._layers(before, after, first)),
            models,
            self._decided(hard, self.fine, events),
            activity(self.floats, events, before),
            activity(self.integers, events, after),
        )

    def _layers(self, before: Trace, after: Trace, first: int) -> Iterator[LayerDrift]:
        for name in self.floats.neurons:
            step, high = step_of_v(self.integers, name), height(self.floats, name)
            yield layer_drift(name, before[name], after[name], step, high, first)

    def _surrogate(self, events: Array) -> dict[str, Decided]:
        """L0, where the model is a network whose outputs are spikes."""
        found = surrogate_spikes(self.source, events)
        if found is None or not set(self.integers.outputs) <= set(found):
            return {}
        return {SURROGATE: Decided(self._decisions(found))}

    def _decided(
        self, hard: Spikes, variants: Mapping[str, Runner], events: Array
    ) -> dict[str, Decided]:
        return {name: self._kept(hard, _spikes(run(events))) for name, run in variants.items()}

    def _kept(self, hard: Spikes, found: Spikes) -> Decided:
        firing = {n: hard[n] for n, op in self.floats.neurons.items() if op.fire is not None}
        return Decided(self._decisions(found), tuple(agreement(firing, found)))

    def _decisions(self, spikes: Spikes) -> Array:
        """By sample and output, of a float or an integer network."""
        return np.stack([decisions(spikes[name]) for name in self.integers.outputs], axis=1)


def _spikes(trace: Trace) -> Spikes:
    return {name: layer.spikes for name, layer in trace.layers.items()}


def _operations(program: Program, active: Activity) -> Operations:
    found = operations(program, active)
    return Operations(sum(one.input for one in found), sum(one.hidden for one in found))
