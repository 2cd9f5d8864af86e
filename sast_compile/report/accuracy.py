"""The accuracy of each model on labelled events, and how many spikes the levels share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from sast_compile.chunks import chunk_size, chunks, sample_bytes
from sast_compile.compare import Agreement, agreement, decisions
from sast_compile.execute import Runner, runner
from sast_compile.frontend.source import Source
from sast_compile.ir.program import Program
from sast_compile.ir.types import Array
from sast_compile.levels import hard_spikes, surrogate_spikes
from sast_compile.samples import Samples


@dataclass(frozen=True)
class Levels:
    """Correct decisions of ``n`` at each level, None where there is no such level."""

    n: int
    origin: str
    surrogate: int | None  # L0
    hard: int | None  # L1
    integers: int  # L2 = L3
    drift: tuple[Agreement, ...]  # L1 against L3, by layer


def accuracy_levels(source: Source, program: Program, samples: Samples) -> Levels | None:
    """The levels on ``samples``, a chunk at a time; None if these have no labels."""
    if samples.labels is None:
        return None
    # the integers' record beside that of each float level, whose spikes take up to 4 bytes
    each = 4 * sample_bytes(program, samples, "spikes")
    size, run = chunk_size(samples, each, None), runner(program)
    parts = [_part(source, program, run, samples, span) for span in chunks(samples, size)]
    return reduce(_joined, parts)


def _part(
    source: Source, program: Program, run: Runner, samples: Samples, span: tuple[int, int]
) -> Levels:
    """The levels on some of the samples."""
    assert samples.labels is not None
    (output,) = program.outputs
    events, labels = samples.array(*span), samples.labels[slice(*span)]
    smooth, hard = surrogate_spikes(source, events), hard_spikes(source, events)
    trace = run(events)
    integers = {n: trace[n].spikes for n, op in program.neurons.items() if op.fire is not None}
    return Levels(
        n=len(labels),
        origin=samples.origin,
        surrogate=None if smooth is None else _correct(smooth[output], labels),
        hard=None if hard is None else _correct(hard[output], labels),
        integers=_correct(trace[output].spikes, labels),
        drift=() if hard is None else tuple(agreement(hard, integers)),
    )


def _joined(a: Levels, b: Levels) -> Levels:
    """The levels on the samples of both."""
    return Levels(
        n=a.n + b.n,
        origin=a.origin,
        surrogate=_sum(a.surrogate, b.surrogate),
        hard=_sum(a.hard, b.hard),
        integers=a.integers + b.integers,
        drift=tuple(x + y for x, y in zip(a.drift, b.drift, strict=True)),
    )


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


def _correct(output: Array, labels: Array) -> int:
    return int((decisions(output) == labels).sum())
